"""SRResNet: residual blocks with batch norm, the generator that SRGAN starts from.

Source: Ledig et al., "Photo-Realistic Single Image Super-Resolution Using a Generative Adversarial
Network", 2017 (arXiv 1609.04802), figure 4. One slope per PReLU, as in the paper; pictures are in
[0, 1] on both sides, where the authors have HR in [-1, 1].
"""

from dataclasses import dataclass

from torch import Tensor, nn

from widesr.nets.fold import BatchNormed
from widesr.nets.network import Count, Depth, Network, NetworkConfig
from widesr.nets.stages import stages, tail_reach


@dataclass(frozen=True, kw_only=True)
class SRResNetConfig(NetworkConfig):
    """The configuration of `SRResNet`."""

    n_resblocks: Depth = 16
    n_feats: Count = 64


class SRResNet(Network):
    """Super-resolve RGB: (N, 3, H, W) to (N, 3, sH, sW), float around [0, 1], not clamped."""

    cfg: SRResNetConfig

    def __init__(self, cfg: SRResNetConfig) -> None:
        super().__init__(cfg)
        n = cfg.n_feats

        def conv() -> BatchNormed:  # batch norm has a bias
            return BatchNormed(nn.Conv2d(n, n, 3, padding=1, bias=False), n)

        self.head = nn.Sequential(nn.Conv2d(3, n, 9, padding=4), nn.PReLU())
        self.body = nn.ModuleList(
            nn.Sequential(conv(), nn.PReLU(), conv()) for _ in range(cfg.n_resblocks)
        )
        self.end = conv()
        upsampler: list[nn.Module] = []
        for factor in stages(cfg.scale):
            widen = nn.Conv2d(n, n * factor**2, 3, padding=1)
            upsampler += [widen, nn.PixelShuffle(factor), nn.PReLU()]
        self.tail = nn.Sequential(*upsampler, nn.Conv2d(n, 3, 9, padding=4))
        trunk = 4 + 2 * cfg.n_resblocks + 1
        self.reach = trunk + tail_reach(cfg.scale, last=4)

    def enlarged(self, lr: Tensor) -> Tensor:
        """Super-resolve a batch; see the class."""
        shallow = self.head(lr)  # (N, n_feats, H, W)
        feats = shallow
        for block in self.body:
            feats = feats + block(feats)
        sr: Tensor = self.tail(shallow + self.end(feats))
        return sr
