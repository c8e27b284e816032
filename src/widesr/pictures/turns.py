"""Takes the turns out of AVIF files: libheif turns colours of half the size wrongly.

If a side is odd, whole rows at the edges get the colours of others.

What a file says of turning is made to say nothing, in a copy of it in memory, so that the picture
comes as it is stored; what was said is given as EXIF would say it.

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
"""EXIF's orientation by quarter turns to the left, and which sides are then exchanged: top and
bottom (0), or left and right (1)."""
_BOX = 9
"""The bytes of either box."""


def turn_of_avif(heif: Heif) -> int:
    """Say how the stored picture lies, as EXIF's orientation, 1 to 8."""
    quarters = next(iter(heif.named(heif.primary, b"irot")), b"\0")
    mirror = next(iter(heif.named(heif.primary, b"imir")), b"")
    return _TURNS[quarters[0] & 3 if quarters else 0, mirror[0] & 1 if mirror else None]


def without_turns(file: FileBytes) -> bytes:
    """Copy a file, with quarter turns of none in the place of all turns and mirrors."""
    data = bytearray(file[:])
    for name in (b"irot", b"imir"):
        at = data.find(_BOX.to_bytes(4, "big") + name)
        while at >= 0:
            data[at + 4 : at + _BOX] = b"irot\0"
            at = data.find(_BOX.to_bytes(4, "big") + name, at + _BOX)
    return bytes(data)
