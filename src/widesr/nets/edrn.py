"""EDRN: residual groups with channel attention on three grids, coarse to fine.

Source: Cheng et al., "Encoder-Decoder Residual Network for Real Super-Resolution", 2019; the
authors' code yyknight/NTIRE2019_EDRN. Their network takes a picture as large as its output; here
the network enlarges the LR picture first, as for their results on bicubic LR.
"""

from dataclasses import dataclass

from torch import Tensor, nn

from widesr.nets.enlarge import Enlarge
from widesr.nets.fold import BatchNormed
from widesr.nets.network import Count, Depth, Network, NetworkConfig
from widesr.nets.weight_norm import WeightNormConv2d, WeightNormConvTranspose2d


@dataclass(frozen=True, kw_only=True)
class EDRNConfig(NetworkConfig):
    """The configuration of `EDRN`."""

    n_feats: Count = 64
    """Channels on the finest grid; twice and four times as many on the coarser ones."""
    n_groups: Depth = 4
    """Residual groups on the coarsest grid; half and a quarter as many on the finer ones."""
    n_resblocks: Depth = 10
    """Blocks in a group."""
    reduction: Count = 16
    """Divisor of the channels within the attention."""
    rgb_mean: tuple[float, float, float] = (0.4313, 0.4162, 0.3861)
    """The authors' mean, in [0, 1]; subtracted before the network, added back after it."""
    rgb_std: float = 1.0
    """Divisor after the mean is subtracted; the authors' 0..255 range is 1/255 here."""


class _Block(nn.Module):
    """A residual branch of two convolutions, weighted per channel by means over the picture."""

    def __init__(self, n: int, reduction: int) -> None:
        super().__init__()
        self.body = nn.Sequential(WeightNormConv2d(n, n, 3), nn.ReLU(), WeightNormConv2d(n, n, 3))
        few = max(1, n // reduction)
        self.weigh = nn.Sequential(
            WeightNormConv2d(n, few, 1), nn.ReLU(), WeightNormConv2d(few, n, 1), nn.Sigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        branch: Tensor = self.body(x)
        weights: Tensor = self.weigh(branch.mean(dim=(2, 3), keepdim=True))  # (N, n, 1, 1)
        return x + branch * weights


class _Group(nn.Module):
    """Blocks and a convolution, added to the input."""

    def __init__(self, n: int, n_resblocks: int, reduction: int) -> None:
        super().__init__()
        blocks = [_Block(n, reduction) for _ in range(n_resblocks)]
        self.body = nn.Sequential(*blocks, WeightNormConv2d(n, n, 3))

    def forward(self, x: Tensor) -> Tensor:
        branch: Tensor = self.body(x)
        return x + branch


class EDRN(Network):
    """Super-resolve RGB: (N, 3, H, W) to (N, 3, sH, sW), float around [0, 1], not clamped."""

    cfg: EDRNConfig

    def __init__(self, cfg: EDRNConfig) -> None:
        super().__init__(cfg)
        n = cfg.n_feats

        def groups(n: int, count: int) -> nn.Sequential:
            each = [_Group(n, cfg.n_resblocks, cfg.reduction) for _ in range(count)]
            return nn.Sequential(*each, WeightNormConv2d(n, n, 3))

        def down(n: int) -> nn.Sequential:
            half = WeightNormConv2d(n, 2 * n, 3, stride=2)
            return nn.Sequential(BatchNormed(half, 2 * n), nn.ReLU())

        def up(n: int) -> nn.Sequential:
            return nn.Sequential(BatchNormed(WeightNormConvTranspose2d(2 * n, n), n), nn.ReLU())

        self.enlarge = Enlarge(cfg.scale)
        self.head = WeightNormConv2d(3, n, 3)
        self.down_to_half, self.down_to_quarter = down(n), down(2 * n)
        self.quarter_groups = groups(4 * n, cfg.n_groups)
        self.half_groups = groups(2 * n, cfg.n_groups // 2)
        self.full_groups = groups(n, cfg.n_groups // 4)
        self.up_to_half, self.up_to_full = up(2 * n), up(n)
        self.tail = WeightNormConv2d(n, 3, 3)
        self._centre_on(cfg.rgb_mean)
        self.reach = None  # the attention's means are over the whole picture

    def enlarged(self, lr: Tensor) -> Tensor:
        """Super-resolve a batch; see the class."""
        full = self.head((self.enlarge(lr) - self.rgb_mean) / self.cfg.rgb_std)
        half = self.down_to_half(full)
        quarter = self.down_to_quarter(half)
        coarse = _cut(self.up_to_half(quarter + self.quarter_groups(quarter)), like=half)
        fine = _cut(self.up_to_full(half + self.half_groups(coarse)), like=full)
        sr: Tensor = self.tail(full + self.full_groups(fine))
        return sr * self.cfg.rgb_std + self.rgb_mean


def _cut(x: Tensor, *, like: Tensor) -> Tensor:
    """Cut off the surplus line where a side of the finer grid is odd."""
    return x[:, :, : like.shape[2], : like.shape[3]]
