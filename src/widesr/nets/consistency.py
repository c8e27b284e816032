"""The layer that makes a picture shrink back to its input exactly, with the smallest change.

x' = x + H^T (H H^T)^-1 (y - H x), where H is the bicubic that makes LR (`pixels.resize.imresize`),
y the input and x any picture of a network: fixed, separable and symmetric filters, with the weights
of `pixels.consistency`.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (torch's own habit)

from widesr.pixels.consistency import inverse_taps, shrinking_kernel

_INVERSE_REACH = 6
"""LR lines on each side that the inverse of H H^T reads. What is cut off leaves less than a
thousandth of what was wrong, and each line makes the halo of tiles wider."""


class Consistency(nn.Module):
    """Make SR (N, 3, sH, sW) shrink to LR (N, 3, H, W); both float in [0, 1], computed in float32.

    The picture is mirrored at its borders, as `imresize` does. A training patch goes on beyond its
    borders, so in training mode the lines that are read from there are left as they are.
    """

    shrinking: Tensor
    inverse: Tensor

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.scale = scale
        taps = shrinking_kernel(scale).weights
        self.reach = 2 * _blocks_beyond(scale, len(taps)) + _INVERSE_REACH
        """LR pixels beyond its own that a pixel of SR decides about."""
        self._margin = _blocks_beyond(scale, len(taps))
        inverse = inverse_taps(scale, radius=_INVERSE_REACH)
        for name, filter_ in (("shrinking", taps), ("inverse", inverse)):
            self.register_buffer(name, torch.tensor(filter_, dtype=torch.float32), persistent=False)

    def forward(self, sr: Tensor, lr: Tensor) -> Tensor:
        """Return the consistent picture that is nearest to `sr`."""
        if torch.is_autocast_enabled(sr.device.type):
            with torch.autocast(sr.device.type, enabled=False):
                return self._nearest(sr.float(), lr.float())
        return self._nearest(sr, lr)

    def _nearest(self, sr: Tensor, lr: Tensor) -> Tensor:
        missing = lr - self.shrunk(sr)
        if self.training:
            margin = self._margin
            within = missing[:, :, margin:-margin, margin:-margin]
            missing = F.pad(within, (margin, margin, margin, margin))
        for axis in (2, 3):
            missing = _filtered(missing, self.inverse, axis)
        return sr + self._spread(missing)

    def shrunk(self, sr: Tensor) -> Tensor:
        """Shrink a picture by H: `imresize` of floats."""
        for axis in (2, 3):
            sr = _filtered(sr, self.shrinking, axis, stride=self.scale)
        return sr

    def _spread(self, lr: Tensor) -> Tensor:
        """Enlarge by the transpose of H."""
        for axis in (2, 3):
            beyond = self._margin
            around = mirrored(lr, beyond, axis)
            # Of the enlarged lines, those of the LR lines that were mirrored go again.
            cut = beyond * self.scale + (len(self.shrinking) - self.scale) // 2
            lr = F.conv_transpose2d(
                around,
                _kernels(self.shrinking, axis),
                stride=(self.scale, 1) if axis == 2 else (1, self.scale),
                padding=(cut, 0) if axis == 2 else (0, cut),
                groups=3,
            )
        return lr


def _blocks_beyond(scale: int, n_taps: int) -> int:
    """Count the LR lines on each side whose HR lines a filter with so many taps reads."""
    return -(-(n_taps - scale) // 2 // scale)


def _filtered(x: Tensor, taps: Tensor, axis: int, *, stride: int = 1) -> Tensor:
    """Filter along an axis, mirrored at the borders; the middle of the taps is that of a stride."""
    around = mirrored(x, (len(taps) - stride) // 2, axis)
    strides = (stride, 1) if axis == 2 else (1, stride)
    return F.conv2d(around, _kernels(taps, axis), stride=strides, groups=3)


def _kernels(taps: Tensor, axis: int) -> Tensor:
    """Shape a filter along an axis as the kernels (3, 1, k, 1) or (3, 1, 1, k) of a convolution."""
    return taps.view((1, 1, -1, 1) if axis == 2 else (1, 1, 1, -1)).expand(3, -1, -1, -1)


def mirrored(x: Tensor, beyond: int, axis: int) -> Tensor:
    """Repeat lines beyond the borders in mirrored order, as often as it takes."""
    n = x.shape[axis]
    period = torch.arange(2 * n, 2 * n + 1, device=x.device)  # a tensor, which ONNX can divide by
    lines = torch.arange(-beyond, n + beyond, device=x.device) % period
    return x.index_select(axis, torch.minimum(lines, period - 1 - lines))
