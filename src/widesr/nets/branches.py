"""Convolutions that learn as several in a row and beside one another, and are one when used.

Source: Wan et al., "Swift Parameter-free Attention Network", 2023 (arXiv 2311.12770), the authors'
Conv3XC: hongyuanyu/SPAN at e19736d, basicsr/archs/span_arch.py.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (torch's own habit)


class BranchedConv2d(nn.Module):
    """A 3x3 convolution of 1x1, 3x3, 1x1 in a row, twice as wide within, and a 1x1 beside them.

    They are merged as kernels at each step, not run one after another as in the authors' code: the
    same pictures and gradients at hardly more than the cost of the one convolution.
    """

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(n_in, 2 * n_in, 1),
            nn.Conv2d(2 * n_in, 2 * n_out, 3),
            nn.Conv2d(2 * n_out, n_out, 1),
        )
        self.sk = nn.Conv2d(n_in, n_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, n_in, H, W) to (N, n_out, H, W)."""
        weight, bias = self._merged()
        return F.conv2d(x, weight, bias, padding=1)

    @torch.no_grad()
    def plain(self) -> nn.Conv2d:
        """Return the convolution that does the same."""
        weight, bias = self._merged()
        conv = nn.Conv2d(weight.shape[1], weight.shape[0], 3, padding=1)
        conv.weight, conv.bias = nn.Parameter(weight), nn.Parameter(bias)
        return conv

    def _merged(self) -> tuple[Tensor, Tensor]:
        """Merge the parts to the weight (n_out, n_in, 3, 3) and bias of one convolution."""
        first, middle, last = self.conv
        assert isinstance(first, nn.Conv2d)
        assert isinstance(middle, nn.Conv2d)
        assert isinstance(last, nn.Conv2d)
        biases = (first.bias, middle.bias, last.bias, self.sk.bias)
        b1, b2, b3, beside = (bias for bias in biases if bias is not None)
        # A product rounded to bf16 three times over would not be the kernel that is used later.
        with torch.autocast(first.weight.device.type, enabled=False):
            w1, w3 = first.weight[:, :, 0, 0], last.weight[:, :, 0, 0]
            widened = torch.einsum("omhw,mi->oihw", middle.weight, w1)
            weight = torch.einsum("po,oihw->pihw", w3, widened)
            weight = weight + F.pad(self.sk.weight, (1, 1, 1, 1))
            bias = w3 @ (middle.weight.sum(dim=(2, 3)) @ b1 + b2) + b3 + beside
        return weight, bias
