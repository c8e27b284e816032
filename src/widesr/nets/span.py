"""SPAN: residual blocks whose sum is weighted by a gate without parameters of its own.

Source: Wan et al., "Swift Parameter-free Attention Network for Efficient Super-Resolution", 2023
(arXiv 2311.12770); the authors' code hongyuanyu/SPAN at e19736d.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (torch's own habit)

from widesr.nets.branches import BranchedConv2d
from widesr.nets.network import DIV2K_MEAN, Count, Network, NetworkConfig


@dataclass(frozen=True, kw_only=True)
class SPANConfig(NetworkConfig):
    """The configuration of `SPAN`."""

    n_resblocks: Count = 6
    n_feats: Count = 48
    branched: bool = False
    """True to train each 3x3 kernel of head, body and end as the product of three kernels plus a
    parallel 1x1, as the authors do; these are merged for use."""
    rgb_mean: tuple[float, float, float] = DIV2K_MEAN
    """Mean of DIV2K, in [0, 1]; subtracted before the head, not added back: the tail has a bias."""
    rgb_range: float = 255.0
    """Factor after the mean is subtracted; not divided out again, as the tail gives [0, 1]."""


class _Block(nn.Module):
    """Three convolutions, added to the input; a gate computed from them weights the sum."""

    def __init__(self, n: int, *, branched: bool) -> None:
        super().__init__()
        self.first, self.second, self.third = (_conv(n, n, branched=branched) for _ in range(3))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Give the block's output, and the features after its first convolution."""
        early = F.silu(self.first(x))
        branch: Tensor = self.third(F.silu(self.second(early)))
        return (branch + x) * (torch.sigmoid(branch) - 0.5), early


class SPAN(Network):
    """Super-resolve RGB: (N, 3, H, W) to (N, 3, sH, sW), float around [0, 1], not clamped."""

    cfg: SPANConfig

    def __init__(self, cfg: SPANConfig) -> None:
        super().__init__(cfg)
        n = cfg.n_feats
        self.head = _conv(3, n, branched=cfg.branched)
        self.body = nn.ModuleList(_Block(n, branched=cfg.branched) for _ in range(cfg.n_resblocks))
        self.end = _conv(n, n, branched=cfg.branched)
        self.fuse = nn.Conv2d(4 * n, n, 1)
        self.tail = nn.Conv2d(n, 3 * cfg.scale**2, 3, padding=1)
        self.shuffle = nn.PixelShuffle(cfg.scale)
        self._centre_on(cfg.rgb_mean)
        self.reach = 1 + 3 * cfg.n_resblocks + 1 + 1

    def enlarged(self, lr: Tensor) -> Tensor:
        """Super-resolve a batch; see the class."""
        shallow = self.head((lr - self.rgb_mean) * self.cfg.rgb_range)  # (N, n_feats, H, W)
        feats, made = shallow, []
        for block in self.body:
            feats, early = block(feats)
            made.append(feats)
        fused = self.fuse(torch.cat([shallow, self.end(feats), made[0], early], dim=1))
        sr: Tensor = self.shuffle(self.tail(fused))
        return sr


def _conv(n_in: int, n_out: int, *, branched: bool) -> nn.Module:
    return BranchedConv2d(n_in, n_out) if branched else nn.Conv2d(n_in, n_out, 3, padding=1)
