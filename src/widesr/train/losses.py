"""Measures how far a picture is from the one that is learned."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 (torch's own habit)

Loss = Callable[[Tensor, Tensor], Tensor]

_CHARBONNIER_EPSILON = 1e-3
_SCALES = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Shares of the scales of MS-SSIM, the finest first."""
_CELL = 16
"""Side in LR pixels of the squares in which a lattice is looked for."""
_AROUND = 2
"""HR pixels on each side of one, within whose range it may be without being a halo."""
SSIM_WINDOW = 11
"""Side of the Gaussian window of SSIM, in pixels: no picture may be smaller."""


def _charbonnier(sr: Tensor, hr: Tensor) -> Tensor:
    """Measure L1, made smooth near zero. Source: Lai et al., "LapSRN", 2017, with its epsilon."""
    return ((sr - hr).square() + _CHARBONNIER_EPSILON**2).sqrt().mean()


def _ms_ssim(sr: Tensor, hr: Tensor) -> Tensor:
    """Measure 1 - MS-SSIM over the channels of RGB, on as many of its five scales as fit.

    Source: Wang et al., "Multiscale structural similarity for image quality assessment", 2003; the
    weights of the scales that are there are made to sum to 1.
    """
    side = min(sr.shape[2:])
    n_scales = min(len(_SCALES), (side // SSIM_WINDOW).bit_length())
    shares = sr.new_tensor(_SCALES[:n_scales]) / sum(_SCALES[:n_scales])
    product = sr.new_ones(())
    for i, share in enumerate(shares):
        if i:
            sr, hr = F.avg_pool2d(sr, 2), F.avg_pool2d(hr, 2)
        structure, light = _ssim_parts(sr, hr)
        found = structure * light if i == n_scales - 1 else structure
        # Below zero there would be no power, and its slope at zero would be infinite.
        product = product * found.mean(dim=(1, 2, 3)).clamp(min=1e-4) ** share
    return 1 - product.mean()


def _ssim_parts(sr: Tensor, hr: Tensor) -> tuple[Tensor, Tensor]:
    """Compute contrast with structure, and light, of each window: (N, 3, h, w)."""
    taps = torch.arange(SSIM_WINDOW, device=sr.device, dtype=sr.dtype) - SSIM_WINDOW // 2
    taps = torch.exp(-taps.square() / (2 * 1.5**2))
    taps = taps / taps.sum()

    def blurred(x: Tensor) -> Tensor:
        down = F.conv2d(x, taps.view(1, 1, -1, 1).expand(3, -1, -1, -1), groups=3)
        return F.conv2d(down, taps.view(1, 1, 1, -1).expand(3, -1, -1, -1), groups=3)

    mean, other = blurred(sr), blurred(hr)
    variances = blurred(sr * sr) - mean * mean + blurred(hr * hr) - other * other
    covariance = blurred(sr * hr) - mean * other
    light = (2 * mean * other + 0.01**2) / (mean * mean + other * other + 0.01**2)
    return (2 * covariance + 0.03**2) / (variances + 0.03**2), light


def _focal_frequency(sr: Tensor, hr: Tensor) -> Tensor:
    """Square the difference of spectra, and weigh each frequency by how far it is off.

    Source: Jiang et al., "Focal Frequency Loss for Image Reconstruction and Synthesis", 2021, with
    alpha = 1 and the spectrum of the whole patch.
    """
    apart = torch.view_as_real(torch.fft.fft2(sr, norm="ortho") - torch.fft.fft2(hr, norm="ortho"))
    distance = apart.square().sum(dim=-1)
    weight = distance.detach().sqrt()
    largest = weight.amax(dim=(2, 3), keepdim=True).clamp(min=1e-12)
    return (weight / largest * distance).mean()


def _overshoot(sr: Tensor, hr: Tensor) -> Tensor:
    """Measure how far SR is beyond the lightest and darkest HR pixel of 5x5: halos and rings.

    Source: our own; small print gets rims that are brighter than its paper.
    """
    side = 2 * _AROUND + 1
    lightest = F.max_pool2d(hr, side, stride=1, padding=_AROUND)
    darkest = -F.max_pool2d(-hr, side, stride=1, padding=_AROUND)
    return (F.relu(sr - lightest) + F.relu(darkest - sr)).mean()


def lattice(sr: Tensor, hr: Tensor, *, scale: int) -> Tensor:
    """Measure the pattern that comes again at each LR pixel: the checkerboard of an upsampler.

    The error at each of the `scale`**2 places within an LR pixel is averaged over squares of 16x16
    LR pixels (or over the patch, if that is smaller), squared, and multiplied by the number of
    pixels that were averaged. Without a pattern this is the mean squared error; a pattern counts
    256 times as much.

    Source: our own; networks that learn by strided features alone show such a pattern after a
    hundred steps.
    """
    side = min(_CELL, *(length // scale for length in sr.shape[2:]))
    means = F.avg_pool2d(F.pixel_unshuffle(sr - hr, scale), side)
    return means.square().mean() * side**2


def _in_fp32(loss: Loss) -> Loss:
    """Leave the arithmetic of a loss in float32, where the networks have less."""

    def found(sr: Tensor, hr: Tensor) -> Tensor:
        with torch.autocast(sr.device.type, enabled=False):
            return loss(sr, hr)

    return found


LOSSES: dict[str, Loss] = {
    "l1": F.l1_loss,
    "charbonnier": _charbonnier,
    "mse": F.mse_loss,
    "ms_ssim": _in_fp32(_ms_ssim),
    "focal_frequency": _focal_frequency,
    "overshoot": _overshoot,
}
"""Losses of SR and HR, (N, 3, H, W) float32 in [0, 1], each a scalar."""
