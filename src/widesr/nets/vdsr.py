"""VDSR: twenty convolutions that learn what the enlarged picture lacks.

Source: Kim et al., "Accurate Image Super-Resolution Using Very Deep Convolutional Networks", 2016
(arXiv 1511.04587).
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from torch import Tensor, nn

from widesr.nets.enlarge import Enlarge, lr_reach, luma
from widesr.nets.network import Count, Network, NetworkConfig


@dataclass(frozen=True, kw_only=True)
class VDSRConfig(NetworkConfig):
    """The configuration of `VDSR`."""

    n_layers: Count = 20
    """Convolutions, including the first and the last."""
    n_feats: Count = 64
    colours: Literal[1, 3] = 3
    """Channels to learn: 3 is RGB; 1 is luma alone, as in the paper, with bicubic colours."""


class VDSR(Network):
    """Super-resolve RGB: (N, 3, H, W) to (N, 3, sH, sW), float around [0, 1], not clamped."""

    cfg: VDSRConfig

    def __init__(self, cfg: VDSRConfig) -> None:
        super().__init__(cfg)
        self.enlarge = Enlarge(cfg.scale)
        widths = [cfg.colours, *[cfg.n_feats] * (cfg.n_layers - 1), cfg.colours]
        layers: list[nn.Module] = []
        for n_in, n_out in pairwise(widths):
            conv = nn.Conv2d(n_in, n_out, 3, padding=1)
            assert conv.bias is not None
            nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")  # as in the paper
            nn.init.zeros_(conv.bias)
            layers += [conv, nn.ReLU()]
        self.body = nn.Sequential(*layers[:-1])
        self.reach = lr_reach(cfg.n_layers, cfg.scale)

    def enlarged(self, lr: Tensor) -> Tensor:
        """Super-resolve a batch; see the class."""
        large = self.enlarge(lr)  # (N, 3, sH, sW)
        lacking: Tensor = self.body(luma(large) if self.cfg.colours == 1 else large)
        sr: Tensor = large + lacking  # luma is added to red, green and blue alike
        return sr
