"""Compares pictures by the features of a trained network: LPIPS, for losses and for validation.

The network's weights come from a file that the user has; nothing here fetches any.

Source: Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric",
2018, version 0.1 of its code (the `lpips` package); Iandola et al., "SqueezeNet", 2016, version 1.1
as in torchvision.
"""

import pickle
import struct
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (torch's own habit)

from widesr.errors import CheckpointError, first_line
from widesr.evaluation.perceptual.lpips import heads
from widesr.system.files import sha256_of

_SHIFT, _SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
"""Mean and standard deviation of RGB in [-1, 1] that the weights expect, as in LPIPS."""
_FIRE = {3: (64, 16, 64), 4: (128, 16, 64), 6: (128, 32, 128), 7: (256, 32, 128)}
_FIRE |= {9: (256, 48, 192), 10: (384, 48, 192), 11: (384, 64, 256), 12: (512, 64, 256)}
"""Channels of the input, the squeeze layer and each of the two expand layers, by the layer's number
in torchvision."""
_POOLED = (3, 6, 9)
"""Numbers of the layers before which the grid is halved."""
_COMPARED = (1, 4, 7, 9, 10, 11, 12)
"""Numbers of the layers after which LPIPS compares features."""
UNREADABLE = (
    pickle.UnpicklingError,
    struct.error,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""Errors that torch and h5py raise on random bytes."""
SMALLEST = 17
"""Smallest side of a picture that has features in all layers, in pixels."""


class _Fire(nn.Module):
    def __init__(self, n_in: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(n_in, squeezed, 1)
        self.expand1x1 = nn.Conv2d(squeezed, expanded, 1)
        self.expand3x3 = nn.Conv2d(squeezed, expanded, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.squeeze(x))
        return F.relu(torch.cat([self.expand1x1(x), self.expand3x3(x)], dim=1))


class SqueezeNet(nn.Module):
    """The features of seven layers of SqueezeNet 1.1, from RGB (N, 3, H, W) in [0, 1]."""

    shift: Tensor
    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_module("0", nn.Conv2d(3, 64, 3, stride=2))
        for number, channels in _FIRE.items():
            self.add_module(str(number), _Fire(*channels))
        for name, values in (("shift", _SHIFT), ("scale", _SCALE)):
            self.register_buffer(name, torch.tensor(values).view(1, 3, 1, 1), persistent=False)

    def forward(self, rgb: Tensor) -> list[Tensor]:
        """Return the features of each layer, (N, C, h, w), the largest first."""
        x = (2 * rgb - 1 - self.shift) / self.scale
        x = F.relu(self.get_submodule("0")(x))
        features = [x]
        for number in _FIRE:
            if number in _POOLED:
                x = F.max_pool2d(x, 3, stride=2, ceil_mode=True)
            x = self.get_submodule(str(number))(x)
            if number in _COMPARED:
                features.append(x)
        return features


class Perceptual(nn.Module):
    """The LPIPS distance between pictures, by a feature network whose weights are in a file."""

    def __init__(self, weights: Path) -> None:
        """Read the file.

        Raises:
            CheckpointError: The file is missing, damaged, or holds other tensors.
        """
        super().__init__()
        self.network = SqueezeNet()
        state = _read(weights)
        state = {name.removeprefix("features."): t for name, t in state.items()}
        try:
            self.network.load_state_dict(state)
        except RuntimeError as error:
            raise CheckpointError(
                f"{weights}: its tensors are not the features of SqueezeNet 1.1"
            ) from error
        self.heads = nn.ParameterList(
            torch.tensor(head.flatten()).view(1, -1, 1, 1) for head in heads()["squeeze"]
        )
        self.requires_grad_(requires_grad=False)
        self.sha256 = sha256_of(weights)
        """Hash of the weights file."""

    def forward(self, sr: Tensor, hr: Tensor) -> Tensor:
        """Return the mean distance of pictures (N, 3, H, W) in [0, 1], sides `SMALLEST` or more."""
        return torch.stack([each.mean() for each in self._distances(sr, hr)]).sum()

    def maps(self, sr: Tensor, hr: Tensor) -> Tensor:
        """Return the distance of each sample at each place of the finest grid, (K, N, 1, h, w).

        Args:
            sr: K samples of each picture, (K N, 3, H, W): the first of every picture, then the
                second.
            hr: The true pictures, (N, 3, H, W).
        """
        finest, *others = self._distances(sr, hr)
        total = finest
        for each in others:
            total = total + F.interpolate(each, size=finest.shape[2:], mode="bilinear")
        return total.view(-1, len(hr), *total.shape[1:])

    def _distances(self, sr: Tensor, hr: Tensor) -> list[Tensor]:
        """Return the distance in each layer at each place, (K N, 1, h, w)."""
        with torch.no_grad():
            wanted = [_unit(each) for each in self.network(hr)]
        times = len(sr) // len(hr)
        return [
            ((_unit(ours) - theirs.repeat(times, 1, 1, 1)).square() * head).sum(1, keepdim=True)
            for ours, theirs, head in zip(self.network(sr), wanted, self.heads, strict=True)
        ]


def _unit(features: Tensor) -> Tensor:
    """Scale the features at each place to length 1, in float32."""
    features = features.float()
    return features / (features.square().sum(dim=1, keepdim=True).sqrt() + 1e-10)


def _read(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise CheckpointError(
            f"{path}: no such file; expected the features of SqueezeNet 1.1, which are not part of "
            "widesr and are never fetched: name the file in features.weights"
        )
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, *UNREADABLE) as error:
        raise CheckpointError(f"{path}: no file of tensors ({first_line(error)})") from error
    if not isinstance(state, dict):
        raise CheckpointError(f"{path}: holds no tensors by name")
    return {str(name): value for name, value in state.items()}
