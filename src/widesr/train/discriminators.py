"""Builds networks that tell photographs from a network's pictures, for adversarial training.

Sources: Ledig et al., "Photo-Realistic Single Image Super-Resolution Using a Generative Adversarial
Network", 2017, figure 4; Wang et al., "Real-ESRGAN", 2021, and its code's UNetDiscriminatorSN;
Miyato et al., "Spectral Normalization for Generative Adversarial Networks", 2018; Bai et al.,
"SOD-MTGAN: Small Object Detection via Multi-Task Generative Adversarial Network", 2018.
"""

from itertools import pairwise
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (torch's own habit)
from torch.nn.utils.parametrizations import spectral_norm

DiscriminatorName = Literal["srgan", "unet", "mtgan"]

_SLOPE = 0.2
"""Slope of the leaky ReLUs below zero, as in both papers."""


class SRGANDiscriminator(nn.Module):
    """Judge whole pictures: (N, 3, H, W) to one logit each, (N, 1).

    The dense layers read the mean over the picture, and not every place as the authors' do, so that
    patches may be of any size. Batch norm always uses the statistics of the batch.
    """

    def __init__(self, n_feats: int = 64) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, n_feats, 3, padding=1), nn.LeakyReLU(_SLOPE)]
        widths = [n_feats * factor for factor in (1, 1, 2, 2, 4, 4, 8, 8)]
        for i, (n_in, n_out) in enumerate(pairwise(widths)):
            conv = nn.Conv2d(n_in, n_out, 3, stride=2 - i % 2, padding=1)
            norm = nn.BatchNorm2d(n_out, track_running_stats=False)
            layers += [conv, norm, nn.LeakyReLU(_SLOPE)]
        self.features = nn.Sequential(*layers)
        n = widths[-1]
        self.judge = nn.Sequential(nn.Linear(n, 2 * n), nn.LeakyReLU(_SLOPE), nn.Linear(2 * n, 1))

    def forward(self, rgb: Tensor) -> Tensor:
        """Judge a batch in [0, 1]; see the class."""
        logits: Tensor = self.judge(self.features(2 * rgb - 1).mean(dim=(2, 3)))
        return logits


class UNetDiscriminator(nn.Module):
    """Judge each pixel: (N, 3, H, W) to logits (N, 1, H, W), sides multiples of 8.

    All but the first and the last convolution use spectral norm.
    """

    def __init__(self, n_feats: int = 64) -> None:
        super().__init__()
        n = n_feats

        def down(n_in: int, n_out: int) -> nn.Module:
            return spectral_norm(nn.Conv2d(n_in, n_out, 4, stride=2, padding=1, bias=False))

        def same(n_in: int, n_out: int) -> nn.Module:
            return spectral_norm(nn.Conv2d(n_in, n_out, 3, padding=1, bias=False))

        self.head = nn.Conv2d(3, n, 3, padding=1)
        self.down = nn.ModuleList([down(n, 2 * n), down(2 * n, 4 * n), down(4 * n, 8 * n)])
        self.up = nn.ModuleList([same(8 * n, 4 * n), same(4 * n, 2 * n), same(2 * n, n)])
        self.tail = nn.ModuleList([same(n, n), same(n, n)])
        self.judge = nn.Conv2d(n, 1, 3, padding=1)

    def forward(self, rgb: Tensor) -> Tensor:
        """Judge a batch in [0, 1]; see the class."""
        x = F.leaky_relu(self.head(rgb), _SLOPE)
        seen = []
        for layer in self.down:
            seen.append(x)
            x = F.leaky_relu(layer(x), _SLOPE)
        for layer, skip in zip(self.up, reversed(seen), strict=True):
            x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
            x = F.leaky_relu(layer(x), _SLOPE) + skip
        for layer in self.tail:
            x = F.leaky_relu(layer(x), _SLOPE)
        logits: Tensor = self.judge(x)
        return logits


class MTGANDiscriminator(nn.Module):
    """Judge the regions of a detector: its features (N, n_in, h, w) to logits (N, 1, h, w).

    SOD-MTGAN has three heads on one trunk: one decides whether a region is real, the others predict
    its class and its box. This is the first. Here, the trunk and the other two heads are those of a
    trained detector, and stay fixed. In the paper, a ResNet-50 from ImageNet learns them from all
    of COCO. A few hundred photographs cannot teach that, and a trained detector is smaller, too.
    """

    def __init__(self, n_feats: int, n_in: int) -> None:
        super().__init__()
        self.judge = nn.Sequential(
            nn.Conv2d(n_in, n_feats, 1),
            nn.LeakyReLU(_SLOPE),
            nn.Conv2d(n_feats, n_feats, 3, padding=1),
            nn.LeakyReLU(_SLOPE),
            nn.Conv2d(n_feats, 1, 1),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Judge the features that a detector's heads read; see the class."""
        logits: Tensor = self.judge(features)
        return logits


def build_discriminator(
    name: DiscriminatorName, n_feats: int, *, n_in: int | None = None
) -> nn.Module:
    """Build a discriminator with random weights from torch's generator.

    Args:
        name: The kind of discriminator.
        n_feats: Channels of the first layer.
        n_in: Channels of the detector's features that `"mtgan"` judges; the others judge RGB.
    """
    if name == "mtgan":
        assert n_in is not None
        return MTGANDiscriminator(n_feats, n_in)
    return SRGANDiscriminator(n_feats) if name == "srgan" else UNetDiscriminator(n_feats)
