"""The recipe of a network that is trained in a second, and how tests make others of it."""

TINY_RECIPE = """
name = "tiny-x2"
source = "made for a test"
seed = 1
family = "wdsr"
[net]
scale = 2
block = "a"
n_resblocks = 1
n_feats = 4
expansion = 2
[data]
degradation = "bicubic"
lr_patch = 12
batch = 4
validation = 1
exclude = ["left-out.png"]
[optim]
loss = "l1"
steps = 12
learning_rate = 1e-2
warmup = 2
schedule = "cosine"
betas = [0.9, 0.999]
ema_decay = 0.9
precision = "fp32"
[log]
validate_every = 4
"""


MUON = (
    ("expansion = 2", 'expansion = 2\nnorm = "none"'),
    ("warmup = 2", 'warmup = 2\noptimizer = "muon"'),
    ("[log]", "[optim.muon]\nlearning_rate = 6e-3\n[log]"),
)
"""Changes that let the body be learned by Muon."""


def stage(text: str) -> tuple[str, str]:
    """Give the recipe a stage at its end, as a change for `rewritten`."""
    return "[log]", f"[[stage]]\n{text}\n[log]"


def rewritten(text: str, *changes: tuple[str, str]) -> str:
    """Exchange pieces of a text, each of which must be there."""
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return text
