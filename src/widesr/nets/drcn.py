"""DRCN: one convolution applied recursively, and a weighted sum of all recursions' pictures.

Source: Kim et al., "Deeply-Recursive Convolutional Network for Image Super-Resolution", 2016
(arXiv 1511.04491).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from widesr.nets.enlarge import Enlarge, lr_reach, luma, with_luma
from widesr.nets.network import Count, Network, NetworkConfig


@dataclass(frozen=True, kw_only=True)
class DRCNConfig(NetworkConfig):
    """The configuration of `DRCN`."""

    n_recursions: Count = 16
    """The paper's D. The weight of each recursion's picture is learned, so a trained network runs
    exactly this many."""
    n_feats: Count = 256
    colours: Literal[1, 3] = 3
    """Channels to learn: 3 is RGB; 1 is luma alone, as in the paper, with bicubic colours."""


class DRCN(Network):
    """Super-resolve RGB: (N, 3, H, W) to (N, 3, sH, sW), float around [0, 1], not clamped."""

    cfg: DRCNConfig

    def __init__(self, cfg: DRCNConfig) -> None:
        super().__init__(cfg)
        n = cfg.n_feats

        def conv(n_in: int, n_out: int) -> nn.Conv2d:
            layer = nn.Conv2d(n_in, n_out, 3, padding=1)
            assert layer.bias is not None
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")  # as in the paper
            nn.init.zeros_(layer.bias)
            return layer

        self.enlarge = Enlarge(cfg.scale)
        self.head = nn.Sequential(conv(cfg.colours, n), nn.ReLU(), conv(n, n), nn.ReLU())
        self.recursion = conv(n, n)
        nn.init.dirac_(self.recursion.weight)  # the identity, as in the paper
        self.tail = nn.Sequential(conv(n, n), nn.ReLU(), conv(n, cfg.colours))
        self.shares = nn.Parameter(torch.full((cfg.n_recursions,), 1 / cfg.n_recursions))
        self.reach = lr_reach(2 + cfg.n_recursions + 2, cfg.scale)

    def enlarged(self, lr: Tensor) -> Tensor:
        """Super-resolve a batch; see the class."""
        *_, result = self.predictions(lr)
        return result

    def predictions(self, lr: Tensor) -> Iterator[Tensor]:
        """Yield the picture of each recursion, and last their weighted sum."""
        large = self.enlarge(lr)  # (N, 3, sH, sW)
        of_luma = self.cfg.colours == 1
        seen = luma(large) if of_luma else large
        feats, result = self.head(seen), torch.zeros_like(seen)
        for share in self.shares:
            feats = torch.relu(self.recursion(feats))
            made = seen + self.tail(feats)
            result = result + share * made
            yield with_luma(large, made) if of_luma else made
        yield with_luma(large, result) if of_luma else result
