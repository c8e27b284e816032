"""FSRCNN: an hourglass of convolutions on the LR picture, which the last layer enlarges.

Source: Dong et al., "Accelerating the Super-Resolution Convolutional Neural Network", 2016
(arXiv 1608.00367).
"""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from widesr.nets.enlarge import Enlarge, luma, with_luma
from widesr.nets.network import Count, Depth, Network, NetworkConfig


@dataclass(frozen=True, kw_only=True)
class FSRCNNConfig(NetworkConfig):
    """The configuration of `FSRCNN`."""

    n_feats: Count = 56
    """The paper's d."""
    n_shrunk: Count = 12
    """The paper's s, channels of the mapping layers."""
    n_mappings: Depth = 4
    """The paper's m."""
    colours: Literal[1, 3] = 3
    """Channels to learn: 3 is RGB; 1 is luma alone, as in the paper, with bicubic colours."""


class FSRCNN(Network):
    """Super-resolve RGB: (N, 3, H, W) to (N, 3, sH, sW), float around [0, 1], not clamped."""

    cfg: FSRCNNConfig

    def __init__(self, cfg: FSRCNNConfig) -> None:
        super().__init__(cfg)
        wide, narrow = cfg.n_feats, cfg.n_shrunk

        def conv(n_in: int, n_out: int, kernel: int) -> nn.Sequential:
            return nn.Sequential(
                nn.Conv2d(n_in, n_out, kernel, padding=kernel // 2), nn.PReLU(n_out)
            )

        self.head = conv(cfg.colours, wide, 5)
        self.body = nn.Sequential(
            conv(wide, narrow, 1),
            *(conv(narrow, narrow, 3) for _ in range(cfg.n_mappings)),
            conv(narrow, wide, 1),
        )
        self.tail = nn.ConvTranspose2d(
            wide, cfg.colours, 9, stride=cfg.scale, padding=4, output_padding=cfg.scale - 1
        )
        if cfg.colours == 1:
            self.enlarge = Enlarge(cfg.scale)
        # The last of an LR pixel's HR pixels reads through 4 more lines of the 9x9 kernel.
        self.reach = 2 + cfg.n_mappings + (cfg.scale - 1 + 4) // cfg.scale

    def enlarged(self, lr: Tensor) -> Tensor:
        """Super-resolve a batch; see the class."""
        if self.cfg.colours == 1:
            return with_luma(self.enlarge(lr), self._run(luma(lr)))
        return self._run(lr)

    def _run(self, lr: Tensor) -> Tensor:
        sr: Tensor = self.tail(self.body(self.head(lr)))
        return sr
