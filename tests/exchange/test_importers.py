"""Weights of other programs: found by their tensors, the same pictures, and what is refused."""

import errno
import os
import pickle
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save, save_file

from facts import names, refusal, refused
from widesr.cli import run
from widesr.exchange.dialects import _SMFANET, _theirs, as_jiahuiyu_wdsr
from widesr.exchange.importers import import_file, import_weights
from widesr.nets import (
    EDSR,
    RDN,
    EDSRConfig,
    RDNConfig,
    SMFANetConfig,
    SPANConfig,
    WDSRConfig,
    build,
    family_of,
)
from widesr.pictures.reading import read_picture
from widesr.pixels.metrics import PROTOCOLS, psnr
from widesr.train.checkpoint import load_weights, save_weights

pytestmark = pytest.mark.train

KRASSERM = "krasserm_wdsr_b_32_x4"


@pytest.fixture
def from_golden(golden, tmp_path):
    """Write a golden network as its authors would, its state alone, and give the file."""

    def write(name, suffix=".pth"):
        tensors = load_file(golden / f"{name}.safetensors")
        state = {key: value for key, value in tensors.items() if not key.startswith("__")}
        file = tmp_path / f"{name}{suffix}"
        if suffix == ".safetensors":
            save_file(state, file)
        else:
            torch.save(state, file)
        return file

    return write


def picture_of(network, lr):
    with torch.inference_mode():
        return network(lr)


# ---- Keras ---------------------------------------------------------------------------------


def test_krasserms_weights_give_their_picture(golden):
    network, origin, assumed = import_file(golden / f"{KRASSERM}.h5")
    assert origin == "WDSR of krasserm/super-resolution"
    cfg = network.cfg
    assert isinstance(cfg, WDSRConfig)
    assert (cfg.scale, cfg.block, cfg.n_resblocks, cfg.n_feats) == (4, "b", 32, 32)
    assert any("res_scale" in line or "branches" in line for line in assumed)
    io = load_file(golden / f"{KRASSERM}.io.safetensors")
    for each in (network, network.fused()):
        difference = picture_of(each, io["input"] / 255) * 255 - io["output"]
        assert difference.abs().max() < 1e-3


def test_krasserms_weights_have_their_score_on_butterfly(golden, bench):
    network = import_file(golden / f"{KRASSERM}.h5").network.fused()
    lr = read_picture(bench / "Set5/LR_bicubic/X4/butterflyx4.png").pixels
    hr = read_picture(bench / "Set5/HR/butterfly.png").pixels
    sr = picture_of(network, torch.from_numpy(lr).permute(2, 0, 1)[None] / 255)[0]
    sr = np.floor(sr.permute(1, 2, 0).clamp(0, 1).numpy() * 255 + 0.5).astype(np.uint8)
    assert round(psnr(sr, hr, protocol=PROTOCOLS["benchmark-y"], scale=4), 2) == 27.59


def write_keras(path, cfg, *, gains, wrapped=False):
    """Write WDSR as Keras does: (h, w, in, out), TensorFlow's shuffle; give our network of it."""
    torch.manual_seed(0)
    network = build(cfg)
    state = network.state_dict() if gains else network.fused().state_dict()
    stems = ["head"]
    for block in range(cfg.n_resblocks):
        stems += [f"body.{block}.{layer}" for layer in ((0, 2) if cfg.block == "a" else (0, 2, 3))]
    stems += ["tail", "skip"]
    with h5py.File(path, "w") as file:
        root = file.create_group("model_weights") if wrapped else file
        root.attrs["layer_names"] = [b"input", *(f"conv{i}".encode() for i in range(len(stems)))]
        root.create_group("input").attrs["weight_names"] = np.zeros(0, "S1")
        for index, stem in enumerate(stems):
            parts = {"bias": state[f"{stem}.bias"]}
            if gains:
                parts |= {"kernel": state[f"{stem}.weight_v"], "g": state[f"{stem}.weight_g"]}
            else:
                parts["kernel"] = state[f"{stem}.weight"]
            group = root.create_group(f"conv{index}")
            group.attrs["weight_names"] = [f"conv{index}/{leaf}:0".encode() for leaf in parts]
            for leaf, tensor in parts.items():
                values = tensor.numpy()
                if stem in ("tail", "skip"):  # ours: colour, row, column; theirs: colour last
                    values = values.reshape(3, cfg.scale**2, *values.shape[1:])
                    values = values.swapaxes(0, 1).reshape(3 * cfg.scale**2, *values.shape[2:])
                if leaf == "kernel":
                    values = values.transpose(2, 3, 1, 0)
                group[f"conv{index}/{leaf}:0"] = values.reshape(-1) if leaf == "g" else values
    return network


@pytest.mark.parametrize("block", ["a", "b"])
@pytest.mark.parametrize(("gains", "wrapped"), [(True, False), (False, False), (True, True)])
def test_keras_files_are_read_with_and_without_gains(tmp_path, block, gains, wrapped):
    cfg = WDSRConfig(
        scale=3,
        block=block,
        n_resblocks=2,
        n_feats=5,
        expansion=3,
        rgb_std=0.5,
        linear_ratio=(4 + 0.5) / 5 if block == "b" else 0.8,
    )
    expected = write_keras(tmp_path / "w.h5", cfg, gains=gains, wrapped=wrapped)
    network = import_file(tmp_path / "w.h5").network
    assert network.cfg == cfg
    lr = torch.rand(1, 3, 7, 6)
    assert (picture_of(network, lr) - picture_of(expected, lr)).abs().max() < 1e-6


def test_other_networks_of_keras_are_refused(tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file.attrs["layer_names"] = [b"conv"]
        file.create_group("conv").attrs["weight_names"] = [b"conv/kernel:0", b"conv/bias:0"]
        file["conv"]["conv/kernel:0"] = np.zeros((3, 3, 3, 8), np.float32)
        file["conv"]["conv/bias:0"] = np.zeros(8, np.float32)
    with refused("checkpoint", tmp_path / "other.h5", (3, 3, 3, 8), "5x5"):
        import_file(tmp_path / "other.h5")
    with h5py.File(tmp_path / "data.h5", "w") as file:
        file["pictures"] = np.zeros(3)
    with refused("checkpoint", tmp_path / "data.h5", "Keras", "save_weights"):
        import_file(tmp_path / "data.h5")


# ---- PyTorch -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "origin"),
    [
        ("jiahuiyu_wdsr_a_x2", "WDSR of JiahuiYu/wdsr_ntire2018"),
        ("jiahuiyu_wdsr_b_x3", "WDSR of JiahuiYu/wdsr_ntire2018"),
        ("ychfan_wdsr_x2", "WDSR of ychfan/wdsr"),
        ("edsr_pytorch_edsr_x3", "EDSR of EDSR-PyTorch"),
    ],
)
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_files_are_known_by_their_tensors(from_golden, name, origin, suffix):
    imported = import_file(from_golden(name, suffix))
    assert imported.origin == origin
    assert imported.network.cfg.scale == int(name[-1])
    assert all(line.startswith("assumed: ") for line in imported.assumed)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_edsr_of_basicsr_is_the_edsr_that_it_is(scale):
    torch.manual_seed(0)
    ours = EDSR(EDSRConfig(scale=scale, n_resblocks=3, n_feats=8, rgb_std=1 / 255))
    theirs = {}
    last = 2 * (2 if scale == 4 else 1)
    for name, value in ours.state_dict().items():
        part, *rest = name.split(".")
        if part == "head":
            name = f"conv_first.{rest[0]}"
        elif part == "tail":
            name = f"upsample.{rest[0]}.{rest[1]}"
            name = f"conv_last.{rest[1]}" if int(rest[0]) == last else name
        elif len(rest) == 2:
            name = f"conv_after_body.{rest[1]}"
        else:
            name = f"body.{rest[0]}.conv{1 if rest[2] == '0' else 2}.{rest[3]}"
        theirs[name] = value
    imported = import_weights(theirs)
    assert imported.origin == "EDSR of BasicSR"
    assert imported.network.cfg == ours.cfg
    lr = torch.rand(1, 3, 6, 7)
    assert torch.equal(picture_of(imported.network, lr), picture_of(ours, lr))


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_rdn_of_edsr_pytorch_is_the_rdn_that_it_is(scale):
    torch.manual_seed(0)
    cfg = RDNConfig(scale=scale, n_blocks=3, n_layers=2, growth=5, n_feats=4, rgb_std=1 / 255)
    ours = RDN(cfg)
    theirs = {}
    for name, value in ours.state_dict().items():
        part, *rest = name.split(".")
        match part:
            case "head":
                name = f"SFENet1.{rest[0]}"
            case "entry":
                name = f"SFENet2.{rest[0]}"
            case "fuse":
                name = f"GFF.{rest[0]}.{rest[1]}"
            case "tail":
                name = f"UPNet.{rest[0]}.{rest[1]}"
            case "body" if rest[1] == "fuse":
                name = f"RDBs.{rest[0]}.LFF.{rest[2]}"
            case "body":
                name = f"RDBs.{rest[0]}.convs.{rest[2]}.conv.0.{rest[3]}"
        theirs[name] = value
    imported = import_weights(theirs)
    assert imported.origin == "RDN of EDSR-PyTorch"
    assert imported.network.cfg == cfg
    lr = torch.rand(1, 3, 6, 7)
    assert torch.equal(picture_of(imported.network, lr), picture_of(ours, lr))


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("smfanet_plus_x2", "smfanet"),
        ("smfanet_plus_x3", "smfanet"),
        ("smfanet_plus_x4", "smfanet"),
        ("span_ch48_x2", "span"),
        ("span_ch48_x4", "span"),
    ],
)
def test_teachers_give_their_pictures(teachers, name, family):
    tensors = load_file(teachers / f"{name}.safetensors")
    lr, expected = tensors.pop("__input__"), tensors.pop("__output__")
    network = import_weights(tensors).network
    assert (family_of(network.cfg), network.cfg.scale) == (family, int(name[-1]))
    for each in (network, network.fused()):
        # Relative: on noise SPAN gives values of 200, by gates that make 0.3 of them of rounding.
        difference = (picture_of(each, lr) - expected).norm() / expected.norm()
        assert difference < (1e-4 if family == "span" else 1e-5)


def test_what_lies_beside_the_weights_is_left_out_and_said(teachers):
    imported = import_file(teachers / "span_ch48_x2.safetensors")
    assert family_of(imported.network.cfg) == "span"
    assert any("__input__, __output__" in line for line in imported.assumed)


def as_the_authors_span(network, kind):
    """Our SPAN by the names of its authors' file, its convolutions in one of their forms."""
    theirs = {}
    for name, value in network.state_dict().items():
        part, *rest = name.split(".")
        leaf = ".".join(rest)
        match part:
            case "body":
                index, layer, *last = rest
                place = 1 + ("first", "second", "third").index(layer)
                stem = f"block_{int(index) + 1}.c{place}_r"
                leaf = ".".join(last)
            case "fuse":
                stem = "conv_cat"
            case "tail":
                stem = "upsampler.0"
            case _:
                stem = {"head": "conv_1", "end": "conv_2"}[part]
        merged = kind == "eval" and part not in ("fuse", "tail")
        theirs[f"{stem}.eval_conv.{leaf}" if merged else f"{stem}.{leaf}"] = value
        if kind == "train" and leaf == "sk.weight":  # theirs is as large, and may be of any step
            zeros = torch.zeros(len(value), value.shape[1], 3, 3)
            theirs |= {
                f"{stem}.eval_conv.weight": zeros,
                f"{stem}.eval_conv.bias": zeros[:, 0, 0, 0],
            }
    return theirs


@pytest.mark.parametrize("kind", ["train", "eval", "plain"])
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_span_of_its_authors_is_read_before_and_after_they_merged_it(tmp_path, kind, scale):
    torch.manual_seed(0)
    branched = kind == "train"
    cfg = SPANConfig(scale=scale, n_resblocks=3, n_feats=6, branched=branched)
    ours = build(cfg)
    torch.save({"params_ema": as_the_authors_span(ours, kind)}, tmp_path / "w.pth")
    network, origin, assumed = import_file(tmp_path / "w.pth")
    assert origin == "SPAN of hongyuanyu/SPAN"
    assert network.cfg == cfg
    assert any("DIV2K's mean" in line for line in assumed)
    lr = torch.rand(1, 3, 9, 8)
    assert torch.equal(picture_of(network, lr), picture_of(ours, lr))
    assert (picture_of(network.fused(), lr) - picture_of(ours, lr)).abs().max() < 1e-4


def test_span_that_takes_pictures_as_they_are_is_known_by_its_mark():
    theirs = as_the_authors_span(build(SPANConfig(scale=2, n_feats=6)), "plain")
    cfg = import_weights({**theirs, "no_norm": torch.zeros(1)}).network.cfg
    assert (cfg.rgb_mean, cfg.rgb_range) == ((0, 0, 0), 1)


@pytest.mark.parametrize("missing", ["conv_2.sk.weight", "block_2.c3_r.conv.1.bias"])
def test_a_span_that_lacks_something_is_refused_in_one_line(missing):
    network = build(SPANConfig(scale=2, n_resblocks=2, n_feats=6, branched=True))
    theirs = as_the_authors_span(network, "train")
    del theirs[missing]
    with refused("checkpoint", "SPANConfig"):
        import_weights(theirs)


@pytest.mark.parametrize(("n_feats", "expansion", "wide"), [(6, 2.0, 12), (7, 1.3, 9), (9, 3, 27)])
def test_smfanet_of_its_authors_is_read_whatever_its_width(n_feats, expansion, wide):
    cfg = SMFANetConfig(scale=4, n_resblocks=2, n_feats=n_feats, expansion=expansion)
    ours = build(cfg)
    imported = import_weights(_theirs(ours.state_dict(), _SMFANET))
    assert imported.origin == "SMFANet of Zheng-MJ/SMFANet"
    assert len(imported.network.body[0].feed.widen.weight) == wide
    lr = torch.rand(1, 3, 17, 12)
    assert torch.equal(picture_of(imported.network, lr), picture_of(ours, lr))


def test_wrapped_and_prefixed_states_are_found_and_said(from_golden, tmp_path):
    state = torch.load(from_golden("jiahuiyu_wdsr_b_x2"), weights_only=True)
    wrapped = {"module." + name: value for name, value in state.items()}
    torch.save({"params": {}, "params_ema": wrapped, "iter": 3}, tmp_path / "run.pth")
    imported = import_file(tmp_path / "run.pth")
    assert names(imported.assumed[0], "params_ema", "params", "iter")
    lr = torch.rand(1, 3, 8, 8)
    plain = import_file(from_golden("jiahuiyu_wdsr_b_x2")).network
    assert torch.equal(picture_of(imported.network, lr), picture_of(plain, lr))


def test_the_factor_on_branches_is_the_authors_unless_given(from_golden):
    file = from_golden("edsr_pytorch_edsr_x2")
    assert import_file(file).network.cfg.res_scale == 1
    assert import_file(file, res_scale=0.1).network.cfg.res_scale == 0.1
    large = EDSR(EDSRConfig(scale=2, n_resblocks=1, n_feats=256)).state_dict()
    renamed = {
        "head": "conv_first",
        "body.0.body.0": "body.0.conv1",
        "body.0.body.2": "body.0.conv2",
    }
    renamed |= {"body.1": "conv_after_body", "tail.0": "upsample.0", "tail.2": "conv_last"}
    theirs = {}
    for name, value in large.items():
        stem, _, last = name.rpartition(".")
        theirs[f"{renamed[stem]}.{last}"] = value
    imported = import_weights(theirs)
    assert imported.network.cfg.res_scale == 0.1
    assert names(imported.assumed[-1], "branches", 0.1)
    with refused("usage", "ychfan/wdsr", "res_scale"):
        import_file(from_golden("ychfan_wdsr_x2"), res_scale=0.1)


# ---- refusals ------------------------------------------------------------------------------


class Evil:
    """Object whose pickle runs code when it is loaded as pickles are."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("writer", ["torch", "pickle"])
def test_nothing_in_a_file_is_run(tmp_path, writer):
    file, touched = tmp_path / "w.pth", tmp_path / "touched"
    if writer == "torch":
        torch.save({"state_dict": Evil(touched)}, file)
    else:
        file.write_bytes(pickle.dumps(Evil(touched)))
    with refused("checkpoint", file, "damaged", "torch.save"):
        import_file(file)
    assert not touched.exists()


def test_files_that_are_no_weights_are_refused(tmp_path, from_golden):
    (tmp_path / "text.pth").write_text("hello, this is no weights file")
    with refused("checkpoint", tmp_path / "text.pth", "safetensors", ".pth", ".h5"):
        import_file(tmp_path / "text.pth")
    with refused("checkpoint", tmp_path / "none.pth", os.strerror(errno.ENOENT)):
        import_file(tmp_path / "none.pth")
    cut = from_golden("jiahuiyu_wdsr_a_x2")
    cut.write_bytes(cut.read_bytes()[:5000])
    with refused("checkpoint", cut, "damaged", "torch.save"):
        import_file(cut)
    (tmp_path / "cut.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    with refused("checkpoint", tmp_path / "cut.h5", "damaged", "Keras"):
        import_file(tmp_path / "cut.h5")
    torch.save([1, 2, 3], tmp_path / "list.pth")
    with refused("checkpoint", tmp_path / "list.pth", "state_dict"):
        import_file(tmp_path / "list.pth")
    save_weights(
        tmp_path / "ours.safetensors", build(EDSRConfig(scale=2, n_resblocks=0, n_feats=2)), None
    )
    with refused("checkpoint", tmp_path / "ours.safetensors", "widesr"):
        import_file(tmp_path / "ours.safetensors")


def test_networks_that_cannot_be_placed_are_refused_in_one_line(tmp_path, golden):
    tensors = load_file(golden / "edsr_pytorch_edsr_x2.safetensors")
    state = {key: value for key, value in tensors.items() if not key.startswith("__")}
    for missing in ("body.0.body.2.bias", "tail.1.weight"):
        torch.save({k: v for k, v in state.items() if k != missing}, tmp_path / "w.pth")
        with refused("checkpoint", tmp_path / "w.pth"):
            import_file(tmp_path / "w.pth")
    torch.save({"layers.0.weight": torch.zeros(3), "norm": torch.tensor(0.0)}, tmp_path / "w.pth")
    with refused("checkpoint", tmp_path / "w.pth", "layers.0.weight"):
        import_file(tmp_path / "w.pth")


def of_jiahuiyu(**changed):
    """Tensors of a WDSR under JiahuiYu's names, some of them changed."""
    cfg = WDSRConfig(scale=2, block="a", n_resblocks=2, n_feats=4, expansion=3)
    return as_jiahuiyu_wdsr(build(cfg)) | changed


def of_krasserm(**changed):
    """Tensors of a WDSR as they are read from Keras, some of them changed."""
    return {
        **{f"keras.{i}.kernel": torch.ones(3, 3, 4, 4) for i in range(4)},
        "keras.4.kernel": torch.ones(5, 5, 3, 12),
        **{f"keras.{i}.bias": torch.ones(12) for i in range(5)},
        **changed,
    }


@pytest.mark.parametrize(
    "tensors",
    [
        of_jiahuiyu(**{"head.0.weight_v": torch.tensor(1.0)}),
        of_jiahuiyu(**{"head.0.weight_v": torch.zeros(0)}),
        of_jiahuiyu(**{"body.0.body.0.weight_v": torch.zeros(0, 4, 3, 3)}),
        of_jiahuiyu(**{"skip.0.weight": torch.zeros(0, 3, 3, 3)}),
        of_krasserm(**{"keras.2.kernel": torch.ones(3)}),
    ],
)
def test_tensors_of_odd_shapes_are_refused_in_one_line(tensors):
    with refused("checkpoint"):
        import_weights(tensors)


def test_the_number_of_blocks_is_not_taken_from_a_name():
    with refused("checkpoint", "n_resblocks=3"):
        import_weights(of_jiahuiyu(**{"body.99.body.0.bias": torch.zeros(12)}))


def test_safetensors_whose_first_byte_is_that_of_a_pickle_are_read(tmp_path):
    # The first eight bytes are the length of the header, which spaces may fill up.
    content, length = save(of_jiahuiyu()), 0x1080
    n = int.from_bytes(content[:8], "little")
    header = content[8 : 8 + n].ljust(length)
    assert len(header) == length
    path = tmp_path / "weights"
    path.write_bytes(length.to_bytes(8, "little") + header + content[8 + n :])
    assert import_file(path).origin == "WDSR of JiahuiYu/wdsr_ntire2018"


# ---- the command ---------------------------------------------------------------------------


def test_the_command_writes_weights_and_says_what_it_assumed(from_golden, tmp_path, capsys):
    file, out = from_golden("jiahuiyu_wdsr_b_x2"), tmp_path / "out.safetensors"
    assert run(["import", str(file), "-o", str(out)]) == 0
    printed = capsys.readouterr()
    assert "WDSR of JiahuiYu/wdsr_ntire2018  wdsr x2  " in printed.out
    assert len(printed.err.splitlines()) == 2
    network, provenance = load_weights(out)
    assert provenance is None
    lr = torch.rand(1, 3, 6, 6)
    expected = import_file(file).network
    assert torch.equal(picture_of(network, lr), picture_of(expected, lr))


def test_the_command_replaces_nothing_unasked_and_never_its_input(from_golden, capsys):
    file = from_golden("jiahuiyu_wdsr_b_x2", ".safetensors")
    before = file.read_bytes()
    assert run(["import", str(file), "--overwrite"]) == 1
    refusal(capsys.readouterr().err, "output-exists", file)
    out = file.with_name("out.safetensors")
    out.write_text("mine")
    assert run(["import", str(file), "-o", str(out)]) == 1
    refusal(capsys.readouterr().err, "output-exists", out, "--overwrite")
    assert (file.read_bytes(), out.read_text()) == (before, "mine")
    assert run(["import", str(file), "-o", str(out), "--overwrite"]) == 0
    capsys.readouterr()
    assert run(["import", str(file), "-o", str(out.with_suffix(".onnx"))]) == 2
    refusal(capsys.readouterr().err, "usage", ".safetensors")
