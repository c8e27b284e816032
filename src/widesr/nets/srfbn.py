"""SRFBN: a block that goes up and down between LR and HR features, and reads its last output.

Source: Li et al., "Feedback Network for Image Super-Resolution", 2019; the authors' code
Paper99/SRFBN_CVPR19, networks/srfbn_arch.py.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (torch's own habit)

from widesr.nets.network import DIV2K_MEAN, Count, Network, NetworkConfig


@dataclass(frozen=True, kw_only=True)
class SRFBNConfig(NetworkConfig):
    """The configuration of `SRFBN`; the defaults are those of SRFBN-S."""

    iterations: ClassVar[str | None] = "n_steps"

    n_steps: Count = 4
    """The paper's T: times that the block runs."""
    n_groups: Count = 3
    """The paper's G: pairs of steps up and down in the block; 6 in SRFBN."""
    n_feats: Count = 32
    """Channels of LR and HR features; 64 in SRFBN."""
    rgb_mean: tuple[float, float, float] = DIV2K_MEAN
    """Mean of DIV2K, in [0, 1]; subtracted before the head, added back after the tail."""
    rgb_std: float = 1.0
    """Divisor after the mean is subtracted; the authors' 0..255 range is 1/255 here."""


_KERNELS = {2: 6, 3: 7, 4: 8, 8: 12}
"""Sides of the kernels that go up and down, by scale; 2 pixels beyond the border are zeros."""


def _same(n_in: int, n_out: int, kernel: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(n_in, n_out, kernel, padding=kernel // 2), nn.PReLU())


def _up(n: int, scale: int) -> nn.Sequential:
    larger = nn.ConvTranspose2d(n, n, _KERNELS[scale], stride=scale, padding=2)
    return nn.Sequential(larger, nn.PReLU())


def _down(n: int, scale: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(n, n, _KERNELS[scale], stride=scale, padding=2), nn.PReLU())


class _FeedbackBlock(nn.Module):
    """Map LR features and the block's last output, both (N, n, H, W), to its next output."""

    def __init__(self, n: int, n_groups: int, scale: int) -> None:
        super().__init__()
        self.compress_in = _same(2 * n, n, 1)
        self.ups = nn.ModuleList(_up(n, scale) for _ in range(n_groups))
        self.downs = nn.ModuleList(_down(n, scale) for _ in range(n_groups))
        # The first group reads a single set of features, and has nothing to join.
        joined = range(2, n_groups + 1)
        self.up_joins = nn.ModuleList([nn.Identity(), *(_same(n * k, n, 1) for k in joined)])
        self.down_joins = nn.ModuleList([nn.Identity(), *(_same(n * k, n, 1) for k in joined)])
        self.compress_out = _same(n * n_groups, n, 1)

    def forward(self, feats: Tensor, hidden: Tensor) -> Tensor:
        low = [self.compress_in(torch.cat([feats, hidden], dim=1))]
        high: list[Tensor] = []
        groups = zip(self.up_joins, self.ups, self.down_joins, self.downs, strict=True)
        for up_join, up, down_join, down in groups:
            high.append(up(up_join(torch.cat(low, dim=1))))
            low.append(down(down_join(torch.cat(high, dim=1))))
        made: Tensor = self.compress_out(torch.cat(low[1:], dim=1))
        return made


class _Bilinear(nn.Module):
    """Enlarge (N, 3, H, W) to (N, 3, sH, sW) as torch's bilinear interpolation, by fixed kernels.

    The taps are the same at every place. An interpolation that computes positions would round
    them differently depending on where a tile begins.
    """

    kernels: Tensor

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.scale = scale
        beyond = (torch.arange(scale) + 0.5) / scale - 0.5  # from the middle of the LR pixel
        rows = torch.stack([(-beyond).clamp(min=0), 1 - beyond.abs(), beyond.clamp(min=0)], dim=1)
        kernels = torch.einsum("ak,bl->abkl", rows, rows).reshape(scale**2, 1, 3, 3)
        self.register_buffer("kernels", kernels.repeat(3, 1, 1, 1), persistent=False)

    def forward(self, lr: Tensor) -> Tensor:
        around = F.pad(lr, (1, 1, 1, 1), mode="replicate")
        return F.pixel_shuffle(F.conv2d(around, self.kernels, groups=3), self.scale)


class SRFBN(Network):
    """Super-resolve RGB: (N, 3, H, W) to (N, 3, sH, sW), float around [0, 1], not clamped."""

    cfg: SRFBNConfig

    def __init__(self, cfg: SRFBNConfig) -> None:
        super().__init__(cfg)
        n = cfg.n_feats
        self.head = nn.Sequential(_same(3, 4 * n, 3), _same(4 * n, n, 1))
        self.body = _FeedbackBlock(n, cfg.n_groups, cfg.scale)
        self.tail = nn.Sequential(_up(n, cfg.scale), nn.Conv2d(n, 3, 3, padding=1))
        self.enlarge = _Bilinear(cfg.scale)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                assert module.bias is not None
                nn.init.kaiming_normal_(module.weight, a=0.2)  # as in the authors' code
                nn.init.zeros_(module.bias)
        self._centre_on(cfg.rgb_mean)
        scale, kernel = cfg.scale, _KERNELS[cfg.scale]
        # Through the last 3x3, an LR pixel's HR pixels are made of those from -1 to scale.
        tail_reach = max((kernel - 2) // scale, (scale + 2) // scale)
        self.reach = 1 + cfg.n_steps * cfg.n_groups * ((kernel - 1) // scale) + tail_reach

    def enlarged(self, lr: Tensor) -> Tensor:
        """Super-resolve a batch; see the class."""
        x = (lr - self.rgb_mean) / self.cfg.rgb_std
        *_, last = self._steps(x)
        return self._picture(x, last)

    def predictions(self, lr: Tensor) -> Iterator[Tensor]:
        """Yield the picture of each step; the last one is the network's."""
        x = (lr - self.rgb_mean) / self.cfg.rgb_std
        for hidden in self._steps(x):
            yield self._picture(x, hidden)

    def _steps(self, x: Tensor) -> Iterator[Tensor]:
        """Yield the features after each step, (N, n_feats, H, W)."""
        feats = hidden = self.head(x)
        for _ in range(self.cfg.n_steps):
            hidden = self.body(feats, hidden)
            yield hidden

    def _picture(self, x: Tensor, hidden: Tensor) -> Tensor:
        sr: Tensor = self.enlarge(x) + self.tail(hidden)
        return sr * self.cfg.rgb_std + self.rgb_mean
