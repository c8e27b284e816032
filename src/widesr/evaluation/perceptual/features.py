"""Computes the features that LPIPS compares, in NumPy, by networks whose weights a user names."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from widesr.errors import ModelFileError

Maps = NDArray[np.float32]
"""(C, H, W)"""
Tensors = dict[str, NDArray[np.float32]]

SMALLEST = 32
"""Shortest side of a picture whose last maps are not empty."""
_MOST_VALUES = 2**22
"""Number of window values that are laid out at once: 16 MiB."""
_MOST_HEADER = 2**24
"""Most bytes of a file's header; the files of these networks have shorter ones."""


class Convolution(NamedTuple):
    """A convolution with bias, followed by ReLU."""

    key: str
    stride: int = 1
    pad: int = 0


class Fire(NamedTuple):
    """SqueezeNet's module: 1x1 to few channels, then 1x1 and 3x3 side by side."""

    key: str


class Pool(NamedTuple):
    """The maximum over windows; `ceil` keeps a last window that is not full."""

    size: int
    ceil: bool = False


class Compare(NamedTuple):
    """A place in the network where LPIPS compares the maps."""


Layer = Convolution | Fire | Pool | Compare


def _vgg16() -> Iterator[Layer]:
    at = 0
    for count in (2, 2, 3, 3, 3):
        if at:
            yield Pool(2)
            at += 1
        for _ in range(count):
            yield Convolution(str(at), pad=1)
            at += 2
        yield Compare()


NETWORKS: dict[str, tuple[Layer, ...]] = {
    "squeeze": (
        Convolution("0", stride=2),
        Compare(),
        Pool(3, ceil=True),
        Fire("3"),
        Fire("4"),
        Compare(),
        Pool(3, ceil=True),
        Fire("6"),
        Fire("7"),
        Compare(),
        Pool(3, ceil=True),
        *(layer for key in ("9", "10", "11", "12") for layer in (Fire(key), Compare())),
    ),
    "alex": (
        Convolution("0", stride=4, pad=2),
        Compare(),
        Pool(3),
        Convolution("3", pad=2),
        Compare(),
        Pool(3),
        *(layer for key in ("6", "8", "10") for layer in (Convolution(key, pad=1), Compare())),
    ),
    "vgg": tuple(_vgg16()),
}
"""Layers by LPIPS's name of the network, with torchvision's keys under `features`.

Source: richzhang/PerceptualSimilarity, lpips/pretrained_networks.py; torchvision's SqueezeNet 1.1,
AlexNet and VGG16.
"""
_FIRE = ("squeeze", "expand1x1", "expand3x3")
_FIRST = {(64, 3, 3, 3): "squeeze", (64, 3, 11, 11): "alex"}
"""The network by the shape of its first weights; keys tell VGG from SqueezeNet."""


class FeatureNetwork:
    """A network that computes maps of a picture, with weights from a safetensors file."""

    name: str
    """"squeeze", "alex" or "vgg"."""
    sha256: str
    """The hash of the file."""

    def __init__(self, path: Path) -> None:
        """Read the weights and recognise the network.

        Raises:
            ModelFileError: The file cannot be read, or holds none of these networks.
        """
        try:
            content = path.read_bytes()
        except OSError as error:
            raise ModelFileError(f"{path}: cannot be read: {error.strerror}") from error
        tensors = {
            key.removeprefix("features."): tensor for key, tensor in _tensors(path, content).items()
        }
        self.name = _recognised(path, tensors)
        self.sha256 = hashlib.sha256(content).hexdigest()
        self._tensors = tensors

    def maps(self, picture: Maps) -> list[Maps]:
        """Compute the maps that LPIPS compares, of a picture (3, H, W) as the network takes it."""
        compared, maps = [], picture
        for layer in NETWORKS[self.name]:
            match layer:
                case Compare():
                    compared.append(maps)
                case Pool():
                    maps = pooled(maps, size=layer.size, stride=2, ceil=layer.ceil)
                case Convolution():
                    maps = self._convolved(maps, layer.key, stride=layer.stride, pad=layer.pad)
                case Fire():
                    few = self._convolved(maps, f"{layer.key}.squeeze")
                    beside = (
                        self._convolved(few, f"{layer.key}.expand1x1"),
                        self._convolved(few, f"{layer.key}.expand3x3", pad=1),
                    )
                    maps = np.concatenate(beside)
        return compared

    def _convolved(self, maps: Maps, key: str, *, stride: int = 1, pad: int = 0) -> Maps:
        weight, bias = self._tensors[f"{key}.weight"], self._tensors[f"{key}.bias"]
        maps = convolved(maps, weight, bias, stride=stride, pad=pad)
        return np.maximum(maps, 0, out=maps)


def convolved(
    maps: Maps, weight: NDArray[np.float32], bias: NDArray[np.float32], *, stride: int, pad: int
) -> Maps:
    """Convolve (C, H, W) with weights (N, C, k, k) to (N, h, w), with zeros beyond the border."""
    n, _, side, _ = weight.shape
    flat = weight.reshape(n, -1)
    padded = np.pad(maps, ((0, 0), (pad, pad), (pad, pad)))
    windows = sliding_window_view(padded, (side, side), axis=(1, 2))[:, ::stride, ::stride]
    _, height, width = windows.shape[:3]
    out = np.empty((n, height, width), np.float32)
    step = max(_MOST_VALUES // (flat.shape[1] * width), 1)
    for top in range(0, height, step):
        part = windows[:, top : top + step]
        columns = part.transpose(0, 3, 4, 1, 2).reshape(flat.shape[1], -1)
        out[:, top : top + step] = (flat @ columns).reshape(n, -1, width)
    out += bias[:, np.newaxis, np.newaxis]
    return out


def pooled(maps: Maps, *, size: int, stride: int, ceil: bool) -> Maps:
    """Take the maximum over windows of (C, H, W)."""

    def count(side: int) -> int:
        full, rest = divmod(side - size, stride)
        # A window that lies wholly beyond the border does not count.
        return full + 1 + int(ceil and rest > 0 and (full + 1) * stride < side)

    height, width = count(maps.shape[1]), count(maps.shape[2])
    reach = [(n - 1) * stride + 1 for n in (height, width)]
    beyond = [max(reach[i] + size - 1 - maps.shape[1 + i], 0) for i in (0, 1)]
    padded = np.pad(maps, [(0, 0), *((0, more) for more in beyond)], constant_values=-np.inf)
    shifted = (
        padded[:, y : y + reach[0] : stride, x : x + reach[1] : stride]
        for y in range(size)
        for x in range(size)
    )
    out = next(shifted).copy()
    for each in shifted:
        np.maximum(out, each, out=out)
    return out


def _tensors(path: Path, content: bytes) -> Tensors:
    """Read a safetensors file: a length, a JSON header, and the values."""

    def refused(why: str) -> ModelFileError:
        return ModelFileError(
            f"{path}: {why}; expected a safetensors file with the weights of SqueezeNet 1.1, "
            "AlexNet or VGG16 as torchvision names them"
        )

    length = int.from_bytes(content[:8], "little")
    if not 0 < length <= min(_MOST_HEADER, len(content) - 8):
        raise refused("is no safetensors file")
    try:
        header = json.loads(content[8 : 8 + length])
    except (RecursionError, ValueError) as error:
        raise refused("is no safetensors file") from error
    values = memoryview(content)[8 + length :]
    tensors = {}
    for key, entry in header.items() if isinstance(header, dict) else ():
        if key == "__metadata__":
            continue
        try:
            kind, shape, (start, stop) = entry["dtype"], entry["shape"], entry["data_offsets"]
            if kind != "F32":
                raise refused(f"tensor {key} is of type {kind}, expected F32")
            tensors[key] = np.frombuffer(values[start:stop], "<f4").reshape(shape)
        except (KeyError, TypeError, ValueError) as error:
            raise refused(f"tensor {key} cannot be read") from error
    return tensors


def _recognised(path: Path, tensors: Tensors) -> str:
    first = tensors.get("0.weight")
    found = None if first is None else _FIRST.get(first.shape)
    if found == "squeeze" and "3.squeeze.weight" not in tensors:
        found = "vgg"
    if found is None:
        raise ModelFileError(
            f"{path}: holds no network that LPIPS can look with; expected the weights of "
            "SqueezeNet 1.1, AlexNet or VGG16 as torchvision names them"
        )
    missing = [key for key in _keys(found) if key not in tensors]
    if missing:
        raise ModelFileError(f"{path}: looks like {found}, but {missing[0]} is missing")
    return found


def _keys(name: str) -> Iterator[str]:
    for layer in NETWORKS[name]:
        match layer:
            case Convolution():
                parts: tuple[str, ...] = (layer.key,)
            case Fire():
                parts = tuple(f"{layer.key}.{part}" for part in _FIRE)
            case _:
                parts = ()
        for part in parts:
            yield from (f"{part}.weight", f"{part}.bias")
