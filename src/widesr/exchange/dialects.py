"""Translates the names, order and scale of the tensors of other programs.

Foreign names become ours, and the foreign input range becomes `rgb_mean` and `rgb_std`, so that the
network gives the same picture for the same input in [0, 1]. Each reader takes the tensors and the
factor on residual branches. It raises CheckpointError if sizes do not fit, and LookupError,
RuntimeError, TypeError or ValueError if a tensor is missing or odd.

The writers, `as_...`, translate back with the same tables of names. If our network takes another
range than the authors' code, the first and the last convolutions are scaled to compensate.
"""

import re
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from widesr.exchange.readers import KERAS
from widesr.nets import EDSR, RDN, SPAN, WDSR, RDNConfig, SMFANet, SMFANetConfig, SPANConfig
from widesr.nets.from_tensors import (
    State,
    count,
    edsr,
    loaded,
    pattern_of,
    scale_of_stages,
    scale_of_tail,
    wdsr,
    with_weight_norm,
)
from widesr.nets.network import DIV2K_MEAN
from widesr.nets.stages import stages

_Names = Mapping[str, str]
"""Prefixes of their names, with our prefixes for the same tensors. The first that matches is used;
`*` matches any number."""


def _ours(tensors: State, names: _Names) -> dict[str, Tensor]:
    """Give their tensors our names; tensors that match no entry keep their names."""
    return _renamed(tensors, [*names.items()])


def _theirs(tensors: State, names: _Names) -> dict[str, Tensor]:
    """Give our tensors their names."""
    return _renamed(tensors, [(ours, theirs) for theirs, ours in names.items()])


def _renamed(tensors: State, names: Sequence[tuple[str, str]]) -> dict[str, Tensor]:
    patterns = [(pattern_of(old), new.replace("*", "{}")) for old, new in names]

    def rename(name: str) -> str:
        for pattern, new in patterns:
            if match := pattern.match(name):
                return new.format(*match.groups()) + name[match.end() :]
        return name

    return {rename(name): value for name, value in tensors.items()}


def _in_their_range(
    state: State, factor: float, *, first: Sequence[str], last: Sequence[str]
) -> dict[str, Tensor]:
    """Compensate for a range that is `factor` times as wide as that of the network."""
    kernel = ("weight", "weight_g")  # with weight norm, only the length is scaled
    changes = {f"{stem}.{leaf}": 1 / factor for stem in first for leaf in kernel}
    for name in (f"{stem}.{leaf}" for stem in last for leaf in (*kernel, "bias")):
        changes[name] = changes.get(name, 1.0) * factor
    return {name: value * changes.get(name, 1.0) for name, value in state.items()}


_JIAHUIYU = {
    "head.0": "head",
    "tail.0": "tail",
    "skip.0": "skip",
    "body.*.body.*": "body.*.*",
}


def jiahuiyu_wdsr(tensors: State, res_scale: float) -> WDSR:
    """Read JiahuiYu/wdsr_ntire2018, wdsr_a.py and wdsr_b.py; 0..255, (x - mean) / 127.5."""
    state = _ours(with_weight_norm(tensors), _JIAHUIYU)
    return wdsr(state, rgb_mean=DIV2K_MEAN, rgb_std=0.5, res_scale=res_scale)


def as_jiahuiyu_wdsr(network: WDSR) -> dict[str, Tensor]:
    """Return a network's tensors as `jiahuiyu_wdsr` reads them."""
    state = _in_their_range(
        with_weight_norm(network.state_dict()),
        network.cfg.rgb_std / 0.5,
        first=("head", "skip"),
        last=("tail", "skip"),
    )
    return _theirs(state, _JIAHUIYU)


def ychfan_wdsr(tensors: State, _res_scale: float) -> WDSR:
    """Read ychfan/wdsr at b782562, models/wdsr.py; 0..1, x - 0.5; head and tail in the body."""
    state = with_weight_norm(tensors)
    last = max(int(name.split(".")[1]) for name in state if name.startswith("body."))

    def rename(name: str) -> str:
        if name.startswith("body.0."):
            return name.replace("body.0.", "head.")
        if name.startswith(f"body.{last}."):
            return name.replace(f"body.{last}.", "tail.")
        if match := re.match(r"^body\.(\d+)\.body\.(.*)", name):
            return f"body.{int(match[1]) - 1}.{match[2]}"
        return name.replace("skip.0.", "skip.")

    renamed = {rename(name): value for name, value in state.items()}
    return wdsr(renamed, rgb_mean=(0.5, 0.5, 0.5), rgb_std=1.0, res_scale=1.0)


def krasserm_wdsr(tensors: State, res_scale: float) -> WDSR:
    """Read krasserm/super-resolution, model/wdsr.py; 0..255, (x - mean) / 127.5.

    Layers come in the order of the code: head, blocks, tail, skip. Kernels are (height, width, in,
    out), and the channels that TensorFlow shuffles to pixels have the colour last, not first.
    """
    count = 1 + max(int(name.split(".")[1]) for name in tensors)
    kernels = [tensors[f"{KERAS}{index}.kernel"] for index in range(count)]
    if kernels[-1].shape[:3] != (5, 5, 3):
        raise ValueError(f"a last kernel of {tuple(kernels[-1].shape)}, not the 5x5 skip of WDSR")
    per_block = 3 if kernels[1].shape[0] == 1 else 2  # B has 1x1, 1x1, 3x3; A has 3x3, 3x3
    state: dict[str, Tensor] = {}
    for index, kernel in enumerate(kernels):
        weight, bias = kernel.permute(3, 2, 0, 1), tensors[f"{KERAS}{index}.bias"]
        gain = tensors.get(f"{KERAS}{index}.g")
        gain = torch.norm_except_dim(weight, 2, 0) if gain is None else gain.view(-1, 1, 1, 1)
        block, layer = divmod(index - 1, per_block)
        # Our blocks have a ReLU between the first layer and the second.
        name = f"body.{block}.{layer + (layer > 0)}"
        if index == 0:
            name = "head"
        if index >= count - 2:
            name = "tail" if index == count - 2 else "skip"
            order = torch.arange(len(bias)).view(-1, 3).T.flatten()
            weight, gain, bias = weight[order], gain[order], bias[order]
        state |= {f"{name}.weight_v": weight, f"{name}.weight_g": gain, f"{name}.bias": bias}
    return wdsr(state, rgb_mean=DIV2K_MEAN, rgb_std=0.5, res_scale=res_scale)


def _edsr_pytorch(n_stages: int) -> _Names:
    # The last convolution follows the convolution and shuffle of each stage.
    return {"head.0": "head", "tail.1": f"tail.{2 * n_stages}", "tail.0.*": "tail.*"}


def edsr_pytorch(tensors: State, res_scale: float) -> EDSR:
    """Read EDSR-PyTorch, src/model/edsr.py; 0..255, x - mean by a fixed 1x1 convolution."""
    learned = {n: t for n, t in tensors.items() if not n.startswith(("add_mean.", "sub_mean."))}
    state = _ours(learned, _edsr_pytorch(count(tensors, "tail.0.*")))
    return edsr(state, rgb_mean=DIV2K_MEAN, rgb_std=1 / 255, res_scale=res_scale)


def as_edsr_pytorch(network: EDSR) -> dict[str, Tensor]:
    """Return a network's tensors as `edsr_pytorch` reads them, with convolutions for the mean."""
    mean = 255 * torch.tensor(DIV2K_MEAN)
    fixed: dict[str, Tensor] = {}
    for name, shift in (("sub_mean", -mean), ("add_mean", mean)):
        fixed |= {f"{name}.weight": torch.eye(3).view(3, 3, 1, 1), f"{name}.bias": shift}
    names = _edsr_pytorch(len(stages(network.cfg.scale)))
    return fixed | _theirs(_edsr_in_255(network), names)


def _basicsr(n_resblocks: int, n_stages: int) -> _Names:
    return {
        "conv_first": "head",
        "conv_after_body": f"body.{n_resblocks}",
        "conv_last": f"tail.{2 * n_stages}",
        "upsample.*": "tail.*",
        "body.*.conv1": "body.*.body.0",
        "body.*.conv2": "body.*.body.2",
    }


def basicsr_edsr(tensors: State, res_scale: float) -> EDSR:
    """Read BasicSR, basicsr/archs/edsr_arch.py; (x - mean) * 255, its `img_range`."""
    state = _ours(tensors, _basicsr(count(tensors, "body.*"), count(tensors, "upsample.*.weight")))
    return edsr(state, rgb_mean=DIV2K_MEAN, rgb_std=1 / 255, res_scale=res_scale)


def as_basicsr_edsr(network: EDSR) -> dict[str, Tensor]:
    """Return a network's tensors as `basicsr_edsr` reads them."""
    names = _basicsr(network.cfg.n_resblocks, len(stages(network.cfg.scale)))
    return _theirs(_edsr_in_255(network), names)


def _edsr_in_255(network: EDSR) -> dict[str, Tensor]:
    last = f"tail.{2 * len(stages(network.cfg.scale))}"
    factor = 255 * network.cfg.rgb_std
    return _in_their_range(network.state_dict(), factor, first=("head",), last=(last,))


_RDN = {
    "RDBs.*.convs.*.conv.0": "body.*.layers.*",
    "RDBs.*.LFF": "body.*.fuse",
    "GFF": "fuse",
    "UPNet": "tail",
    "SFENet1": "head",
    "SFENet2": "entry",
}


def edsr_pytorch_rdn(tensors: State, _res_scale: float) -> RDN:
    """Read EDSR-PyTorch, src/model/rdn.py; 0..255, no mean subtracted."""
    growth, n_stages = len(tensors["RDBs.0.convs.0.conv.0.weight"]), count(tensors, "UPNet.*") - 1
    cfg = RDNConfig(
        scale=scale_of_stages(n_stages, widened=len(tensors["UPNet.0.weight"]) // growth),
        n_blocks=count(tensors, "RDBs.*"),
        n_layers=count(tensors, "RDBs.0.convs.*"),
        growth=growth,
        n_feats=len(tensors["SFENet1.weight"]),
        rgb_std=1 / 255,
    )
    return loaded(RDN(cfg), _ours(tensors, _RDN))


def as_edsr_pytorch_rdn(network: RDN) -> dict[str, Tensor]:
    """Return a network's tensors as `edsr_pytorch_rdn` reads them."""
    last = f"tail.{2 * len(stages(network.cfg.scale))}"
    factor = 255 * network.cfg.rgb_std
    state = _in_their_range(network.state_dict(), factor, first=("head",), last=(last,))
    return _theirs(state, _RDN)


def span(tensors: State, _res_scale: float) -> SPAN:
    """Read hongyuanyu/SPAN at e19736d, span_arch.py; (x - mean) * 255, nothing added back.

    A convolution may be stored as the branches that are learned (`conv`, `sk`), as the kernel that
    they were merged to (`eval_conv`), or by itself. The branches take precedence, since the merged
    kernel may be of an earlier step. `no_norm` marks a variant by others that takes [0, 1] as it
    is.
    """
    branched = "conv_1.sk.weight" in tensors
    renamed = {}
    for name, value in tensors.items():
        if name == "no_norm" or (branched and ".eval_conv." in name):
            continue
        ours = re.sub(r"^block_(\d+)\.c([123])(_r)?\.", _place_in_span, name)
        ours = re.sub(r"^upsampler\.(0\.)?", "tail.", ours.replace(".eval_conv.", "."))
        ours = ours.replace("conv_cat.", "fuse.").replace("conv_1.", "head.")
        renamed[ours.replace("conv_2.", "end.")] = value
    tail = renamed["tail.weight"]
    as_it_is = "no_norm" in tensors
    cfg = SPANConfig(
        scale=scale_of_tail(len(tail)),
        n_resblocks=count(renamed, "body.*"),
        n_feats=tail.shape[1],
        branched=branched,
        rgb_mean=(0.0, 0.0, 0.0) if as_it_is else DIV2K_MEAN,
        rgb_range=1.0 if as_it_is else 255.0,
    )
    return loaded(SPAN(cfg), renamed)


def _place_in_span(match: re.Match[str]) -> str:
    layer = ("first", "second", "third")[int(match[2]) - 1]
    return f"body.{int(match[1]) - 1}.{layer}."


_SMFANET = {
    "to_feat": "head",
    "to_img.0": "tail",
    "feats.*.smfa.linear_0": "body.*.aggregate.entry",
    "feats.*.smfa.linear_1": "body.*.aggregate.weigh.0",
    "feats.*.smfa.linear_2": "body.*.aggregate.exit",
    "feats.*.smfa.dw_conv": "body.*.aggregate.coarse",
    "feats.*.smfa.alpha": "body.*.aggregate.of_peaks",
    "feats.*.smfa.belt": "body.*.aggregate.of_variance",
    "feats.*.smfa.lde.conv_1": "body.*.aggregate.local.3",
    "feats.*.smfa.lde.conv_0.*": "body.*.aggregate.local.*",
    "feats.*.pcfn.conv_0": "body.*.feed.widen",
    "feats.*.pcfn.conv_1": "body.*.feed.mix",
    "feats.*.pcfn.conv_2": "body.*.feed.narrow",
}


def smfanet(tensors: State, _res_scale: float) -> SMFANet:
    """Read Zheng-MJ/SMFANet at b3ac071, SMFANet_arch.py; 0..1, no mean subtracted."""
    tail = tensors["to_img.0.weight"]
    cfg = SMFANetConfig(
        scale=scale_of_tail(len(tail)),
        n_resblocks=count(tensors, "feats.*"),
        n_feats=tail.shape[1],
        expansion=_exact_or_more(len(tensors["feats.0.pcfn.conv_0.weight"]), tail.shape[1]),
    )
    return loaded(SMFANet(cfg), _ours(tensors, _SMFANET))


def _exact_or_more(wide: int, narrow: int) -> float:
    """Return the ratio of two widths, such that `int(narrow * ratio)` is `wide`."""
    return wide / narrow if int(narrow * (wide / narrow)) == wide else (wide + 0.5) / narrow
