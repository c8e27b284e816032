"""Writes still pictures, the whole file or none, and refuses what a format cannot hold."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from widesr.errors import ImageFormatError, UsageError
from widesr.pictures.colour import space_of
from widesr.pictures.containers import LONGEST_IN_JPEG
from widesr.pictures.encoding import ENCODERS, encode_stream, opaque
from widesr.pictures.picture import Picture, PictureStream, check_picture
from widesr.pictures.sniff import title
from widesr.pictures.sources import Target, name_of, whole_target
from widesr.system.arguments import check_flag, shown, whole_number
from widesr.system.progress import ignore

FORMATS = {
    ".png": "png",
    ".jpg": "jpeg",
    ".jfif": "jpeg",
    ".jpe": "jpeg",
    ".mpo": "jpeg",
    ".jpeg": "jpeg",
    ".webp": "webp",
    ".tif": "tiff",
    ".tiff": "tiff",
    ".avif": "avif",
    ".apng": "png",
}
"""The formats that can be written, by suffix; new files get the first suffix of a format."""


_GIF = {".gif": "gif"}
"""The format for animations alone: a still picture would lose colours in it for nothing."""


def output_format(
    target: Target,
    *,
    format: str | None = None,  # noqa: A002 (users' word)
    animated: bool = False,
) -> str:
    """Say which of `FORMATS` a file is written in: by `format`, else by the path's suffix.

    Args:
        target: The output; for a file object the format must be given.
        format: A suffix, with or without its dot.
        animated: True if GIF is to be a format too.

    Raises:
        ImageFormatError: There is no writer for the format.
        UsageError: The format is not a string, or a file object came without one.
    """
    path = name_of(target)
    if format is not None and not isinstance(format, str):
        raise UsageError(f"expected a format such as 'png', got {shown(format)}")
    if not format and not isinstance(target, str | os.PathLike):
        raise UsageError(
            f"{path}: a file object has no suffix that says its format; name one of "
            f"{', '.join(FORMATS)}",
            options=['format="png"'],
        )
    suffix = f".{format.lower().removeprefix('.')}" if format else path.suffix.lower()
    formats = FORMATS | _GIF if animated else FORMATS
    if suffix not in formats:
        found = repr(format or path.suffix) if format or path.suffix else "a name without suffix"
        of_what = "" if animated or suffix not in _GIF else " of a still picture"
        raise ImageFormatError(
            f"{path}: {found} cannot be written{of_what}; expected one of {', '.join(formats)}"
        )
    return formats[suffix]


def write_picture(
    target: Target,
    picture: Picture,
    *,
    format: str | None = None,  # noqa: A002 (users' word)
    quality: int = 95,
    lossless: bool = False,
    overwrite: bool = False,
    sealed: Callable[[int], None] = ignore,
) -> None:
    """Write a picture: the whole file or none.

    16 bits stay 16 in PNG and TIFF, and are rounded to 12 in AVIF, and to 8 in JPEG and WebP. IPTC
    goes into JPEG, TIFF and PNG, which alone have a place for it.

    Args:
        target: A path whose folder exists, or a file object that is open for writing in binary
            mode: nothing is written to it before the picture is complete.
        picture: The picture to write.
        format: A key or a value of `FORMATS`; by default the path's suffix decides.
        quality: The quality of JPEG, WebP and AVIF, 1 to 100.
        lossless: True to keep every value or refuse the picture.
        overwrite: True to replace an existing file.
        sealed: Called with the descriptor of the whole file just before it takes its name.

    Raises:
        UsageError: `quality` is not from 1 to 100, or another value is of the wrong type.
        ImageFormatError: There is no such format, or it cannot hold this picture.
        OutputExistsError: The target is a path that exists, and `overwrite` is False.
        ImageWriteError: The folder is missing, full, or takes no file.
    """
    check_flag(lossless, "lossless")
    check_flag(overwrite, "overwrite")
    check_picture(picture)
    write_stream(
        target,
        picture.stream(),
        format=format,
        quality=quality,
        lossless=lossless,
        overwrite=overwrite,
        sealed=sealed,
    )


def write_stream(
    target: Target,
    stream: PictureStream,
    *,
    format: str | None = None,  # noqa: A002 (users' word)
    quality: int = 95,
    lossless: bool = False,
    overwrite: bool = False,
    sealed: Callable[[int], None] = ignore,
) -> None:
    """Write a streamed picture; arguments and errors are as for `write_picture`.

    Raises:
        Exception: Any exception that is raised while its rows are made; no file is left then.
    """
    path, kind = name_of(target), output_format(target, format=format)
    check_quality(quality)
    check_fits(path, stream, kind)
    if lossless:
        check_lossless(path, format=kind)
        check_lossless_picture(path, stream, kind)
    with whole_target(target, overwrite=overwrite) as file:
        encode_stream(path, stream, file.fileno(), kind, quality=quality, lossless=lossless)
        sealed(file.fileno())


def check_quality(quality: int) -> None:
    """Refuse a quality that is not from 1 to 100.

    Raises:
        UsageError: The quality is out of this range.
    """
    whole_number(quality, "a quality from 1 to 100", least=1, most=100, options=["quality"])


def check_fits(path: Path, stream: PictureStream, kind: str) -> None:
    """Refuse a picture that the format has no room for.

    Raises:
        ImageFormatError: The picture or its metadata is too large, or its band has no place.
    """
    encoder, name, rows = ENCODERS[kind], title(kind), stream.rows
    if max(rows.width, rows.height) > encoder.longest:
        raise ImageFormatError(
            f"{path}: the picture is {rows.width}x{rows.height}, {name} holds at most "
            f"{encoder.longest} pixels a side; write PNG or TIFF",
            options=['format="png"'],
        )
    if stream.has_band and kind != "tiff":
        raise ImageFormatError(
            f"{path}: has a band beside its colours that is not opacity, for which {name} has no "
            "place; write TIFF, or leave the band out, or tag it as alpha",
            options=['format="tiff"'],
        )
    blocks = {"XMP": stream.xmp, "IPTC": stream.iptc}
    for block, data in blocks.items():
        if kind == "jpeg" and data and len(data) > LONGEST_IN_JPEG[block]:
            raise ImageFormatError(
                f"{path}: the {block} metadata is {len(data):,} bytes, JPEG holds at most "
                f"{LONGEST_IN_JPEG[block]:,}; write PNG or TIFF",
                options=['format="png"'],
            )


def check_lossless(path: Path, *, format: str | None = None) -> None:  # noqa: A002 (users' word)
    """Refuse a format that is never lossless.

    Raises:
        ImageFormatError: The format is JPEG, or there is no writer for it.
    """
    if output_format(path, format=format) == "jpeg":
        raise ImageFormatError(
            f"{path}: JPEG is never lossless; write PNG, TIFF, WebP or AVIF",
            options=['format="png"'],
        )


def check_lossless_picture(path: Path, stream: PictureStream, kind: str) -> None:
    """Refuse a picture that the format cannot hold without loss.

    Raises:
        ImageFormatError: The format has no place for its depth or its profile.
    """
    encoder = ENCODERS[kind]
    if stream.rows.dtype == np.uint16 and encoder.bits < 16:
        found = f"has 16 bits, of which {title(kind)} holds {encoder.bits}"
    elif stream.colours == 1 and not encoder.grey and space_of(stream.icc) == b"GRAY":
        found = f"has a grey profile, which {title(kind)} cannot hold"
    else:
        return
    raise ImageFormatError(
        f"{path}: the picture {found}; for no loss write PNG or TIFF", options=['format="png"']
    )


def check_opaque(path: Path, stream: PictureStream) -> None:
    """Read a picture to check that it is opaque, if its format has no alpha.

    Raises:
        ImageFormatError: The picture is partly transparent, and the format has no alpha.
    """
    kind = output_format(path)
    if stream.has_alpha and not ENCODERS[kind].alpha:
        for _ in opaque(path, stream, kind):
            pass
