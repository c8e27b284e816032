"""Defines what all networks share: configuration, reach, and optional consistency."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Annotated, Any, ClassVar, Literal, Self

import torch
from pydantic import ConfigDict, Field
from torch import Tensor, nn

from widesr.nets.consistency import Consistency, mirrored
from widesr.nets.fold import folded

DIV2K_MEAN = (0.4488, 0.4371, 0.4040)
"""Mean of the photographs of DIV2K, RGB in [0, 1], which many networks subtract."""
Count = Annotated[int, Field(ge=1)]
"""A number of layers, channels or runs."""
Depth = Annotated[int, Field(ge=0)]
"""A number of layers without which the network still works."""


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """All that rebuilds a network; stored in the header of its weights file."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", allow_inf_nan=False)
    iterations: ClassVar[str | None] = None
    """The key that sets how often a network runs the same weights; None if that is fixed."""

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
        """True if each picture also depends on what was computed for the frames before."""
        return False

    def values(self) -> dict[str, Any]:
        """Return the keys and values that files hold; `consistent` is left out if it is False."""
        return {key: v for key, v in asdict(self).items() if key != "consistent" or v}


class Network(nn.Module):
    """Super-resolve RGB: (N, 3, H, W) to (N, 3, sH, sW), float around [0, 1], not clamped.

    A network with a window reads T frames of a clip, stacked in the channels: (N, 3T, H, W). It
    gives the picture of the middle frame, or of the one after the middle if T is even.
    """

    cfg: NetworkConfig
    rgb_mean: Tensor
    """The colour that some networks subtract and add back, (1, 3, 1, 1)."""
    reach: int | None
    """LR pixels beyond its own that a pixel of `enlarged` depends on; None: the whole picture."""
    noise: int = 0
    """Channels of normally distributed noise that follow those of a picture in the input; with
    noise, each LR picture has many SR pictures."""
    margin: int = 0
    """Mirrored LR pixels that `forward` puts around a picture, and whose enlargement it cuts off.
    This is for files that other programs run, as widesr adds the margin itself."""

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
        """Return the pictures that a loss judges, (K N, 3, sH, sW): K times the whole batch.

        K is 1 and the picture is `forward`'s, except in networks that learn from every iteration.
        """
        return torch.cat([self._finished(sr, lr) for sr in self.predictions(lr)])

    def predictions(self, lr: Tensor) -> Iterator[Tensor]:
        """Yield the pictures that a loss judges, before consistency; that of `enlarged` is last."""
        yield self.enlarged(lr)

    def _finished(self, sr: Tensor, lr: Tensor) -> Tensor:
        if self.consistency is None:
            return sr
        first = 3 * (self.cfg.window // 2)
        finished: Tensor = self.consistency(sr, lr[:, first : first + 3])
        return finished

    def _centre_on(self, rgb_mean: tuple[float, float, float]) -> None:
        """Keep `rgb_mean` beside the weights, but out of their file: the configuration has it."""
        mean = torch.tensor(rgb_mean).view(1, 3, 1, 1)
        self.register_buffer("rgb_mean", mean, persistent=False)

    @property
    def receptive_radius(self) -> int | None:
        """LR pixels beyond its own that an output pixel depends on: the halo of exact tiles.

        None if each depends on the whole picture.
        """
        if self.reach is None or self.consistency is None:
            return self.reach
        return self.reach + self.consistency.reach

    def enlarged(self, lr: Tensor) -> Tensor:
        """Super-resolve a batch, without consistency."""
        raise NotImplementedError

    def fused(self) -> Self:
        """Return a new network with plain convolutions that gives the same pictures.

        Batch norm is folded by the statistics learned so far.
        """
        return folded(self)
