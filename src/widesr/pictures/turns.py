"""Takes the turns out of AVIF files, as libheif turns subsampled colours wrongly.

If a side is odd, libheif gives whole rows at the edges the colours of other rows. So the turns and
mirrors are neutralised in a copy of the file in memory, and the picture comes as it is stored; its
orientation is given as EXIF would state it.

Source: ISO/IEC 23008-12, sections 6.5.10 (irot) and 6.5.12 (imir); libavif's reading of the axis.
"""

from widesr.pictures.boxes import Heif
from widesr.system.files import FileBytes

_TURNS = {
    (0, None): 1, (0, 0): 4, (0, 1): 2,
    (1, None): 8, (1, 0): 5, (1, 1): 7,
    (2, None): 3, (2, 0): 2, (2, 1): 4,
    (3, None): 6, (3, 0): 7, (3, 1): 5,
}  # fmt: skip
"""EXIF's orientation by the quarter turns to the left, and by the sides that are then swapped: top
and bottom (0), or left and right (1)."""
_BOX = 9
"""The bytes of either box."""


def turn_of_avif(heif: Heif) -> int:
    """Give the stored picture's orientation as EXIF counts it, 1 to 8."""
    quarters = next(iter(heif.named(heif.primary, b"irot")), b"\0")
    mirror = next(iter(heif.named(heif.primary, b"imir")), b"")
    return _TURNS[quarters[0] & 3 if quarters else 0, mirror[0] & 1 if mirror else None]


def without_turns(file: FileBytes) -> bytes:
    """Copy a file, with all turns and mirrors replaced by turns of zero quarters."""
    data = bytearray(file[:])
    for name in (b"irot", b"imir"):
        at = data.find(_BOX.to_bytes(4, "big") + name)
        while at >= 0:
            data[at + 4 : at + _BOX] = b"irot\0"
            at = data.find(_BOX.to_bytes(4, "big") + name, at + _BOX)
    return bytes(data)
