"""Bicubic enlargement as part of a network: `widesr.pixels.resize.imresize` for whole factors.

Networks of the first years read the enlarged picture, and those that learn luma alone take its
colours.
"""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (torch's own habit)

from widesr.pixels.resize import imresize

_REACH = 2
"""LR lines on each side that the cubic kernel reads."""


class Enlarge(nn.Module):
    """(N, 3, H, W) to (N, 3, sH, sW): `imresize` of floats with `edges="symmetric"`, in float32.

    Not learned, and not among the parameters: the weights are imresize's own, one 5x5 kernel for
    each place within an LR pixel, read off its answer to a single bright pixel.
    """

    kernels: Tensor

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.scale = scale
        rows = torch.from_numpy(_kernel(scale))
        kernels = torch.einsum("ak,bl->abkl", rows, rows).reshape(scale**2, 1, 5, 5)
        self.register_buffer("kernels", kernels.float().repeat(3, 1, 1, 1), persistent=False)

    def forward(self, lr: Tensor) -> Tensor:
        """Enlarge a batch; see the class."""
        near = F.pad(lr, (1, 1, 1, 1), mode="replicate")
        # The second line beyond the border mirrors the second within; of one pixel, the pixel.
        rows = torch.cat([near[:, :, 2:3], near, near[:, :, -3:-2]], dim=2)
        around = torch.cat([rows[..., 2:3], rows, rows[..., -3:-2]], dim=3)
        return F.pixel_shuffle(F.conv2d(around, self.kernels, groups=3), self.scale)


def luma(rgb: Tensor) -> Tensor:
    """(N, 3, H, W) to (N, 1, H, W): BT.601 luma of the range of `rgb`."""
    weights = rgb.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    return (rgb * weights).sum(dim=1, keepdim=True)


def with_luma(rgb: Tensor, y: Tensor) -> Tensor:
    """Give an RGB picture another luma; its colour differences stay.

    By the inverse of YCbCr, a change of luma is the same change of red, green and blue.
    """
    return rgb + (y - luma(rgb))


def lr_reach(hr_reach: int, scale: int) -> int:
    """Return how many LR pixels around its own a network depends on that reads an enlarged picture.

    Args:
        hr_reach: Pixels of the enlarged picture around its own that it reads.
        scale: The scale of the enlargement.
    """
    read = [np.flatnonzero(taps) - _REACH for taps in _kernel(scale)]
    lines = range(-hr_reach, scale + hr_reach)
    lr_lines = [line // scale + tap for line in lines for tap in read[line % scale]]
    return int(max(max(lr_lines), -min(lr_lines)))


def _kernel(scale: int) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Return the weights, (scale, 5), of LR lines -2 to 2 in the lines that are made of line 0."""
    bright = np.eye(9)[:, :, None]  # a picture for each LR line: the only one that is not black
    made = [imresize(line, size=(9 * scale, 1))[4 * scale : 5 * scale, 0] for line in bright]
    return np.stack(made[4 - _REACH : 5 + _REACH], axis=1)
