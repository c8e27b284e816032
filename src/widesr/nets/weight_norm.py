"""Weight normalisation for convolutions, and its removal.

torch's own parametrization breaks the original when a deep copy is fused (seen with torch 2.13),
and its state has other names than the authors' checkpoints; this layer is one page and has theirs.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (torch's own habit)


class WeightNormConv2d(nn.Module):
    """A square convolution of stride 1, same size out, whose weight is g * v / ||v|| per channel.

    Source: Salimans and Kingma, "Weight Normalization", 2016; state names as in torch's first
    `weight_norm`, which the WDSR authors used.
    """

    def __init__(self, n_in: int, n_out: int, kernel: int) -> None:
        super().__init__()
        plain = nn.Conv2d(n_in, n_out, kernel)
        assert plain.bias is not None
        self.padding = kernel // 2
        self.weight_v = nn.Parameter(plain.weight.detach().clone())  # (n_out, n_in, k, k)
        self.weight_g = nn.Parameter(torch.norm_except_dim(self.weight_v.detach(), 2, 0))
        self.bias = nn.Parameter(plain.bias.detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        """(N, n_in, H, W) to (N, n_out, H, W)."""
        weight = torch._weight_norm(self.weight_v, self.weight_g, 0)  # noqa: SLF001 (the fused kernel)
        return F.conv2d(x, weight, self.bias, padding=self.padding)


def conv2d(n_in: int, n_out: int, kernel: int, *, normed: bool) -> WeightNormConv2d | nn.Conv2d:
    """Build a same-size convolution, weight-normed for training or plain for use."""
    if normed:
        return WeightNormConv2d(n_in, n_out, kernel)
    return nn.Conv2d(n_in, n_out, kernel, padding=kernel // 2)


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
