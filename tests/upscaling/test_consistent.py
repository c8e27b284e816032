"""The promise of `consistent`, by every way to ask for it."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import widesr
from facts import refused
from widesr.pictures.picture import Picture
from widesr.pixels.consistency import lr_psnr
from widesr.pixels.metrics import PROTOCOLS, psnr
from widesr.pixels.resize import imresize
from widesr.pixels.rows import Rows
from widesr.upscaling.resize_to import load_upscaler
from widesr.upscaling.target import Target
from widesr.upscaling.upscaler import Upscaler


@pytest.fixture
def lr(bench):
    return np.asarray(Image.open(bench / "Set5/LR_bicubic/X4/butterflyx4.png"))


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_set5_shrinks_back_to_its_input_and_comes_nearer_to_the_truth(bench, scale):
    lr = np.asarray(Image.open(bench / f"Set5/LR_bicubic/X{scale}/womanx{scale}.png"))
    hr = np.asarray(Image.open(bench / "Set5/HR/woman.png"))
    hr = hr[: lr.shape[0] * scale, : lr.shape[1] * scale]
    plain, consistent = (
        Upscaler.load("fast", scale=scale, precision="fp32", consistent=each)(lr)
        for each in (False, True)
    )
    assert lr_psnr(consistent, lr) > 60 > lr_psnr(plain, lr)
    judge = {"protocol": PROTOCOLS["benchmark-y"], "scale": scale}
    assert psnr(consistent, hr, **judge) > psnr(plain, hr, **judge)


def test_tiles_and_bands_give_the_whole_picture(lr):
    whole = Upscaler.load("fast", scale=4, precision="fp32", tile=None, consistent=True)
    tiled = Upscaler.load("fast", scale=4, precision="fp32", tile=16, consistent=True)
    wanted = whole(lr)
    assert np.array_equal(tiled(lr), wanted)
    bands = (lr[top : top + 5] for top in range(0, len(lr), 5))
    passed = tiled.rows(Rows(bands, shape=lr.shape, dtype=lr.dtype)).whole()
    assert np.array_equal(passed, wanted)


@pytest.mark.parametrize("kind", ["grey", "16 bits", "alpha"])
def test_other_kinds_of_pictures_are_consistent_too(lr, kind):
    pixels, alpha = lr, None
    match kind:
        case "grey":
            pixels = lr[..., 1]
        case "16 bits":
            pixels = lr.astype(np.uint16) * 257
        case "alpha":
            alpha = np.full(lr.shape[:2], 255, np.uint8)
            alpha[:20] = 100
    upscaler = Upscaler.load("fast", scale=4, consistent=True)
    if alpha is None:
        assert lr_psnr(upscaler(pixels), pixels) > 60
        return
    made = upscaler.upscale_picture(Picture(pixels=pixels, alpha=alpha))
    # Nearly clear pixels take the colour of those beside them before they are upscaled.
    opaque = slice(32, None)
    shrunk = imresize(made.pixels, scale=1 / 4).astype(float)[opaque]
    assert np.mean((shrunk - pixels[opaque]) ** 2) < 255**2 / 1e6
    plain = Upscaler.load("fast", scale=4).upscale_picture(Picture(pixels=pixels, alpha=alpha))
    assert np.array_equal(made.alpha, plain.alpha)


@pytest.mark.parametrize("model", ["fast", "bicubic"])
@pytest.mark.parametrize("scale", [5, 8])
def test_networks_in_turn_and_a_resize_are_consistent_with_the_first_input(lr, model, scale):
    sr = widesr.upscale(lr[:40, :40], scale=scale, model=model, consistent=True)
    assert lr_psnr(sr, lr[:40, :40]) > 55
    with_names = load_upscaler(
        model, target=Target(scale=scale), options=widesr.EngineOptions(consistent=True)
    )
    assert with_names.made_by(40, 40).endswith("(consistent)")
    assert with_names.model.endswith("(consistent)")


def test_a_foreign_network_is_consistent(lr):
    path = str(Path(__file__).parents[1] / "assets" / "tiny-x2.onnx")  # its weights are random
    plain, consistent = (
        Upscaler.load(path, scale=2, consistent=each)(lr) for each in (False, True)
    )
    assert lr_psnr(consistent, lr) > 40 > 20 > lr_psnr(plain, lr)


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("model", ["fast", "default", "best"])
def test_flat_colours_come_out_as_they_went_in(model, scale):
    upscaler = Upscaler.load(model, scale=scale, consistent=True)
    for colour in ([0] * 3, [77] * 3, [254] * 3, [255] * 3, [250, 20, 60]):
        for dtype, factor in ((np.uint8, 1), (np.uint16, 257)):
            flat = np.broadcast_to(np.array(colour, dtype) * dtype(factor), (24, 30, 3))
            sr = upscaler(flat)
            assert np.array_equal(sr, np.broadcast_to(flat[0, 0], sr.shape)), (colour, dtype)


@pytest.mark.parametrize("tile", [None, 16])
def test_paper_beside_print_is_flat(lr, tile):
    page = np.full((60, 64, 3), 254, np.uint8)
    page[:, 40:] = lr[:60, :24]
    sr = Upscaler.load("default", scale=2, consistent=True, tile=tile)(page)
    assert (sr[:, : 2 * 36] == 254).all()


@pytest.mark.parametrize(
    "asked", [{"scale": 1.5}, {"scale": 0.5}, {"width": 61}, {"scale": 2, "model": "nearest"}]
)
def test_where_it_means_nothing_it_is_refused(lr, asked):
    with refused("usage"):
        widesr.upscale(lr[:40, :40], **{"model": "bicubic", **asked}, consistent=True)


def test_a_width_that_is_a_whole_multiple_is_not_refused(lr):
    sr = widesr.upscale(lr[:40, :40], width=120, model="bicubic", consistent=True)
    assert sr.shape == (120, 120, 3)
    assert lr_psnr(sr, lr[:40, :40]) > 55
