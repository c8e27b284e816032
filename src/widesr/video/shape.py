"""States the shape of pixels in the head of a Matroska file, which PyAV cannot do.

FFmpeg writes some numbers there with more bytes than they need. The new elements take that space,
so nothing else in the file moves.
"""

import zlib
from fractions import Fraction

from widesr.video.ebml import elements

_SEGMENT, _TRACKS, _TRACK, _VIDEO = 0x18538067, 0x1654AE6B, 0xAE, 0xE0
_TRACK_UID, _WIDTH, _HEIGHT = 0x73C5, 0xB0, 0xBA
_SHOWN_WIDTH, _SHOWN_HEIGHT, _UNIT = 0x54B0, 0x54BA, 0x54B2
_VOID, _CRC = 0xEC, 0xBF
_AS_RATIO = 3
"""DisplayUnit: the display width and height state only a ratio."""
_CRC_BYTES = 6
"""Bytes of a checksum element, its head included."""


def with_shape(head: bytes, aspect: Fraction, *, width: int, height: int, webm: bool) -> bytes:
    """State the shape of pixels for the first video stream that has this size.

    Args:
        head: The beginning of a Matroska file, as FFmpeg wrote it, up to its packets.
        aspect: The width of a pixel divided by its height.
        width: The width of the video, in pixels.
        height: The height of the video, in pixels.
        webm: True to state a display size in whole pixels, because WebM has no ratios.

    Returns:
        The new beginning, of the same length; unchanged if no stream has this size, or if there is
        too little space.
    """
    segment = next((each for each in elements(head) if each.id == _SEGMENT), None)
    if segment is None:
        return head
    level = elements(head, segment.start)
    tracks = next((each for each in level if each.id == _TRACKS), None)
    if tracks is None or tracks.end is None or tracks.end > len(head):
        return head
    if webm:
        shown = {_SHOWN_WIDTH: round(width * aspect), _SHOWN_HEIGHT: height}
    else:
        ratio = aspect * width / height
        shown = {_SHOWN_WIDTH: ratio.numerator, _SHOWN_HEIGHT: ratio.denominator, _UNIT: _AS_RATIO}
    parts, is_stated, begin = [], False, tracks.start
    for each in elements(head, tracks.start, tracks.end):
        part = head[begin : each.end]
        if each.id == _TRACK and not is_stated:
            made = _track(head[each.start : each.end], width, height, shown)
            is_stated, part = made is not None, part if made is None else _packed(_TRACK, made)
        if each.id != _CRC:
            parts.append(part)
        begin = each.end or tracks.end
    has_crc = head[tracks.start] == _CRC
    size = tracks.end - tracks.start - _CRC_BYTES * has_crc
    content = b"".join(parts)
    left = size - len(content)
    if not is_stated or left < 2:  # the shortest element
        return head
    content += _void(left)
    if has_crc:
        content = _packed(_CRC, zlib.crc32(content).to_bytes(4, "little")) + content
    return head[: tracks.start] + content + head[tracks.end :]


def _track(data: bytes, width: int, height: int, shown: dict[int, int]) -> bytes | None:
    """Add the display size to the content of a track; None if its video has another size."""
    made, is_ours = b"", False
    for each in elements(data):
        content = data[each.start : each.end]
        if each.id == _TRACK_UID:
            content = content.lstrip(b"\0") or b"\0"
        if each.id == _VIDEO:
            inside = [(part.id, content[part.start : part.end]) for part in elements(content)]
            size = {kind: int.from_bytes(value, "big") for kind, value in inside}
            is_ours = (size.get(_WIDTH), size.get(_HEIGHT)) == (width, height)
            kept = [_packed(kind, value) for kind, value in inside if kind not in (*shown, _UNIT)]
            content = b"".join(
                [*kept, *(_packed(kind, _bytes(value)) for kind, value in shown.items())]
            )
        made += _packed(each.id, content)
    return made if is_ours else None


def _packed(id: int, content: bytes) -> bytes:  # noqa: A002 (EBML's word)
    """Write an element with the shortest head that it can have."""
    size = len(content)
    n = 1
    while size >= 2 ** (7 * n) - 1:
        n += 1
    return _bytes(id) + (size | 1 << (7 * n)).to_bytes(n, "big") + content


def _void(size: int) -> bytes:
    """Make an empty element of `size` bytes, at least two."""
    n = 1 if size < 2**7 else 8
    return _bytes(_VOID) + ((size - 1 - n) | 1 << (7 * n)).to_bytes(n, "big") + bytes(size - 1 - n)


def _bytes(value: int) -> bytes:
    return value.to_bytes(max((value.bit_length() + 7) // 8, 1), "big")
