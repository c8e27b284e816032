"""DRRN: one residual unit of two convolutions, applied recursively to the enlarged picture.

Source: Tai et al., "Image Super-Resolution via Deep Recursive Residual Network", 2017; without
batch norm and biases, as in jt827859032/DRRN-pytorch.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from widesr.nets.enlarge import Enlarge, lr_reach, luma
from widesr.nets.network import Count, Network, NetworkConfig


@dataclass(frozen=True, kw_only=True)
class DRRNConfig(NetworkConfig):
    """The configuration of `DRRN`."""

    iterations: ClassVar[str | None] = "n_units"

    n_blocks: Count = 1
    """The paper's B: blocks with weights of their own."""
    n_units: Count = 25
    """The paper's U: times that a block runs its residual unit."""
    n_feats: Count = 128
    colours: Literal[1, 3] = 3
    """Channels to learn: 3 is RGB; 1 is luma alone, as in the paper, with bicubic colours."""


class _RecursiveBlock(nn.Module):
    """Run one residual unit several times, each time adding it to the block's first features."""

    def __init__(self, n_in: int, n: int) -> None:
        super().__init__()
        self.head = nn.Conv2d(n_in, n, 3, padding=1, bias=False)
        self.unit = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(n, n, 3, padding=1, bias=False),
            nn.ReLU(),
            nn.Conv2d(n, n, 3, padding=1, bias=False),
        )

    def forward(self, x: Tensor, n_units: int) -> Tensor:
        first: Tensor = self.head(torch.relu(x))
        feats = first
        for _ in range(n_units):
            feats = first + self.unit(feats)
        return feats


class DRRN(Network):
    """Super-resolve RGB: (N, 3, H, W) to (N, 3, sH, sW), float around [0, 1], not clamped."""

    cfg: DRRNConfig

    def __init__(self, cfg: DRRNConfig) -> None:
        super().__init__(cfg)
        n = cfg.n_feats
        self.enlarge = Enlarge(cfg.scale)
        widths = [cfg.colours, *[n] * (cfg.n_blocks - 1)]
        self.body = nn.ModuleList(_RecursiveBlock(n_in, n) for n_in in widths)
        self.tail = nn.Conv2d(n, cfg.colours, 3, padding=1, bias=False)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")  # as in the paper
        with torch.no_grad():  # units add up: without this the first pictures are far too bright
            self.tail.weight.mul_((1 + cfg.n_units) ** -0.5)
        self.reach = lr_reach(cfg.n_blocks * (1 + 2 * cfg.n_units) + 1, cfg.scale)

    def enlarged(self, lr: Tensor) -> Tensor:
        """Super-resolve a batch; see the class."""
        large = self.enlarge(lr)  # (N, 3, sH, sW)
        feats = luma(large) if self.cfg.colours == 1 else large
        for block in self.body:
            feats = block(feats, self.cfg.n_units)
        sr: Tensor = large + self.tail(torch.relu(feats))
        return sr
