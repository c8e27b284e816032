"""State dicts for other programs: golden files come back, and what is written reads back."""

import errno
import os

import pytest
import torch
from safetensors.torch import load_file

from facts import refused
from networks import with_biases
from widesr.cli import run
from widesr.exchange.importers import import_file
from widesr.exchange.states import export_state
from widesr.nets import EDSRConfig, RDNConfig, SPANConfig, WDSRConfig
from widesr.train.checkpoint import save_weights

try:
    import resource
except ImportError:  # Windows
    resource = None

pytestmark = pytest.mark.train

OURS = {
    "edsr-x2": EDSRConfig(scale=2, n_resblocks=2, n_feats=6, res_scale=0.1),
    "edsr-x3": EDSRConfig(scale=3, n_resblocks=1, n_feats=5, rgb_std=0.5),
    "edsr-x4": EDSRConfig(scale=4, n_resblocks=2, n_feats=4, rgb_std=1 / 255),
    "rdn-x4": RDNConfig(scale=4, n_blocks=2, n_layers=2, growth=3, n_feats=4),
    "wdsr-a": WDSRConfig(scale=2, block="a", n_resblocks=2, n_feats=6, expansion=3),
    "wdsr-b": WDSRConfig(scale=3, block="b", n_resblocks=2, n_feats=8, expansion=6, norm="none"),
}


def saved(folder, cfg):
    """Save weights whose biases are not 0, as those of a trained network."""
    network = with_biases(cfg, divisor=10)
    path = folder / "w.safetensors"
    save_weights(path, network, None)
    return network, path


@pytest.mark.parametrize(
    "name",
    ["edsr_pytorch_edsr_x2", "edsr_pytorch_edsr_x3", "jiahuiyu_wdsr_a_x2", "jiahuiyu_wdsr_b_x3"],
)
def test_a_file_of_the_authors_comes_back_to_the_bit(golden, tmp_path, name):
    ours, out = tmp_path / "w.safetensors", tmp_path / "back.pt"
    save_weights(ours, import_file(golden / f"{name}.safetensors").network, None)
    assert run(["export", str(ours), "--keys", "edsr-pytorch", "-o", str(out)]) == 0
    tensors = load_file(golden / f"{name}.safetensors")
    theirs = {key: value for key, value in tensors.items() if not key.startswith("__")}
    back = torch.load(out, weights_only=True)
    assert back.keys() == theirs.keys()
    for key, value in theirs.items():
        assert torch.equal(back[key], value), key


@pytest.mark.parametrize(
    ("name", "keys"), [*((name, "edsr-pytorch") for name in OURS), ("edsr-x2", "basicsr"),
                       ("edsr-x3", "basicsr"), ("edsr-x4", "basicsr")]
)  # fmt: skip
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_our_networks_give_their_picture_there(tmp_path, name, keys, suffix):
    network, weights = saved(tmp_path, OURS[name])
    out = tmp_path / f"theirs{suffix}"
    written = export_state(weights, out, keys=keys)
    has_factor = hasattr(network.cfg, "res_scale")
    back = import_file(out, res_scale=written.res_scale if has_factor else None).network
    lr = torch.rand(1, 3, 11, 8)
    with torch.inference_mode():
        assert (back(lr) - network(lr)).abs().max() < 1e-5


def test_basicsr_finds_its_own_names(tmp_path):
    # Source: BasicSR, basicsr/archs/edsr_arch.py and arch_util.py (ResidualBlockNoBN, Upsample).
    _, weights = saved(tmp_path, EDSRConfig(scale=4, n_resblocks=1, n_feats=4))
    out = tmp_path / "theirs.pth"
    export_state(weights, out, keys="basicsr")
    state = torch.load(out, weights_only=True)["params"]
    stems = ["conv_first", "body.0.conv1", "body.0.conv2", "conv_after_body"]
    stems += ["upsample.0", "upsample.2", "conv_last"]
    assert sorted(state) == sorted(
        f"{stem}.{leaf}" for stem in stems for leaf in ("weight", "bias")
    )


def test_the_factor_that_no_tensor_shows_is_said(tmp_path, capsys):
    _, weights = saved(tmp_path, OURS["edsr-x2"])
    assert run(["export", str(weights), "--keys", "basicsr"]) == 0
    assert "0.1" in capsys.readouterr().err
    assert (tmp_path / "w.pth").is_file()


@pytest.mark.parametrize(
    ("cfg", "keys", "code"),
    [
        (SPANConfig(scale=2, n_feats=6), "edsr-pytorch", "usage"),
        (OURS["wdsr-a"], "basicsr", "usage"),
        (EDSRConfig(scale=2, n_resblocks=1, n_feats=4, rgb_mean=(0, 0, 0)), "basicsr", "usage"),
        (
            WDSRConfig(scale=2, block="a", n_resblocks=1, n_feats=6, expansion=3, temporal_size=3),
            "edsr-pytorch",
            "usage",
        ),
        (
            WDSRConfig(scale=2, block="a", n_resblocks=1, n_feats=6, expansion=3, noise=2),
            "edsr-pytorch",
            "usage",
        ),
        (
            EDSRConfig(scale=2, n_resblocks=1, n_feats=4, consistent=True),
            "edsr-pytorch",
            "export",
        ),
        (
            WDSRConfig(scale=2, block="a", n_resblocks=1, n_feats=6, expansion=3, reuse=3),
            "edsr-pytorch",
            "export",
        ),
    ],
)
def test_a_network_that_is_not_known_there_is_refused(tmp_path, cfg, keys, code):
    _, weights = saved(tmp_path, cfg)
    with refused(code, keys if code == "usage" else tmp_path / "theirs.pth"):
        export_state(weights, tmp_path / "theirs.pth", keys=keys)
    assert list(tmp_path.iterdir()) == [weights]


@pytest.mark.skipif(not resource, reason="the disk is full by a limit of Unix")
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_full_disk_is_said_and_nothing_is_left(tmp_path, suffix):
    _, weights = saved(tmp_path, OURS["wdsr-b"])
    out = tmp_path / f"theirs{suffix}"
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limit[1]))
    try:
        with refused("export", out, os.strerror(errno.EFBIG)):
            export_state(weights, out, keys="edsr-pytorch")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert list(tmp_path.iterdir()) == [weights]


def test_a_name_that_is_too_long_is_refused(tmp_path):
    _, weights = saved(tmp_path, OURS["edsr-x2"])
    with refused("export", os.strerror(errno.ENAMETOOLONG)):
        export_state(weights, tmp_path / f"{'long' * 99}.pth", keys="basicsr")


def test_nothing_is_replaced_unasked(tmp_path):
    _, weights = saved(tmp_path, OURS["edsr-x2"])
    out = tmp_path / "theirs.pth"
    out.write_text("mine")
    with refused("output-exists"):
        export_state(weights, out, keys="basicsr")
    with refused("usage"):
        export_state(weights, tmp_path / "theirs.bin", keys="basicsr")
    assert out.read_text() == "mine"
    export_state(weights, out, keys="basicsr", overwrite=True)
    assert import_file(out, res_scale=0.1).network.cfg.n_feats == 6
