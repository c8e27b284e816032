"""Samples: the same by seed however they are computed, true to the input, and different."""

import io
import itertools
import pickle

import numpy as np
import pytest
from PIL import Image

import widesr
from facts import refused
from widesr.pixels.consistency import lr_psnr
from widesr.pixels.rows import Rows
from widesr.upscaling.sampling import load_sampler, variance_map, variance_rows
from widesr.upscaling.upscaler import Upscaler


@pytest.fixture(scope="module")
def lr():
    """A noisy picture with light and dark, not at the ends of the range, where much is clipped."""
    rng = np.random.default_rng(0)
    smooth = np.asarray(
        Image.fromarray(rng.integers(40, 215, (6, 8, 3), np.uint8)).resize((64, 48))
    )
    return np.clip(smooth + rng.normal(0, 6, smooth.shape), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def sampler():
    return load_sampler(scale=4, options=widesr.EngineOptions(threads=1, tile=None, seed=3))


def test_a_seed_gives_one_picture_tiled_or_whole_on_any_threads_and_after_a_pickle(lr, sampler):
    wanted = sampler(lr)
    for options in ({"threads": 2, "tile": None}, {"threads": 2, "tile": 16}, {"threads": 1}):
        other = load_sampler(scale=4, options=widesr.EngineOptions(seed=3, **options))
        assert np.array_equal(other(lr), wanted)
    bands = (lr[top : top + 5] for top in range(0, len(lr), 5))
    assert np.array_equal(sampler.rows(Rows(bands, shape=lr.shape, dtype=lr.dtype)).whole(), wanted)
    for seed in (3, 4):
        sent = pickle.loads(pickle.dumps(sampler.sample(seed)))  # noqa: S301
        assert np.array_equal(sent(lr), wanted if seed == 3 else sampler.sample(4)(lr))


def test_samples_differ_in_detail_and_shrink_back_to_the_input(lr):
    made = list(widesr.samples(lr, count=3, seed=1))
    again = next(widesr.samples(lr, count=1, seed=2))
    assert np.array_equal(again, made[1])
    assert min(lr_psnr(each, lr) for each in made) > 55
    assert min(np.abs(a.astype(int) - b).mean() for a, b in itertools.pairwise(made)) > 1
    calm = list(widesr.samples(lr, count=2, seed=1, temperature=0))
    assert np.array_equal(*calm)
    assert not variance_map(calm).any()
    cool, warm = (
        variance_map(list(widesr.samples(lr, count=3, seed=1, temperature=t))).mean()
        for t in (0.4, 1)
    )
    assert 0 < cool < warm


def test_kinds_of_pictures_stay_as_they_are(lr):
    grey16 = lr[:20, :20, 1].astype(np.uint16) * 257
    (made,) = widesr.samples(grey16, count=1)
    assert (made.shape, made.dtype) == ((80, 80), np.uint16)
    image = Image.fromarray(np.dstack([lr, np.full(lr.shape[:2], 200, np.uint8)])[:20, :20])
    (made,) = widesr.samples(image, count=1)
    assert (made.size, made.mode) == ((80, 80), "RGBA")
    file = io.BytesIO()
    image.convert("RGB").save(file, "png")
    assert len(list(widesr.samples(file.getvalue(), count=2))) == 2  # read once


def test_the_model_upscales_as_others_do(lr):
    assert np.array_equal(
        widesr.upscale(lr, scale=4, model="samples", tile=None),
        Upscaler.load("samples", scale=4, seed=0, tile=16)(lr),
    )


def test_the_map_is_eight_standard_deviations():
    rng = np.random.default_rng(0)
    samples = rng.integers(100, 130, (5, 9, 7, 3), np.uint8)
    wanted = 8 * np.sqrt(samples.var(axis=0, ddof=1, dtype=np.float64).mean(axis=2))
    assert np.abs(variance_map(list(samples)) - wanted).max() <= 0.51
    deep = [each.astype(np.uint16) * 257 for each in samples]
    assert np.array_equal(variance_map(deep), variance_map(list(samples)))
    alpha = rng.integers(0, 256, (5, 9, 7, 1), np.uint8)
    rows = [Rows.of(np.dstack(pair)) for pair in zip(samples, alpha, strict=True)]
    assert np.array_equal(variance_rows(rows).whole()[..., 0], variance_map(list(samples)))


def test_what_cannot_be_sampled_is_refused(lr):
    for wrong in ({"count": 0}, {"seed": -1}, {"temperature": -0.5}, {"temperature": np.nan}):
        with refused("usage"):
            widesr.samples(lr, **wrong)
    with refused("usage"):
        widesr.samples(lr, model="best")
    with refused("usage"):
        widesr.samples(lr, model="bicubic")
    with refused("model-not-found"):
        widesr.samples(lr, scale=2)
    with refused("shape"):
        variance_map([lr])
    with refused("shape"):
        variance_map([lr, lr[1:]])


@pytest.mark.parametrize(
    "wrong", [{"count": True}, {"count": 1.0}, {"seed": True}, {"seed": "1"}, {"seed": 2**128}]
)
def test_a_value_of_another_type_is_no_sample(lr, wrong):
    with refused("usage", next(iter(wrong))):
        widesr.samples(lr, **wrong)


def test_seeds_of_small_integers_count_on(lr):
    narrow = list(widesr.samples(lr[:8, :8], count=2, seed=np.int8(127)))
    assert np.array_equal(narrow[1], next(widesr.samples(lr[:8, :8], count=1, seed=128)))


@pytest.mark.parametrize(
    ("pictures", "code"),
    [(None, "usage"), ([[1], [2]], "usage"), ([np.zeros((1, 2, 3, 1), np.uint8)] * 2, "shape")],
)
def test_what_are_no_samples_has_no_map(pictures, code):
    with refused(code):
        variance_map(pictures)
