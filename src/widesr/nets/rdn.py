"""RDN: residual dense blocks, with fusion inside each block and over all blocks.

Source: Zhang et al., "Residual Dense Network for Image Super-Resolution", 2018 (arXiv 1802.08797),
with the tail of EDSR-PyTorch, src/model/rdn.py.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from widesr.nets.network import Count, Network, NetworkConfig
from widesr.nets.stages import shuffles, tail_reach


@dataclass(frozen=True, kw_only=True)
class RDNConfig(NetworkConfig):
    """The configuration of `RDN`."""

    n_blocks: Count = 16
    """The paper's D."""
    n_layers: Count = 8
    """Convolutions in a block, the paper's C."""
    growth: Count = 64
    """Channels that each convolution makes, the paper's G."""
    n_feats: Count = 64
    """Channels between the blocks, the paper's G0."""
    rgb_std: float = 1.0
    """Divisor of the input; the authors' 0..255 range is 1/255 here."""


class _DenseBlock(nn.Module):
    """A block whose layers each read its input and all layers before; all are fused and added."""

    def __init__(self, n: int, growth: int, n_layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Conv2d(n + growth * made, growth, 3, padding=1) for made in range(n_layers)
        )
        self.fuse = nn.Conv2d(n + growth * n_layers, n, 1)

    def forward(self, x: Tensor) -> Tensor:
        feats = x
        for layer in self.layers:
            feats = torch.cat([feats, torch.relu(layer(feats))], dim=1)
        fused: Tensor = self.fuse(feats)
        return x + fused


class RDN(Network):
    """Super-resolve RGB: (N, 3, H, W) to (N, 3, sH, sW), float around [0, 1], not clamped."""

    cfg: RDNConfig

    def __init__(self, cfg: RDNConfig) -> None:
        super().__init__(cfg)
        n, growth = cfg.n_feats, cfg.growth
        self.head = nn.Conv2d(3, n, 3, padding=1)
        self.entry = nn.Conv2d(n, n, 3, padding=1)
        self.body = nn.ModuleList(_DenseBlock(n, growth, cfg.n_layers) for _ in range(cfg.n_blocks))
        self.fuse = nn.Sequential(nn.Conv2d(n * cfg.n_blocks, n, 1), nn.Conv2d(n, n, 3, padding=1))
        upsampler = shuffles(n, growth, cfg.scale)
        self.tail = nn.Sequential(*upsampler, nn.Conv2d(growth, 3, 3, padding=1))
        trunk = 2 + cfg.n_blocks * cfg.n_layers + 1
        self.reach = trunk + tail_reach(cfg.scale, last=1)

    def enlarged(self, lr: Tensor) -> Tensor:
        """Super-resolve a batch; see the class."""
        shallow = self.head(lr / self.cfg.rgb_std)  # (N, n_feats, H, W)
        feats = self.entry(shallow)
        levels = []
        for block in self.body:
            feats = block(feats)
            levels.append(feats)
        sr: Tensor = self.tail(shallow + self.fuse(torch.cat(levels, dim=1)))
        return sr * self.cfg.rgb_std
