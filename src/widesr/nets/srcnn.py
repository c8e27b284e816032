"""SRCNN: three convolutions on the enlarged picture, the first network of super-resolution.

Source: Dong et al., "Image Super-Resolution Using Deep Convolutional Networks", 2016
(arXiv 1501.00092); edges repeated as in the authors' test code.
"""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from widesr.nets.enlarge import Enlarge, lr_reach, luma, with_luma
from widesr.nets.network import Count, Network, NetworkConfig


@dataclass(frozen=True, kw_only=True)
class SRCNNConfig(NetworkConfig):
    """The configuration of `SRCNN`."""

    kernels: tuple[Count, Count, Count] = (9, 1, 5)
    """Sides of the three convolutions, odd; the authors also have 9-3-5 and 9-5-5."""
    n_feats: Count = 64
    n_mapped: Count = 32
    """Channels between the second convolution and the third."""
    colours: Literal[1, 3] = 3
    """Channels to learn: 3 is RGB; 1 is luma alone, as in the paper, with bicubic colours."""

    def __post_init__(self) -> None:
        if not all(kernel % 2 for kernel in self.kernels):
            raise ValueError(f"expected odd kernels, not {self.kernels}")


class SRCNN(Network):
    """Super-resolve RGB: (N, 3, H, W) to (N, 3, sH, sW), float around [0, 1], not clamped."""

    cfg: SRCNNConfig

    def __init__(self, cfg: SRCNNConfig) -> None:
        super().__init__(cfg)

        def conv(n_in: int, n_out: int, kernel: int) -> nn.Conv2d:
            return nn.Conv2d(n_in, n_out, kernel, padding=kernel // 2, padding_mode="replicate")

        first, second, third = cfg.kernels
        self.enlarge = Enlarge(cfg.scale)
        self.body = nn.Sequential(
            conv(cfg.colours, cfg.n_feats, first),
            nn.ReLU(),
            conv(cfg.n_feats, cfg.n_mapped, second),
            nn.ReLU(),
            conv(cfg.n_mapped, cfg.colours, third),
        )
        self.reach = lr_reach(sum(kernel // 2 for kernel in cfg.kernels), cfg.scale)

    def enlarged(self, lr: Tensor) -> Tensor:
        """Super-resolve a batch; see the class."""
        large = self.enlarge(lr)  # (N, 3, sH, sW)
        if self.cfg.colours == 1:
            return with_luma(large, self.body(luma(large)))
        sr: Tensor = self.body(large)
        return sr
