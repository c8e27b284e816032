"""The upscaler, on networks with a known right answer and on a small real one."""

import itertools
import threading
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from facts import refused
from widesr.engine import Engine
from widesr.errors import UsageError
from widesr.models.catalog import read_card
from widesr.pictures.picture import Picture
from widesr.pixels.alpha import REACH, bled, bleed
from widesr.pixels.resize import imresize
from widesr.pixels.rows import Rows
from widesr.upscaling.tile_policy import MARGIN
from widesr.upscaling.upscaler import Upscaler

TINY = str(Path(__file__).parents[1] / "assets" / "tiny-x2.onnx")

DTYPES = st.sampled_from([np.uint8, np.uint16])
SIDES = st.integers(1, 70)
TILES = st.integers(16, 80)
SEEDS = st.integers(0, 2**32 - 1)


class Nearest(Engine):
    """Repeats every pixel; notes the sizes that it was given."""

    name = "nearest"
    receptive_radius = 0
    smallest_tile = 1
    streams = 1
    bytes_per_pixel = 1536

    def __init__(self, scale: int = 2) -> None:
        self.scale = scale
        self.shapes = []

    def run(self, lr):
        assert lr.dtype == np.float32
        assert lr.shape[:2] == (1, 3)
        self.shapes.append(lr.shape[2:])
        return lr.repeat(self.scale, axis=2).repeat(self.scale, axis=3)


class Checksum(Engine):
    """The sum over the window of its radius, zeros beyond the border, modulo 256: one pixel of the
    window missing, or one too many, and the answer is another. In whole numbers, so exact."""

    name = "checksum"
    scale = 1
    receptive_radius = 3
    smallest_tile = 1
    streams = 1
    bytes_per_pixel = 1536

    def run(self, lr):
        levels = np.pad(np.rint(lr * 255), ((0, 0), (0, 0), (3, 3), (3, 3)))
        windows = np.lib.stride_tricks.sliding_window_view(levels, (7, 7), axis=(2, 3))
        return (windows.sum(axis=(4, 5)) % 256 / 255).astype(np.float32)


class Constant(Engine):
    """Gives the same three values everywhere."""

    name = "constant"
    scale = 2
    receptive_radius = 0
    smallest_tile = 1
    streams = 1
    bytes_per_pixel = 1536

    def __init__(self, *rgb: float) -> None:
        self.rgb = np.array(rgb, np.float32).reshape(1, 3, 1, 1)

    def run(self, lr):
        return np.broadcast_to(self.rgb, (1, 3, 2 * lr.shape[2], 2 * lr.shape[3]))


def _pixels(seed, shape, dtype=np.uint8):
    top = np.iinfo(dtype).max
    return np.random.default_rng(seed).integers(0, top, shape, dtype, endpoint=True)


@pytest.fixture(scope="module")
def tiny():
    """The tiny model by its tile; each is loaded once."""
    loaded = {}

    def load(tile):
        if tile not in loaded:
            loaded[tile] = Upscaler.load(TINY, scale=2, tile=tile, threads=1)
        return loaded[tile]

    return load


@settings(deadline=None)
@given(SIDES, SIDES, st.sampled_from([(), (1,), (3,)]), TILES, st.integers(1, 4), DTYPES, SEEDS)
def test_pixels_go_through_the_network_and_back_at_their_place_unharmed(
    height, width, channels, tile, scale, dtype, seed
):
    lr = _pixels(seed, (height, width, *channels), dtype)
    before = lr.copy()
    sr = Upscaler(Nearest(scale), tile=tile)(lr)
    assert sr.dtype == dtype
    np.testing.assert_array_equal(sr, lr.repeat(scale, axis=0).repeat(scale, axis=1))
    np.testing.assert_array_equal(lr, before)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_every_level_of_the_type_comes_back_as_itself(dtype):
    levels = np.arange(np.iinfo(dtype).max + 1, dtype=dtype).reshape(-1, 256)
    np.testing.assert_array_equal(Upscaler(Nearest(1))(levels), levels)


@pytest.mark.parametrize(
    ("value", "level"),
    [(-0.2, 0), (0.0, 0), (0.3, 77), (0.5, 128), (254.4 / 255, 254), (1.0, 255), (1.7, 255)],
)
def test_values_are_clipped_and_rounded_half_up(value, level):
    # 0.3 is level 76.5: half to even would give 76.
    sr = Upscaler(Constant(value, value, value))(np.zeros((2, 3, 3), np.uint8))
    assert (sr == level).all()


@settings(deadline=None)
@given(SIDES, SIDES, TILES, SEEDS)
def test_each_tile_sees_all_that_the_network_looks_at_and_the_border_where_it_is(
    height, width, tile, seed
):
    lr = _pixels(seed, (height, width, 3))
    whole = Upscaler(Checksum(), tile=None)(lr)
    np.testing.assert_array_equal(Upscaler(Checksum(), tile=tile)(lr), whole)


@settings(deadline=None, max_examples=60)
@given(SIDES, SIDES, st.sampled_from([1, 3]), TILES, DTYPES, SEEDS)
def test_a_real_network_gives_the_same_picture_tiled_and_whole(
    tiny, height, width, channels, tile, dtype, seed
):
    lr = _pixels(seed, (height, width, channels), dtype)
    sr = tiny(tile)(lr)
    assert sr.shape == (2 * height, 2 * width, channels)
    np.testing.assert_array_equal(sr, tiny(None)(lr))
    np.testing.assert_array_equal(sr, tiny("auto")(lr))


@settings(deadline=None, max_examples=15)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(16, 40), SEEDS)
def test_self_ensemble_is_the_mean_of_the_eight_turns_tiled_or_whole(height, width, tile, seed):
    lr = _pixels(seed, (height, width, 3))
    from widesr.engine import find_model, load_engine

    engine = load_engine(find_model(TINY, scale=2), threads=1)
    around = ((MARGIN, MARGIN), (MARGIN, MARGIN), (0, 0))
    x = np.pad(lr / 255, around, mode="symmetric").astype(np.float32).transpose(2, 0, 1)[None]
    there = [lambda a: a, lambda a: a[..., ::-1], lambda a: a[..., ::-1, :]]
    there.append(lambda a: a[..., ::-1, ::-1])
    turns = [engine.run(f(x)) for f in there]
    turned = [engine.run(f(x).swapaxes(2, 3)).swapaxes(2, 3) for f in there]
    mean = np.mean(
        [f(sr.astype(np.float64)) for f, sr in zip(there * 2, turns + turned, strict=True)], axis=0
    )
    inside = slice(2 * MARGIN, -2 * MARGIN)
    expected = np.clip(mean[0], 0, 1).transpose(1, 2, 0)[inside, inside] * 255
    sr = Upscaler(engine, tile=tile, self_ensemble=True)(lr)
    assert np.abs(sr - expected).max() < 0.5 + 1e-3
    np.testing.assert_array_equal(sr, Upscaler(engine, tile=None, self_ensemble=True)(lr))


def test_grey_goes_in_as_rgb_and_comes_out_as_the_mean_of_its_channels():
    lr = np.zeros((4, 5), np.uint8)
    sr = Upscaler(Constant(0.1, 0.2, 0.6))(lr)
    assert sr.shape == (8, 10)
    assert (sr == round(0.3 * 255 + 0.1)).all()
    rgb = Upscaler.load(TINY, scale=2)(np.full((9, 9, 3), 77, np.uint8)).astype(float).mean(axis=2)
    grey = Upscaler.load(TINY, scale=2)(np.full((9, 9, 1), 77, np.uint8))[..., 0]
    assert np.abs(rgb - grey).max() <= 1


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("size", [(40, 30), (3, 50), (1, 1)])
def test_bright_flat_pictures_stay_so_up_to_their_corners(scale, size):
    upscaler = Upscaler.load(scale=scale, threads=1)
    for colour in itertools.product((0, 128, 255), repeat=3):
        sr = upscaler(np.full((*size, 3), colour, np.uint8))
        assert np.abs(sr.astype(int) - colour).max() <= 4


def test_beside_the_result_only_two_rows_of_tiles_are_held():
    lr = _pixels(0, (600, 600, 3))
    upscaler = Upscaler(Nearest(2), tile=32)
    tracemalloc.start()
    try:
        sr = upscaler(lr)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < sr.nbytes + 6 * 2**18


def test_tile_auto_cuts_a_large_picture_into_large_tiles_and_leaves_a_small_one_whole():
    engine = Nearest()
    Upscaler(engine)(np.zeros((1400, 900, 1), np.uint8))
    assert len(engine.shapes) > 1
    assert all(min(shape) >= 250 and max(shape) <= 600 for shape in engine.shapes)
    engine.shapes.clear()
    Upscaler(engine)(np.zeros((300, 400, 1), np.uint8))
    assert engine.shapes == [(300, 400)]


def test_no_tile_means_the_whole_picture_at_once():
    engine = Nearest()
    Upscaler(engine, tile=None)(np.zeros((1400, 900, 1), np.uint8))
    assert engine.shapes == [(1400, 900)]


class AtOnce(Checksum):
    """Answers only when as many tiles are under way as it has streams."""

    def __init__(self, streams):
        self.streams, self.sizes = streams, set()
        self._all_here = threading.Barrier(streams, timeout=250)

    def run(self, lr):
        self.sizes.add(lr.shape)
        self._all_here.wait()
        return super().run(lr)


@pytest.mark.parametrize("streams", [2, 3])
@pytest.mark.parametrize("size", [(150, 150), (40, 350), (350, 40), (100, 300)])
def test_every_stream_has_a_tile_to_the_end_and_all_are_of_one_size(size, streams):
    lr = _pixels(3, (*size, 3))
    engine = AtOnce(streams)
    sr = Upscaler(engine, tile=64)(lr)
    np.testing.assert_array_equal(sr, Upscaler(Checksum(), tile=None)(lr))
    assert len(engine.sizes) == 1


def test_what_goes_wrong_in_one_stream_comes_out_and_nothing_stays_behind(new_threads):
    class Bad(Nearest):
        streams = 2

        def run(self, lr):
            if len(self.shapes) >= 3:  # both streams may have counted before either went on
                raise UsageError("fourth")
            return super().run(lr)

    with refused("usage", "fourth"):
        Upscaler(Bad(), tile=16)(_pixels(0, (200, 90, 3)))
    assert not new_threads()


@pytest.mark.parametrize("channels", [1, 3])
def test_the_networks_own_rows_are_those_that_are_rounded(channels):
    lr = _pixels(5, (50, 61, channels))
    upscaler = Upscaler.load(TINY, scale=2, tile=20, threads=1)
    rows = upscaler.network_rows(Rows.of(lr), dtype=np.dtype(np.float32)).whole()
    levels = np.floor(np.clip(rows + np.float32(0.5), 0, 255))
    np.testing.assert_array_equal(levels, upscaler(lr))


def test_progress_counts_the_tiles():
    calls = []
    upscaler = Upscaler(Nearest(), tile=16)
    upscaler(np.zeros((40, 20), np.uint8), progress=lambda done, total: calls.append((done, total)))
    assert calls == [(i, 6) for i in range(1, 7)]


def test_an_upscaler_says_what_it_is():
    upscaler = Upscaler.load(TINY, scale=2)
    assert (upscaler.model, upscaler.scale) == ("tiny-x2", 2)
    assert upscaler.card == read_card(Path(TINY))
    assert Upscaler.load(TINY, scale=2, self_ensemble=True).model == "tiny-x2+"
    assert (Upscaler(Nearest()).model, Upscaler(Nearest()).card) == ("nearest", None)
    bicubic = Upscaler.load("bicubic", scale=3)
    assert (bicubic.model, bicubic.scale, bicubic.card) == ("bicubic", 3, None)


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_bicubic_is_imresize_on_the_integers(scale, dtype):
    calls = []
    for shape in [(5, 7, 3), (5, 7, 1), (5, 7)]:
        lr = _pixels(1, shape, dtype)
        sr = Upscaler.load("bicubic", scale=scale)(lr, progress=lambda *c: calls.append(c))
        np.testing.assert_array_equal(sr, imresize(lr, scale=scale))
    assert [done / whole for done, whole in calls] == [1, 1, 1]


@pytest.mark.parametrize("upscaler", [Upscaler(Nearest()), Upscaler.load("bicubic", scale=2)])
def test_arrays_that_are_no_picture_are_refused(upscaler):
    for wrong in [
        np.zeros((4, 4, 3), np.float32),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros((1, 4, 4, 3), np.uint8),
    ]:
        with refused("shape", "uint8", "uint16", wrong.dtype, wrong.shape):
            upscaler(wrong)
    with refused("usage", "ndarray", "Picture"):
        upscaler.upscale_picture(np.zeros((4, 4, 3), np.uint8))


def test_a_tile_below_16_and_a_scale_below_1_are_refused():
    Upscaler(Nearest(), tile=16)
    with refused("usage", "tile", 16, 15):
        Upscaler(Nearest(), tile=15)
    with refused("usage", "scale", 1, 0):
        Upscaler.load("bicubic", scale=0)
    with refused("model-not-found", "default", "x7"):
        Upscaler.load(scale=7)


@pytest.mark.parametrize("wrong", ["1G", 0, -1, 2.5, True, None])
def test_memory_is_a_number_of_bytes(wrong):
    with refused("usage", "max_memory"):
        Upscaler.load("bicubic", scale=2, max_memory=wrong)


# Pictures with alpha.


def _cut_out(seed: int) -> Picture:
    """Random pixels, alpha a soft disc: opaque, half and hidden pixels."""
    ys, xs = np.mgrid[:30, :40]
    alpha = np.clip(600 - 2 * ((ys - 15) ** 2 + (xs - 20) ** 2), 0, 255).astype(np.uint8)
    return Picture(pixels=_pixels(seed, (30, 40, 3)), alpha=alpha, icc=b"profile", format="png")


def test_alpha_goes_by_imresize_and_the_rest_of_the_picture_goes_along():
    picture = _cut_out(0)
    sr = Upscaler(Nearest()).upscale_picture(picture)
    np.testing.assert_array_equal(sr.alpha, imresize(picture.alpha, scale=2))
    seen = picture.alpha.repeat(2, axis=0).repeat(2, axis=1) > 128  # by more than half
    expected = picture.pixels.repeat(2, axis=0).repeat(2, axis=1)
    np.testing.assert_array_equal(sr.pixels[seen], expected[seen])
    assert (sr.icc, sr.format) == (b"profile", "png")


@pytest.mark.parametrize("load", [lambda: Upscaler.load(TINY, scale=2),
                                  lambda: Upscaler.load("bicubic", scale=2)])  # fmt: skip
def test_colours_that_no_one_sees_do_not_shine_through(load):
    picture, upscaler = _cut_out(1), load()
    painted = picture.pixels.copy()
    painted[picture.alpha == 0] = (255, 0, 255)
    first = upscaler.upscale_picture(picture)
    second = upscaler.upscale_picture(replace(picture, pixels=painted))
    np.testing.assert_array_equal(first.pixels, second.pixels)


@pytest.mark.parametrize("value", [0, 9, 255])
def test_an_alpha_that_is_the_same_everywhere_stays_so_and_changes_no_colour(value):
    lr = _pixels(2, (6, 7, 1))
    picture = Picture(pixels=lr, alpha=np.full((6, 7), value, np.uint8))
    sr = Upscaler(Nearest()).upscale_picture(picture)
    np.testing.assert_array_equal(sr.alpha, np.full((12, 14), value, np.uint8))
    np.testing.assert_array_equal(sr.pixels, Upscaler(Nearest())(lr))


def test_a_picture_without_alpha_stays_without():
    picture = Picture(pixels=_pixels(3, (6, 7, 3)))
    assert Upscaler(Nearest()).upscale_picture(picture).alpha is None


def test_hidden_pixels_take_the_mean_of_the_seen_ones_that_touch_them():
    pixels = np.full((3, REACH + 3, 1), 7, np.uint8)
    pixels[:, 0, 0] = 10, 20, 60
    alpha = np.zeros(pixels.shape[:2], np.uint8)
    alpha[:, 0] = 255
    grown = bleed(pixels, alpha=alpha)[..., 0]
    assert grown[:, 0].tolist() == [10, 20, 60]
    assert grown[:, 1].tolist() == [15, 30, 40]
    assert (grown[:, 1 : REACH + 1] != 7).all()
    assert (grown[:, REACH + 1 :] == 7).all()  # out of reach: as they are


@settings(deadline=None)
@given(SIDES, SIDES, DTYPES, st.sampled_from([1, 3]), SEEDS)
def test_bleeding_changes_no_seen_pixel_and_invents_no_colour(height, width, dtype, channels, seed):
    pixels = _pixels(seed, (height, width, channels), dtype)
    hidden = np.random.default_rng(seed).random((height, width)) < 0.7
    hidden[0, 0] = False
    grown = bleed(pixels, alpha=np.where(hidden, 0, np.iinfo(dtype).max).astype(dtype))
    assert grown.dtype == dtype
    np.testing.assert_array_equal(grown[~hidden], pixels[~hidden])
    seen = pixels[~hidden]
    is_between = (grown >= seen.min(axis=0)) & (grown <= seen.max(axis=0))
    assert (is_between | (grown == pixels)).all()


@given(st.integers(1, 90), SIDES, DTYPES, SEEDS, st.lists(st.integers(1, 89), max_size=4))
def test_bleeding_is_the_same_for_a_picture_that_passes(height, width, dtype, seed, cuts):
    picture = _pixels(seed, (height, width, 4), dtype)
    picture[..., 3] *= np.random.default_rng(seed).random((height, width)) < 0.05
    rows = Rows(np.split(picture, sorted(cuts)), shape=picture.shape, dtype=dtype)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("widesr.pixels.alpha._CHUNK", 1)
        passed = bled(rows).whole()
    np.testing.assert_array_equal(passed, bleed(picture[..., :3], alpha=picture[..., 3]))


@given(st.integers(2, 255), SEEDS)
def test_bleeding_changes_no_colour_of_an_alpha_that_halves_at_most(most, seed):
    pixels = _pixels(seed, (9, 9, 3))
    ramp = np.maximum(most / 2.0 ** np.abs(np.arange(9) - 4), 1)
    alpha = np.ceil(ramp).astype(np.uint8).repeat(9).reshape(9, 9)
    np.testing.assert_array_equal(bleed(pixels, alpha=alpha), pixels)


def _on(background, pixels, alpha):
    share = alpha[..., np.newaxis] / 255
    return pixels * share + background * (1 - share)


@pytest.mark.parametrize("name", ["bicubic", "default"])
@pytest.mark.parametrize(("clear", "tolerance"), [(1, 20), (2, 20), (8, 25), (32, 40)])
def test_nearly_clear_colours_draw_no_rim_round_what_is_opaque(name, clear, tolerance):
    pixels, alpha = np.full((40, 40, 3), 255, np.uint8), np.full((40, 40), clear, np.uint8)
    pixels[10:30, 10:30], alpha[10:30, 10:30] = 0, 255
    sr = Upscaler.load(name, scale=2).upscale_picture(Picture(pixels=pixels, alpha=alpha))
    # Oracle: Pillow weighs each colour by its alpha while it resamples.
    image = Image.fromarray(np.dstack([pixels, alpha])).convert("RGBa").resize((80, 80))
    expected = np.asarray(image.convert("RGBA"))
    for background in (0, 255):
        shown = _on(background, sr.pixels, sr.alpha)
        differs = np.abs(shown - _on(background, expected[..., :3], expected[..., 3]))
        assert differs.max() <= tolerance


class Rough(Nearest):
    """Computes in bf16, say: black, where its exact twin is the nearest neighbour."""

    smallest_tile = 40

    @property
    def fp32(self):
        return self._twin

    def __init__(self) -> None:
        super().__init__()
        self._twin = Nearest()

    def run(self, lr):
        return 0 * super().run(lr)


def test_16_bits_go_through_the_exact_twin_and_8_through_the_fast_engine():
    upscaler = Upscaler(Rough())
    deep = _pixels(0, (9, 11, 3)).astype(np.uint16) * 257
    assert not upscaler(_pixels(0, (9, 11, 3))).any()
    np.testing.assert_array_equal(upscaler(deep), deep.repeat(2, axis=0).repeat(2, axis=1))


def test_no_tile_is_smaller_than_the_engine_can_make_as_in_the_whole():
    engine = Rough()
    Upscaler(engine, tile=16)(np.zeros((64, 100, 3), np.uint8))
    assert engine.shapes == [(32, 34)] * 6


def test_an_engine_for_whole_pictures_gets_them_and_refuses_tiles():
    engine = Nearest()
    engine.smallest_tile = None
    Upscaler(engine)(np.zeros((1400, 900, 1), np.uint8))
    assert engine.shapes == [(1400, 900)]
    with refused("usage", "nearest") as error:
        Upscaler(engine, tile=64)
    assert error.value.options == ("tile=None",)


@pytest.mark.parametrize("precision", ["auto", "fp32"])
def test_a_picture_does_not_depend_on_its_tiles_in_any_precision(precision):
    pixels = _pixels(3, (70, 211, 3))
    whole, *tiled = (
        Upscaler.load(scale=2, tile=tile, precision=precision)(pixels) for tile in (None, 16, 50)
    )
    for each in tiled:
        np.testing.assert_array_equal(each, whole)
