"""Networks between EDSR and WDSR, in which each choice of the papers can be undone on its own.

For studies. `block="a"`, `expansion=1`, `norm="none"`, `tail="edsr"` is EDSR; `norm="weight"` and
`tail="wdsr"` is WDSR-A or -B; `upsampler="before"` enlarges first, as VDSR does.

Source: Yu et al., "Wide Activation for Efficient and Accurate Image Super-Resolution", 2018; Lim
et al., "Enhanced Deep Residual Networks", 2017; Dong et al., "Accelerating the Super-Resolution
Convolutional Neural Network", 2016, for the transposed convolution.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from widesr.nets.enlarge import Enlarge, lr_reach
from widesr.nets.fold import BatchNormed
from widesr.nets.network import DIV2K_MEAN, Network, NetworkConfig
from widesr.nets.weight_norm import (
    WeightNormConv2d,
    WeightNormConvTranspose2d,
    conv2d,
    conv_transpose2d,
)

_MOST_GROUPS = 8


@dataclass(frozen=True, kw_only=True)
class AblationConfig(NetworkConfig):
    """The configuration of `Ablation`."""

    block: Literal["a", "b"]
    """Block of WDSR; A with `expansion = 1` is EDSR's."""
    n_resblocks: int
    n_feats: int
    expansion: float
    """Channels before the ReLU divided by `n_feats`."""
    norm: Literal["weight", "batch", "layer", "instance", "group", "none"]
    """Weight norm is in every convolution, as in WDSR; the others follow each convolution of the
    blocks, as in SRResNet. Layer norm is over all channels and pixels of a picture, group norm
    over an eighth of the channels."""
    gains: Literal["norm", "small"] = "norm"
    """Initial gains of weight norm: `"norm"` starts with the same picture as no norm, as in torch
    and JiahuiYu's code; `"small"` with blocks that add little, as in ychfan's code and `WDSR`."""
    upsampler: Literal["shuffle", "transposed", "resize", "before"] = "shuffle"
    """Pixel shuffle; a transposed convolution; repeated pixels and a convolution; or bicubic
    enlargement of the input, with the whole network at the size of the output."""
    tail: Literal["wdsr", "edsr"] = "wdsr"
    """WDSR's: one convolution makes the colours, and a 5x5 one bypasses the body. EDSR's: one more
    convolution ends the body, whose result is added to the head's; another ends the network."""
    linear_ratio: float = 0.8
    """Channels of B's low-rank 1x1 convolution divided by `n_feats`."""
    rgb_mean: tuple[float, float, float] = DIV2K_MEAN
    """RGB in [0, 1]; subtracted before the head, added back after the tail."""

    def __post_init__(self) -> None:
        if self.gains == "small" and self.norm != "weight":
            raise ValueError('gains = "small" needs norm = "weight"; leave out one of the two')


class Ablation(Network):
    """Super-resolve RGB: (N, 3, H, W) to (N, 3, sH, sW), float around [0, 1], not clamped."""

    cfg: AblationConfig

    def __init__(self, cfg: AblationConfig) -> None:
        super().__init__(cfg)
        n, edsr = cfg.n_feats, cfg.tail == "edsr"
        self.enlarge = Enlarge(cfg.scale) if cfg.upsampler == "before" else nn.Identity()
        self.head = _conv(cfg, 3, n, 3)
        self.body = nn.ModuleList(_block(cfg) for _ in range(cfg.n_resblocks))
        if edsr:
            self.end = _conv(cfg, n, n, 3)
            made = _upsampler(cfg, n, n, 3)
            self.tail: nn.Module = nn.Sequential(made, _conv(cfg, n, 3, 3))
        else:
            self.tail = _upsampler(cfg, n, 3, 3)
            self.skip = _upsampler(cfg, 3, 3, 5)
        self._centre_on(cfg.rgb_mean)
        if cfg.gains == "small":
            self._start_small()
        self.reach = _reach(cfg)

    def enlarged(self, lr: Tensor) -> Tensor:
        """Super-resolve a batch; see the class."""
        x = self.enlarge(lr - self.rgb_mean)
        shallow = self.head(x)  # (N, n_feats, H, W), at HR size with "before"
        feats = shallow
        for block in self.body:
            feats = feats + block(feats)
        if self.cfg.tail == "edsr":
            sr: Tensor = self.tail(shallow + self.end(feats))
        else:
            sr = self.tail(feats) + self.skip(x)
        return sr + self.rgb_mean

    @torch.no_grad()
    def _start_small(self) -> None:
        """Set gains as `WDSR` does, so that the sum over the blocks starts near one block's."""
        for module in self.modules():
            if isinstance(module, WeightNormConv2d | WeightNormConvTranspose2d):
                module.weight_g.fill_(1.0)
                module.bias.zero_()
        for block in self.body:
            assert isinstance(block, nn.Sequential)
            widen, narrow = block[0], block[-1]
            assert isinstance(widen, WeightNormConv2d)
            assert isinstance(narrow, WeightNormConv2d)
            widen.weight_g.fill_(2.0)
            narrow.weight_g.fill_(len(self.body) ** -0.5)


def _reach(cfg: AblationConfig) -> int | None:
    if cfg.norm in ("layer", "instance", "group"):
        return None
    more = int(cfg.tail == "edsr")
    trunk = 1 + (2 if cfg.block == "a" else 1) * cfg.n_resblocks + more
    if cfg.upsampler == "before":  # the skip reaches 2, the trunk and its end no less
        return lr_reach(trunk + 1 + more, cfg.scale)
    # EDSR's last convolution reads one LR pixel farther after a pixel shuffle, and none otherwise.
    return trunk + 1 + (more if cfg.upsampler == "shuffle" else 0)


class _GroupNormed(nn.Module):
    """A convolution followed by group norm, in the type of the norm's own weights.

    In bf16, torch's sums over a picture are several times slower.
    """

    def __init__(self, conv: nn.Module, n_out: int, *, groups: int) -> None:
        super().__init__()
        self.conv = conv
        self.norm = nn.GroupNorm(groups, n_out)

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.conv(x)
        normed: Tensor = self.norm(made.to(self.norm.weight.dtype))
        return normed


def _conv(cfg: AblationConfig, n_in: int, n_out: int, kernel: int) -> nn.Module:
    return conv2d(n_in, n_out, kernel, normed=cfg.norm == "weight")


def _block(cfg: AblationConfig) -> nn.Sequential:
    """Build a residual branch: (N, n_feats, H, W) to the same."""
    n = cfg.n_feats
    wide, low = int(n * cfg.expansion), int(n * cfg.linear_ratio)

    def conv(n_in: int, n_out: int, kernel: int) -> nn.Module:
        layer = _conv(cfg, n_in, n_out, kernel)
        match cfg.norm:
            case "batch":
                return BatchNormed(layer, n_out)
            case "layer":
                return _GroupNormed(layer, n_out, groups=1)
            case "instance":
                return _GroupNormed(layer, n_out, groups=n_out)
            case "group":
                return _GroupNormed(layer, n_out, groups=math.gcd(n_out, _MOST_GROUPS))
            case _:
                return layer

    if cfg.block == "a":
        return nn.Sequential(conv(n, wide, 3), nn.ReLU(), conv(wide, n, 3))
    return nn.Sequential(conv(n, wide, 1), nn.ReLU(), conv(wide, low, 1), conv(low, n, 3))


def _upsampler(cfg: AblationConfig, n_in: int, n_out: int, kernel: int) -> nn.Module:
    """Build an upsampler (N, n_in, H, W) to (N, n_out, sH, sW); "before" has HR size already."""
    match cfg.upsampler:
        case "shuffle":
            made = _conv(cfg, n_in, n_out * cfg.scale**2, kernel)
            return nn.Sequential(made, nn.PixelShuffle(cfg.scale))
        case "transposed":  # twice the scale: each pixel is made from 2x2, as in interpolation
            normed = cfg.norm == "weight"
            side = 2 * cfg.scale - cfg.scale % 2
            return conv_transpose2d(n_in, n_out, side, scale=cfg.scale, normed=normed)
        case "resize":
            repeat = nn.Upsample(scale_factor=cfg.scale)
            return nn.Sequential(repeat, _conv(cfg, n_in, n_out, kernel))
        case "before":
            return _conv(cfg, n_in, n_out, kernel)
