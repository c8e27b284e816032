"""Measures what each precision costs a model, and the ranges that int8 needs, for its card."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from math import isinf
from pathlib import Path
from typing import Any, SupportsIndex, get_args

import numpy as np
from numpy.typing import NDArray

from widesr.data.motion import make_clip
from widesr.data.source import hold_out
from widesr.degrade.bicubic import cropped_to_multiple
from widesr.degrade.named import DEGRADATIONS, Shrink, photograph_seed
from widesr.engine import (
    MOST_LOST,
    Backend,
    Precision,
    choose,
    find_ranges,
    load_engine,
    noise_channels,
    usable_cpus,
)
from widesr.errors import DataError, ShapeError, UsageError
from widesr.models.catalog import Loss, LowPrecision, ModelCard, ModelFile
from widesr.pictures.reading import read_picture
from widesr.pixels.metrics import PROTOCOLS, psnr
from widesr.pixels.noise import noise_rows
from widesr.system.folders import is_folder, pictures_in
from widesr.system.progress import OnNotice, ignore
from widesr.upscaling.conversion import to_network
from widesr.upscaling.upscaler import Upscaler
from widesr.video.temporal import TemporalFrames

_Frames = Iterable[NDArray[np.uint8]]
"""The frames of a clip; a picture is a clip of one frame."""

PROTOCOL = PROTOCOLS["benchmark-y"]
"""The protocol by which losses are measured."""

_MOST = 100
"""Largest number of photographs on which ranges are found; more change nothing."""
_SIDE = 256
"""Side of the middle part that is taken of a photograph, in LR pixels."""
_JUDGED = 24
"""Largest number of photographs, of those for ranges, to find the convolutions that int8 spoils."""
_WORST = 5
"""Number of these on which the convolutions are compared: those that lose most."""
_RANKED = 4
"""Number of convolutions that are taken off, one by one, before the others are ranked anew."""
_MOST_SPARED = 0.25
"""Largest share of the convolutions that are computed in fp32 for their loss."""
_NO_ERROR = 100.0
"""PSNR in dB above which there is no difference that 8 bits can show."""
_FRAMES, _CLIP_SIDE = 16, 128
"""Number of frames of the clip that is made of a photograph, for models of clips, and their side in
LR pixels."""
_HELD_OUT = 10
"""Largest number of photographs on which losses are measured if no list names them; of few
photographs, a quarter is taken."""


def split_photographs(folder: Path, *, listed: Path | None = None) -> tuple[list[Path], list[Path]]:
    """Split the pictures of a folder and its subfolders into (for ranges, for losses).

    Args:
        folder: A folder of HR photographs.
        listed: A text file with the file names of the pictures for losses, one per line; folders
            before the names, and lines that begin with "#", are ignored. None takes the pictures
            whose names have the least SHA-256.

    Raises:
        DataError: The folder or list does not exist, a listed picture is not in the folder, or
            there are too few pictures.
        ImageReadError: A folder cannot be listed.
    """
    if not is_folder(folder):
        raise DataError(f"{folder}: no such folder; expected a folder of HR photographs")
    photographs = {str(path): path for path in pictures_in(folder, recursive=True)}
    if listed is None:
        n = min(_HELD_OUT, max(1, len(photographs) // 4))
        seen, held = hold_out(list(photographs), n)
        return [photographs[name] for name in seen], [photographs[name] for name in held]
    names = _listed(listed)
    held_out = [path for path in photographs.values() if path.name in names]
    if missing := names - {path.name for path in held_out}:
        raise DataError(f"{listed}: {sorted(missing)[0]} is not in {folder}")
    rest = [path for path in photographs.values() if path.name not in names]
    if not (rest and held_out):
        raise DataError(
            f"{folder}: {len(rest)} photographs for ranges and {len(held_out)} for losses; "
            "expected at least one of each"
        )
    return rest, held_out


def calibrate(
    model: ModelFile,
    *,
    photographs: Sequence[Path],
    held_out: Sequence[Path],
    backend: Backend = "auto",
    precision: Precision = "auto",
    threads: int | None = None,
    on_notice: OnNotice = ignore,
) -> ModelCard:
    """Find the ranges of a model's convolutions, and what bf16, fp16 and int8 cost it.

    A model of clips has no ranges, and is judged on clips that are made of the photographs. The
    loss in a precision that is not measured, or that this CPU does not have, stays as it was on
    the card. If int8 is measured, new ranges replace the old ones and their loss.

    Args:
        model: A model from `find_model`, with a card.
        photographs: HR photographs for the ranges.
        held_out: Other HR photographs for the losses: each is upscaled whole, or as a clip of its
            middle, and its PSNR-Y is compared with that in fp32.
        backend: The runtime that computes in these precisions.
        precision: The precision whose loss is measured; "auto" measures all that this CPU has.
        threads: Threads of the runtimes; None is one per CPU that this process may use.
        on_notice: Told what is being measured.

    Returns:
        The model's card with both, for `write_card`.

    Raises:
        DataError: A picture is too small, has one colour only, or has 16 bits.
        ImageReadError: A picture cannot be read.
        MissingExtraError: OpenVINO is not installed.
        ModelFileError: The network does not map RGB to RGB.
        UsageError: The precision is fp32, or this CPU does not have it.
    """
    if precision == "fp32":
        raise UsageError("fp32 is what the others are compared with; give another precision")
    threads = threads or usable_cpus()
    card, is_for_clips = model.card, model.card.frames > 1
    if is_for_clips and precision == "int8":
        raise UsageError(f"{card.name} is for clips, which int8 is not; give another precision")
    if precision in ("auto", "int8") and not is_for_clips:
        on_notice(f"the ranges, on {min(len(photographs), _MOST)} photographs")
        ranges = _find_ranges(model, photographs, threads=threads)
        kept = [loss for loss in card.losses if loss.precision != "int8"]
        card = card.model_copy(update={"ranges": ranges, "losses": kept})
    settings = _settings(backend, precision, has_ranges=bool(card.ranges), threads=threads)
    if "int8" in settings:
        on_notice("which convolutions int8 spoils")
        card = _spared(ModelFile(model.path, card), photographs, settings)
    calibrated = ModelFile(model.path, card)
    upscalers = {name: _frame_upscaler(calibrated, each) for name, each in settings.items()}
    found: dict[str, list[float]] = {name: [] for name in upscalers}
    for i, path in enumerate(held_out):
        on_notice(f"the losses, photograph {i + 1} of {len(held_out)}")
        lr, hr = _clip(path, card) if is_for_clips else ([each] for each in _pair(path, card))
        for name, upscale in upscalers.items():
            pairs = zip(upscale(lr), hr, strict=True)
            qualities = [_quality(*pair, scale=card.scale, name=path) for pair in pairs]
            found[name].append(float(np.mean(qualities)))
    fp32 = np.array(found.pop("fp32"))
    losses: dict[str, Loss] = {loss.precision: loss for loss in card.losses}
    losses |= {name: _loss(name, fp32 - np.array(scores)) for name, scores in found.items()}
    return card.model_copy(update={"losses": tuple(losses[name] for name in sorted(losses))})


def _find_ranges(
    model: ModelFile, photographs: Sequence[Path], *, threads: int
) -> dict[str, tuple[float, ...]]:
    upscaler = _upscaler(model, {"precision": "fp32", "threads": threads})  # refuses all but RGB
    channels = noise_channels(upscaler.engine)
    ranges = find_ranges(
        model,
        (
            _network_input(_pair(path, model.card)[0], noise=channels)
            for path in _evenly(photographs, _MOST)
        ),
        threads=threads,
    )
    return {name: tuple(float(f"{top:.3g}") for top in tops) for name, tops in ranges.items()}


def _evenly(photographs: Sequence[Path], n: int) -> Sequence[Path]:
    """Choose `n` evenly spaced photographs of a list, or all of a shorter one."""
    return photographs[:: max(1, len(photographs) // n)][:n]


def _spared(
    model: ModelFile, photographs: Sequence[Path], settings: dict[str, dict[str, Any]]
) -> ModelCard:
    """Take the ranges of convolutions that int8 spoils off the card, so that fp32 computes them.

    The costliest convolution is taken off first, and so on until no photograph loses more than a
    model may, or so many are off that int8 would save no time. The photographs that lose most
    decide which one is the costliest.
    """
    pairs = [_middle(*_pair(path, model.card)) for path in _evenly(photographs, _JUDGED)]

    def qualities(
        card: ModelCard, precision: str, which: Iterable[SupportsIndex] = range(len(pairs))
    ) -> NDArray[np.float64]:
        upscaler = _upscaler(ModelFile(model.path, card), settings[precision])
        chosen = (pairs[i] for i in which)
        psnrs = [psnr(upscaler(lr), hr, protocol=PROTOCOL, scale=card.scale) for lr, hr in chosen]
        return np.minimum(psnrs, _NO_ERROR)

    def without(name: str, card: ModelCard) -> ModelCard:
        ranges = {other: tops for other, tops in card.ranges.items() if other != name}
        return card.model_copy(update={"ranges": ranges})

    def costliest(card: ModelCard, worst: NDArray[np.intp]) -> list[str]:
        names = list(card.ranges)
        means = [qualities(without(name, card), "int8", worst).mean() for name in names]
        return [names[i] for i in np.argsort(means)[::-1][:_RANKED]]

    card, exact = model.card, qualities(model.card, "fp32")
    lost = exact - qualities(card, "int8")
    least = len(card.ranges) * (1 - _MOST_SPARED)
    ranked: list[str] = []
    while lost.max() > MOST_LOST and len(card.ranges) - 1 >= least:
        ranked = ranked or costliest(card, np.argsort(-lost)[:_WORST])
        card = without(ranked.pop(0), card)
        lost = exact - qualities(card, "int8")
    return card


def _frame_upscaler(
    model: ModelFile, settings: dict[str, Any]
) -> Callable[[_Frames], Iterable[NDArray[Any]]]:
    """Load a model in a precision, to upscale the frames of a clip, or pictures one by one."""
    if model.card.frames == 1:
        return partial(map, _upscaler(model, settings))
    card = _bare(model)
    engine = load_engine(ModelFile(model.path, card), **settings)
    return TemporalFrames(engine, card=card).upscale_scene


def _upscaler(model: ModelFile, settings: dict[str, Any]) -> Upscaler:
    """Load a model in a precision, regardless of the loss that its card states."""
    card = _bare(model)
    return Upscaler(load_engine(ModelFile(model.path, card), **settings), card=card)


def _bare(model: ModelFile) -> ModelCard:
    """Return the card without losses, by which an engine would refuse or choose a precision."""
    return model.card.model_copy(update={"losses": ()})


def _settings(
    backend: Backend, wanted: Precision, *, has_ranges: bool, threads: int
) -> dict[str, dict[str, Any]]:
    """Return the engine's settings for each precision of this CPU, and for fp32 to compare with."""
    settings: dict[str, dict[str, Any]] = {
        "fp32": {"backend": "onnxruntime", "precision": "fp32", "threads": threads}
    }
    for precision in get_args(LowPrecision):
        if wanted not in ("auto", precision) or (precision == "int8" and not has_ranges):
            continue
        try:
            choose(backend=backend, precision=precision)
        except UsageError:
            if wanted == precision:
                raise
            continue
        settings[precision] = {"backend": backend, "precision": precision, "threads": threads}
    return settings


def _quality(sr: NDArray[np.uint8], hr: NDArray[np.uint8], *, scale: int, name: Path) -> float:
    try:
        quality = psnr(sr, hr, protocol=PROTOCOL, scale=scale)
    except ShapeError as error:
        raise DataError(f"{name}: {error.message}") from error
    if isinf(quality):
        raise DataError(f"{name}: has nothing that could be lost; take photographs")
    return quality


def _loss(precision: Any, lost: NDArray[np.float64]) -> Loss:  # noqa: ANN401 - checked by pydantic
    mean, worst = (round(float(each), 4) for each in (lost.mean(), lost.max()))
    return Loss(precision=precision, mean=mean, worst=worst, n=len(lost))


def _listed(path: Path) -> set[str]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read; expected a text file with file names") from error
    return {Path(line.strip()).name for line in lines if line.strip() and line[0] != "#"}


def _pair(path: Path, card: ModelCard) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return LR and HR of a photograph, uint8 (H, W, 3); LR as the model's training had it."""
    rgb = _read(path)
    try:
        hr = np.ascontiguousarray(cropped_to_multiple(rgb, card.scale), np.uint8)
        return _shrink_of(card)(hr, scale=card.scale, seed=photograph_seed(path.name)), hr
    except ShapeError as error:
        raise DataError(f"{path}: {error.message}") from error


def _clip(path: Path, card: ModelCard) -> tuple[list[NDArray[np.uint8]], list[NDArray[np.uint8]]]:
    """Make a clip of a photograph: the frames of LR, as in the model's training, and of HR."""
    seed, side = photograph_seed(path.name), _CLIP_SIDE * card.scale
    hr = make_clip(_read(path), frames=_FRAMES, side=side, seed=seed)
    shrink = _shrink_of(card)
    return [shrink(frame, scale=card.scale, seed=seed) for frame in hr], hr


def _read(path: Path) -> NDArray[np.uint8]:
    """Read a photograph, uint8 (H, W, 3)."""
    pixels = read_picture(path).pixels
    if pixels.dtype != np.uint8:
        raise DataError(f"{path}: 16-bit pictures are computed in fp32 always; take others")
    return np.broadcast_to(pixels, (*pixels.shape[:2], 3))


def _shrink_of(card: ModelCard) -> Shrink:
    """Return the degradation of the model's training; bicubic for models of other makers."""
    # Without a recipe the card does not know what the network learned from.
    made_here = card.recipe and card.degradation in DEGRADATIONS
    return DEGRADATIONS[card.degradation if made_here else "bicubic"].shrink


def _middle(
    lr: NDArray[np.uint8], hr: NDArray[np.uint8]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Copy the middle of a photograph, LR and HR, so that the rest need not stay in memory."""
    top, left = ((side - min(side, _SIDE)) // 2 for side in lr.shape[:2])
    scale = hr.shape[0] // lr.shape[0]
    inside = np.s_[top * scale : (top + _SIDE) * scale, left * scale : (left + _SIDE) * scale]
    return lr[top : top + _SIDE, left : left + _SIDE].copy(), hr[inside].copy()


def _network_input(lr: NDArray[np.uint8], *, noise: int) -> NDArray[np.float32]:
    """Crop a picture to its middle as a network's input, with `noise` channels of noise."""
    middle, _ = _middle(lr, lr)
    beside = noise_rows(*middle.shape[:2], channels=noise, seed=0).whole() if noise else None
    return to_network(middle, beside)
