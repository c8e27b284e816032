"""Upscales a clip: decodes, computes and encodes at once; writes the output whole or not at all."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from fractions import Fraction
from math import floor
from os.path import lexists, realpath
from pathlib import Path
from typing import Any, NamedTuple, get_args

from widesr.engine import EngineOptions
from widesr.errors import (
    ImageWriteError,
    OutputExistsError,
    UsageError,
    VideoFormatError,
    VideoReadError,
    WidesrError,
    output_exists,
    write_error,
)
from widesr.pictures.picture import MAX_PIXELS
from widesr.system.files import is_full, refuse_special
from widesr.system.folders import is_folder
from widesr.system.progress import ignore
from widesr.system.threads import ahead
from widesr.system.version import __version__
from widesr.video.clip import Clip, check_progressive, read_clip
from widesr.video.converting import Converter
from widesr.video.decoding import Damage, Damaged, Decoder, Frame
from widesr.video.encoding import CONTAINERS, Codec, Encoding, choose_encoding
from widesr.video.frames import FrameUpscaler
from widesr.video.library import load_av, reason
from widesr.video.muxing import Kept, Output
from widesr.video.passing import first_needed, upscale_marked
from widesr.video.segments import Encoder, Packet, Timeline
from widesr.video.sequence import Pictures, is_on_its_side, read_pictures, write_pictures
from widesr.video.unfinished import Unfinished, fingerprint

SEGMENT = 96
"""Frames per segment. After a kill, at most this many and those in flight are computed again."""

_NTSC = (24, 30, 48, 60, 120, 240)
"""Frame rates that NTSC slows down by the factor 1000/1001."""
_SLOWEST, _FASTEST = Fraction(1, 100), 1000

Progress = Callable[[int, int], None]
"""Callback after each frame, with the number of frames done and the approximate total."""


class VideoResult(NamedTuple):
    """The result of upscaling a clip."""

    source: Path
    target: Path
    input_size: tuple[int, int]
    """(height, width)"""
    output_size: tuple[int, int]
    frames: int
    """The number of frames in the output."""
    resumed: int
    """Frames that an earlier run had made."""
    codec: str
    model: str
    notices: tuple[str, ...]
    """Sentences about what was guessed, and about what differs from the input."""
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Work:
    """A clip that is about to be upscaled, with every choice made."""

    clip: Clip
    decoder: Decoder | Pictures
    """The source of the frames."""
    out: Path
    upscaler: FrameUpscaler
    encoding: Encoding
    damaged: Damaged
    deinterlace: bool
    run_with: EngineOptions | None = None
    """The settings of the network, which decide the output too; None if they are not known."""

    @property
    def _files(self) -> Sequence[Path]:
        return self.decoder.paths if isinstance(self.decoder, Pictures) else [self.clip.path]

    @property
    def made_by(self) -> dict[str, Any]:
        """Give all that decides the output; a run with another value cannot be resumed."""
        return _made_by(
            self._files,
            self.upscaler,
            self.run_with,
            encoding=repr(self.encoding),
            damaged=self.damaged,
            deinterlace=self.deinterlace,
        )


def _made_by(
    files: Sequence[Path],
    upscaler: FrameUpscaler,
    run_with: EngineOptions | None,
    **choices: str | int | tuple[int, int],
) -> dict[str, Any]:
    """Put together all that decides an output."""
    return choices | {
        "version": __version__,
        "av": load_av().__version__,
        "source": [fingerprint(path) for path in files],
        "model": upscaler.model,
        "weights": upscaler.weights_sha256,
        "segment": SEGMENT,
        "run_with": repr(run_with),
    }


def plan_work(
    path: Path,
    out: Path,
    *,
    upscaler: FrameUpscaler,
    codec: Codec | None = None,
    crf: int | None = None,
    lossless: bool = False,
    damaged: Damaged = "refuse",
    deinterlace: bool = False,
    max_pixels: int = MAX_PIXELS,
    fps: float | None = None,
    run_with: EngineOptions | None = None,
) -> Work:
    """Read a clip and plan how to upscale it; see `upscale_video` for arguments and errors."""
    if damaged not in get_args(Damaged):
        raise UsageError(f"expected damaged as {' or '.join(get_args(Damaged))}, got {damaged!r}")
    if lexists(out) and realpath(out) == realpath(path):
        raise OutputExistsError(f"{out}: is the input too; name another output")
    decoder: Decoder | Pictures
    if is_folder(path):
        if fps is None:
            raise UsageError(
                f"{path}: pictures have no times; say how many frames a second has",
                options=["fps=24"],
            )
        exact = lossless or codec == "ffv1"
        decoder = read_pictures(path, fps=_rate(fps), lossless=exact, max_pixels=max_pixels)
    elif fps is not None:
        raise UsageError(
            f"{path}: has times of its own; leave fps out, which is for a folder of pictures"
        )
    else:
        clip = read_clip(path, max_pixels=max_pixels)
        check_progressive(path, interlaced=clip.interlaced, deinterlace=deinterlace)
        decoder = Decoder(clip=clip, damaged=damaged, deinterlace=deinterlace)
    clip = decoder.clip
    size = upscaler.output_size(clip.height, clip.width)
    encoding = choose_encoding(clip, out, size=size, codec=codec, crf=crf, lossless=lossless)
    return Work(
        clip=clip,
        decoder=decoder,
        out=out,
        upscaler=upscaler,
        encoding=encoding,
        damaged=damaged,
        deinterlace=deinterlace,
        run_with=run_with,
    )


def _rate(fps: float) -> Fraction:
    """Give the rate that people mean: 23.976, 23.98 and 23.97 are 24000/1001, as in NTSC.

    Raises:
        UsageError: No clip has that rate.
    """
    try:
        rate = Fraction(str(fps))
    except ValueError:  # NaN, infinity, or no number
        rate = Fraction(0)
    if not _SLOWEST <= rate <= _FASTEST:
        raise UsageError(f"expected fps from {float(_SLOWEST)} to {_FASTEST}, got {fps!r}")
    for whole in _NTSC:
        exact = Fraction(1000 * whole, 1001)
        for unit in (10**digits for digits in range(2, 7)):
            if rate in (Fraction(floor(exact * unit), unit), Fraction(round(exact * unit), unit)):
                return exact
    return rate.limit_denominator(1001)


def output_beside(path: Path, name_end: str) -> Path:
    """Name the output of a clip: in its own container if that can be written, else Matroska."""
    if path.name in ("", ".."):  # a folder of pictures, given as "." or ".."
        path = path.resolve()
    if not path.name:
        raise UsageError(f"{path}: has no name to call the output by; name the output")
    ending = path.suffix if path.suffix.lower() in CONTAINERS else ".mkv"
    return path.with_name(f"{path.stem}{name_end}{ending}")


def upscale_clip(
    work: Work, *, overwrite: bool = False, on_progress: Progress = ignore
) -> VideoResult:
    """Upscale a clip into a file that appears only once it is whole.

    A run that was stopped or killed is resumed if all that decides the output is the same. At most
    one segment of what it had finished is made again.

    Args:
        work: The plan that `plan_work` made.
        overwrite: Replace an output that exists.
        on_progress: Called after each frame.

    Raises:
        WidesrError: The clip cannot be read to its end, or the output cannot be written. Only a
            failed write, as to a full disk, leaves what is needed to resume.
        KeyboardInterrupt: The run was stopped; a hidden folder keeps what is needed to resume.
    """
    start = time.perf_counter()
    if not overwrite and lexists(work.out):
        raise output_exists(work.out)
    try:
        if is_folder(work.out):
            raise IsADirectoryError
        refuse_special(work.out)
    except OSError as error:
        raise write_error(work.out, error) from error
    unfinished = Unfinished(work.out, made_by=work.made_by)
    try:
        run = _Run(work, unfinished, on_progress)
        run.all()
        try:
            unfinished.finish(overwrite=overwrite)
        except OSError as error:
            raise write_error(work.out, error) from error
    except BaseException as error:
        if isinstance(error, WidesrError) and not isinstance(error, ImageWriteError):
            unfinished.remove()  # the same work would fail again
        else:
            unfinished.close()
        raise
    encoding = work.encoding
    return VideoResult(
        source=work.clip.path,
        target=work.out,
        input_size=(work.clip.height, work.clip.width),
        output_size=(encoding.height, encoding.width),
        frames=run.frames,
        resumed=run.resumed,
        codec=encoding.codec,
        model=work.upscaler.model,
        notices=tuple(run.notices),
        seconds=time.perf_counter() - start,
    )


class _Run:
    """One run, from the frames that are kept to the end of the clip."""

    def __init__(self, work: Work, unfinished: Unfinished, on_progress: Progress) -> None:
        self._work, self._unfinished, self._on_progress = work, unfinished, on_progress
        self.frames = self.resumed = unfinished.frames
        self.notices: list[str] = _notices(work)
        if unfinished.is_damaged:
            self.notices.append(
                f"what an earlier run had made after frame {self.resumed} was damaged on the disk, "
                "and is made again"
            )
        self._segment: list[Kept] = []

    def all(self) -> None:
        """Write all of the output.

        Raises:
            WidesrError: See `upscale_clip`.
        """
        work, unfinished = self._work, self._unfinished
        try:
            output = Output(
                None if isinstance(work.decoder, Pictures) else work.clip,
                work.encoding,
                unfinished.part,
                damaged=work.damaged,
            )
        except OSError as error:
            raise self._unwritten(error) from error
        try:
            for packet in unfinished.packets():
                output.add_again(packet)
            self._encode_all(output)
            output.finish()
        except BaseException as error:
            output.abandon()
            if isinstance(error, load_av().FFmpegError | OSError):
                raise self._unwritten(error) from error
            raise
        self.notices += [*output.notices, *_found(work.decoder.damage)]

    def _encode_all(self, output: Output) -> None:
        work, encoding = self._work, self._work.encoding
        converter = Converter(encoding.colour, encoding.layout, height=work.clip.height)
        holds_beyond = encoding.layout == work.clip.layout
        timeline = Timeline(encoding.delay, past=self._unfinished.times)
        encoder: Encoder | None = None
        with ExitStack() as stack:
            for number, frame in enumerate(self._upscaled(stack), start=self.frames):
                if number % SEGMENT == 0 or encoder is None:
                    if encoder is not None:
                        self._end_segment(encoder, output)
                    encoder = Encoder(encoding, timeline)
                pixels = frame.pixels[: encoding.height, : encoding.width]
                made = converter.to_frame(
                    pixels,
                    frame.beyond if holds_beyond else None,
                    pixel_format=encoding.pixel_format,
                )
                for packet in encoder.encode(made, frame.pts, frame.duration):
                    self._segment.append(output.add(packet))
                self.frames += 1
                self._on_progress(self.frames, max(work.clip.frames, self.frames))
        if encoder is not None:
            self._end_segment(encoder, output, is_last=True)
        if not self.frames:
            raise VideoReadError(f"{work.clip.path}: its video holds no frames")

    def _end_segment(self, encoder: Encoder, output: Output, *, is_last: bool = False) -> None:
        packets = list(encoder.finish())
        if is_last and packets:
            first = self._segment[0].dts if self._segment else packets[0].dts
            packets[-1] = self._to_the_end(packets[-1], first_dts=first)
        for packet in packets:
            self._segment.append(output.add(packet))
        self._unfinished.commit(self._segment)
        self._segment = []

    def _to_the_end(self, last: Packet, *, first_dts: int) -> Packet:
        """Let the last packet end where the input ends; files state this end as their duration.

        Args:
            last: The last packet.
            first_dts: The decoding time of the segment's first packet.
        """
        stated, kept = self._work.clip.duration, self._unfinished.first_dts
        first = first_dts if kept is None else kept
        left = 0 if stated is None else stated - (last.dts - first)
        return last._replace(duration=left) if left > 0 else last

    def _upscaled(self, stack: ExitStack) -> Iterator[Frame]:
        """Upscale the frames that are not kept yet, while others are decoded and encoded."""
        upscaler, kept = self._work.upscaler, self.resumed
        first = first_needed(kept, upscaler, segment=SEGMENT)
        decoded = ahead(stack.enter_context(self._work.decoder.frames(skip=first)))
        stack.enter_context(closing(decoded))
        made = ahead(upscale_marked(decoded, upscaler, segment=SEGMENT, first=first, wanted=kept))
        stack.enter_context(closing(made))
        return made

    def _unwritten(self, error: Exception) -> ImageWriteError:
        kept = ""
        if self.frames >= SEGMENT:
            folder = self._unfinished.folder
            kept = f"; what is made so far is kept in {folder}, give the same command again"
        has_no_room = isinstance(error, OSError) and is_full(error)
        way_out = "make room there" if has_no_room else "name another file, or another container"
        return ImageWriteError(
            f"{self._work.out}: cannot be written ({reason(error)}); {way_out}{kept}"
        )


def _notices(work: Work) -> list[str]:
    clip, encoding = work.clip, work.encoding
    notices = []
    if isinstance(work.decoder, Pictures) and not work.decoder.is_srgb:
        notices.append("the colours of the frames are converted from their profile to sRGB")
    if isinstance(work.decoder, Pictures) and work.decoder.gap:
        before, after = work.decoder.gap
        notices.append(f"numbers are missing between {before.name} and {after.name}")
    notices += _guessed(clip)
    size = work.upscaler.output_size(clip.height, clip.width)
    if size != (encoding.height, encoding.width):
        notices.append(
            f"{encoding.width}x{encoding.height} instead of {size[1]}x{size[0]}: "
            f"{encoding.codec} takes even sides"
        )
    if clip.colour.mastering and not encoding.keeps_mastering:
        notices.append(f"{encoding.codec} does not say on what display the film was mastered")
    if clip.is_hdr10_plus:
        notices.append("HDR10+ became HDR10: what it says of single frames is left out")
    if clip.has_captions:
        notices.append(
            "closed captions in the frames are left out; ccextractor takes them from the input"
        )
    bits = work.decoder.bits if isinstance(work.decoder, Pictures) else clip.layout.bits
    if encoding.layout.bits != bits:
        notices.append(f"{bits} bits became {encoding.layout.bits}")
    return notices


def _guessed(clip: Clip) -> list[str]:
    guesses = clip.colour.guesses(clip.layout, clip.height)
    return [f"not stated, taken as {guesses}"] if guesses else []


def _found(damage: Damage) -> list[str]:
    stands = "; the last good one stands in" if damage.frames else ""
    return [f"{damage}{stands}"] if str(damage) else []


def upscale_into_pictures(
    path: Path,
    pattern: Path,
    *,
    upscaler: FrameUpscaler,
    deinterlace: bool = False,
    damaged: Damaged = "refuse",
    quality: int = 95,
    lossless: bool = False,
    overwrite: bool = False,
    max_pixels: int = MAX_PIXELS,
    run_with: EngineOptions | None = None,
    on_progress: Progress = ignore,
) -> VideoResult:
    """Upscale a clip into pictures, one for each frame; see `sequence.write_pictures`.

    Args:
        path: The clip.
        pattern: The names of the pictures: frames/%06d.png.
        upscaler: The upscaler of the frames.
        deinterlace: Merge both fields into one picture.
        damaged: "refuse" a clip with frames that cannot be decoded, or "repeat" the last good one.
        quality: The quality of JPEG, WebP and AVIF, 1 to 100.
        lossless: Keep every value of the upscaled frames, or refuse the clip.
        overwrite: Replace pictures that exist.
        max_pixels: The largest picture that is decoded.
        run_with: The settings of the network, which decide the pictures too.
        on_progress: Called after each frame.

    Raises:
        WidesrError: The errors of `upscale_clip`; pictures that were made stay.
    """
    start = time.perf_counter()
    clip = read_clip(path, max_pixels=max_pixels)
    check_progressive(path, interlaced=clip.interlaced, deinterlace=deinterlace)
    if clip.colour.hdr:
        raise VideoFormatError(
            f"{path}: is HDR, {clip.colour.hdr}, which pictures would not say; write a clip"
        )
    decoder = Decoder(clip=clip, damaged=damaged, deinterlace=deinterlace)
    size = upscaler.output_size(clip.height, clip.width)
    frames, resumed = write_pictures(
        decoder,
        pattern,
        upscaler=upscaler,
        segment=SEGMENT,
        made_by=_made_by(
            [path],
            upscaler,
            run_with,
            size=size,
            deinterlace=deinterlace,
            quality=quality,
            lossless=lossless,
        ),
        quality=quality,
        lossless=lossless,
        overwrite=overwrite,
        on_progress=on_progress,
    )
    return VideoResult(
        source=path,
        target=pattern,
        input_size=(clip.height, clip.width),
        output_size=size[::-1] if is_on_its_side(clip.matrix) else size,
        frames=frames,
        resumed=resumed,
        codec=pattern.suffix.removeprefix("."),
        model=upscaler.model,
        notices=(*_guessed(clip), *_found(decoder.damage)),
        seconds=time.perf_counter() - start,
    )
