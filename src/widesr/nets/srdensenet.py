"""SRDenseNet: dense blocks in series, all of which feed the transposed convolutions at the end.

Source: Tong et al., "Image Super-Resolution Using Dense Skip Connections", 2017, the network that
it calls SRDenseNet_All.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from widesr.nets.enlarge import Enlarge, luma, with_luma
from widesr.nets.network import Count, Network, NetworkConfig
from widesr.nets.stages import stages


@dataclass(frozen=True, kw_only=True)
class SRDenseNetConfig(NetworkConfig):
    """The configuration of `SRDenseNet`."""

    n_blocks: Count = 8
    n_layers: Count = 8
    """Convolutions in a block."""
    growth: Count = 16
    """Channels that each convolution makes."""
    n_feats: Count = 256
    """Channels after the bottleneck."""
    colours: Literal[1, 3] = 3
    """Channels to learn: 3 is RGB; 1 is luma alone, as in the paper, with bicubic colours."""


class _DenseBlock(nn.Module):
    """A block whose layers each read all layers before; it gives the outputs of all its layers."""

    def __init__(self, n_in: int, growth: int, n_layers: int) -> None:
        super().__init__()
        widths = [n_in, *(growth * made for made in range(1, n_layers))]
        self.layers = nn.ModuleList(nn.Conv2d(n, growth, 3, padding=1) for n in widths)

    def forward(self, x: Tensor) -> Tensor:
        made: list[Tensor] = []
        for layer in self.layers:
            made.append(torch.relu(layer(torch.cat(made, dim=1) if made else x)))
        return torch.cat(made, dim=1)


class SRDenseNet(Network):
    """Super-resolve RGB: (N, 3, H, W) to (N, 3, sH, sW), float around [0, 1], not clamped."""

    cfg: SRDenseNetConfig

    def __init__(self, cfg: SRDenseNetConfig) -> None:
        super().__init__(cfg)
        n, wide = cfg.n_feats, cfg.growth * cfg.n_layers
        widths = [cfg.growth, *[wide] * (cfg.n_blocks - 1)]
        self.head = nn.Sequential(nn.Conv2d(cfg.colours, cfg.growth, 3, padding=1), nn.ReLU())
        self.body = nn.ModuleList(_DenseBlock(n_in, cfg.growth, cfg.n_layers) for n_in in widths)
        self.bottleneck = nn.Sequential(
            nn.Conv2d(cfg.growth + wide * cfg.n_blocks, n, 1), nn.ReLU()
        )
        upsampler: list[nn.Module] = []
        for factor in stages(cfg.scale):
            larger = nn.ConvTranspose2d(
                n, n, 3, stride=factor, padding=1, output_padding=factor - 1
            )
            upsampler += [larger, nn.ReLU()]
        self.tail = nn.Sequential(*upsampler, nn.Conv2d(n, cfg.colours, 3, padding=1))
        if cfg.colours == 1:
            self.enlarge = Enlarge(cfg.scale)
        self.reach = 1 + cfg.n_blocks * cfg.n_layers + _tail_reach(cfg.scale)

    def enlarged(self, lr: Tensor) -> Tensor:
        """Super-resolve a batch; see the class."""
        if self.cfg.colours == 1:
            return with_luma(self.enlarge(lr), self._run(luma(lr)))
        return self._run(lr)

    def _run(self, lr: Tensor) -> Tensor:
        levels = [self.head(lr)]
        for block in self.body:
            levels.append(block(levels[-1]))
        sr: Tensor = self.tail(self.bottleneck(torch.cat(levels, dim=1)))
        return sr


def _tail_reach(scale: int) -> int:
    low, high = -1, scale  # what the last 3x3 reads for the HR pixels of one LR pixel
    for factor in reversed(stages(scale)):
        # Input j contributes to the pixels factor * j - 1, factor * j and factor * j + 1.
        low, high = -((1 - low) // factor), (high + 1) // factor
    return max(-low, high)
