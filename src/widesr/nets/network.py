"""Defines what all networks share: configuration, reach, and pictures that may be consistent.

A base class, not a Protocol: a network is a torch module too, and no type of Python says both.
"""

from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Self

from pydantic import ConfigDict
from torch import Tensor, nn

from widesr.nets.consistency import Consistency


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """All that rebuilds a network; stored in the header of its weights file."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    scale: int
    """HR pixels per LR pixel, on a side."""
    consistent: bool = False
    """True if the last layer makes the picture shrink back to the input exactly."""

    def values(self) -> dict[str, Any]:
        """Return the keys and values that files hold; files without `consistent` stay readable."""
        return {key: v for key, v in asdict(self).items() if key != "consistent" or v}


class Network(nn.Module):
    """Super-resolve RGB: (N, 3, H, W) to (N, 3, sH, sW), float around [0, 1], not clamped."""

    cfg: NetworkConfig

    def __init__(self, cfg: NetworkConfig) -> None:
        super().__init__()
        self.cfg = cfg
        self.consistency = Consistency(cfg.scale) if cfg.consistent else None

    def forward(self, lr: Tensor) -> Tensor:
        """Super-resolve a batch; see the class."""
        sr = self.enlarged(lr)
        return sr if self.consistency is None else self.consistency(sr, lr)

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
        """Return a new network with plain convolutions that gives the same pictures."""
        raise NotImplementedError
