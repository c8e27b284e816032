"""The challenge's score on samples whose score is known."""

import numpy as np
import pytest
from PIL import Image

from facts import refused
from widesr.cli import run
from widesr.evaluation.perceptual.lpips import Lpips
from widesr.evaluation.space import evaluate_samples
from widesr.upscaling.sampling import load_sampler


@pytest.fixture
def weights(perceptual):
    return perceptual / "squeezenet1_1_features.safetensors"


@pytest.fixture
def folders(perceptual, tmp_path):
    """An original of 96x96, and two samples of it: each is right in one half."""
    hr = np.asarray(Image.open(perceptual / "baboon.png").convert("RGB"))[100:196, 100:196]
    rng = np.random.default_rng(0)
    noisy = np.clip(hr + rng.normal(0, 30, hr.shape), 0, 255).astype(np.uint8)
    left, right = hr.copy(), hr.copy()
    left[:, 48:], right[:, :48] = noisy[:, 48:], noisy[:, :48]
    originals, samples = tmp_path / "hr", tmp_path / "sr"
    originals.mkdir()
    samples.mkdir()
    Image.fromarray(hr).save(originals / "0801.png")
    for i, each in enumerate((left, right)):
        Image.fromarray(each).save(samples / f"000000_sample{i:05d}.png")
    return originals, samples


def test_samples_that_are_right_in_turn_score_and_equal_ones_do_not(folders, weights):
    originals, samples = folders
    report = evaluate_samples(originals, samples, scale=4, samples=2, lpips_weights=weights)
    score = report.pictures["0801.png"]
    # Oracle: the challenge's formula, written out.
    lpips = Lpips(weights)
    hr, *made = (
        np.asarray(Image.open(path))
        for path in (originals / "0801.png", *sorted(samples.iterdir()))
    )
    truth = lpips.features(hr)
    maps = np.stack(
        [lpips.distance_map(lpips.features(each), truth, size=(96, 96)) for each in made]
    )
    best = maps.mean(axis=(1, 2)).min()
    assert score.score == pytest.approx(100 * (best - maps.min(axis=0).mean()) / best, rel=1e-3)
    assert score.score > 50
    assert report.mean == score
    assert report.network == "lpips-squeeze"
    Image.fromarray(made[0]).save(samples / "000000_sample00001.png")
    alike = evaluate_samples(originals, samples, scale=4, samples=2, lpips_weights=weights)
    assert alike.mean.score == 0
    assert alike.mean.noise_score == 0


def test_samples_may_be_named_as_their_original(folders, weights):
    originals, samples = folders
    for path in list(samples.iterdir()):
        path.rename(path.with_name(path.name.replace("000000", "0801")))
    report = evaluate_samples(originals, samples, scale=4, samples=2, lpips_weights=weights)
    assert list(report.pictures) == ["0801.png"]


def test_a_model_is_judged_as_the_files_that_it_writes(folders, weights, tmp_path):
    originals, _ = folders
    hr = originals / "0801.png"
    Image.fromarray(np.asarray(Image.open(hr))[:92]).save(hr)  # no multiple of 8, as the crop is
    lr, made = tmp_path / "lr", tmp_path / "made"
    assert run(["degrade", str(originals), "-s", "4", "-o", str(lr), "--quiet"]) == 0
    told = ["--count", "2", "--challenge", "--quiet", "-o", str(made)]
    assert run(["samples", str(lr), *told]) == 0
    judge = {"scale": 4, "samples": 2, "lpips_weights": weights}
    by_files = evaluate_samples(originals, made, **judge)
    by_model = evaluate_samples(originals, load_sampler(scale=4), **judge)
    assert by_model.pictures == by_files.pictures
    assert by_model.mean.lr_psnr_worst > 55
    assert by_model.mean.score > 0
    with refused("usage"):
        evaluate_samples(originals, load_sampler(scale=4), **judge | {"scale": 2})
    told = ["-n", "best", "--protocol", "sr-space", "--lpips-weights", str(weights)]
    assert run(["evaluate", str(originals), "-s", "4", *told]) == 2


def test_samples_that_are_missing_or_of_another_size_are_named(folders, weights):
    originals, samples = folders
    with refused("data", "000000_sample00002.png"):
        evaluate_samples(originals, samples, scale=4, samples=3, lpips_weights=weights)
    small = samples / "000000_sample00001.png"
    Image.open(small).crop((0, 0, 90, 96)).save(small)
    with refused("data", "90x96"):
        evaluate_samples(originals, samples, scale=4, samples=2, lpips_weights=weights)
    with refused("usage"):
        evaluate_samples(originals, samples, scale=4, samples=1, lpips_weights=weights)
    with refused("usage"):
        evaluate_samples(originals, samples, scale=4, samples=2, lpips_weights=None)
    with refused("usage", "scale"):
        evaluate_samples(originals, samples, scale=0, samples=2, lpips_weights=weights)
