"""ESPCN: three convolutions on the LR picture and the first pixel shuffle.

Source: Shi et al., "Real-Time Single Image and Video Super-Resolution Using an Efficient Sub-Pixel
Convolutional Neural Network", 2016 (arXiv 1609.05158); tanh as in its section 3.
"""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from widesr.nets.enlarge import Enlarge, luma, with_luma
from widesr.nets.network import Count, Network, NetworkConfig


@dataclass(frozen=True, kw_only=True)
class ESPCNConfig(NetworkConfig):
    """The configuration of `ESPCN`."""

    n_feats: Count = 64
    n_mapped: Count = 32
    """Channels between the second convolution and the third."""
    colours: Literal[1, 3] = 3
    """Channels to learn: 3 is RGB; 1 is luma alone, as in the paper, with bicubic colours."""


class ESPCN(Network):
    """Super-resolve RGB: (N, 3, H, W) to (N, 3, sH, sW), float around [0, 1], not clamped."""

    cfg: ESPCNConfig

    def __init__(self, cfg: ESPCNConfig) -> None:
        super().__init__(cfg)
        self.body = nn.Sequential(
            nn.Conv2d(cfg.colours, cfg.n_feats, 5, padding=2),
            nn.Tanh(),
            nn.Conv2d(cfg.n_feats, cfg.n_mapped, 3, padding=1),
            nn.Tanh(),
            nn.Conv2d(cfg.n_mapped, cfg.colours * cfg.scale**2, 3, padding=1),
            nn.PixelShuffle(cfg.scale),
        )
        if cfg.colours == 1:
            self.enlarge = Enlarge(cfg.scale)
        self.reach = 2 + 1 + 1

    def enlarged(self, lr: Tensor) -> Tensor:
        """Super-resolve a batch; see the class."""
        if self.cfg.colours == 1:
            return with_luma(self.enlarge(lr), self.body(luma(lr)))
        sr: Tensor = self.body(lr)
        return sr
