"""Scores a model on a folder of HR pictures by protocols, with a report of all conditions."""

import re
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from os.path import lexists  # unlike Path.exists, False also for a name that is too long
from pathlib import Path
from typing import Any, NamedTuple, Unpack

from numpy.typing import NDArray

from widesr.degrade.bicubic import cropped_to_multiple, degrade
from widesr.engine import EngineOptions, EngineSettings, find_model
from widesr.errors import DataError, ShapeError, UsageError
from widesr.evaluation.measures import BY_PROTOCOL, Judge, Triple, mean_measures
from widesr.evaluation.report import (
    Comparison,
    ImageReport,
    ModelReport,
    Report,
    Scores,
    protocol_report,
    versions,
)
from widesr.models.catalog import BICUBIC
from widesr.pictures.picture import MAX_PIXELS
from widesr.pictures.reading import read_picture
from widesr.pictures.writing import FORMATS
from widesr.pixels.metrics import PROTOCOLS, Protocol, find_protocol, psnr, ssim
from widesr.system.arguments import path_of, whole_number
from widesr.system.files import sha256_of
from widesr.system.folders import is_folder, pictures_in
from widesr.system.machine import this_machine
from widesr.system.progress import OnProgress, ignore
from widesr.upscaling.base import ScaleUpscaler
from widesr.upscaling.interpolation import Bicubic
from widesr.upscaling.upscaler import Upscaler


def evaluate_folder(
    hr_dir: Path,
    *,
    model: str,
    scale: int,
    protocol: str | Sequence[str],
    metrics: Sequence[str] = BY_PROTOCOL,
    lpips_weights: Path | None = None,
    lr_dir: Path | None = None,
    options: EngineOptions | None = None,
    max_pixels: int = MAX_PIXELS,
    on_progress: OnProgress = ignore,
    **settings: Unpack[EngineSettings],
) -> Report:
    """Upscale the LR of every HR picture in a folder, and score the 8- or 16-bit results.

    Each HR picture is first cropped to a multiple of `scale`, as the field does. Grey pictures
    are scored as grey; an alpha channel is left out.

    Args:
        hr_dir: The folder whose pictures are scored, without those of its subfolders.
        model: A name, a model file, a foreign ONNX file, or "bicubic", as for `Upscaler.load`.
        scale: The factor between LR and HR.
        protocol: One or more names from `PROTOCOLS`.
        metrics: Names from `METRICS`; PSNR and SSIM are always measured.
        lpips_weights: File of weights, as for `Lpips`, if `metrics` has "lpips".
        lr_dir: The folder of LR pictures, matched by name ("babyx2.png" and "baby_LR.png" belong to
            "baby.png" at x2); by default, `degrade` makes LR.
        options: The settings by which the network is run; by default fp32, in which the scores are
            the same on any machine.
        max_pixels: The most pixels of a picture.
        on_progress: Told of the number of pictures scored, and of all pictures.
        **settings: Single fields of `options`, by keyword.

    Raises:
        UsageError: A protocol or metric is unknown, LPIPS lacks its weights, or a value has the
            wrong type.
        ModelFileError: The weights of LPIPS cannot be used.
        DataError: There are no pictures, or an LR picture is missing or does not fit its HR.
        ImageReadError: A picture cannot be read; a mean over the others would mislead.
        ModelNotFoundError: There is no such model at this scale.
    """
    hr_dir = path_of(hr_dir, "hr_dir")
    lr_dir = None if lr_dir is None else path_of(lr_dir, "lr_dir")
    scale = whole_number(scale, "a whole number of at least 1 as the scale", least=1)
    protocols = find_protocols(protocol)
    judge = Judge(metrics, lpips_weights=lpips_weights)
    pairs = find_pairs(list_pictures(hr_dir), lr_dir, scale=scale)
    options = (options or EngineOptions(precision="fp32")).but(**settings)
    upscaler, judged = load_judged(model, scale=scale, options=options)
    images = []
    for pair in pairs:
        hr, lr = pair.read(scale=scale, max_pixels=max_pixels)
        name = str(pair.hr_path)
        start = time.perf_counter()
        sr = upscaler(lr)
        seconds = time.perf_counter() - start
        images.append(
            ImageReport(
                name=pair.hr_path.name,
                lr=pair.lr_path.name if pair.lr_path else "",
                width=hr.shape[1],
                height=hr.shape[0],
                seconds=seconds,
                scores=score(sr, hr, protocols=protocols, scale=scale, name=name),
                measures=judge.measure(Triple(sr=sr, hr=hr, lr=lr, scale=scale), name=name),
            )
        )
        on_progress(len(images), len(pairs))
    return Report(
        folder=str(hr_dir),
        scale=scale,
        model=judged,
        degradation=f"pictures of {lr_dir}"
        if lr_dir
        else "imresize: bicubic, antialiased, rounded between the passes, symmetric edges",
        protocols=[protocol_report(each, scale) for each in protocols],
        images=images,
        mean={
            each.name: _mean([image.scores[each.name] for image in images]) for each in protocols
        },
        metrics=judge.reports,
        mean_measures=mean_measures([image.measures for image in images]),
        seconds=sum(image.seconds for image in images),
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        versions=versions(),
        machine=this_machine(),
    )


def compare_files(
    sr_path: Path,
    hr_path: Path,
    *,
    scale: int,
    protocol: str | Sequence[str],
    max_pixels: int = MAX_PIXELS,
) -> Comparison:
    """Score one picture against another; an alpha channel is left out.

    Args:
        sr_path: The picture to judge.
        hr_path: The true picture; cropped to a multiple of `scale` if SR has that size.
        scale: The scale, which sets the border that is left out.
        protocol: One or more names from `PROTOCOLS`.
        max_pixels: The most pixels of a picture.

    Raises:
        UsageError: A protocol is unknown, or the scale is not a whole number of at least 1.
        ImageReadError: A picture cannot be read.
        DataError: The pictures cannot be compared.
    """
    scale = whole_number(scale, "a whole number of at least 1 as the scale", least=1)
    protocols = find_protocols(protocol)
    sr = read_picture(sr_path, max_pixels=max_pixels).pixels
    hr = read_picture(hr_path, max_pixels=max_pixels).pixels
    height, width = (side - side % scale for side in hr.shape[:2])
    if sr.shape[:2] == (height, width):
        hr = hr[:height, :width]
    return Comparison(
        sr=str(sr_path),
        hr=str(hr_path),
        scale=scale,
        protocols=[protocol_report(each, scale) for each in protocols],
        scores=score(sr, hr, protocols=protocols, scale=scale, name=f"{sr_path} and {hr_path}"),
    )


def find_protocols(names: str | Sequence[str]) -> list[Protocol]:
    """Look up one or more protocols by name, in order and without repeats.

    Raises:
        UsageError: A name is unknown, or none is given; the message lists the known ones.
    """
    names = list(names) if isinstance(names, Iterable) and not isinstance(names, str) else [names]
    if not names:
        raise UsageError(f"no protocol was given; expected one of {', '.join(PROTOCOLS)}")
    return list(dict.fromkeys(find_protocol(name) for name in names))


def score(
    sr: NDArray[Any], hr: NDArray[Any], *, protocols: Sequence[Protocol], scale: int, name: str
) -> dict[str, Scores]:
    """Score a picture under each protocol; `name` is its name in errors.

    Raises:
        DataError: The pictures cannot be compared, or are too small for a protocol.
    """
    try:
        return {
            each.name: Scores(
                psnr=psnr(sr, hr, protocol=each, scale=scale),
                ssim=ssim(sr, hr, protocol=each, scale=scale),
            )
            for each in protocols
        }
    except ShapeError as error:
        raise DataError(f"{name}: cannot be scored: {error.message}") from error


def load_judged(
    model: str, *, scale: int, options: EngineOptions
) -> tuple[ScaleUpscaler, ModelReport]:
    """Load the model to judge, and describe it for the report.

    Raises:
        ModelNotFoundError: There is no such model at this scale.
    """
    if model == BICUBIC:
        bicubic = Bicubic(scale, consistent=options.consistent)
        return bicubic, ModelReport(
            name=bicubic.model,
            engine="imresize",
            precision="fp32",
            card_name=None,
            sha256=None,
            self_ensemble=False,
            consistent=options.consistent,
            tile=None,
        )
    file = find_model(model, scale=scale)
    upscaler = Upscaler.of_model(file, options)
    return upscaler, ModelReport(
        name=upscaler.model,
        engine=upscaler.engine.name,
        precision=upscaler.engine.precision,
        card_name=file.card.name,
        sha256=sha256_of(file.path),
        self_ensemble=options.self_ensemble,
        consistent=options.consistent,
        tile=options.tile,
    )


def _mean(scores: Sequence[Scores]) -> Scores:
    return Scores(
        psnr=sum(each.psnr for each in scores) / len(scores),
        ssim=sum(each.ssim for each in scores) / len(scores),
    )


def list_pictures(folder: Path) -> list[Path]:
    """List the pictures of a folder by name, in order.

    Raises:
        DataError: `folder` is not a folder, or holds no pictures.
        ImageReadError: The folder cannot be listed.
    """
    if not is_folder(folder):
        what = "is a file" if lexists(folder) else "no such folder"
        raise DataError(f"{folder}: {what}; expected a folder of pictures")
    found = pictures_in(folder)
    if not found:
        raise DataError(
            f"{folder}: no pictures in this folder; expected files ending in {', '.join(FORMATS)}"
        )
    return found


def _stem(path: Path, scale: int) -> str:
    """Strip suffixes of benchmark archives: "babyx2" and "baby_SRF_2_LR" are both "baby" at x2."""
    stem = re.sub(r"[_-](LR|HR)(_bicubic)?$", "", path.stem, flags=re.IGNORECASE)
    stem = re.sub(rf"[_-]SRF[_-]{scale}$", "", stem, flags=re.IGNORECASE)
    return re.sub(rf"[_-]?x{scale}$", "", stem, flags=re.IGNORECASE) or path.stem


class Pair(NamedTuple):
    """An HR picture, and its LR if there is a file of it."""

    hr_path: Path
    lr_path: Path | None

    def read(
        self, *, scale: int, max_pixels: int = MAX_PIXELS
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return HR, cropped to a multiple of the scale, and its LR, which is read or made.

        Raises:
            DataError: LR does not fit HR, or HR has fewer pixels than the scale on a side.
            ImageReadError: A picture cannot be read.
        """
        hr = read_picture(self.hr_path, max_pixels=max_pixels).pixels
        hr = cropped_hr(hr, scale, path=self.hr_path)
        if self.lr_path is None:
            return hr, degrade(hr, scale=scale)
        lr = read_picture(self.lr_path, max_pixels=max_pixels).pixels
        height, width = lr.shape[:2]
        if (height * scale, width * scale) != hr.shape[:2]:
            raise DataError(
                f"{self.lr_path}: {width}x{height} times {scale} is not the {hr.shape[1]}x"
                f"{hr.shape[0]} of {self.hr_path} (cropped to a multiple of {scale}); is it the LR "
                "of another scale?"
            )
        if lr.shape[2] != hr.shape[2] or lr.dtype != hr.dtype:
            raise DataError(
                f"{self.lr_path}: {_kind(lr)}, but {self.hr_path} is {_kind(hr)}; expected the "
                "same of both"
            )
        return hr, lr


def find_pairs(hr_paths: Sequence[Path], lr_dir: Path | None, *, scale: int) -> list[Pair]:
    """Match HR pictures by name with the LR pictures of a folder, if one is given.

    Raises:
        DataError: An LR picture is missing, or several may belong to one HR picture.
        ImageReadError: The folder cannot be listed.
    """
    if lr_dir is None:
        return [Pair(path, None) for path in hr_paths]
    lr_by_stem: dict[str, Path] = {}
    for path in list_pictures(lr_dir):
        other = lr_by_stem.setdefault(_stem(path, scale), path)
        if other != path:
            raise DataError(f"{path}: is the LR of the same picture as {other}; remove one")
    pairs = []
    for path in hr_paths:
        stem = _stem(path, scale)
        if stem not in lr_by_stem:
            raise DataError(
                f"{path}: no LR picture for it in {lr_dir}; expected there {stem}.png, "
                f"{stem}x{scale}.png or {stem}_LR.png"
            )
        pairs.append(Pair(path, lr_by_stem[stem]))
    return pairs


def cropped_hr(pixels: NDArray[Any], scale: int, *, path: Path) -> NDArray[Any]:
    """Crop an original to a multiple of the scale.

    Raises:
        DataError: Nothing would be left.
    """
    try:
        return cropped_to_multiple(pixels, scale)
    except ShapeError as error:
        raise DataError(f"{path}: {error.message}") from error


def _kind(pixels: NDArray[Any]) -> str:
    return f"{pixels.dtype.itemsize * 8}-bit {'grey' if pixels.shape[2] == 1 else 'colour'}"
