"""Judges models on clips: PSNR and SSIM of every frame under a named protocol, flicker, and TCC.

A clip is a file, or a folder of pictures that are its frames, in the order of the numbers in their
names.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from math import isinf
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from widesr.degrade.bicubic import cropped_to_multiple, degrade
from widesr.degrade.named import blur_down
from widesr.errors import DataError, ShapeError, UsageError
from widesr.pictures.reading import read_picture
from widesr.pixels.metrics import Protocol, luma, psnr, ssim
from widesr.system.folders import CLIP_SUFFIXES, frames_in, is_folder, pictures_in
from widesr.video.clip import read_clip
from widesr.video.decoding import Decoder
from widesr.video.frames import FrameUpscaler


@dataclass(frozen=True, kw_only=True)
class ClipProtocol:
    """All choices that change a published number of video super-resolution."""

    name: str
    degradation: str
    """The way LR is made: "BI" is MATLAB's bicubic; "BD" is a Gaussian blur of sigma 1.6 and then
    every 4th pixel."""
    crop: int
    """The border that is left out on each side, in HR pixels."""
    skip: int
    """The number of frames that are left out at the start, and again at the end."""
    source: str

    @property
    def picture(self) -> Protocol:
        """The protocol of each frame: luma of BT.601, not rounded."""
        return Protocol(
            name=self.name,
            channel="y",
            border_per_scale=0,
            border_extra=self.crop,
            y_rounded=False,
            source=self.source,
        )


CLIP_PROTOCOLS: dict[str, ClipProtocol] = {
    each.name: each
    for each in (
        ClipProtocol(
            name="vid4-bi",
            degradation="BI",
            crop=0,
            skip=0,
            source="BasicSR, EDVR and BasicVSR on Vid4: luma, whole frames, all frames",
        ),
        ClipProtocol(
            name="vid4-bd",
            degradation="BD",
            crop=0,
            skip=0,
            source="BasicVSR on Vid4 BD: luma, whole frames, all frames",
        ),
        ClipProtocol(
            name="vid4-bi-crop8-skip2",
            degradation="BI",
            crop=8,
            skip=2,
            source="VESPCN, FRVSR on Vid4: luma, 8 pixels and two frames at both ends left out",
        ),
        ClipProtocol(
            name="vid4-bd-crop8-skip2",
            degradation="BD",
            crop=8,
            skip=2,
            source="DUF, RBPN, RRN on Vid4: luma, 8 pixels and two frames at both ends left out",
        ),
    )
}
"""The protocols by name, which states the crop and the skipped frames if there are any."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


class FrameScores(_Frozen):
    """The scores of one frame."""

    psnr: float
    ssim: float


class ClipScores(_Frozen):
    """The scores of one clip."""

    name: str
    frames: list[FrameScores]
    psnr: float
    """The mean over the frames, dB."""
    ssim: float
    flicker: float
    """The temporal information of SR minus that of HR, in levels: above 0 SR flickers, below 0 it
    smears. ITU-T P.910 defines it as the largest standard deviation of luma frame differences."""
    tcc: float | None
    """Temporal change consistency: the mean SSIM between the absolute luma differences of adjacent
    frames in SR and those in HR; 1 is best. None for a single frame.

    Source: Zhang et al., "Exploiting Temporal Consistency for Real-Time Video Depth Estimation",
    2019.
    """
    seconds: float
    """The mean time to upscale a frame."""


class ClipsReport(_Frozen):
    """The result of `evaluate_clips`."""

    folder: str
    model: str
    scale: int
    protocol: str
    degradation: str
    crop: int
    skip: int
    source: str
    clips: list[ClipScores]
    psnr: float
    """The mean over the clips, dB."""
    ssim: float


def evaluate_clips(
    hr: Path,
    *,
    upscaler: FrameUpscaler,
    scale: int,
    protocol: str,
) -> ClipsReport:
    """Upscale the LR of HR clips, and score every frame.

    Args:
        hr: A clip, a folder of frames, or a folder of several of these.
        upscaler: The upscaler to judge.
        scale: The factor between LR and HR.
        protocol: One of `CLIP_PROTOCOLS`.

    Raises:
        UsageError: There is no such protocol, or it is not for this scale.
        DataError: There are no clips, too few or too small frames, or frames of several sizes.
    """
    asked = CLIP_PROTOCOLS.get(protocol)
    if asked is None:
        raise UsageError(
            f"protocol {protocol!r} is not known; expected one of {', '.join(CLIP_PROTOCOLS)}"
        )
    if asked.degradation == "BD" and scale != 4:
        raise UsageError(f"protocol {protocol} is for x4, and x{scale} was asked for")
    clips = []
    for each in _clips_in(hr):
        try:
            clips.append(_judged(each, upscaler, scale=scale, protocol=asked))
        except ShapeError as error:
            raise DataError(f"{each}: {error.message}") from error
    return ClipsReport(
        folder=str(hr),
        model=upscaler.model,
        scale=scale,
        protocol=asked.name,
        degradation=asked.degradation,
        crop=asked.crop,
        skip=asked.skip,
        source=asked.source,
        clips=clips,
        psnr=float(np.mean([clip.psnr for clip in clips])),
        ssim=float(np.mean([clip.ssim for clip in clips])),
    )


def degrade_frame(hr: NDArray[Any], *, scale: int, degradation: str) -> NDArray[Any]:
    """Make the LR frame of an HR frame, (H, W, 3) uint8, whose sides `scale` divides.

    Args:
        hr: The frame.
        scale: The factor.
        degradation: "BI" is `degrade`, "BD" is `blur_down`.
    """
    if degradation == "BI":
        return degrade(hr, scale=scale)
    return blur_down(hr, scale=scale)


def _judged(
    clip: Path, upscaler: FrameUpscaler, *, scale: int, protocol: ClipProtocol
) -> ClipScores:
    hr = [cropped_to_multiple(frame, scale) for frame in _frames(clip)]
    if len(hr) <= 2 * protocol.skip:
        raise DataError(f"{clip}: has {len(hr)} frames, expected more than {2 * protocol.skip}")
    if len({each.shape for each in hr}) > 1:
        raise DataError(f"{clip}: has frames of several sizes, expected one size throughout")
    lr = [degrade_frame(each, scale=scale, degradation=protocol.degradation) for each in hr]
    start = time.perf_counter()
    sr = list(upscaler.upscale_scene(lr))
    seconds = (time.perf_counter() - start) / len(sr)
    inside = slice(protocol.skip, len(hr) - protocol.skip)
    scores = [
        FrameScores(
            psnr=psnr(one, other, protocol=protocol.picture, scale=scale),
            ssim=ssim(one, other, protocol=protocol.picture, scale=scale),
        )
        for one, other in zip(sr[inside], hr[inside], strict=True)
    ]
    finite = [each.psnr for each in scores if not isinf(each.psnr)]
    return ClipScores(
        name=clip.name,
        frames=scores,
        psnr=float(np.mean(finite)) if finite else float("inf"),
        ssim=float(np.mean([each.ssim for each in scores])),
        flicker=_temporal_information(sr[inside]) - _temporal_information(hr[inside]),
        tcc=_change_consistency(sr[inside], hr[inside], protocol=protocol.picture, scale=scale),
        seconds=seconds,
    )


def _temporal_information(frames: list[NDArray[Any]]) -> float:
    """Compute the largest standard deviation of the luma differences of adjacent frames."""
    lumas = [luma(frame, rounded=False) for frame in frames]
    changes = [float(np.std(after - before)) for before, after in pairwise(lumas)]
    return max(changes, default=0.0)


def _change_consistency(
    sr: list[NDArray[Any]], hr: list[NDArray[Any]], *, protocol: Protocol, scale: int
) -> float | None:
    """Compute the TCC of two clips; None if they have a single frame."""
    similar = [
        ssim(one, other, protocol=protocol, scale=scale)
        for one, other in zip(_changes(sr), _changes(hr), strict=True)
    ]
    return float(np.mean(similar)) if similar else None


def _changes(frames: list[NDArray[Any]]) -> Iterator[NDArray[np.uint8]]:
    """Give the absolute luma differences of adjacent frames, (H, W, 1)."""
    lumas = (luma(frame, rounded=True) for frame in frames)
    return (np.abs(after - before).astype(np.uint8) for before, after in pairwise(lumas))


def _clips_in(hr: Path) -> list[Path]:
    if not is_folder(hr) or pictures_in(hr):
        return [hr]
    files = pictures_in(hr, suffixes=CLIP_SUFFIXES)
    folders = [each for each in sorted(hr.iterdir()) if is_folder(each) and pictures_in(each)]
    if not files and not folders:
        raise DataError(f"{hr}: holds no clips and no folders of frames")
    return [*files, *folders]


def _frames(clip: Path) -> Iterator[NDArray[Any]]:
    """Give the frames of a clip, uint8 RGB."""
    if is_folder(clip):
        for path in frames_in(clip):
            yield _rgb(read_picture(path).pixels, path)
        return
    with Decoder(clip=read_clip(clip)).frames() as frames:
        for frame in frames:
            yield _rgb(frame.pixels, clip)


def _rgb(pixels: NDArray[Any], path: Path) -> NDArray[Any]:
    if pixels.dtype != np.uint8:
        raise DataError(f"{path}: has 16 bits, expected frames of 8 bits")
    return np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels
