"""SMFANet: features weighed by their peaks on a coarse grid and their variance over the picture.

Source: Zheng et al., "SMFANet: A Lightweight Self-Modulation Feature Aggregation Network for
Efficient Image Super-Resolution", ECCV 2024; the authors' code Zheng-MJ/SMFANet at b3ac071.
"""

from copy import deepcopy
from dataclasses import dataclass
from typing import ClassVar, Literal, Self

import torch
from pydantic import ConfigDict
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (torch's own habit)

_CELL = 8
"""LR pixels along a side of the coarse grid's cells, about: as many cells as fit are made equal."""


@dataclass(frozen=True, kw_only=True)
class SMFANetConfig:
    """All that rebuilds the network; stored in the header of its weights file."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    scale: Literal[2, 3, 4, 8]
    n_resblocks: int = 8
    """The authors' SMFANet+ has 12."""
    n_feats: int = 36
    """The authors' SMFANet+ has 48."""
    expansion: float = 2.0
    """Channels within the second half of a block divided by `n_feats`."""


class _Aggregation(nn.Module):
    """Half of the features weighed by what is around them, the other half by convolutions."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.entry = nn.Conv2d(n, 2 * n, 1)
        self.coarse = nn.Conv2d(n, n, 3, padding=1, groups=n)
        self.of_peaks = nn.Parameter(torch.ones(1, n, 1, 1))
        self.of_variance = nn.Parameter(torch.zeros(1, n, 1, 1))
        self.weigh = nn.Sequential(nn.Conv2d(n, n, 1), nn.GELU())
        self.local = nn.Sequential(
            nn.Conv2d(n, 2 * n, 3, padding=1, groups=n),
            nn.Conv2d(2 * n, 2 * n, 1),
            nn.GELU(),
            nn.Conv2d(2 * n, n, 1),
        )
        self.exit = nn.Conv2d(n, n, 1)

    def forward(self, x: Tensor) -> Tensor:
        near, far = self.entry(x).chunk(2, dim=1)
        peaks = self.coarse(_peaks(far))  # (N, n, H // 8, W // 8)
        weights = self.weigh(peaks * self.of_peaks + _variance(far) * self.of_variance)
        made: Tensor = self.exit(far * _enlarged(weights, like=far) + self.local(near))
        return made


class _FeedForward(nn.Module):
    """Two 1x1 convolutions, with a 3x3 one on a quarter of the channels between them."""

    def __init__(self, n: int, expansion: float) -> None:
        super().__init__()
        wide = int(n * expansion)
        self.n_mixed = wide // 4
        self.widen = nn.Conv2d(n, wide, 1)
        self.mix = nn.Conv2d(self.n_mixed, self.n_mixed, 3, padding=1)
        self.narrow = nn.Conv2d(wide, n, 1)

    def forward(self, x: Tensor) -> Tensor:
        wide = F.gelu(self.widen(x))
        mixed, kept = F.gelu(self.mix(wide[:, : self.n_mixed])), wide[:, self.n_mixed :]
        made: Tensor = self.narrow(torch.cat([mixed, kept], dim=1))
        return made


class _Block(nn.Module):
    """Both halves, each on features of length 1 and added to what comes in."""

    def __init__(self, cfg: SMFANetConfig) -> None:
        super().__init__()
        self.aggregate = _Aggregation(cfg.n_feats)
        self.feed = _FeedForward(cfg.n_feats, cfg.expansion)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.aggregate(F.normalize(x, dim=1))
        made: Tensor = x + self.feed(F.normalize(x, dim=1))
        return made


class SMFANet(nn.Module):
    """Super-resolve RGB: (N, 3, H, W) to (N, 3, sH, sW), float around [0, 1], not clamped."""

    def __init__(self, cfg: SMFANetConfig) -> None:
        super().__init__()
        self.cfg = cfg
        self.head = nn.Conv2d(3, cfg.n_feats, 3, padding=1)
        self.body = nn.Sequential(*(_Block(cfg) for _ in range(cfg.n_resblocks)))
        self.tail = nn.Conv2d(cfg.n_feats, 3 * cfg.scale**2, 3, padding=1)
        self.shuffle = nn.PixelShuffle(cfg.scale)

    def forward(self, lr: Tensor) -> Tensor:
        """Super-resolve a batch; see the class."""
        shallow = self.head(lr)  # (N, n_feats, H, W)
        sr: Tensor = self.shuffle(self.tail(self.body(shallow) + shallow))
        return sr

    @property
    def receptive_radius(self) -> None:
        """None: every output pixel depends on the whole picture, by the variances over it."""
        return

    def fused(self) -> Self:
        """Return a copy; SMFANet has nothing to fold."""
        return deepcopy(self)


def _peaks(x: Tensor) -> Tensor:
    """(N, C, H, W) to (N, C, H // 8, W // 8), at least 1: torch's `adaptive_max_pool2d`.

    ONNX has no such operator. A cell is 8 to 15 lines high, so its peak is the larger one of the
    running peaks over 8 lines that begin with it and that end with it.
    """
    for dim in (2, 3):
        size = x.shape[dim]
        cells = _at_least_one(size // _CELL)
        index = torch.arange(cells, device=x.device)
        start = index * size // cells
        stop = ((index + 1) * size + cells - 1) // cells
        later = torch.clamp(stop - _CELL, min=0).maximum(start)
        along = (_CELL, 1) if dim == 2 else (1, _CELL)
        beyond = [0, 0, 0, _CELL - 1] if dim == 2 else [0, _CELL - 1, 0, 0]
        running = F.max_pool2d(F.pad(x, beyond, value=-torch.inf), along, stride=1)
        x = running.index_select(dim, start).maximum(running.index_select(dim, later))
    return x


def _variance(x: Tensor) -> Tensor:
    """(N, C, H, W) to (N, C, 1, 1): without bias, as torch's `var`, and 0 for a single pixel."""
    others = _at_least_one(x.shape[2] * x.shape[3] - 1)
    return (x - x.mean(dim=(2, 3), keepdim=True)).square().sum(dim=(2, 3), keepdim=True) / others


def _enlarged(x: Tensor, *, like: Tensor) -> Tensor:
    """Repeat pixels to the size of `like`: torch's `interpolate` with `mode="nearest"`."""
    for dim in (2, 3):
        size = like.shape[dim]
        index = torch.arange(size, device=x.device) * x.shape[dim] // size
        x = x.index_select(dim, index)
    return x


def _at_least_one(count: int) -> int:
    """`max(count, 1)`, for sizes that are not known yet when the network is exported."""
    more: int = torch.sym_max(count, 1)  # type: ignore[no-untyped-call]
    return more
