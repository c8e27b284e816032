"""WDSR: wide activation before the ReLU, a narrow identity path, one linear skip.

Source: Yu et al., "Wide Activation for Efficient and Accurate Image Super-Resolution", 2018
(arXiv 1808.08718); the authors' code JiahuiYu/wdsr_ntire2018 and ychfan/wdsr at b782562.
"""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from widesr.nets.network import DIV2K_MEAN, Count, Depth, Network, NetworkConfig
from widesr.nets.weight_norm import WeightNormConv2d, conv2d


@dataclass(frozen=True, kw_only=True)
class WDSRConfig(NetworkConfig):
    """The configuration of `WDSR`."""

    iterations: ClassVar[str | None] = "reuse"
    later: ClassVar[dict[str, Any]] = {"reuse": 1, "temporal_size": 1, "noise": 0}
    """The keys that the published networks lack, each with the value that files leave out."""

    block: Literal["a", "b"]
    n_resblocks: Depth
    n_feats: Count
    expansion: float
    """Channels before the ReLU divided by `n_feats`; the authors' code has 4 for A, 6 for B."""
    linear_ratio: float = 0.8
    """Channels of B's low-rank 1x1 convolution divided by `n_feats`."""
    res_scale: float = 1.0
    """Factor on each residual branch; the authors take 0.1 for very deep networks."""
    rgb_mean: tuple[float, float, float] = DIV2K_MEAN
    """RGB in [0, 1]; subtracted before the head, added back after the tail."""
    rgb_std: float = 1.0
    """Divisor after the mean is subtracted; JiahuiYu's 127.5 of 255 is 0.5 here."""
    norm: Literal["weight", "none"] = "weight"
    """Reparametrisation of each kernel by direction and length while training. Muon needs none."""
    reuse: Count = 1
    """Times that the whole row of blocks runs with the same weights; 1 is the published network."""
    temporal_size: Literal[1, 2, 3, 5] = 1
    """Frames of a clip that are stacked in the input, the one to enlarge in the middle."""
    noise: Annotated[int, Field(ge=0)] = 0
    """Channels of noise that the head reads beside a picture; 0 is the published network."""

    def __post_init__(self) -> None:
        if self.noise and (self.temporal_size > 1 or self.is_recurrent):
            raise ValueError("noise is for networks of single pictures; leave out one of the two")
        ratio = self.expansion if self.block == "a" else min(self.expansion, self.linear_ratio)
        if self.n_feats * ratio < 1:
            raise ValueError("expansion or linear_ratio leaves a block no channel")

    def values(self) -> dict[str, Any]:
        """Return the keys and values that files hold; those of published networks do not change."""
        values = super().values()
        return {k: v for k, v in values.items() if k not in self.later or v != self.later[k]}

    @property
    def window(self) -> int:
        """Frames of a clip that are read for each picture."""
        return self.temporal_size

    @property
    def skip_channels(self) -> int:
        """Channels that the linear skip reads: those of all frames."""
        return 3 * self.temporal_size

    @property
    def state_channels(self) -> int:
        """Channels of the state that goes in beside the frames."""
        return 0


class WDSR(Network):
    """Super-resolve RGB: (N, 3T, H, W) to (N, 3, sH, sW), float around [0, 1], not clamped.

    T is `temporal_size`, 1 for pictures. With `noise`, a picture has that many more channels, of
    normally distributed noise.
    """

    cfg: WDSRConfig

    def __init__(self, cfg: WDSRConfig) -> None:
        super().__init__(cfg)
        n, n_out = cfg.n_feats, 3 * cfg.scale**2
        wide, low = int(n * cfg.expansion), int(n * cfg.linear_ratio)

        def conv(n_in: int, n_out: int, kernel: int) -> nn.Module:
            return conv2d(n_in, n_out, kernel, normed=cfg.norm == "weight")

        def block() -> nn.Module:
            if cfg.block == "a":  # widen 3x3, ReLU, narrow 3x3
                return nn.Sequential(conv(n, wide, 3), nn.ReLU(), conv(wide, n, 3))
            # widen 1x1, ReLU, low rank 1x1, 3x3
            return nn.Sequential(conv(n, wide, 1), nn.ReLU(), conv(wide, low, 1), conv(low, n, 3))

        n_in = 3 * cfg.temporal_size
        self.head = conv(n_in + cfg.state_channels + cfg.noise, n, 3)
        self.tail, self.skip = conv(n, n_out, 3), conv(cfg.skip_channels, n_out, 5)
        self.body = nn.ModuleList(block() for _ in range(cfg.n_resblocks))
        self.shuffle = nn.PixelShuffle(cfg.scale)
        self._centre_on(cfg.rgb_mean)
        self._init_gains()
        depth = cfg.n_resblocks * cfg.reuse
        # Head, blocks, tail; the 5x5 skip reaches 2.
        self.reach = max(1 + (2 if cfg.block == "a" else 1) * depth + 1, 2)
        self.noise = cfg.noise

    def enlarged(self, lr: Tensor) -> Tensor:
        """Super-resolve a batch; see the class."""
        rgb, noise = (lr[:, :3], lr[:, 3:]) if self.cfg.noise else (lr, None)
        x = self.centred(rgb)
        read = x if noise is None else torch.cat([x, noise], dim=1)
        sr: Tensor = self.shuffle(self.tail(self.features(read)) + self.skip(x))
        return sr * self.cfg.rgb_std + self.rgb_mean

    def centred(self, lr: Tensor) -> Tensor:
        """Subtract the mean of each frame and divide by `rgb_std`; `lr` is never written to."""
        frames = self.cfg.temporal_size
        mean = self.rgb_mean if frames == 1 else self.rgb_mean.repeat(1, frames, 1, 1)
        return (lr - mean) / self.cfg.rgb_std

    def features(self, x: Tensor) -> Tensor:
        """Pass the input through head and body, to (N, n_feats, H, W)."""
        feats: Tensor = self.head(x)
        for _ in range(self.cfg.reuse):
            for block in self.body:
                feats = feats.add(block(feats), alpha=self.cfg.res_scale)
        return feats

    @torch.no_grad()
    def _init_gains(self) -> None:
        """Set the length of each kernel so that the sum over the blocks starts near one block's.

        With torch's initialisation, a deep network needs a smaller learning rate. Source:
        ychfan/wdsr.
        """
        gains = dict.fromkeys(self.modules(), 1.0)
        depth = len(self.body) * self.cfg.reuse
        for block in self.body:
            assert isinstance(block, nn.Sequential)
            gains |= {block[0]: 2.0, block[-1]: depth**-0.5}
        for module, gain in gains.items():
            if isinstance(module, WeightNormConv2d):
                module.weight_g.fill_(gain)
                module.bias.zero_()
            elif isinstance(module, nn.Conv2d):
                assert module.bias is not None
                module.weight.mul_(gain / torch.norm_except_dim(module.weight, 2, 0))
                module.bias.zero_()
