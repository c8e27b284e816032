"""Judges several samples of each picture together, as the challenge on the SR space does.

The score says how much nearer to the truth the samples come if the best one is taken at each pixel,
compared with the best single sample; it is 0 for samples that are alike. Noise scores too, so the
report also has LPIPS, and the score of equally strong noise around the mean of the samples.

Source: Lugmayr et al., "NTIRE 2021 learning the super-resolution space challenge";
andreas128/NTIRE21_Learning_SR_Space, measure.py at 6d00cd1. There, LPIPS uses AlexNet.
"""

from collections.abc import Callable
from math import lcm
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from widesr.errors import DataError, ShapeError, UsageError
from widesr.evaluation.perceptual.lpips import Features, Lpips
from widesr.evaluation.report import Frozen
from widesr.evaluation.scoring import list_pictures
from widesr.pictures.picture import MAX_PIXELS
from widesr.pictures.reading import read_picture
from widesr.pixels.consistency import lr_psnr
from widesr.pixels.resize import imresize
from widesr.system.arguments import whole_number
from widesr.system.progress import ignore
from widesr.upscaling.upscaler import Upscaler

_MULTIPLE = 8
"""The challenge crops the originals to a multiple of this many pixels."""


class SamplesScore(Frozen):
    """The score of several samples of one picture, or the mean over pictures."""

    score: float
    """100 (best - locally best) / best, by LPIPS; higher covers more of the space."""
    lpips_mean: float
    """The mean over the samples; lower is better."""
    lpips_best: float
    lr_psnr_mean: float
    """dB, of the shrunk samples against the shrunk original."""
    lr_psnr_worst: float
    noise_score: float
    """The score of noise that varies around the mean of the samples as much as they do."""
    noise_lpips: float


class SamplesReport(Frozen):
    """The result of `evaluate_samples`."""

    folder: str
    samples_folder: str
    """The folder of samples, or the model that made them."""
    scale: int
    samples: int
    network: str
    """The network of LPIPS, such as "lpips-squeeze"."""
    weights_sha256: str
    pictures: dict[str, SamplesScore]
    """Scores by the file name of the original."""
    mean: SamplesScore


def evaluate_samples(
    hr_dir: Path,
    made: Path | Upscaler,
    *,
    scale: int,
    samples: int,
    lpips_weights: Path | None,
    max_pixels: int = MAX_PIXELS,
    on_picture: Callable[[str], None] = ignore,
) -> SamplesReport:
    """Judge samples from a folder in the challenge's layout, or samples that a model makes.

    Args:
        hr_dir: The folder of originals.
        made: A folder of samples or a model. In a folder, samples 0, 1, ... of the first original
            by name are `000000_sample00000.png`, `000000_sample00001.png`, ...; or those of
            NAME.png are `NAME_sample00000.png`, .... A model from `load_sampler` makes samples from
            the shrunk originals, with seeds from 0.
        scale: The factor between LR and HR.
        samples: The number of samples of each picture, 2 or more.
        lpips_weights: File of weights, as for `Lpips`.
        max_pixels: The most pixels of a picture.
        on_picture: Told the name of each original whose samples are judged.

    Raises:
        UsageError: Fewer than two samples, no weights, a model of another scale, or a scale that
            is not a whole number of at least 1.
        DataError: A sample is missing, or differs from its original in size or type.
        ModelFileError: The weights cannot be used.
        ImageReadError: A picture cannot be read.
    """
    scale = whole_number(scale, "a whole number of at least 1 as the scale", least=1)
    samples = whole_number(samples, "at least 2 samples of each picture", least=2)
    if lpips_weights is None:
        raise UsageError(
            "the score is by LPIPS, which looks with a network whose weights are not part of "
            "widesr; name their file",
            options=["lpips_weights"],
        )
    if isinstance(made, Upscaler) and made.scale != scale:
        raise UsageError(f"{made.model} makes pictures of x{made.scale}, not of x{scale}")
    lpips = Lpips(lpips_weights)
    hr_paths = list_pictures(hr_dir)
    paths = [] if isinstance(made, Upscaler) else _samples_of(hr_paths, made, samples)
    scores: dict[str, SamplesScore] = {}
    for number, hr_path in enumerate(hr_paths):
        whole = read_picture(hr_path, max_pixels=max_pixels).pixels
        height, width = (side - side % scale for side in whole.shape[:2])
        hr = whole[:height, :width]
        try:
            if isinstance(made, Upscaler):
                lr = imresize(hr, scale=1 / scale)
                drawn = [made.sample(seed)(lr) for seed in range(samples)]
            else:
                read = (_sample(path, hr_path, whole, scale, max_pixels) for path in paths[number])
                drawn = [each[:height, :width] for each in read]
            scores[hr_path.name] = judge_samples(hr, drawn, scale=scale, lpips=lpips, seed=number)
        except ShapeError as error:
            raise DataError(f"{hr_path}: cannot be judged: {error.message}") from error
        on_picture(hr_path.name)
    return SamplesReport(
        folder=str(hr_dir),
        samples_folder=made.model if isinstance(made, Upscaler) else str(made),
        scale=scale,
        samples=samples,
        network=lpips.name,
        weights_sha256=lpips.sha256,
        pictures=scores,
        mean=_mean([*scores.values()]),
    )


def _mean(scores: list[SamplesScore]) -> SamplesScore:
    return SamplesScore(
        **{
            name: float(np.mean([getattr(each, name) for each in scores]))
            for name in SamplesScore.model_fields
        }
    )


def judge_samples(
    hr: NDArray[Any], samples: list[NDArray[Any]], *, scale: int, lpips: Lpips, seed: int
) -> SamplesScore:
    """Judge samples of one picture, all (H, W, C) of one type, H and W multiples of `scale`.

    LPIPS compares them cropped to a multiple of 8, as in the challenge, and of `scale`. LR-PSNR
    compares them uncropped: a cropped picture no longer shrinks to its input at the new borders.

    Raises:
        ShapeError: The pictures are too small, or not of one size.
    """
    for sample in samples:
        if sample.shape != hr.shape:
            raise ShapeError(f"expected samples of shape {hr.shape}, got {sample.shape}")
    lr = imresize(hr, scale=1 / scale)
    true_to_input = [lr_psnr(each, lr) for each in samples]
    height, width = (side - side % lcm(_MULTIPLE, scale) for side in hr.shape[:2])
    hr, samples = hr[:height, :width], [each[:height, :width] for each in samples]
    truth = lpips.features(hr)
    made = _spread(samples, truth, lpips)
    stack = np.stack(samples).astype(np.float32)
    mean, deviation = stack.mean(axis=0), float(stack.std(axis=0, ddof=1).mean())
    top = np.iinfo(hr.dtype).max
    rng = np.random.default_rng(seed)
    noise = [
        np.clip(mean + rng.normal(0, deviation, mean.shape) + 0.5, 0, top).astype(hr.dtype)
        for _ in samples
    ]
    of_noise = _spread(noise, truth, lpips)
    return SamplesScore(
        score=made.score,
        lpips_mean=made.mean,
        lpips_best=made.best,
        lr_psnr_mean=float(np.mean(true_to_input)),
        lr_psnr_worst=min(true_to_input),
        noise_score=of_noise.score,
        noise_lpips=of_noise.mean,
    )


class _Spread(NamedTuple):
    """Distances of samples from the truth by LPIPS, and the score that they make."""

    score: float
    mean: float
    best: float


def _spread(samples: list[NDArray[Any]], truth: Features, lpips: Lpips) -> _Spread:
    means, nearest = [], np.full(samples[0].shape[:2], np.inf, np.float32)
    for sample in samples:
        apart = lpips.distance_map(lpips.features(sample), truth, size=sample.shape[:2])
        means.append(float(apart.mean(dtype=np.float64)))
        np.minimum(nearest, apart, out=nearest)
    best = min(means)
    local = float(nearest.mean(dtype=np.float64))
    return _Spread(100 * (best - local) / best if best else 0.0, float(np.mean(means)), best)


def _sample(
    path: Path, hr_path: Path, hr: NDArray[Any], scale: int, max_pixels: int
) -> NDArray[Any]:
    """Read a sample of the uncropped original `hr`.

    Raises:
        DataError: The sample differs from its original in size or type.
    """
    sr = read_picture(path, max_pixels=max_pixels).pixels
    whole = tuple(side - side % scale for side in hr.shape[:2])
    if sr.shape[:2] not in (hr.shape[:2], whole) or sr.dtype != hr.dtype:
        raise DataError(
            f"{path}: {sr.shape[1]}x{sr.shape[0]} {sr.dtype}, but {hr_path} is "
            f"{hr.shape[1]}x{hr.shape[0]} {hr.dtype}; expected the same size"
        )
    return sr


def _samples_of(hr_paths: list[Path], sr_dir: Path, samples: int) -> list[list[Path]]:
    """Find the samples of each original.

    Raises:
        DataError: A sample is missing.
    """
    found = []
    for number, hr_path in enumerate(hr_paths):
        named = [
            [sr_dir / f"{name}_sample{i:05d}.png" for i in range(samples)]
            for name in (f"{number:06d}", hr_path.stem)
        ]
        paths = next((each for each in named if each[0].is_file()), named[0])
        missing = [path for path in paths if not path.is_file()]
        if missing:
            raise DataError(
                f"{missing[0]}: no such sample of {hr_path}; expected {samples} of each picture, "
                f"named {named[0][0].name} or {named[1][0].name} and so on"
            )
        found.append(paths)
    return found
