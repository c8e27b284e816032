"""Reads the frames of a clip from pictures in a folder, and writes frames as pictures."""

import re
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import count, pairwise
from os.path import lexists
from pathlib import Path

import numpy as np

from widesr.errors import (
    ImageWriteError,
    UsageError,
    VideoFormatError,
    VideoReadError,
    output_exists,
)
from widesr.pictures.adapt import adapted, means_srgb
from widesr.pictures.picture import MAX_PIXELS, Picture
from widesr.pictures.reading import read_picture
from widesr.pictures.writing import write_picture
from widesr.system.files import whole_file
from widesr.system.folders import frames_in
from widesr.system.threads import ahead
from widesr.video.clip import Clip
from widesr.video.colour import Colour, Layout, Plane
from widesr.video.decoding import Damage, Decoder, Frame
from widesr.video.frames import FrameUpscaler
from widesr.video.passing import first_needed, upscale_marked

_NUMBER = re.compile(r"%0?(\d*)d")


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """The frames of a clip as pictures; it is used as a `Decoder`."""

    clip: Clip
    paths: Sequence[Path]
    max_pixels: int
    is_srgb: bool = True
    """False if the first picture has other colours, which are converted."""
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
            if pixels.dtype != (np.uint8 if clip.layout.bits == 8 else np.uint16):
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
    bits = 8 if first.pixels.dtype == np.uint8 else 10
    end = "" if bits == 8 else "10le"
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
    return Pictures(clip=clip, paths=paths, max_pixels=max_pixels, is_srgb=is_srgb, gap=_gap(paths))


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
    """Say whether a name is a pattern for the names of frames, such as frames/%06d.png."""
    return bool(_NUMBER.search(out.name))


def write_pictures(
    decoder: Decoder,
    pattern: Path,
    *,
    upscaler: FrameUpscaler,
    segment: int,
    quality: int = 95,
    lossless: bool = False,
    overwrite: bool = False,
) -> tuple[int, int]:
    """Upscale a clip into pictures, each written whole or not at all, and list their times.

    Pictures that exist already are skipped if all before them exist too, so that a stopped run can
    go on. `timestamps.txt` beside them has the times in milliseconds, in mkvtoolnix' second format.

    Returns:
        The number of frames, and how many of their pictures an earlier run had made.

    Raises:
        UsageError: The pattern is not valid.
        OutputExistsError: There is a `timestamps.txt`, but no picture of an earlier run.
        WidesrError: The errors of `Decoder.frames` and `write_picture`.
    """
    if len(_NUMBER.findall(pattern.name)) != 1:
        raise UsageError(f"{pattern}: expected one number in the name, as in frame_%06d.png")
    clip = decoder.clip
    listed = pattern.with_name("timestamps.txt")
    made = 0
    if not overwrite:
        made = next(n for n in count() if not lexists(_name(pattern, n + 1)))
        if not made and lexists(listed):
            raise output_exists(listed)
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
    text = "\n".join(["# timestamp format v2", *times, ""])
    try:
        with whole_file(listed, overwrite=True) as file:
            file.write(text.encode())
    except OSError as error:
        raise ImageWriteError(f"{listed}: cannot be written ({error.strerror})") from error
    return len(times), min(made, len(times))


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
