"""The arithmetic of sizes, by its properties; then pixels of exact sizes, on known networks."""

from dataclasses import replace
from fractions import Fraction
from math import prod
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image

import widesr
from facts import refused
from widesr.engine import Engine, EngineOptions, native_scales
from widesr.models.catalog import ALIASES, list_models
from widesr.pictures.picture import Picture
from widesr.pictures.reading import read_picture
from widesr.pixels.alpha import bleed
from widesr.pixels.metrics import PROTOCOLS, psnr
from widesr.pixels.resize import imresize
from widesr.upscaling.interpolation import Bicubic
from widesr.upscaling.resize_to import SizedUpscaler, load_upscaler
from widesr.upscaling.target import MAX_SCALE, Target, plan_scales
from widesr.upscaling.upscaler import Upscaler

TINY = str(Path(__file__).parents[1] / "assets" / "tiny-x2.onnx")
ONE_THREAD, ENSEMBLE = EngineOptions(threads=1), EngineOptions(self_ensemble=True)
SIDES = st.integers(1, 20_000)
NATIVE = (2, 3, 4)
HUNDREDTHS = st.integers(1, 100 * MAX_SCALE)
"""Scales as people type them, times 100."""


@st.composite
def cases(draw):
    """(height, width) of a picture, and any target within its reach."""
    height, width = draw(SIDES), draw(SIDES)

    def up_to(side):
        return draw(st.integers(1, MAX_SCALE * side))

    make = {
        "scale": lambda: draw(HUNDREDTHS) / 100,
        "width": lambda: up_to(width),
        "height": lambda: up_to(height),
        "longest": lambda: up_to(max(height, width)),
        "fit": lambda: draw(st.sampled_from([(up_to(width), 10**6), (10**6, up_to(height)),
                                             (up_to(width), up_to(height))])),
    }  # fmt: skip
    name = draw(st.sampled_from(list(make)))
    return height, width, Target(**{name: make[name]()})


def on_its_side(target: Target) -> Target:
    return replace(
        target,
        width=target.height,
        height=target.width,
        fit=target.fit and target.fit[::-1],
    )


# ---- sizes ---------------------------------------------------------------------------------


@given(SIDES, SIDES, st.integers(1, 40_000), st.integers(1, 40_000))
def test_a_side_that_was_asked_for_comes_out_exactly(height, width, n, m):
    assume(n <= MAX_SCALE * min(height, width))
    assert Target(width=n).size(height, width)[1] == n
    assert Target(height=n).size(height, width)[0] == n
    assert max(Target(longest=n).size(height, width)) == n
    fitted = Target(fit=(n, m)).size(height, width)
    assert fitted[1] == n or fitted[0] == m
    assert fitted[1] <= n
    assert fitted[0] <= m


@given(cases())
def test_no_side_is_ever_none_and_the_aspect_is_kept_to_half_a_pixel(case):
    height, width, target = case
    factor = target.factor(height, width)
    for before, after in zip((height, width), target.size(height, width), strict=True):
        assert after >= 1
        assert abs(after - before * factor) <= Fraction(1, 2) or after == 1


@given(cases())
def test_a_picture_on_its_side_comes_out_on_its_side(case):
    height, width, target = case
    assert on_its_side(target).size(width, height) == target.size(height, width)[::-1]


@given(SIDES, SIDES, HUNDREDTHS, HUNDREDTHS, st.integers(0, 300))
def test_more_asked_for_is_never_less_got(height, width, scale, other, more):
    small, large = sorted([scale / 100, other / 100])
    sizes = [Target(scale=s).size(height, width) for s in (small, large)]
    wider = Target(scale=small).size(height + more, width + more)
    assert sizes[0][0] <= sizes[1][0]
    assert sizes[0][1] <= sizes[1][1]
    assert sizes[0][0] <= wider[0]
    assert sizes[0][1] <= wider[1]
    low, high = sorted([scale, other])
    assume(high <= MAX_SCALE * min(height, width))
    for name in ("width", "height", "longest"):
        less, greater = (Target(**{name: n}).size(height, width) for n in (low, high))
        assert less[0] <= greater[0]
        assert less[1] <= greater[1]


@pytest.mark.parametrize(
    ("target", "size", "expected"),
    [
        # By hand: 1.1 x 45 is 49.5, in floats 49.50000000000001 or not; 1.1 x 10 is 11, not 12.
        (Target(scale=1.1), (45, 10), (50, 11)),
        (Target(scale=np.float64(1.1)), (45, 10), (50, 11)),
        (Target(scale=Fraction(1, 3)), (9, 10), (3, 3)),
        (Target(scale=0.1), (5, 4), (1, 1)),
        (Target(scale=2), (5, 4), (10, 8)),
        (Target(width=1920), (667, 1000), (1281, 1920)),  # 1280.64
        (Target(height=1080), (667, 1000), (1080, 1619)),  # 1619.19
        (Target(longest=2048), (1000, 667), (2048, 1366)),  # 1366.016
        (Target(fit=(1920, 1080)), (667, 1000), (1080, 1619)),
        (Target(fit=(1920, 1080)), (500, 1000), (960, 1920)),
        (Target(width=100), (3, 1000), (1, 100)),  # 0.3
    ],
)
def test_sizes_are_as_by_hand(target, size, expected):
    assert target.size(*size) == expected


@pytest.mark.parametrize("size", [(667, 1000), (1000, 667), (480, 640), (31, 17)])
def test_fit_is_the_size_that_pillow_gives(size):
    # Pillow's thumbnail only shrinks, and may round the free side to the better aspect: 1 pixel.
    image = Image.new("L", size[::-1])
    image.thumbnail((16, 16))
    height, width = Target(fit=(16, 16)).size(*size)
    assert max(abs(width - image.width), abs(height - image.height)) <= 1


@pytest.mark.parametrize(
    ("given", "facts"),
    [
        ({}, ["scale", "width", "height", "longest", "fit", "none"]),
        ({"scale": 2, "width": 5}, ["longest", "scale and", "and width"]),
        ({"width": 5, "height": 5, "fit": (2, 2)}, ["longest", "width and", "and fit"]),
        ({"scale": 0}, ["scale", "got 0", 8]),
        ({"scale": -1.5}, ["scale", -1.5]),
        ({"scale": 8.01}, ["scale", 8.01]),
        ({"scale": float("nan")}, ["scale", "nan"]),
        ({"scale": float("inf")}, ["scale", "inf"]),
        ({"width": 0}, ["width", "1 pixel", 0]),
        ({"longest": -3}, ["longest", "1 pixel", -3]),
        ({"fit": (0, 9)}, ["fit", "1 pixel", 0]),
    ],
)
def test_a_target_that_cannot_be_meant_is_refused(given, facts):
    with refused("usage", *facts):
        Target(**given)


def test_a_picture_too_small_for_its_size_is_refused_with_both():
    assert Target(width=80).size(10, 10) == (80, 80)
    with refused("usage", "8.1 times", "10x10", "8 times"):
        Target(width=81).size(10, 10)


@pytest.mark.parametrize(
    ("target", "name_end"),
    [
        (Target(scale=2), "_x2"),
        (Target(scale=2.0), "_x2"),
        (Target(scale=1.5), "_x1.5"),
        (Target(scale=1.3333333333), "_x1.3333333333"),
        (Target(width=1920), "_1920w"),
        (Target(height=1080), "_1080h"),
        (Target(longest=2048), "_2048px"),
        (Target(fit=(1920, 1080)), "_1920x1080"),
    ],
)
def test_names_end_in_what_was_asked_for(target, name_end):
    assert target.name_end == name_end


# ---- networks ------------------------------------------------------------------------------


@given(HUNDREDTHS)
def test_networks_reach_the_factor_and_no_nearer_one_does(hundredths):
    factor = Fraction(hundredths, 100)
    scales = plan_scales(factor, native=NATIVE)
    assert prod(scales) >= factor or (factor <= 1 and scales == ())
    if len(scales) == 1:
        assert all(scale < factor or scale >= scales[0] for scale in NATIVE)
    if len(scales) == 2:
        assert factor > max(NATIVE)


@pytest.mark.parametrize(
    ("factor", "native", "scales"),
    [
        (0.5, NATIVE, ()),
        (1, NATIVE, ()),
        (1.01, NATIVE, (2,)),
        (2, NATIVE, (2,)),
        (2.01, NATIVE, (3,)),
        (3, NATIVE, (3,)),
        (3.5, NATIVE, (4,)),
        (4, NATIVE, (4,)),
        (4.01, NATIVE, (4, 2)),
        (8, NATIVE, (4, 2)),
        (8, (2, 3, 4, 8), (8,)),  # a native network of its own goes first
        (1.5, (4,), (4,)),
        (8, (), ()),
    ],
)
def test_the_chain_is_as_written_in_the_documents(factor, native, scales):
    assert plan_scales(factor, native=native) == scales


@pytest.mark.parametrize(("factor", "native"), [(2.5, (2,)), (4.5, (4,)), (8, (3, 4))])
def test_a_factor_beyond_the_networks_is_refused(factor, native):
    with refused("usage", f"x{factor}", f"x{max(native)}"):
        plan_scales(factor, native=native)


# ---- pixels --------------------------------------------------------------------------------


class Nearest(Engine):
    """Repeats every pixel: what comes after it can be computed by hand."""

    name = "nearest"
    receptive_radius = 0
    smallest_tile = 1
    streams = 1
    bytes_per_pixel = 1536

    def __init__(self, scale):
        self.scale = scale

    def run(self, lr):
        return lr.repeat(self.scale, axis=2).repeat(self.scale, axis=3)


def repeated(pixels, scale):
    return pixels.repeat(scale, axis=0).repeat(scale, axis=1)


def noise(seed, shape, dtype=np.uint8):
    top = np.iinfo(dtype).max
    return np.random.default_rng(seed).integers(0, top, shape, dtype, endpoint=True)


def sized(native=NATIVE, tile="auto", **target):
    networks = {scale: Upscaler(Nearest(scale), tile=tile) for scale in native}
    return SizedUpscaler(Target(**target), networks=networks)


@settings(deadline=None, max_examples=60)
@given(
    st.integers(1, 40),
    st.integers(1, 40),
    st.sampled_from([(), (1,), (3,)]),
    st.sampled_from([np.uint8, np.uint16]),
    HUNDREDTHS,
    st.integers(0, 9),
)
def test_a_picture_goes_through_its_networks_and_is_then_shrunk_to_the_pixel(
    height, width, channels, dtype, hundredths, seed
):
    lr = noise(seed, (height, width, *channels), dtype)
    before, scale = lr.copy(), hundredths / 100
    sr = sized(scale=scale)(lr)
    reached = prod(plan_scales(scale, native=NATIVE))
    assert sr.dtype == dtype
    np.testing.assert_array_equal(
        sr, imresize(repeated(lr, reached), size=Target(scale=scale).size(height, width))
    )
    np.testing.assert_array_equal(lr, before)
    assert not np.shares_memory(sr, lr)


@pytest.mark.parametrize("scale", [1, 2, 3, 4, 8])
def test_where_the_networks_give_the_size_nothing_is_resized(scale):
    lr = noise(0, (9, 7, 3))
    np.testing.assert_array_equal(sized(scale=scale)(lr), repeated(lr, scale))


def test_each_picture_takes_the_networks_that_its_own_size_needs():
    upscaler = sized(width=60)
    assert upscaler.model == "nearest, nearest, nearest"
    for width, by in [
        (60, "bicubic"),
        (90, "bicubic"),
        (40, "nearest then bicubic"),
        (30, "nearest"),
        (20, "nearest"),
        (10, "nearest then nearest then bicubic"),
    ]:
        assert upscaler.made_by(12, width) == by
        assert upscaler(noise(0, (12, width))).shape == (12 * 60 // width, 60)


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_alpha_goes_to_the_last_size_at_once_and_hidden_colours_stay_out(depth):
    pixels, alpha = noise(1, (20, 30, 3), depth), noise(2, (20, 30), depth)
    alpha[5:15, 5:20] = 0
    picture = Picture(pixels=pixels, alpha=alpha, icc=b"profile", format="png")
    sr = sized(scale=5.5).upscale_picture(picture)
    np.testing.assert_array_equal(sr.alpha, imresize(alpha, size=(110, 165)))
    np.testing.assert_array_equal(sr.pixels, sized(scale=5.5)(bleed(pixels, alpha=alpha)))
    assert (sr.icc, sr.format, sr.pixels.dtype) == (b"profile", "png", depth)


@pytest.mark.parametrize("target", [{"scale": 0.7}, {"scale": 1.5}, {"width": 41}])
def test_an_alpha_that_is_the_same_everywhere_stays_so(target):
    picture = Picture(pixels=noise(1, (20, 30, 1)), alpha=np.full((20, 30), 9, np.uint8))
    sr = sized(**target).upscale_picture(picture)
    assert (sr.alpha == 9).all()
    assert sr.alpha.shape == sr.pixels.shape[:2] == Target(**target).size(20, 30)
    assert sized(**target).upscale_picture(replace(picture, alpha=None)).alpha is None


@pytest.mark.parametrize(
    ("target", "parts"), [({"scale": 1.5}, 6), ({"scale": 8}, 6 + 50), ({"scale": 0.5}, 1)]
)
def test_progress_grows_from_tile_to_tile_to_the_whole(target, parts):
    shares = []
    sized(tile=16, **target)(
        noise(0, (40, 20)), progress=lambda done, whole: shares.append(done / whole)
    )
    assert len(shares) == parts
    assert shares == sorted(set(shares))
    assert shares[-1] == 1
    if target["scale"] == 8:  # the second network has 16 times the pixels of the first
        assert shares[0] == pytest.approx(1 / 17 / 6)


def test_arrays_that_are_no_picture_are_refused():
    with refused("shape", "uint8", "uint16", "float32"):
        sized(width=5)(np.zeros((4, 4, 3), np.float32))


def test_between_two_scales_it_is_the_real_network_shrunk():
    lr = noise(3, (24, 32, 3))
    sr = load_upscaler(TINY, target=Target(scale=1.5))(lr)
    twice = Upscaler.load(TINY, scale=2)(lr)
    np.testing.assert_array_equal(sr, imresize(twice, size=(36, 48)))


# ---- loading -------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_native_scales_are_one_network_and_nothing_else(scale):
    upscaler = load_upscaler("bicubic", target=Target(scale=float(scale)))
    assert isinstance(upscaler, Bicubic)
    assert upscaler.scale == scale
    lr = noise(4, (5, 7, 3))
    np.testing.assert_array_equal(upscaler(lr), imresize(lr, scale=scale))


@pytest.mark.parametrize("target", [{"scale": 1.5}, {"scale": 8}, {"scale": 0.5}, {"width": 33}])
def test_bicubic_goes_straight_to_the_size(target):
    upscaler = load_upscaler("bicubic", target=Target(**target))
    lr = noise(5, (11, 13, 3), np.uint16)
    np.testing.assert_array_equal(upscaler(lr), imresize(lr, size=Target(**target).size(11, 13)))
    assert upscaler.model == upscaler.made_by(11, 13) == "bicubic"


def test_a_model_file_serves_up_to_its_own_scale():
    assert native_scales(TINY) == (2,)
    assert load_upscaler(TINY, target=Target(width=9), options=ENSEMBLE).model == "tiny-x2+"
    upscaler = load_upscaler(TINY, target=Target(width=30))
    assert upscaler.made_by(20, 20) == "tiny-x2 then bicubic"
    with refused("usage", "x3", "x2"):
        upscaler(noise(0, (10, 10)))
    with refused("usage", "x2.5", "x2"):
        load_upscaler(TINY, target=Target(scale=2.5))
    with refused("model-not-found", TINY, "x2", "x4"):
        load_upscaler(TINY, target=Target(scale=4))


def test_a_model_that_is_not_there_is_refused_whatever_the_size():
    for target in [{"scale": 1.5}, {"width": 9}, {"scale": 0.5}]:
        with refused("model-not-found", "'bicubik'", "'bicubic'"):
            load_upscaler("bicubik", target=Target(**target))


@pytest.mark.skipif(
    "wdsr-a16-crisp-x4" not in [model.card.name for model in list_models()],
    reason="needs the models of the package",
)
def test_a_scale_that_a_rung_of_the_ladder_lacks_goes_by_its_next_and_bicubic():
    lr = noise(9, (20, 24, 3))
    upscaler = load_upscaler("crisp", target=Target(scale=3), options=ONE_THREAD)
    assert upscaler.made_by(20, 24) == "wdsr-a16-crisp-x4 then bicubic"
    times_4 = Upscaler.load("crisp", scale=4, threads=1)(lr)
    np.testing.assert_array_equal(upscaler(lr), imresize(times_4, size=(60, 72)))


def test_the_default_stands_for_a_network_at_each_scale_and_bicubic_for_none():
    assert native_scales("default") == tuple(ALIASES["default"]) == NATIVE
    assert native_scales("bicubic") == ()
    assert load_upscaler(target=Target(scale=0.5)).model == "bicubic"


@pytest.mark.skipif(
    {model.card.scale for model in list_models()} < set(NATIVE),
    reason="needs the models of the package",
)
def test_the_default_models_give_any_size():
    lr = noise(6, (12, 16, 3))
    names = {scale: f"wdsr-a8-x{scale}" for scale in NATIVE}
    for target, by in [
        ({"scale": 1.5}, f"{names[2]} then bicubic"),
        ({"scale": 8}, f"{names[4]} then {names[2]}"),
        ({"longest": 50}, f"{names[4]} then bicubic"),
    ]:
        upscaler = load_upscaler(target=Target(**target), options=ONE_THREAD)
        assert upscaler.made_by(12, 16) == by
        assert upscaler(lr).shape[:2] == Target(**target).size(12, 16)


@pytest.mark.skipif(
    ALIASES["default"][2] not in [model.card.name for model in list_models()],
    reason="needs the x2 model",
)
@pytest.mark.parametrize("scale", [Fraction(5, 4), Fraction(7, 4)])
def test_between_two_scales_the_network_is_far_above_bicubic(bench, scale):
    network, bicubic = (
        load_upscaler(name, target=Target(scale=scale), options=ONE_THREAD)
        for name in (ALIASES["default"][2], "bicubic")
    )
    gains = []
    for path in (bench / "Set5/HR").glob("*.png"):
        hr = read_picture(path).pixels[:210, :210]  # a multiple of both scales
        lr = imresize(hr, size=(int(210 / scale), int(210 / scale)))
        better, plain = (
            psnr(upscaler(lr), hr, protocol=PROTOCOLS["benchmark-y"], scale=2)
            for upscaler in (network, bicubic)
        )
        gains.append(better - plain)
    assert len(gains) == 5
    assert np.mean(gains) > 2  # dB


# ---- one call ------------------------------------------------------------------------------


def test_one_call_takes_any_scale_or_size(tmp_path):
    pixels = noise(7, (10, 20, 3))
    Image.fromarray(pixels).save(tmp_path / "a.png")
    for target, size in [
        ({}, (20, 40)),
        ({"scale": 1.5}, (15, 30)),
        ({"width": 50}, (25, 50)),
        ({"height": 12}, (12, 24)),
        ({"longest": 40}, (20, 40)),
        ({"fit": (50, 30)}, (25, 50)),
    ]:
        made = widesr.upscale(pixels, model="bicubic", **target)
        np.testing.assert_array_equal(made, imresize(pixels, size=size))
        picture = widesr.upscale(tmp_path / "a.png", model="bicubic", **target)
        np.testing.assert_array_equal(picture.pixels, made)
    with refused("usage", "scale and", "and width"):
        widesr.upscale(pixels, scale=2, width=5)
