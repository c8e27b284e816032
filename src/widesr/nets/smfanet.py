"""SMFANet: features weighted by their peaks on a coarse grid and their variance over the picture.

Source: Zheng et al., "SMFANet: A Lightweight Self-Modulation Feature Aggregation Network for
Efficient Image Super-Resolution", ECCV 2024; the authors' code Zheng-MJ/SMFANet at b3ac071.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (torch's own habit)

from widesr.nets.network import Count, Depth, Network, NetworkConfig

_CELL = 8
"""Smallest side of the coarse grid's cells, LR pixels; as many cells as fit are made equal."""


@dataclass(frozen=True, kw_only=True)
class SMFANetConfig(NetworkConfig):
    """The configuration of `SMFANet`."""

    n_resblocks: Depth = 8
    """The authors' SMFANet+ has 12."""
    n_feats: Count = 36
    """The authors' SMFANet+ has 48."""
    expansion: float = 2.0
    """Channels within the second half of a block divided by `n_feats`."""

    def __post_init__(self) -> None:
        if self.n_feats * self.expansion < 4:
            raise ValueError("expansion leaves a block fewer than 4 channels, of which it mixes 1")


class _Aggregation(nn.Module):
    """Half of the features weighted by their surroundings, plus the other half convolved."""

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

    def forward(self, x: Tensor, grid: "_Grid") -> Tensor:
        near, far = self.entry(x).chunk(2, dim=1)
        peaks = self.coarse(grid.peaks(far))  # (N, n, H // 8, W // 8)
        weights = self.weigh(peaks * self.of_peaks + grid.variance(far) * self.of_variance)
        made: Tensor = self.exit(far * grid.enlarged(weights) + self.local(near))
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
    """Both halves, each applied to features normalised to length 1 and added to its input."""

    def __init__(self, cfg: SMFANetConfig) -> None:
        super().__init__()
        self.aggregate = _Aggregation(cfg.n_feats)
        self.feed = _FeedForward(cfg.n_feats, cfg.expansion)

    def forward(self, x: Tensor, grid: "_Grid") -> Tensor:
        x = x + self.aggregate(F.normalize(x, dim=1), grid)
        made: Tensor = x + self.feed(F.normalize(x, dim=1))
        return made


class SMFANet(Network):
    """Super-resolve RGB: (N, 3, H, W) to (N, 3, sH, sW), float around [0, 1], not clamped."""

    cfg: SMFANetConfig

    def __init__(self, cfg: SMFANetConfig) -> None:
        super().__init__(cfg)
        self.head = nn.Conv2d(3, cfg.n_feats, 3, padding=1)
        self.body = nn.ModuleList(_Block(cfg) for _ in range(cfg.n_resblocks))
        self.tail = nn.Conv2d(cfg.n_feats, 3 * cfg.scale**2, 3, padding=1)
        self.shuffle = nn.PixelShuffle(cfg.scale)
        self.reach = None  # the variances are over the whole picture

    def enlarged(self, lr: Tensor) -> Tensor:
        """Super-resolve a batch; see the class."""
        grid = _Grid(lr)
        shallow = self.head(lr)  # (N, n_feats, H, W)
        feats = shallow
        for block in self.body:
            feats = block(feats, grid)
        sr: Tensor = self.shuffle(self.tail(feats + shallow))
        return sr


class _Grid:
    """The coarse grid over a picture, as indices that are computed once for all blocks.

    ONNX has no adaptive pooling, and indices computed in each block would take longer to export.
    """

    def __init__(self, lr: Tensor) -> None:
        """Lay the grid over a batch of pictures, (N, C, H, W)."""
        height, width = lr.shape[2:]
        self._rows = _cells(height, device=lr.device)
        self._columns = _cells(width, device=lr.device)
        self._others = _at_least_one(height * width - 1)

    def peaks(self, x: Tensor) -> Tensor:
        """Pool to (N, C, H // 8, W // 8), at least 1, as torch's `adaptive_max_pool2d` does.

        A cell is 8 to 15 lines high, or has all lines if there are fewer. Its peak is therefore
        the larger of two running peaks over 8 lines: over its first 8 and over its last 8.
        """
        beyond = _CELL - 1
        x = F.max_pool2d(F.pad(x, [0, 0, 0, beyond], value=-torch.inf), (_CELL, 1), stride=1)
        x = self._rows.first_and_last(x, dim=2)
        x = F.max_pool2d(F.pad(x, [0, beyond, 0, 0], value=-torch.inf), (1, _CELL), stride=1)
        return self._columns.first_and_last(x, dim=3)

    def variance(self, x: Tensor) -> Tensor:
        """Compute the unbiased variance, (N, C, 1, 1), as torch's `var` does; 0 for one pixel."""
        distances = x - x.mean(dim=(2, 3), keepdim=True)
        return distances.square().sum(dim=(2, 3), keepdim=True) / self._others

    def enlarged(self, x: Tensor) -> Tensor:
        """Enlarge to (N, C, H, W), as torch's `interpolate` does with `mode="nearest"`."""
        return x.index_select(2, self._rows.of_line).index_select(3, self._columns.of_line)


class _Cells(NamedTuple):
    """Equal cells along one side."""

    first: Tensor
    """First line of each cell."""
    last: Tensor
    """First of the last 8 lines of each cell."""
    of_line: Tensor
    """Cell that each line is enlarged from."""

    def first_and_last(self, running: Tensor, *, dim: int) -> Tensor:
        """Take the larger of the two running peaks of each cell."""
        return running.index_select(dim, self.first).maximum(running.index_select(dim, self.last))


def _cells(size: int, *, device: torch.device) -> _Cells:
    count = _at_least_one(size // _CELL)
    cells = torch.arange(count, device=device)
    first = cells * size // count
    end = ((cells + 1) * size + count - 1) // count
    lines = torch.arange(size, device=device)
    return _Cells(first, torch.maximum(end - _CELL, first), lines * count // size)


def _at_least_one(count: int) -> int:
    """Compute `max(count, 1)` for sizes that are not known yet when the network is exported."""
    more: int = torch.sym_max(count, 1)  # type: ignore[no-untyped-call]
    return more
