"""Where metadata lies in the files of each format: what libvips leaves out, loses or changes.

libvips makes EXIF anew through libexif, leaves it out of TIFF, cuts IPTC in TIFF to a quarter, and
drops XMP of more than 60,000 bytes from JPEG.
"""

import re
import struct
import zlib

from widesr.files import FileBytes
from widesr.metadata import IPTC_TAG, Metadata, descriptive, exif_of, wrapped_iptc
from widesr.tiff import SIZES, Tiff, packed

_XMP_NAME = b"http://ns.adobe.com/xap/1.0/\0"
JPEG_BLOCK = 65533 - len(_XMP_NAME)
"""Bytes of metadata in a JPEG segment behind the longest of the names that begin one."""


def exif_and_iptc_of_tiff(file: FileBytes) -> tuple[bytes | None, bytes | None]:
    """Read what libvips does not read, or not whole."""
    tiff = Tiff.open(file)
    tree = descriptive(tiff)
    iptc = tiff.directory(tiff.first).get(IPTC_TAG)
    records = iptc and file[iptc.at : iptc.at + iptc.n_values * SIZES[iptc.type]]
    return exif_of(tree) if tree else None, records


def is_monochrome_avif(file: FileBytes) -> bool:
    """Tell grey AVIF, which libvips reads as RGB, by the configuration of its codec."""
    configuration = re.search(rb"av1C..(.)", file[:65536], flags=re.DOTALL)
    return configuration is not None and configuration[1][0] & 0x10 != 0


def jpeg_segments(metadata: Metadata, *, pixels_per_mm: tuple[float, float]) -> bytes:
    """All that lies before a JPEG's profile and tables: resolution, EXIF, XMP, IPTC."""
    dots = (min(max(round(25.4 * res), 1), 65535) for res in pixels_per_mm)
    bodies = [(b"\xe0", b"JFIF\0\1\1\1" + struct.pack(">HHxx", *dots))]
    if metadata.exif:
        bodies.append((b"\xe1", b"Exif\0\0" + metadata.exif))
    if metadata.xmp:
        bodies.append((b"\xe1", _XMP_NAME + metadata.xmp))
    if metadata.iptc:
        bodies.append((b"\xed", wrapped_iptc(metadata.iptc)))
    return b"".join(
        b"\xff" + name + struct.pack(">H", len(body) + 2) + body for name, body in bodies
    )


def png_chunk(exif: bytes) -> bytes:
    """The chunk that holds EXIF."""
    chunk = b"eXIf" + exif
    return struct.pack(">I", len(exif)) + chunk + struct.pack(">I", zlib.crc32(chunk))


def webp_with_exif(encoded: bytes, exif: bytes) -> bytes:
    """Put a block in the place of the one that libvips wrote."""
    chunks, at = [], 12
    while at < len(encoded):
        name, size = struct.unpack_from("<4sI", encoded, at)
        body = exif if name == b"EXIF" else encoded[at + 8 : at + 8 + size]
        chunks.append(struct.pack("<4sI", name, len(body)) + body + bytes(len(body) % 2))
        at += 8 + size + size % 2
    body = b"WEBP" + b"".join(chunks)
    return struct.pack("<4sI", b"RIFF", len(body)) + body


def add_metadata_to_tiff(file: FileBytes, metadata: Metadata) -> None:
    """Append a copy of the first directory that has EXIF and IPTC too."""
    tree = descriptive(Tiff.open(metadata.exif)) if metadata.exif else {}
    if metadata.iptc:
        tree[IPTC_TAG] = (7, metadata.iptc)
    if not tree:
        return
    written = Tiff.open(file)
    length = len(file)
    end = length + length % 2
    directory = packed(tree | written.tree(written.first), end, big=written.big)
    file.append(bytes(end - length) + directory)
    word, pointer = ("<Q", 8) if written.big else ("<I", 4)
    file.put(pointer, struct.pack(word, end))


def set_exif_of_avif(file: FileBytes, exif: bytes) -> None:
    """Append the block, and turn to it the pointer to the one that libvips wrote."""
    head = file[:65536]
    item = re.search(rb"infe\x02...(..)..Exif", head, flags=re.DOTALL)
    places = re.search(rb"iloc\0\0\0\0\x44\x40(..)", head, flags=re.DOTALL)
    if item is None or places is None:
        return  # another layout than libheif's: what libexif made of the block stays
    payload = struct.pack(">I", 6) + b"Exif\0\0" + exif
    for n in range(int.from_bytes(places[1], "big")):
        at = places.end() + 18 * n  # item, reference, base, one extent: its offset and length
        if head[at : at + 2] == item[1]:
            file.put(at + 4, struct.pack(">IHII", len(file) + 8, 1, 0, len(payload)))
            file.append(struct.pack(">I", len(payload) + 8) + b"mdat" + payload)
            return
