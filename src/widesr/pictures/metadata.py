"""Corrects EXIF, XMP and IPTC of a picture that was turned upright and made larger.

Bytes in, bytes out. Everything that need not change stays in place, byte for byte.
"""

import re
import struct
from fractions import Fraction
from typing import NamedTuple

from widesr.pictures.tiff import EXIF_POINTER, GPS_POINTER, Field, Tiff, Tree, packed


class Metadata(NamedTuple):
    """The blocks of metadata in a file."""

    exif: bytes | None = None
    """A TIFF structure."""
    xmp: bytes | None = None
    """An XMP packet."""
    iptc: bytes | None = None
    """IPTC-IIM records, bare or among Photoshop's resources."""


def cleaned(metadata: Metadata) -> Metadata:
    """Mark the picture as upright, drop thumbnails, and leave out blocks that are not metadata.

    EXIF then has no "Exif" before it, IPTC no Photoshop resources around it, and XMP speaks of
    nothing else in the picture's file, such as a gain map.
    """
    exif, xmp, iptc = metadata
    return Metadata(
        exif and _cleaned_exif(exif), xmp and _cleaned_xmp(xmp), iptc and _unwrapped_iptc(iptc)
    )


def on_its_side(exif: bytes) -> bytes:
    """Swap what a cleaned block states across and down, for a picture that was turned."""
    tiff = Tiff.open(exif)
    first = tiff.directory(tiff.first)
    camera = tiff.directory(tiff.number(first, EXIF_POINTER, default=0))
    turned = bytearray(exif)
    for fields, pair in ((first, _RESOLUTIONS), (camera, _SIDES), (camera, _FOCAL_PLANE)):
        if not set(pair) <= fields.keys():
            continue
        across, down = (fields[tag].entry + 2 for tag in pair)
        for to, of in ((across, down), (down, across)):
            turned[to : to + 10] = exif[of : of + 10]  # type, count and value offset
    return bytes(turned)


def sized(metadata: Metadata, *, width: int, height: int) -> Metadata:
    """Set the size of the picture, in pixels, where cleaned metadata states one."""
    exif, xmp, iptc = metadata
    return Metadata(
        exif and _sized_exif(exif, width=width, height=height),
        xmp and _sized_xmp(xmp, width=width, height=height),
        iptc,
    )


def tags_of_resolution(
    pixels_per_mm: tuple[float, float] | None, aspect: tuple[float, float] | None
) -> Tree:
    """Make the tags that state a resolution, or else an aspect; none if there is neither."""
    if pixels_per_mm:
        numbers, unit = [25.4 * n for n in pixels_per_mm], b"\2\0"
    elif aspect:
        numbers, unit = list(aspect), b"\1\0"
    else:
        return {}
    across, down = (struct.pack("<II", round(1000 * n), 1000) for n in numbers)
    return {0x011A: (5, across), 0x011B: (5, down), 0x0128: (3, unit)}


def orientation_of_exif(exif: bytes) -> int:
    """Read the orientation, 1 to 8, from an EXIF block that is not cleaned; 1 if not stated."""
    try:
        tiff = Tiff.open(exif.removeprefix(b"Exif\0\0"))
        return orientation_in(tiff, tiff.directory(tiff.first))
    except ValueError:
        return 1


def orientation_in(tiff: Tiff, fields: dict[int, Field]) -> int:
    """Read the orientation, 1 to 8, from a directory; 1 if none or an unknown one is stated."""
    stated = tiff.values(fields, _ORIENTATION).tolist()  # of any type, as writers err
    return int(stated[0]) if stated and stated[0] in range(1, 9) else 1


IPTC_TAG = 0x83BB
"""The tag of IPTC in a TIFF file's first directory."""
_ORIENTATION = 0x0112
_RESOLUTIONS, _SIDES, _FOCAL_PLANE = (0x011A, 0x011B), (0xA002, 0xA003), (0xA20E, 0xA20F)
"""Tags of a number across and one down: of the picture's resolution, of its pixels, and of the
pixels per length of the camera's sensor, by which programs compute the field of view."""
_DESCRIPTIVE = {0x010D, 0x010E, 0x010F, 0x0110, 0x0131, 0x0132, 0x013B, 0x013C}  # camera, date
_DESCRIPTIVE |= {*_RESOLUTIONS, 0x0128}
_DESCRIPTIVE |= {0x4746, 0x4749, 0x8298, *range(0x9C9B, 0x9CA0)}  # rating, copyright, Windows'
_DESCRIPTIVE |= {EXIF_POINTER, GPS_POINTER}
"""Tags of a TIFF file's first directory that describe the photograph, not the file."""


def descriptive(tiff: Tiff, at: int) -> Tree:
    """Pick the tags of a page's directory that describe the photograph."""
    return tiff.tree(at, only=_DESCRIPTIVE)


def exif_of(tree: Tree) -> bytes:
    """Pack a directory as an EXIF block."""
    return b"II*\0\x08\0\0\0" + packed(tree, 8)


_OF_PIXELS = re.compile(rb'\s*(ImageJ=|Aperio |\{.*"shape":|.{0,4096}?<(\w+:)?OME\b)', re.DOTALL)
"""The beginning of the descriptions that microscopy programs and tifffile write."""


def speaks_of_pixels(description: bytes) -> bool:
    """Say whether an ImageDescription is for programs, with sizes and axes, and not for people."""
    return _OF_PIXELS.match(description) is not None


def _cleaned_exif(exif: bytes) -> bytes | None:
    """Set the orientation to 1 and drop the thumbnail; give None if the block is not EXIF.

    All else stays in place, byte for byte, as maker notes hold offsets into the block.
    """
    exif = exif.removeprefix(b"Exif\0\0")
    try:
        tiff = Tiff.open(exif)
        fields = tiff.directory(tiff.first)
        after = tiff.link(tiff.first)
    except ValueError:
        return None
    if tiff.big or not fields:
        return None
    clean = bytearray(exif)
    _set_number(clean, tiff, fields.get(_ORIENTATION), 1)
    if after + 4 > len(exif):  # some writers leave out the offset of a second directory
        return bytes(clean)
    following = tiff.unpack("I", after)
    thumbnail = tiff.directory(following)
    start = tiff.number(thumbnail, 0x0201, default=0)
    stop = start + tiff.number(thumbnail, 0x0202, default=0)
    clean[after : after + 4] = bytes(4)
    if start > following and stop >= len(exif) - 1:  # last in the block, as a rule
        del clean[start:]
    elif 0 < start < stop <= len(exif):
        clean[start:stop] = bytes(stop - start)
    return bytes(clean)


def _sized_exif(exif: bytes, *, width: int, height: int) -> bytes:
    """Set the tags that state the picture's size, where there are any."""
    tiff = Tiff.open(exif)
    fields = tiff.directory(tiff.first)
    sized = bytearray(exif)
    _set_number(sized, tiff, fields.get(0x0100), width)
    _set_number(sized, tiff, fields.get(0x0101), height)
    fields = tiff.directory(tiff.number(fields, EXIF_POINTER, default=0))
    for side, focal_plane, now in zip(_SIDES, _FOCAL_PLANE, (width, height), strict=True):
        before = tiff.number(fields, side, default=0)
        _scale_ratio(sized, tiff, fields.get(focal_plane), now, before)
        _set_number(sized, tiff, fields.get(side), now)
    return bytes(sized)


def _scale_ratio(exif: bytearray, tiff: Tiff, field: Field | None, now: int, before: int) -> None:
    """Multiply a RATIONAL by `now` / `before`, where both and the field are above 0."""
    if field is None or field.type != 5 or not before:
        return
    above, below = tiff.unpack("I", field.at), tiff.unpack("I", field.at + 4)
    if above and below:
        scaled = Fraction(above * now, below * before)
        scaled = scaled.limit_denominator(int((2**32 - 1) / max(scaled, Fraction(1))) or 1)
        if scaled and scaled.numerator < 2**32:
            struct.pack_into(tiff.order + "II", exif, field.at, *scaled.as_integer_ratio())


def _set_number(exif: bytearray, tiff: Tiff, field: Field | None, value: int) -> None:
    """Overwrite a field by one number: a SHORT, or a LONG if it was one or the value needs it."""
    if field is None:
        return
    type_, code = (4, "I") if field.type == 4 or value >= 2**16 else (3, "H2x")
    struct.pack_into(f"{tiff.order}HI{code}", exif, field.entry + 2, type_, 1, value)


_BESIDE = (b"xmp:Thumbnails", b"xap:Thumbnails", b"Container:Directory", b"GContainer:Directory")
"""Lists of pictures within or behind the picture, which are not kept."""
_CLAIM = rb"hdrgm:Version|xmpNote:HasExtendedXMP"
_CLAIMS = re.compile(
    rb"""\s(%b)\s*=\s*("[^"]*"|'[^']*')|<(%b)>[^<]*</(%b)>""" % (_CLAIM, _CLAIM, _CLAIM)
)
"""Properties by which a gain map or more XMP is said to lie elsewhere in the file."""


def _cleaned_xmp(xmp: bytes) -> bytes:
    for name in _BESIDE:
        # only up to the last end tag: beyond it, each start tag would begin a search in vain
        head, end, tail = xmp.rpartition(b"</%s>" % name)
        xmp = re.sub(rb"<%s\b.*?%s" % (name, end), b"", head + end, flags=re.DOTALL) + tail
    xmp = _with_xmp_number(_CLAIMS.sub(b"", xmp), rb"G?Camera:(?:MotionPhoto|MicroVideo)", 0)
    return _with_xmp_number(xmp, rb"tiff:Orientation", 1)


def _sized_xmp(xmp: bytes, *, width: int, height: int) -> bytes:
    xmp = _with_xmp_number(xmp, rb"tiff:ImageWidth|exif:PixelXDimension", width)
    return _with_xmp_number(xmp, rb"tiff:ImageLength|exif:PixelYDimension", height)


def _with_xmp_number(xmp: bytes, names: bytes, value: int) -> bytes:
    """Set properties, whether they are written as attributes or as elements."""
    pattern = rb"\b(%s)(\s*=\s*[\"']|\s*>\s*)\d+" % names
    return re.sub(pattern, lambda found: found[1] + found[2] + str(value).encode(), xmp)


PHOTOSHOP = b"Photoshop 3.0\0"
"""The beginning of the Photoshop resources that hold IPTC in JPEG and PNG."""
_IPTC_RESOURCE = b"8BIM\x04\x04"


def _unwrapped_iptc(data: bytes) -> bytes | None:
    """Find the IPTC records among the Photoshop resources of a JPEG; a TIFF has them bare."""
    if not data.startswith(PHOTOSHOP):
        return data
    at = len(PHOTOSHOP)
    while data[at : at + 4] == b"8BIM" and len(data) > at + 6:
        name = data[at + 6] + 1
        body = at + 6 + name + name % 2 + 4
        size = int.from_bytes(data[body - 4 : body], "big")
        if data[at : at + 6] == _IPTC_RESOURCE:
            return data[body : body + size]
        at = body + size + size % 2
    return None


def wrapped_iptc(records: bytes) -> bytes:
    """Wrap bare records in Photoshop resources, as JPEG has them."""
    header = PHOTOSHOP + _IPTC_RESOURCE + struct.pack(">HI", 0, len(records))
    return header + records + bytes(len(records) % 2)
