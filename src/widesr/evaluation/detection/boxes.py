"""Reads the true boxes of pictures, in COCO's format, and holds those that a detector found."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from widesr.errors import DataError

_Length = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Read(BaseModel):
    """A part of a COCO file; keys that are not needed here are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Photograph(_Read):
    """A picture that boxes belong to."""

    id: int
    file_name: str
    width: int
    height: int


class Category(_Read):
    """A kind of object."""

    id: int
    name: str


class Box(_Read):
    """An object in a picture."""

    image_id: int
    category_id: int
    bbox: tuple[FiniteFloat, FiniteFloat, _Length, _Length]
    """Left, top, width and height, in pixels."""
    area: _Length
    """Area of the object in pixels: COCO calls it small up to 32 x 32, large from 96 x 96."""
    iscrowd: int = 0
    """1 for a group of objects, which need not be found one by one."""


class TrueBoxes(_Read):
    """The content of a COCO file."""

    images: tuple[Photograph, ...] = Field(min_length=1)
    annotations: tuple[Box, ...] = Field(min_length=1)
    categories: tuple[Category, ...] = Field(min_length=1)


@dataclass(frozen=True)
class Detections:
    """The boxes that a detector found in one picture, in no particular order."""

    boxes: NDArray[np.float64]
    """Left, top, width and height, in pixels of the picture, (n, 4)."""
    scores: NDArray[np.float64]
    """Between 0 and 1, (n,)."""
    labels: NDArray[np.int64]
    """Number of the detector's class, from 0, (n,)."""

    def times(self, factor: float) -> "Detections":
        """Scale the boxes to a picture that is `factor` times as large."""
        return Detections(self.boxes * factor, self.scores, self.labels)


def read_boxes(path: Path) -> TrueBoxes:
    """Read a COCO file of instances.

    Raises:
        DataError: The file cannot be read or is not in COCO's format, two images or categories have
            one id, or a box belongs to an image or a category that the file does not list.
    """
    try:
        true = TrueBoxes.model_validate_json(path.read_bytes())
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise DataError(
            f"{path}: {where}: {first['msg']}; expected COCO's JSON with images, annotations and "
            "categories"
        ) from error
    images, kinds = {each.id for each in true.images}, {each.id for each in true.categories}
    if len(images) < len(true.images) or len(kinds) < len(true.categories):
        raise DataError(f"{path}: two images, or two categories, have the same id")
    for box in true.annotations:
        if box.image_id not in images or box.category_id not in kinds:
            raise DataError(
                f"{path}: a box of image {box.image_id} and category {box.category_id}, which are "
                "not both listed"
            )
    return true
