"""Folds the layers that serve training alone into plain convolutions."""

from copy import deepcopy
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from widesr.nets.branches import BranchedConv2d
from widesr.nets.weight_norm import WeightNormConv2d, WeightNormConvTranspose2d

Module = TypeVar("Module", bound=nn.Module)


class BatchNormed(nn.Module):
    """A convolution, transposed or not, weight-normed or not, followed by batch norm."""

    def __init__(self, conv: nn.Module, n_out: int) -> None:
        super().__init__()
        self.conv = conv
        self.norm = nn.BatchNorm2d(n_out)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve and normalise (N, n_in, H, W) to (N, n_out, h, w), the convolution's size."""
        normed: Tensor = self.norm(self.conv(x))
        return normed

    @torch.no_grad()
    def plain(self) -> nn.Conv2d | nn.ConvTranspose2d:
        """Return the equivalent convolution, with the statistics learned so far."""
        conv, norm = self.conv, self.norm
        assert isinstance(conv, nn.Conv2d | nn.ConvTranspose2d)
        assert norm.running_mean is not None
        assert norm.running_var is not None
        conv.weight, conv.bias = fuse_conv_bn_weights(
            conv.weight,
            conv.bias,
            norm.running_mean,
            norm.running_var,
            norm.eps,
            norm.weight,
            norm.bias,
            transpose=isinstance(conv, nn.ConvTranspose2d),
        )
        return conv


def folded(network: Module) -> Module:
    """Return a copy of a network in which plain layers replace those that serve training alone."""
    twin = deepcopy(network)
    _fold(twin)
    return twin


_FOLDING = (BatchNormed, BranchedConv2d, WeightNormConv2d, WeightNormConvTranspose2d)


def _fold(parent: nn.Module) -> None:
    for name, child in parent.named_children():
        _fold(child)
        if isinstance(child, _FOLDING):
            setattr(parent, name, child.plain())
