"""EDSR: residual blocks without batch norm, the yardstick that WDSR is measured against.

Source: Lim et al., "Enhanced Deep Residual Networks for Single Image Super-Resolution", 2017;
the authors' code sanghyun-son/EDSR-PyTorch, src/model/edsr.py.
"""

from dataclasses import dataclass

from torch import Tensor, nn

from widesr.nets.network import DIV2K_MEAN, Count, Depth, Network, NetworkConfig
from widesr.nets.stages import shuffles, tail_reach


@dataclass(frozen=True, kw_only=True)
class EDSRConfig(NetworkConfig):
    """The configuration of `EDSR`."""

    n_resblocks: Depth
    n_feats: Count
    res_scale: float = 1.0
    """Factor on each residual branch; the authors take 0.1 for 256 features."""
    rgb_mean: tuple[float, float, float] = DIV2K_MEAN
    """RGB in [0, 1]; subtracted before the head, added back after the tail."""
    rgb_std: float = 1.0
    """Divisor after the mean is subtracted; the authors' 0..255 range is 1/255 here."""


class _ResBlock(nn.Module):
    def __init__(self, n: int, res_scale: float) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(n, n, 3, padding=1), nn.ReLU(), nn.Conv2d(n, n, 3, padding=1)
        )
        self.res_scale = res_scale

    def forward(self, x: Tensor) -> Tensor:
        branch: Tensor = self.body(x)
        return x.add(branch, alpha=self.res_scale)


class EDSR(Network):
    """Super-resolve RGB: (N, 3, H, W) to (N, 3, sH, sW), float around [0, 1], not clamped."""

    cfg: EDSRConfig

    def __init__(self, cfg: EDSRConfig) -> None:
        super().__init__(cfg)
        n = cfg.n_feats
        self.head = nn.Conv2d(3, n, 3, padding=1)
        blocks = [_ResBlock(n, cfg.res_scale) for _ in range(cfg.n_resblocks)]
        self.body = nn.Sequential(*blocks, nn.Conv2d(n, n, 3, padding=1))
        self.tail = nn.Sequential(*shuffles(n, n, cfg.scale), nn.Conv2d(n, 3, 3, padding=1))
        self._centre_on(cfg.rgb_mean)
        trunk = 1 + 2 * cfg.n_resblocks + 1  # head, blocks, the convolution that ends the body
        self.reach = trunk + tail_reach(cfg.scale, last=1)

    def enlarged(self, lr: Tensor) -> Tensor:
        """Super-resolve a batch; see the class."""
        feats = self.head((lr - self.rgb_mean) / self.cfg.rgb_std)  # (N, n_feats, H, W)
        feats = feats + self.body(feats)
        sr: Tensor = self.tail(feats)
        return sr * self.cfg.rgb_std + self.rgb_mean
