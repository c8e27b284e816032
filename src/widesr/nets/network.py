"""Defines what all networks share: configuration, reach, and pictures that may be consistent.

A base class, not a Protocol: a network is a torch module too, and no type of Python says both.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal, Self

import torch
from pydantic import ConfigDict
from torch import Tensor, nn

from widesr.nets.consistency import Consistency, mirrored
from widesr.nets.fold import folded


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """All that rebuilds a network; stored in the header of its weights file."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")
    iterations: ClassVar[str | None] = None
    """The key that says how often a network runs the same weights, where they fit any number."""

    scale: Literal[2, 3, 4, 8]
    """HR pixels per LR pixel, on a side."""
    consistent: bool = False
    """True if the last layer makes the picture shrink back to the input exactly."""

    @property
    def window(self) -> int:
        """Frames of a clip that are read for each picture; 1 for pictures that stand alone."""
        return 1

    @property
    def is_recurrent(self) -> bool:
        """True if what was made of the frames before goes into each picture."""
        return False

    def values(self) -> dict[str, Any]:
        """Return the keys and values that files hold; files without `consistent` stay readable."""
        return {key: v for key, v in asdict(self).items() if key != "consistent" or v}


class Network(nn.Module):
    """Super-resolve RGB: (N, 3, H, W) to (N, 3, sH, sW), float around [0, 1], not clamped.

    One with a window reads the frames of a clip side by side in the channels, (N, 3T, H, W), and
    gives the picture of the one in the middle; of an even number, of the one behind the middle.
    """

    cfg: NetworkConfig
    margin: int = 0
    """Mirrored LR pixels that `forward` puts around a picture, and whose enlargement it cuts off:
    for the files of others, since widesr does so itself."""

    def __init__(self, cfg: NetworkConfig) -> None:
        super().__init__()
        self.cfg = cfg
        self.consistency = Consistency(cfg.scale) if cfg.consistent else None

    def forward(self, lr: Tensor) -> Tensor:
        """Super-resolve a batch; see the class."""
        if not self.margin:
            return self._finished(self.enlarged(lr), lr)
        lr = mirrored(mirrored(lr, self.margin, 2), self.margin, 3)
        cut = self.margin * self.cfg.scale
        return self._finished(self.enlarged(lr), lr)[:, :, cut:-cut, cut:-cut]

    def supervised(self, lr: Tensor) -> Tensor:
        """Return the pictures that a loss is to judge, (K N, 3, sH, sW): K times the whole batch.

        K is 1, and the picture that of `forward`, but for networks that learn from every iteration.
        """
        return torch.cat([self._finished(sr, lr) for sr in self.predictions(lr)])

    def predictions(self, lr: Tensor) -> Iterator[Tensor]:
        """Yield the pictures that a loss judges, not made consistent yet; `enlarged` is last."""
        yield self.enlarged(lr)

    def _finished(self, sr: Tensor, lr: Tensor) -> Tensor:
        if self.consistency is None:
            return sr
        first = 3 * (self.cfg.window // 2)
        finished: Tensor = self.consistency(sr, lr[:, first : first + 3])
        return finished

    @property
    def noise(self) -> int:
        """Channels of noise that go in beside RGB; with them there are many pictures for each LR.

        They lie behind those of the picture, of normal distribution.
        """
        return 0

    @property
    def receptive_radius(self) -> int | None:
        """LR pixels beyond its own that an output pixel depends on: the halo of exact tiles.

        None if each depends on the whole picture.
        """
        if self.reach is None or self.consistency is None:
            return self.reach
        return self.reach + self.consistency.reach

    def enlarged(self, lr: Tensor) -> Tensor:
        """Super-resolve a batch, not made consistent yet."""
        raise NotImplementedError

    @property
    def reach(self) -> int | None:
        """LR pixels beyond its own that a pixel of `enlarged` depends on; None: all."""
        raise NotImplementedError

    def fused(self) -> Self:
        """Return a new network with plain convolutions that gives the same pictures.

        Batch norm is folded by the statistics learned so far.
        """
        return folded(self)
