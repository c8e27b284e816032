"""Reads and writes the metadata of each format that libvips leaves out, loses or changes.

libvips rewrites EXIF through libexif, leaves it out of TIFF, cuts IPTC in TIFF to a quarter, drops
XMP of more than 60,000 bytes from JPEG, takes other segments of a JPEG for XMP, overlooks metadata
after the pixels of a PNG, and reads no description of colours but an ICC profile.
"""

import re
import struct
import zlib
from collections.abc import Sequence

from widesr.errors import ImageFormatError
from widesr.pictures.jpeg import EXIF, exif_of_jpeg, segment, segments_before_pixels
from widesr.pictures.metadata import (
    IPTC_TAG,
    PHOTOSHOP,
    Metadata,
    descriptive,
    wrapped_iptc,
)
from widesr.pictures.png import chunk, chunks_before_pixels, walk_chunks
from widesr.pictures.profiles import HDR, SRGB, Colours, coded_colours
from widesr.pictures.sources import PictureFile
from widesr.pictures.tiff import Tiff, Tree, packed
from widesr.system.files import FileBytes

_XMP_NAME = b"http://ns.adobe.com/xap/1.0/\0"
_MORE_XMP_NAME = b"http://ns.adobe.com/xmp/extension/\0"
_SEGMENT = 65533
"""The most bytes that a JPEG segment holds."""
LONGEST_IN_JPEG = {"XMP": _SEGMENT - len(_XMP_NAME), "IPTC": _SEGMENT - len(wrapped_iptc(b"")) - 1}
"""The most bytes of a block that must fit in one segment; EXIF may take several."""


def metadata_of_png(file: FileBytes) -> Metadata:
    """Read all metadata of a PNG, even after the pixels or in the text chunks of older programs."""
    found: dict[str, bytes] = {}
    left = _MOST_TEXT
    for name, at, size in walk_chunks(file):
        if size > left or name not in (b"eXIf", b"tEXt", b"zTXt", b"iTXt"):
            continue
        if name == b"eXIf":
            found["exif"] = file[at : at + size]
            continue
        key = file[at : at + min(size, 80)].partition(b"\0")[0]
        if key != _XMP_KEY and not key.startswith(_RAW_PROFILE):
            continue
        text = _png_text(name, file[at + len(key) + 1 : at + size], most=left)
        left -= len(text)
        if key == _XMP_KEY:
            found["xmp"] = text
        elif data := _unhexed(text):
            what = key.removeprefix(_RAW_PROFILE).lower()
            what = b"exif" if what == b"app1" and data.startswith(b"Exif") else what
            if what in (b"exif", b"xmp"):
                found.setdefault(what.decode(), data)
            elif what in (b"iptc", b"8bim"):
                found["iptc"] = PHOTOSHOP + data if data.startswith(b"8BIM") else data
    return Metadata(**found)


_XMP_KEY = b"XML:com.adobe.xmp"
_RAW_PROFILE = b"Raw profile type "
"""The beginning of the keyword of a text of hexadecimal digits, in which PNG holds IPTC."""
_MOST_TEXT = 2**24
"""The most bytes of all such texts together: a few compressed bytes may expand to any number."""


def _png_text(name: bytes, text: bytes, *, most: int) -> bytes:
    """Read the text after the keyword; a damaged text reads as empty."""
    is_compressed = name == b"zTXt" or (name == b"iTXt" and text[:1] == b"\1")
    if name == b"iTXt":
        text = text[2:].split(b"\0", 2)[-1]
    elif name == b"zTXt":
        text = text[1:]
    if not is_compressed:
        return text
    try:
        return zlib.decompressobj().decompress(text, max(most, 1))  # 0 is no limit
    except zlib.error:
        return b""


def _unhexed(text: bytes) -> bytes:
    """Decode the hexadecimal digits that follow a line with a name and one with a length."""
    try:
        return bytes.fromhex(text.lstrip().split(b"\n", 2)[2].decode("ascii"))
    except (IndexError, ValueError):
        return b""


def named_colours(file: PictureFile, kind: str) -> Colours | None:
    """Read the colours that a PNG, AVIF or HEIC file names by other means than an ICC profile.

    Returns:
        None if it names none, or if its ICC profile takes precedence.

    Raises:
        ImageFormatError: The picture is HDR.
    """
    if kind == "png":
        return _colours_of_png(file)
    return _colours_of_heif(file) if kind in ("avif", "heic") else None


def _colours_of_png(file: PictureFile) -> Colours | None:
    """Read the chunk that takes precedence: cICP, iCCP, sRGB, then gAMA with or without cHRM."""
    chunks = {name: file[at : at + min(size, 32)] for name, at, size in chunks_before_pixels(file)}
    if len(code := chunks.get(b"cICP", b"")) == 4:
        return _standard_range(file, code[0], code[1])
    gamma = int.from_bytes(chunks.get(b"gAMA", b""), "big")
    if b"iCCP" in chunks or b"sRGB" in chunks or not 1_000 <= gamma <= 1_000_000:
        return None
    primaries = SRGB.primaries
    if len(chunks.get(b"cHRM", b"")) == 32:
        stated = tuple(n / 100_000 for n in struct.unpack(">8I", chunks[b"cHRM"]))
        primaries = stated if all(0 < n < 1 for n in stated) else primaries
    return Colours(primaries, 100_000 / gamma)


def _colours_of_heif(file: PictureFile) -> Colours | None:
    """Read the codes of the main picture, if it has no profile."""
    heif = file.heif
    colours = heif.named(heif.primary, b"colr")
    codes = [body for body in colours if body[:4] == b"nclx" and len(body) >= 8]
    if not codes or len(codes) < len(colours):
        return None
    return _standard_range(file, *struct.unpack_from(">HH", codes[0], 4))


def _standard_range(file: PictureFile, primaries: int, transfer: int) -> Colours:
    """Interpret the codes of a picture, which must not be HDR."""
    if transfer in HDR:
        raise ImageFormatError(
            f"{file.path}: this is an HDR picture ({HDR[transfer]}), standard range was expected; "
            "convert it to standard range, and save it as PNG or TIFF with an ICC profile"
        )
    return coded_colours(primaries, transfer)


def metadata_of_jpeg(file: FileBytes) -> Metadata:
    """Read all metadata of a JPEG; libvips takes the first segment of any kind for the block."""
    xmp, resources = b"", b""
    for marker, at, size in segments_before_pixels(file):
        body = file[at : at + size] if marker in (0xE1, 0xED) else b""
        if marker == 0xE1 and body.startswith(_XMP_NAME):
            xmp = xmp or body.removeprefix(_XMP_NAME)
        elif marker == 0xED and body.startswith(PHOTOSHOP):  # long ones continue in the next
            resources += body.removeprefix(PHOTOSHOP)
    iptc = PHOTOSHOP + resources if resources else None
    return Metadata(exif_of_jpeg(file), xmp or None, iptc)


def has_more_xmp(file: FileBytes) -> bool:
    """Say whether a JPEG has XMP beyond the packet that fits into one segment."""
    end = len(_MORE_XMP_NAME)
    return any(
        marker == 0xE1 and size > end and file[at : at + end] == _MORE_XMP_NAME
        for marker, at, size in segments_before_pixels(file)
    )


def jpeg_segments(
    metadata: Metadata,
    *,
    pixels_per_mm: tuple[float, float] | None,
    aspect: tuple[float, float] | None,
) -> bytes:
    """Make the segments before a JPEG's profile and tables: resolution, EXIF, XMP, IPTC."""
    unit, dots = 0, aspect or (1.0, 1.0)  # JFIF needs numbers: without a unit they are an aspect
    if pixels_per_mm:
        unit, dots = 1, (25.4 * pixels_per_mm[0], 25.4 * pixels_per_mm[1])
    whole = (min(max(round(n), 1), 65535) for n in dots)
    bodies = [(0xE0, b"JFIF\0\1\1" + struct.pack(">BHHxx", unit, *whole))]
    if metadata.exif:
        step = _SEGMENT - len(EXIF)
        parts = (metadata.exif[at : at + step] for at in range(0, len(metadata.exif), step))
        bodies += [(0xE1, EXIF + part) for part in parts]
    if metadata.xmp:
        bodies.append((0xE1, _XMP_NAME + metadata.xmp))
    if metadata.iptc:
        bodies.append((0xED, wrapped_iptc(metadata.iptc)))
    return b"".join(segment(marker, body) for marker, body in bodies)


def png_chunks(metadata: Metadata) -> bytes:
    """Make the chunks of EXIF, XMP and IPTC; IPTC as ImageMagick and exiftool write it."""
    chunks = b""
    if metadata.exif:
        chunks += chunk(b"eXIf", metadata.exif)
    if metadata.xmp:
        chunks += chunk(b"iTXt", _XMP_KEY + bytes(5) + metadata.xmp)
    if metadata.iptc:
        records = wrapped_iptc(metadata.iptc).removeprefix(PHOTOSHOP)
        text = b"\niptc\n%8d\n%s\n" % (len(records), records.hex("\n", -36).encode())
        chunks += chunk(b"zTXt", _RAW_PROFILE + b"iptc\0\0" + zlib.compress(text))
    return chunks


def add_tags_to_tiff(
    file: FileBytes, metadata: Metadata, *, tags: Tree, unstated: Sequence[int]
) -> None:
    """Append a copy of the first directory that also has EXIF, IPTC and other tags.

    Args:
        file: The file that libvips wrote.
        metadata: EXIF, and IPTC.
        tags: Other tags, which replace those in the file.
        unstated: Tags to drop, which libvips wrote though they are not true.
    """
    written, exif = Tiff.open(file), metadata.exif and Tiff.open(metadata.exif)
    described = descriptive(exif, exif.first) if exif else {}
    if metadata.iptc:
        described[IPTC_TAG] = (7, metadata.iptc)
    tree = described | written.tree(written.first)
    for tag in unstated:
        tree.pop(tag, None)
    length = len(file)
    end = length + length % 2
    directory = packed(tree | tags, end, big=written.big)
    file.append(bytes(end - length) + directory)
    word, pointer = ("<Q", 8) if written.big else ("<I", 4)
    file.put(pointer, struct.pack(word, end))


def set_exif_of_avif(file: FileBytes, exif: bytes) -> None:
    """Append an EXIF block, and point to it instead of the one that libvips wrote."""
    head = file[:65536]
    item = re.search(rb"infe\x02...(..)..Exif", head, flags=re.DOTALL)
    places = re.search(rb"iloc\0\0\0\0\x44\x40(..)", head, flags=re.DOTALL)
    if item is None or places is None:
        return  # not libheif's layout: the block stays as libexif rewrote it
    payload = struct.pack(">I", 6) + b"Exif\0\0" + exif
    for n in range(int.from_bytes(places[1], "big")):
        at = places.end() + 18 * n  # item, reference, base, one extent: its offset and length
        if head[at : at + 2] == item[1]:
            file.put(at + 4, struct.pack(">IHII", len(file) + 8, 1, 0, len(payload)))
            file.append(struct.pack(">I", len(payload) + 8) + b"mdat" + payload)
            return
