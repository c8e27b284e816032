"""Weight normalisation for convolutions, and its removal.

torch's own parametrization breaks the original when a deep copy is fused (seen with torch 2.13),
and its state has other names than the authors' checkpoints; these layers are one page and have
theirs.

Source: Salimans and Kingma, "Weight Normalization", 2016; state names as in torch's first
`weight_norm`, which the WDSR authors used.
"""

from collections.abc import Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (torch's own habit)

Conv = TypeVar("Conv", nn.Conv2d, nn.ConvTranspose2d)


class WeightNormConv2d(nn.Module):
    """A square convolution, as large out as in at stride 1, of weight g * v / ||v|| per channel."""

    def __init__(self, n_in: int, n_out: int, kernel: int, *, stride: int = 1) -> None:
        super().__init__()
        plain = nn.Conv2d(n_in, n_out, kernel)
        assert plain.bias is not None
        self.padding, self.stride = kernel // 2, stride
        self.weight_v = nn.Parameter(plain.weight.detach().clone())  # (n_out, n_in, k, k)
        self.weight_g = nn.Parameter(torch.norm_except_dim(self.weight_v.detach(), 2, 0))
        self.bias = nn.Parameter(plain.bias.detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        """(N, n_in, H, W) to (N, n_out, ceil(H / stride), ceil(W / stride))."""
        weight = torch._weight_norm(self.weight_v, self.weight_g, 0)  # noqa: SLF001 (the fused kernel)
        return F.conv2d(x, weight, self.bias, stride=self.stride, padding=self.padding)

    def plain(self) -> nn.Conv2d:
        """Return the convolution that does the same."""
        n_out, n_in, kernel, _ = self.weight_v.shape
        conv = nn.Conv2d(n_in, n_out, kernel, stride=self.stride, padding=self.padding)
        return _filled(conv, self)


class WeightNormConvTranspose2d(nn.Module):
    """A transposed convolution, `scale` times as large out; one g per channel going in."""

    def __init__(self, n_in: int, n_out: int, kernel: int = 3, *, scale: int = 2) -> None:
        super().__init__()
        plain = _plain_transpose(n_in, n_out, kernel, scale)
        assert plain.bias is not None
        self.kernel, self.scale = kernel, scale
        self.weight_v = nn.Parameter(plain.weight.detach().clone())  # (n_in, n_out, k, k)
        self.weight_g = nn.Parameter(torch.norm_except_dim(self.weight_v.detach(), 2, 0))
        self.bias = nn.Parameter(plain.bias.detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        """(N, n_in, H, W) to (N, n_out, scale * H, scale * W)."""
        weight = torch._weight_norm(self.weight_v, self.weight_g, 0)  # noqa: SLF001
        padding, beyond = _transpose_padding(self.kernel, self.scale)
        return F.conv_transpose2d(
            x, weight, self.bias, stride=self.scale, padding=padding, output_padding=beyond
        )

    def plain(self) -> nn.ConvTranspose2d:
        """Return the transposed convolution that does the same."""
        n_in, n_out = self.weight_v.shape[:2]
        return _filled(_plain_transpose(n_in, n_out, self.kernel, self.scale), self)


def conv2d(n_in: int, n_out: int, kernel: int, *, normed: bool) -> WeightNormConv2d | nn.Conv2d:
    """Build a same-size convolution, weight-normed for training or plain for use."""
    if normed:
        return WeightNormConv2d(n_in, n_out, kernel)
    return nn.Conv2d(n_in, n_out, kernel, padding=kernel // 2)


def conv_transpose2d(
    n_in: int, n_out: int, kernel: int, *, scale: int, normed: bool
) -> WeightNormConvTranspose2d | nn.ConvTranspose2d:
    """Build a convolution that enlarges, weight-normed for training or plain for use."""
    if normed:
        return WeightNormConvTranspose2d(n_in, n_out, kernel, scale=scale)
    return _plain_transpose(n_in, n_out, kernel, scale)


def fuse_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the state of the plain twin: each `weight_g`, `weight_v` pair becomes one `weight`."""
    fused = {}
    for name, value in state.items():
        stem, _, last = name.rpartition(".")
        if last == "weight_v":
            g = state[f"{stem}.weight_g"]
            fused[f"{stem}.weight"] = torch._weight_norm(value, g, 0)  # noqa: SLF001
        elif last != "weight_g":
            fused[name] = value.clone()
    return fused


def _plain_transpose(n_in: int, n_out: int, kernel: int, scale: int) -> nn.ConvTranspose2d:
    padding, beyond = _transpose_padding(kernel, scale)
    return nn.ConvTranspose2d(
        n_in, n_out, kernel, stride=scale, padding=padding, output_padding=beyond
    )


def _transpose_padding(kernel: int, scale: int) -> tuple[int, int]:
    """Return the `padding` and `output_padding` that make the output `scale` times as large."""
    padding = (kernel - scale + 1) // 2
    return padding, 2 * padding + scale - kernel


@torch.no_grad()
def _filled(conv: Conv, normed: WeightNormConv2d | WeightNormConvTranspose2d) -> Conv:
    weight = torch._weight_norm(normed.weight_v, normed.weight_g, 0)  # noqa: SLF001
    conv.weight = nn.Parameter(weight)
    conv.bias = nn.Parameter(normed.bias.clone())
    return conv
