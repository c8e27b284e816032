"""Reads a picture's place on the earth from its GeoTIFF tags, and adapts them to a new size.

Source: OGC GeoTIFF Standard 1.1 (19-008r4), annex C.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from widesr.pictures.tiff import Tiff, Tree

_PIXEL_SCALE, _TIE_POINTS, _TRANSFORMATION = 33550, 33922, 34264
_KEYS = (34735, 34736, 34737)
_IS_POINT = (1025, 0, 1, 2)
"""The key by which integer coordinates are the centres of pixels, not their corners."""
_LOST = {
    33920: "IntergraphMatrix",
    42112: "GDAL_METADATA",
    42113: "GDAL_NODATA",
    50844: "RPCCoefficients",
}


@dataclass(frozen=True, kw_only=True)
class Place:
    """The tags that locate a picture of a given size."""

    height: int
    width: int
    tags: Tree
    """Keys, and doubles that refer to pixels."""

    def scaled(self, *, height: int, width: int) -> Tree:
        """Give the tags for the same picture in another size."""
        across, down = width / self.width, height / self.height
        half = 0.5 if self._is_point() else 0.0
        tags = dict(self.tags)
        if _PIXEL_SCALE in tags:
            scale = self._doubles(_PIXEL_SCALE)
            scale[:2] /= across, down
            tags[_PIXEL_SCALE] = _packed(scale)
        if _TIE_POINTS in tags:
            points = self._doubles(_TIE_POINTS).reshape(-1, 6)
            points[:, :2] = (points[:, :2] + half) * (across, down) - half
            tags[_TIE_POINTS] = _packed(points)
        if _TRANSFORMATION in tags:
            matrix = self._doubles(_TRANSFORMATION).reshape(4, 4)
            matrix[:, :2] /= across, down
            matrix[:, 3] += matrix[:, :2] @ ((1 - across) * half, (1 - down) * half)
            tags[_TRANSFORMATION] = _packed(matrix)
        return tags

    def _is_point(self) -> bool:
        value = self.tags.get(_KEYS[0])
        if not isinstance(value, tuple) or value[0] != 3:
            return False
        keys = np.frombuffer(value[1], "<u2")[: len(value[1]) // 8 * 4].reshape(-1, 4)
        return _IS_POINT in map(tuple, keys[1:].tolist())

    def _doubles(self, tag: int) -> NDArray[np.float64]:
        value = self.tags[tag]
        assert isinstance(value, tuple), "only EXIF has directories below it"
        return np.frombuffer(value[1], "<f8").copy()


def place_of(tiff: Tiff, at: int, *, height: int, width: int) -> Place | None:
    """Read the place of a page's picture; None if no sound tags state it."""
    tags = tiff.tree(at, only={*_KEYS, _PIXEL_SCALE, _TIE_POINTS, _TRANSFORMATION})
    for tag, n in ((_PIXEL_SCALE, 3), (_TIE_POINTS, 6), (_TRANSFORMATION, 16)):
        value = tags.get(tag)
        if value is not None and (value[0] != 12 or not value[1] or len(value[1]) % (8 * n)):
            return None
    is_placed = tags.keys() & {_TIE_POINTS, _TRANSFORMATION}
    return Place(height=height, width=width, tags=tags) if is_placed else None


def lost_tags(tiff: Tiff, at: int) -> list[str]:
    """Name the tags of a page that would not hold for another size."""
    fields = tiff.directory(at)
    return [name for tag, name in _LOST.items() if tag in fields]


def _packed(values: NDArray[Any]) -> tuple[int, bytes]:
    return 12, values.astype("<f8").tobytes()
