"""Runs object detectors by other authors, YOLOX and YuNet, from the ONNX files as published."""

from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from widesr.engine.ort import Graph
from widesr.errors import ModelFileError
from widesr.evaluation.detection.boxes import Detections
from widesr.system.files import sha256_of

LOWEST_SCORE = 0.01
"""Lowest score of a box that is kept; average precision needs long lists, as YOLOX's evaluation
does."""
_STRIDES = (8, 16, 32)
"""Input pixels per place, along each axis, of the three grids that both detectors output."""


class Detector(Protocol):
    """A trained network that finds objects."""

    kind: str
    """The family: "yolox" or "yunet"."""
    sha256: str
    """The hash of its file."""
    n_classes: int

    def __call__(self, rgb: NDArray[np.uint8]) -> Detections:
        """Find the objects of a picture, uint8 RGB, (H, W, 3)."""


def load_detector(path: Path, *, threads: int) -> Detector:
    """Load a detector, and recognise its kind by its outputs.

    Raises:
        ModelFileError: The runtime refuses the file, the kind of detector is unknown, or a YuNet
            takes pictures of one size only.
    """
    graph = Graph(path, threads=threads)
    sha256 = sha256_of(path)
    if {f"{name}_{s}" for name in ("cls", "obj", "bbox") for s in _STRIDES} <= set(graph.outputs):
        if None not in graph.input_shape[2:]:
            raise ModelFileError(
                f"{path}: a YuNet for pictures of one size; expected one whose input may have any "
                "height and width"
            )
        return YuNet(graph, sha256)
    height, width = graph.input_shape[2:] if len(graph.input_shape) == 4 else (None, None)
    shape = next(iter(graph.outputs.values()))
    if len(graph.outputs) == 1 and len(shape) == 3 and height and width:
        _, rows, columns = shape
        places = sum((height // stride) * (width // stride) for stride in _STRIDES)
        if rows == places and columns is not None and columns > 5:
            return Yolox(graph, sha256, size=(height, width), n_classes=columns - 5)
    raise ModelFileError(
        f"{path}: has the outputs {', '.join(graph.outputs)}; expected a YOLOX with an input of "
        "fixed size and its raw grids, or OpenCV's YuNet"
    )


class Yolox:
    """YOLOX with its decoding not in the graph, such as yolox_nano: BGR in 0..255, padded with 114.

    Source: Megvii-BaseDetection/YOLOX, yolox/data/data_augment.py and yolox/utils/boxes.py.
    """

    kind = "yolox"

    def __init__(self, graph: Graph, sha256: str, *, size: tuple[int, int], n_classes: int) -> None:
        """Take a loaded graph, its input's height and width, and its number of classes."""
        self.sha256, self.n_classes = sha256, n_classes
        self._graph, self._size = graph, size
        self._strides, self._places = _grid(size)

    def __call__(self, rgb: NDArray[np.uint8]) -> Detections:
        """Find the objects of a picture, uint8 RGB, (H, W, 3)."""
        height, width = rgb.shape[:2]
        ratio = min(self._size[0] / height, self._size[1] / width)
        small = bilinear(rgb, (max(1, int(height * ratio)), max(1, int(width * ratio))))
        canvas = np.full((*self._size, 3), 114, np.float32)
        canvas[: small.shape[0], : small.shape[1]] = small[..., ::-1]
        (answer,) = self._graph.run(_batch(canvas)).values()
        raw = answer[0].astype(np.float64)
        scores = raw[:, 4:5] * raw[:, 5:]
        boxes = _decoded(raw[:, :4], self._strides, self._places) / ratio
        return suppressed(boxes, scores.max(axis=1), scores.argmax(axis=1), overlap=0.65)


class YuNet:
    """OpenCV's face detector from its ONNX file: BGR in 0..255, zero-padded to a multiple of 32.

    Source: opencv/opencv, modules/objdetect/src/face_detect.cpp.
    """

    kind = "yunet"
    n_classes = 1

    def __init__(self, graph: Graph, sha256: str) -> None:
        """Take a loaded graph of any size."""
        self.sha256, self._graph = sha256, graph

    def __call__(self, rgb: NDArray[np.uint8]) -> Detections:
        """Find the faces of a picture, uint8 RGB, (H, W, 3)."""
        height, width = (side + -side % 32 for side in rgb.shape[:2])
        canvas = np.zeros((height, width, 3), np.float32)
        canvas[: rgb.shape[0], : rgb.shape[1]] = rgb[..., ::-1]
        answers = self._graph.run(_batch(canvas))

        def joined(name: str) -> NDArray[np.float64]:
            return np.concatenate([answers[f"{name}_{s}"][0] for s in _STRIDES]).astype(np.float64)

        boxes = _decoded(joined("bbox"), *_grid((height, width)))
        sure = np.clip(joined("cls"), 0, 1) * np.clip(joined("obj"), 0, 1)
        return suppressed(boxes, np.sqrt(sure[:, 0]), np.zeros(len(boxes), int), overlap=0.3)


def bilinear(pixels: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.float32]:
    """Resize (H, W, C) to (height, width) bilinearly, as in the training of the detectors.

    Shrinking is not antialiased. Source: OpenCV's `resize` with `INTER_LINEAR`.
    """
    out = pixels.astype(np.float32)
    for axis, n_out in enumerate(size):
        n = out.shape[axis]
        place = np.clip((np.arange(n_out) + 0.5) * (n / n_out) - 0.5, 0, n - 1)
        first = np.floor(place).astype(np.intp)
        share = (place - first).astype(np.float32).reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
        second = np.minimum(first + 1, n - 1)
        out = out.take(first, axis) * (1 - share) + out.take(second, axis) * share
    return np.rint(out)


def _batch(bgr: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.ascontiguousarray(bgr.transpose(2, 0, 1)[None])


def _grid(size: tuple[int, int]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the stride (n, 1) and place (n, 2), x before y, of each row of a detector's answer."""
    strides, places = [], []
    for stride in _STRIDES:
        y, x = np.mgrid[: size[0] // stride, : size[1] // stride]
        places.append(np.stack([x.ravel(), y.ravel()], axis=1).astype(np.float64))
        strides.append(np.full((x.size, 1), float(stride)))
    return np.concatenate(strides), np.concatenate(places)


def _decoded(
    offsets: NDArray[np.float64], strides: NDArray[np.float64], places: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Turn offsets from places, (n, 4), into boxes: left, top, width and height, in pixels."""
    centre = (offsets[:, :2] + places) * strides
    side = np.exp(offsets[:, 2:]) * strides
    return np.concatenate([centre - side / 2, side], axis=1)


def suppressed(
    boxes: NDArray[np.float64], scores: NDArray[np.float64], labels: NDArray[Any], *, overlap: float
) -> Detections:
    """Keep the box with the highest score, drop those of its class that overlap it, and repeat."""
    order = np.argsort(-scores, kind="stable")
    order = order[scores[order] >= LOWEST_SCORE]
    kept: list[int] = []
    left, top = boxes[:, 0], boxes[:, 1]
    right, bottom = left + boxes[:, 2], top + boxes[:, 3]
    area = boxes[:, 2] * boxes[:, 3]
    while len(order):
        best, rest = order[0], order[1:]
        kept.append(int(best))
        wide = np.minimum(right[best], right[rest]) - np.maximum(left[best], left[rest])
        high = np.minimum(bottom[best], bottom[rest]) - np.maximum(top[best], top[rest])
        shared = np.clip(wide, 0, None) * np.clip(high, 0, None)
        same = shared / (area[best] + area[rest] - shared) > overlap
        order = rest[~(same & (labels[rest] == labels[best]))]
    return Detections(boxes[kept], scores[kept], labels[kept].astype(np.int64))
