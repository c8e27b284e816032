"""Reads the frames of a clip from pictures in a folder, and writes frames as pictures."""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import count, pairwise
from os.path import lexists
from pathlib import Path
from typing import Any

import numpy as np

from widesr.errors import (
    UsageError,
    VideoFormatError,
    VideoReadError,
    output_exists,
    write_error,
)
from widesr.pictures.adapt import adapted, means_srgb
from widesr.pictures.picture import MAX_PIXELS, Picture
from widesr.pictures.reading import read_picture
from widesr.pictures.writing import check_lossless, output_format, write_picture
from widesr.system.files import remove_leftovers, whole_file
from widesr.system.folders import CLIP_SUFFIXES, frames_in
from widesr.system.progress import ignore
from widesr.system.threads import ahead
from widesr.video.clip import Clip
from widesr.video.colour import Colour, Layout, Plane
from widesr.video.decoding import Damage, Decoder, Frame
from widesr.video.frames import FrameUpscaler
from widesr.video.passing import first_needed, upscale_marked

_NUMBER = re.compile(r"%0?(\d*)d")
_TIMES = "timestamps.txt"


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """The frames of a clip as pictures; it is used as a `Decoder`."""

    clip: Clip
    paths: Sequence[Path]
    max_pixels: int
    is_srgb: bool = True
    """False if the first picture has other colours, which are converted."""
    bits: int = 8
    """The bits per channel of the pictures."""
    gap: tuple[Path, Path] | None = None
    """The first two pictures between which numbers are missing; None if there are none."""
    damage: Damage = field(default_factory=Damage)

    @contextmanager
    def frames(self, *, skip: int = 0) -> Iterator[Iterator[Frame]]:
        """Give the frames in order, as `Decoder.frames` does."""
        yield self._frames(skip)

    def _frames(self, skip: int) -> Iterator[Frame]:
        clip = self.clip
        for number, path in enumerate(self.paths[skip:], start=skip):
            picture = read_picture(path, max_pixels=self.max_pixels)
            if (picture.width, picture.height) != (clip.width, clip.height):
                raise VideoFormatError(
                    f"{path}: is {picture.width}x{picture.height} and the first frame is "
                    f"{clip.width}x{clip.height}; expected one size throughout"
                )
            alpha = picture.alpha
            if alpha is not None and bool((alpha != np.iinfo(alpha.dtype).max).any()):
                raise VideoFormatError(
                    f"{path}: is partly transparent, for which clips have no place; expected "
                    "opaque frames"
                )
            if not means_srgb(picture.icc):  # sRGB pictures stay exact
                picture = adapted(picture, icc="srgb")
            pixels = picture.pixels
            if pixels.shape[2] == 1:
                pixels = np.repeat(pixels, 3, axis=2)
            if pixels.dtype.itemsize * 8 != self.bits:
                raise VideoFormatError(f"{path}: has another depth than the first frame")
            yield Frame(pts=number, duration=1, pixels=pixels)


def read_pictures(
    folder: Path, *, fps: Fraction, lossless: bool = False, max_pixels: int = MAX_PIXELS
) -> Pictures:
    """Read the pictures of a folder, in the order of their names, as the frames of a clip.

    Colours in a profile other than sRGB are converted to sRGB, as a clip cannot hold profiles.

    Args:
        folder: The folder of the pictures, all of one size and depth.
        fps: Frames per second.
        lossless: Keep RGB; otherwise the clip is BT.709 in 4:2:0, as players expect.
        max_pixels: The largest picture that is read.

    Raises:
        VideoReadError: There are no pictures.
        WidesrError: The errors of `read_picture`, for the first picture.
    """
    paths = frames_in(folder)
    if not paths:
        raise VideoReadError(f"{folder}: holds no pictures that could be frames")
    first = read_picture(paths[0], max_pixels=max_pixels)
    bits = 8 if first.pixels.dtype == np.uint8 else 16 if lossless else 10
    end = "" if bits == 8 else f"{bits}le"
    layout = (
        Layout(name=f"gbrp{end}", kind="rgb", bits=bits)
        if lossless
        else Layout(name=f"yuv420p{end}", kind="yuv", bits=bits, across=2, down=2)
    )
    clip = Clip(
        path=folder,
        format="pictures",
        index=0,
        codec="pictures",
        width=first.width,
        height=first.height,
        layout=layout,
        colour=Colour(matrix=1, range=1, primaries=1, transfer=1, siting="left"),
        time_base=1 / fps,
        rate=fps,
        nominal_rate=fps,
        aspect=None,
        matrix=None,
        frames=len(paths),
        duration=None,
        clock=0,
        seconds=float(len(paths) / fps),
        interlaced=False,
        is_hdr10_plus=False,
        has_captions=False,
        incomplete=0,
    )
    is_srgb = means_srgb(first.icc)
    return Pictures(
        clip=clip,
        paths=paths,
        max_pixels=max_pixels,
        is_srgb=is_srgb,
        bits=first.pixels.dtype.itemsize * 8,
        gap=_gap(paths),
    )


def _gap(paths: Sequence[Path]) -> tuple[Path, Path] | None:
    """Find the first two frames whose numbers are further apart than those of others."""
    numbers = [re.findall("[0-9]+", path.stem)[-1:] for path in paths]
    if not all(numbers):
        return None
    steps = [int(after) - int(before) for (before,), (after,) in pairwise(numbers)]
    usual = min(steps, default=0)
    return next(
        (pair for pair, step in zip(pairwise(paths), steps, strict=True) if step > usual > 0), None
    )


def is_pattern(out: Path) -> bool:
    """Say whether a name is a pattern for the names of frames, such as frames/%06d.png.

    The name of a clip is none, not even summer%20day.mp4.
    """
    return out.suffix.lower() not in CLIP_SUFFIXES and bool(_NUMBER.search(out.name))


def write_pictures(
    decoder: Decoder,
    pattern: Path,
    *,
    upscaler: FrameUpscaler,
    segment: int,
    made_by: dict[str, Any],
    quality: int = 95,
    lossless: bool = False,
    overwrite: bool = False,
    on_progress: Callable[[int, int], None] = ignore,
) -> tuple[int, int]:
    """Upscale a clip into pictures, each written whole or not at all, and list their times.

    Until all are there, a hidden file says by what they are made and which pictures they replace,
    so that the same run goes on if it was stopped. `timestamps.txt` has the times in milliseconds,
    in mkvtoolnix' second format.

    Args:
        decoder: The source of the frames.
        pattern: The names of the pictures: frames/%06d.png.
        upscaler: The upscaler of the frames.
        segment: Frames per segment.
        made_by: All that decides the pictures.
        quality: The quality of JPEG, WebP and AVIF, 1 to 100.
        lossless: Keep every value of the upscaled frames, or refuse the clip.
        overwrite: Replace pictures that exist.
        on_progress: Called after each picture with the number of frames done and the approximate
            total.

    Returns:
        The number of frames, and how many of their pictures an earlier run had made.

    Raises:
        UsageError: The pattern is not valid.
        OutputExistsError: A picture or `timestamps.txt` exists that this run has not begun.
        WidesrError: The errors of `Decoder.frames` and `write_picture`.
    """
    if len(_NUMBER.findall(pattern.name)) != 1:
        raise UsageError(f"{pattern}: expected one number in the name, as in frame_%06d.png")
    output_format(pattern)
    if lossless:
        check_lossless(pattern)
    remove_leftovers(pattern.parent)
    clip, begun = decoder.clip, _begun(pattern)
    replaced = _resumed(begun, made_by)
    may_replace = overwrite or replaced is not None
    if replaced is None:
        if not overwrite and (taken := _taken(pattern)):
            raise output_exists(taken)
        replaced = _pictures_there(pattern)
        lines = (json.dumps(each, sort_keys=True) for each in (made_by, replaced))
        _write(begun, "\n".join(lines).encode(), overwrite=True)
    there = _pictures_there(pattern)
    made = next(n for n in count() if there.get(n + 1) in (None, replaced.get(n + 1)))
    first = first_needed(made, upscaler, segment=segment)
    times: list[str] = []
    with decoder.frames() as frames:

        def wanted() -> Iterator[Frame]:
            for number, frame in enumerate(frames, start=1):
                times.append(f"{float(frame.pts * clip.time_base * 1000):.6f}")
                if number > first:
                    yield frame

        upscaled = ahead(
            upscale_marked(wanted(), upscaler, segment=segment, first=first, wanted=made)
        )
        with closing(upscaled):
            for number, frame in enumerate(upscaled, start=made + 1):
                pixels = np.ascontiguousarray(_upright(frame.pixels, clip.matrix))
                write_picture(
                    _name(pattern, number),
                    Picture(pixels=pixels),
                    quality=quality,
                    lossless=lossless,
                    overwrite=overwrite,
                )
                on_progress(number, max(clip.frames, number))
    text = "\n".join(["# timestamp format v2", *times, ""])
    _write(pattern.with_name(_TIMES), text.encode(), overwrite=may_replace)
    begun.unlink(missing_ok=True)
    return len(times), min(made, len(times))


def are_there(pattern: Path) -> bool:
    """Say whether frames of such names are there already, not counting those of a stopped run."""
    return not lexists(_begun(pattern)) and _taken(pattern) is not None


def _begun(pattern: Path) -> Path:
    """Name the hidden file that says by what pictures are made."""
    return pattern.with_name(f".{pattern.name}.widesr")


def _resumed(begun: Path, made_by: dict[str, Any]) -> dict[int, int] | None:
    """Read which pictures a run replaces that was stopped; None if there is no such run."""
    try:
        lines = begun.read_text().splitlines()
    except (OSError, ValueError):
        return None
    if lines[:1] != [json.dumps(made_by, sort_keys=True)]:
        return None
    return {int(number): changed for number, changed in json.loads(lines[1]).items()}


def _pictures_there(pattern: Path) -> dict[int, int]:
    """Find the files with the names of frames, and give their times of change in ns, by number.

    Raises:
        ImageWriteError: The folder is missing, or cannot be listed.
    """
    before, _, after = _NUMBER.split(pattern.name)
    frame = re.compile(rf"{re.escape(before)}([0-9]+){re.escape(after)}")
    there = {}
    try:
        for file in pattern.parent.iterdir():
            found = frame.fullmatch(file.name)
            if found and _name(pattern, int(found[1])) == file:
                there[int(found[1])] = file.lstat().st_mtime_ns
    except OSError as error:
        raise write_error(pattern, error) from error
    return there


def _taken(pattern: Path) -> Path | None:
    """Find a file with the name of a frame, or of the list of their times."""
    number = min(_pictures_there(pattern), default=None)
    times = pattern.with_name(_TIMES)
    return (times if lexists(times) else None) if number is None else _name(pattern, number)


def _write(path: Path, data: bytes, *, overwrite: bool) -> None:
    try:
        with whole_file(path, overwrite=overwrite) as file:
            file.write(data)
    except OSError as error:
        raise write_error(path, error) from error


def is_on_its_side(matrix: Sequence[int] | None) -> bool:
    """Say whether a display matrix turns frames by a right angle, so that width becomes height."""
    return matrix is not None and not matrix[0] and not matrix[4]


def _upright(pixels: Plane, matrix: Sequence[int] | None) -> Plane:
    """Turn a frame (H, W, C) for display, as its clip's matrix says; pictures have no matrix.

    Args:
        pixels: The frame.
        matrix: FFmpeg's display matrix; None if the clip states none.
    """
    if matrix is None:
        return pixels
    across, across_to_down, _, down_to_across, down = matrix[:5]
    if is_on_its_side(matrix):
        pixels, across, down = pixels.swapaxes(0, 1), down_to_across, across_to_down
    return pixels[:: -1 if down < 0 else 1, :: -1 if across < 0 else 1]


def _name(pattern: Path, number: int) -> Path:
    name = _NUMBER.sub(lambda found: f"{number:0{found[1] or 0}d}", pattern.name)
    return pattern.with_name(name)
