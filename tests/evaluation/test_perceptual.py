"""LPIPS and NIQE against their authors' values, and their networks against torch."""

import json
import struct
from importlib.util import find_spec

import numpy as np
import pytest
from PIL import Image

from facts import refused
from widesr.evaluation.measures import METRICS, Judge, Triple
from widesr.evaluation.perceptual import features
from widesr.evaluation.perceptual.lpips import Lpips
from widesr.evaluation.perceptual.niqe import niqe


def picture(path):
    return np.asarray(Image.open(path).convert("RGB"))


def write_tensors(path, tensors):
    header, start, values = {}, 0, b""
    for key, tensor in tensors.items():
        data = tensor.astype("<f4").tobytes()
        header[key] = {
            "dtype": "F32",
            "shape": tensor.shape,
            "data_offsets": [start, start + len(data)],
        }
        values, start = values + data, start + len(data)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + values)
    return path


ALEX = {"0": (64, 3, 11), "3": (192, 64, 5), "6": (384, 192, 3), "8": (256, 384, 3)}
ALEX["10"] = (256, 256, 3)


def alex(path, *, without=None, **instead):
    rng = np.random.default_rng(0)
    tensors = {}
    for key, (n, channels, side) in ALEX.items():
        shape = (n, channels, side, side)
        tensors[f"features.{key}.weight"] = rng.normal(0, 0.05, shape)
        tensors[f"features.{key}.bias"] = rng.normal(0, 0.05, n)
    tensors.pop(without, None)
    tensors |= {f"features.{key.replace('_', '.')}": each for key, each in instead.items()}
    return write_tensors(path, tensors)


def test_lpips_is_its_authors(perceptual):
    # Golden: example.sh of richzhang/PerceptualSimilarity with net="squeeze", version 0.1.
    lpips = Lpips(perceptual / "squeezenet1_1_features.safetensors")
    assert lpips.name == "lpips-squeeze"
    reference = picture(perceptual / "ex_ref.png")
    assert lpips(reference, picture(perceptual / "ex_p0.png")) == pytest.approx(0.711048, abs=1e-5)
    other = picture(perceptual / "ex_p1.png")
    assert lpips(reference, other) == pytest.approx(0.147902, abs=1e-5)
    assert lpips(reference, reference) == 0
    deep = lpips(reference.astype(np.uint16) * 257, other.astype(np.uint16) * 257)
    assert deep == pytest.approx(0.147902, abs=1e-5)
    by_pixel = lpips.distance_map(lpips.features(reference), lpips.features(other), size=(64, 64))
    assert by_pixel.shape == (64, 64)
    assert by_pixel.mean() == pytest.approx(0.147902, rel=0.02)


def test_niqe_is_matlabs(perceptual):
    # Golden: MATLAB R2021a by the note in BasicSR's tests.
    assert niqe(picture(perceptual / "baboon.png")) == pytest.approx(5.72957338, rel=1e-3)


@pytest.mark.parametrize("size", [(192, 192), (96, 191)])
def test_niqe_refuses_flat_pictures_and_small_ones(size):
    with refused("shape"):
        niqe(np.full((*size, 3), 128, np.uint8))


@pytest.mark.skipif(not find_spec("torch"), reason="torch is the oracle")
@pytest.mark.parametrize(
    ("size", "kernel", "stride", "pad"),
    [((17, 23), 3, 1, 1), ((33, 24), 11, 4, 2), ((9, 9), 1, 1, 0), ((20, 31), 3, 2, 0)],
)
def test_convolutions_are_torchs(size, kernel, stride, pad, monkeypatch):
    import torch

    rng = np.random.default_rng(0)
    maps = rng.normal(size=(5, *size)).astype(np.float32)
    weight = rng.normal(size=(7, 5, kernel, kernel)).astype(np.float32)
    bias = rng.normal(size=7).astype(np.float32)
    wanted = torch.nn.functional.conv2d(
        *map(torch.from_numpy, (maps[None], weight, bias)), stride=stride, padding=pad
    )[0].numpy()
    monkeypatch.setattr(features, "_MOST_VALUES", 9000)  # several bands
    made = features.convolved(maps, weight, bias, stride=stride, pad=pad)
    np.testing.assert_allclose(made, wanted, atol=1e-4)


@pytest.mark.skipif(not find_spec("torch"), reason="torch is the oracle")
@pytest.mark.parametrize("size", [(7, 8), (8, 9), (9, 10), (10, 7)])
@pytest.mark.parametrize("ceil", [False, True])
@pytest.mark.parametrize("side", [2, 3])
def test_pools_are_torchs(size, ceil, side):
    import torch

    maps = np.random.default_rng(0).normal(size=(2, *size)).astype(np.float32)
    wanted = torch.nn.functional.max_pool2d(
        torch.from_numpy(maps[None]), side, stride=2, ceil_mode=ceil
    )[0].numpy()
    np.testing.assert_array_equal(features.pooled(maps, size=side, stride=2, ceil=ceil), wanted)


def test_other_networks_are_known_by_their_weights(tmp_path):
    lpips = Lpips(alex(tmp_path / "alex.safetensors"))
    assert lpips.name == "lpips-alex"
    rng = np.random.default_rng(0)
    one, other = rng.integers(0, 256, (2, 64, 64, 3)).astype(np.uint8)
    assert lpips(one, one) == 0 < lpips(one, other)
    vgg = features.NETWORKS["vgg"]
    # torchvision's VGG16: convolutions at these places of `features`.
    keys = [layer.key for layer in vgg if isinstance(layer, features.Convolution)]
    assert keys == ["0", "2", "5", "7", "10", "12", "14", "17", "19", "21", "24", "26", "28"]


@pytest.mark.parametrize(
    "instead",
    [
        {"3_bias": np.zeros(())},
        {"3_weight": np.zeros((192, 0, 5, 5))},
        {"10_weight": np.zeros((100, 256, 3, 3)), "10_bias": np.zeros(100)},
    ],
)
def test_weights_whose_tensors_do_not_fit_are_refused(tmp_path, instead):
    with refused("model-file", "alex"):
        Lpips(alex(tmp_path / "weights.safetensors", **instead))


HALVES = b'{"0.weight": {"dtype": "F16", "shape": [64, 3, 3, 3], "data_offsets": [0, 3456]}}'


@pytest.mark.parametrize(
    ("header", "facts"),
    [(b"[" * 100_000, ["safetensors"]), (HALVES, ["0.weight", "F16", "F32"])],
)
def test_headers_that_cannot_be_used_are_refused(tmp_path, header, facts):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(3456))
    with refused("model-file", *facts):
        Lpips(path)


@pytest.mark.parametrize("damage", ["missing", "short", "text", "another kind", "a folder"])
def test_weights_that_cannot_be_used_are_refused(tmp_path, damage):
    path = tmp_path / "weights.safetensors"
    match damage:
        case "missing":
            alex(path, without="features.8.bias")
        case "short":
            path.write_bytes(alex(path).read_bytes()[:-100])
        case "text":
            path.write_text("no tensors at all")
        case "another kind":
            write_tensors(path, {"0.weight": np.zeros((8, 3, 3, 3))})
        case "a folder":
            path.mkdir()
    with refused("model-file"):
        Lpips(path)


def test_metrics_are_asked_for_by_name(perceptual):
    with refused("usage"):
        Judge(["psnr", "beauty"])
    with refused("usage") as told:
        Judge(["lpips"])
    assert told.value.options == ("lpips_weights",)
    weights = perceptual / "squeezenet1_1_features.safetensors"
    with refused("usage", "psnr"):  # weights that nothing would look with
        Judge(["psnr"], lpips_weights=weights)
    judge = Judge(METRICS, lpips_weights=weights)
    hr = picture(perceptual / "baboon.png")[:192, :192]
    measures = judge.measure(Triple(sr=hr, hr=hr, lr=hr[::2, ::2], scale=2), name="baboon")
    assert set(measures) == set(METRICS) - {"psnr", "ssim"}
    assert measures["lpips"] == measures["spectrum"] == 0
    (report,) = [each for each in judge.reports if each.name == "lpips"]
    assert report.network == "lpips-squeeze"
    # Oracle: sha256sum of the file.
    assert report.weights_sha256 is not None
    assert report.weights_sha256.startswith("34a832b8d266")
    with refused("data", "tiny"):
        judge.measure(Triple(sr=hr[:20], hr=hr[:20], lr=hr[:10], scale=2), name="tiny")
