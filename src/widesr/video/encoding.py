"""Chooses how the output is encoded: codec, container, pixel format, quality."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, NamedTuple

from widesr.errors import UsageError, VideoFormatError
from widesr.system.arguments import whole_number
from widesr.system.machine import cpu
from widesr.video.clip import Clip
from widesr.video.colour import LIMITED, Colour, Layout, Mastering
from widesr.video.library import load_av
from widesr.video.planes import layout_of

Codec = Literal["h264", "hevc", "av1", "vp9", "ffv1", "prores"]


class _Kind(NamedTuple):
    """The facts about a codec."""

    encoder: str
    containers: tuple[str, ...]
    crf: int | None
    """The default crf; None if the codec has none."""
    most: int
    """The largest crf."""
    delay: int
    """Frames that are encoded after one that is shown later: the reorder depth."""
    even: bool
    """True if sides must be even where chroma is subsampled."""
    options: Mapping[str, str]
    lossless: Mapping[str, str] | None
    """The options for lossless encoding; None if there are none."""


# At the same PSNR, "superfast" takes half the time of "veryfast" for slightly more bytes, and with
# macroblock trees for fewer bytes. The lookahead is short, as each of its frames takes memory.
_X264 = {"preset": "superfast", "bf": "2", "rc-lookahead": "8", "threads": "2"}
_X264_LEAN = {"bf": "0", "rc-lookahead": "3", "threads": "1"}
"""Options for large pictures: 250 MiB at 3840x2160, where reordered frames would take 410."""
LARGE = 2**22
"""Pixels above which a picture is large."""
_X265 = (
    "log-level=error:bframes=2:b-pyramid=1:ref=2:rc-lookahead=12:frame-threads=1:pools=2:"
    "open-gop=0:keyint=-1:info=0"
)
CODECS: dict[str, _Kind] = {
    "h264": _Kind(
        "libx264", ("mp4", "mov", "matroska"), 17, 51, 2, True, _X264, {"qp": "0"},
    ),
    "hevc": _Kind(
        "libx265", ("mp4", "mov", "matroska"), 19, 51, 2, True,
        {"preset": "fast", "x265-params": _X265}, {"x265-params": f"{_X265}:lossless=1"},
    ),
    "av1": _Kind(
        "libsvtav1", ("mp4", "matroska", "webm"), 24, 63, 0, True,
        {"preset": "8", "svtav1-params": "lp=2"}, {"svtav1-params": "lp=2:lossless=1"},
    ),
    "vp9": _Kind(
        "libvpx-vp9", ("mp4", "matroska", "webm"), 24, 63, 0, False,
        {"b": "0", "deadline": "good", "cpu-used": "4", "row-mt": "1", "threads": "2",
         "lag-in-frames": "8"},
        {"lossless": "1"},
    ),
    "ffv1": _Kind(
        "ffv1", ("matroska",), None, 0, 0, False,
        {"level": "3", "slices": "4", "slicecrc": "1", "g": "1", "threads": "2"}, {},
    ),
    "prores": _Kind(
        "prores_ks", ("mov", "matroska"), None, 0, 0, False, {"threads": "2", "vendor": "apl0"},
        None,
    ),
}  # fmt: skip
"""The facts about each codec, by the name that users know."""


class _Words(NamedTuple):
    """The names of an encoder's options that say how an HDR film was mastered."""

    option: str
    display: str
    light: str
    parts: tuple[int, int] | None
    """The integers that stand for 1 of chromaticity and of luminance; None if the encoder takes
    fractions."""


_MASTERING = {
    "h264": _Words("x264-params", "mastering-display", "cll", (50_000, 10_000)),
    "hevc": _Words("x265-params", "master-display", "max-cll", (50_000, 10_000)),
    "av1": _Words("svtav1-params", "mastering-display", "content-light", None),
}

CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}
"""The containers that can be written, by their endings."""


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """All that decides how the output's video is encoded."""

    codec: Codec
    container: str
    """FFmpeg's name of the output's container."""
    width: int
    height: int
    pixel_format: str
    layout: Layout
    """The planes that frames are converted to, and that `pixel_format` holds."""
    colour: Colour
    time_base: Fraction
    rate: Fraction
    nominal_rate: Fraction
    """The rate that the stream states; the times in the container take precedence."""
    aspect: Fraction | None
    crf: int | None
    lossless: bool

    @property
    def delay(self) -> int:
        """Frames that are encoded after one that is shown later: the reorder depth."""
        return 0 if self._is_lean else CODECS[self.codec].delay

    def options(self) -> dict[str, str]:
        """Give the encoder's options."""
        kind = CODECS[self.codec]
        options = dict(kind.options)
        if self._is_lean:
            options |= _X264_LEAN
        if self.lossless:
            options |= kind.lossless or {}
        elif self.crf is not None:
            options["crf"] = str(self.crf)
        if self.codec == "h264":
            params = ["mbtree=1", "force-cfr=1"]  # otherwise it states one frame per tick
            if "avx512f" in cpu().flags:
                params.append("asm=avx2")  # x264 165's AVX-512 is not deterministic
            options["x264-params"] = ":".join(params)
        if self.codec in _MASTERING and (mastering := self.colour.mastering):
            words = _MASTERING[self.codec]
            told = [options[words.option], *_stated(mastering, words)]
            options[words.option] = ":".join(told)
        if self.colour.siting:
            options["chroma_sample_location"] = self.colour.siting
        return options

    @property
    def keeps_mastering(self) -> bool:
        """Say whether the stream can state how an HDR film was mastered."""
        return self.codec in _MASTERING

    @property
    def _is_lean(self) -> bool:
        return self.codec == "h264" and self.width * self.height > LARGE

    def apply(self, context: Any) -> None:  # noqa: ANN401 (av's)
        """Configure an encoder."""
        context.width, context.height = self.width, self.height
        context.pix_fmt = self.pixel_format
        context.time_base = self.time_base
        context.framerate = self.nominal_rate
        if self.aspect:
            context.sample_aspect_ratio = self.aspect
        is_rgb = self.layout.kind == "rgb"
        context.colorspace = 0 if is_rgb else self.colour.matrix
        context.color_range = 2 if is_rgb else self.colour.range
        context.color_primaries = self.colour.primaries
        context.color_trc = self.colour.transfer
        context.options = self.options()


def _stated(mastering: Mastering, words: _Words) -> Iterator[str]:
    """Give the encoder's parameters that say how a film was mastered."""
    if mastering.display is not None:
        xy, luminance = words.parts or (1, 1)
        rx, ry, gx, gy, bx, by, wx, wy, least, most = (
            f"{value * part:.0f}" if words.parts else f"{value:.6g}"
            for value, part in zip(mastering.display, [xy] * 8 + [luminance] * 2, strict=True)
        )
        yield (
            f"{words.display}=G({gx},{gy})B({bx},{by})R({rx},{ry})WP({wx},{wy})L({most},{least})"
        )
    if mastering.light is not None:
        yield f"{words.light}={mastering.light[0]},{mastering.light[1]}"


def choose_encoding(
    clip: Clip,
    out: Path,
    *,
    size: tuple[int, int],
    codec: Codec | None = None,
    crf: int | None = None,
    lossless: bool = False,
) -> Encoding:
    """Choose the codec, pixel format and quality of a clip's output.

    Args:
        clip: The input.
        out: The output; its ending names the container.
        size: (height, width) of the output.
        codec: The codec; None is HEVC for HEVC and HDR, else H.264; in WebM it is AV1 for AV1,
            else VP9.
        crf: The encoder's quality setting, on the scale of its codec: lower is better.
        lossless: Encode without loss.

    Raises:
        UsageError: The codec, the container and the quality do not go together; or `lossless` is
            asked for, and the codec cannot hold every value.
        VideoFormatError: The container cannot be written.
    """
    container = container_of(out)
    if codec is None:
        codec = default_codec(clip.codec, container, is_hdr=clip.colour.hdr is not None)
    check_codec(codec, out, crf=crf, lossless=lossless)
    kind = CODECS[codec]
    layout, pixel_format = _pixel_format(clip, codec, lossless=lossless)
    if lossless and _is_lossy(layout, clip.layout):
        raise UsageError(
            f"{codec} does not hold {clip.layout.name} without loss; take ffv1, which is written "
            "into .mkv",
            options=["codec"],
        )
    height, width = size
    subsampled = (layout.across, layout.down) != (1, 1)
    if kind.even and subsampled:
        height, width = height - height % 2, width - width % 2
    if min(height, width) < 2:
        raise UsageError(f"the output would be {width}x{height}, which {codec} does not hold")
    return Encoding(
        codec=codec,
        container=container,
        width=width,
        height=height,
        pixel_format=pixel_format,
        layout=layout,
        colour=_colour(clip, layout, codec),
        time_base=clip.time_base,
        rate=clip.rate,
        nominal_rate=clip.nominal_rate,
        aspect=clip.aspect,
        crf=None if lossless else kind.crf if crf is None else crf,
        lossless=lossless,
    )


def check_codec(codec: Codec | None, out: Path, *, crf: int | None, lossless: bool) -> None:
    """Refuse a codec, a container and a quality that do not go together, before a clip is read.

    Raises:
        UsageError: The codec, the container and the quality do not go together.
        VideoFormatError: The container cannot be written.
    """
    container = container_of(out)
    if codec is None:  # the codec that is chosen later accepts the same
        codec = "vp9" if container == "webm" else "h264"
    if codec not in CODECS:
        raise UsageError(f"codec {codec!r} is not known; expected one of {', '.join(CODECS)}")
    kind = CODECS[codec]
    if container not in kind.containers:
        endings = [each for each, name in CONTAINERS.items() if name in kind.containers]
        raise UsageError(
            f"{out}: {codec} is not written into {out.suffix}, expected {' or '.join(endings)}"
        )
    if lossless and kind.lossless is None:
        raise UsageError(f"{codec} has no lossless way; take ffv1, or h264", options=["codec"])
    if crf is not None and (kind.crf is None or lossless):
        why = (
            "loses nothing, so it"
            if lossless or codec == "ffv1"
            else "has a quality of its own and"
        )
        raise UsageError(f"{codec} {why} takes no crf; leave it out")
    if crf is not None:
        whole_number(crf, f"crf from 0 to {kind.most} for {codec}", least=0, most=kind.most)


def container_of(out: Path) -> str:
    """Give FFmpeg's name of the container that a file's ending stands for.

    Raises:
        VideoFormatError: No container with this ending can be written.
    """
    found = CONTAINERS.get(out.suffix.lower())
    if found is None:
        raise VideoFormatError(
            f"{out}: clips are written as {', '.join(CONTAINERS)}, not as {out.suffix or 'this'}"
        )
    return found


def default_codec(codec: str, container: str, *, is_hdr: bool) -> Codec:
    """Choose the output's codec from the input's `codec`, if the user names none."""
    if container == "webm":
        return "av1" if codec == "av1" else "vp9"
    return "hevc" if codec == "hevc" or is_hdr else "h264"


def _pixel_format(clip: Clip, codec: Codec, *, lossless: bool) -> tuple[Layout, str]:
    """Choose the encoder's pixel format that loses least, and of equals the nearest one."""
    wanted = clip.layout
    if codec == "h264" and wanted.kind == "rgb" and wanted.bits == 8 and lossless:
        return wanted, "rgb24"  # by libx264rgb
    if codec == "ffv1" and wanted.name == "gbrp":
        return wanted, "bgr0"
    layout = min(_layouts(codec), key=lambda each: _losses(each, wanted))
    return layout, layout.name


def _layouts(codec: str) -> Iterator[Layout]:
    """Give the planes of each planar format that an encoder takes."""
    for each in load_av().Codec(CODECS[codec].encoder, "w").video_formats or []:
        with suppress(VideoFormatError):  # a format that frames are not converted to
            layout = layout_of(each, found=codec)
            if each.name == layout.name:
                yield layout


def _is_lossy(layout: Layout, wanted: Layout) -> bool:
    """Say whether a layout cannot hold every value of the one that is wanted."""
    if wanted.kind == "gray":
        return layout.bits < wanted.bits
    return (
        layout.bits < wanted.bits
        or layout.kind == "gray"
        or (wanted.kind == "rgb" and layout.kind == "yuv")
        or layout.across > wanted.across
        or layout.down > wanted.down
    )


def _losses(layout: Layout, wanted: Layout) -> tuple[float, ...]:
    """Say what is lost if frames have a layout instead of the one that is wanted, worst first."""
    return (
        layout.bits < wanted.bits,
        layout.kind == "gray" and wanted.kind != "gray",
        layout.kind != wanted.kind and (wanted.kind != "rgb" or layout.across * layout.down > 1),
        max(layout.across / wanted.across, 1) * max(layout.down / wanted.down, 1),
        abs(layout.bits - wanted.bits),
        layout.kind != wanted.kind,
        abs(layout.across - wanted.across) + abs(layout.down - wanted.down),
    )


def _colour(clip: Clip, layout: Layout, codec: Codec) -> Colour:
    """Give the colours of the output: the input's, unless RGB becomes YUV or grey."""
    colour = clip.colour
    if codec in ("h264", "hevc") and (layout.across, layout.down) != (2, 2):
        colour = replace(colour, siting=None)  # these codecs state it of 4:2:0 alone
    if clip.layout.kind != "rgb" or layout.kind == "rgb":
        return colour
    return replace(colour, matrix=Colour().matrix_or_guess(clip.height), range=LIMITED)
