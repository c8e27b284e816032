"""Lists the steps in which the tail of a network enlarges, and builds its layers."""

from torch import nn


def stages(scale: int) -> list[int]:
    """Give the factors of the upsampler: powers of two in steps of 2, and 3 in one step."""
    return [3] if scale == 3 else [2] * (scale.bit_length() - 1)


def shuffles(n_in: int, n_out: int, scale: int) -> list[nn.Module]:
    """Build a 3x3 convolution and a pixel shuffle for each stage, `n_out` channels behind each."""
    layers: list[nn.Module] = []
    for factor in stages(scale):
        layers += [nn.Conv2d(n_in, n_out * factor**2, 3, padding=1), nn.PixelShuffle(factor)]
        n_in = n_out
    return layers


def tail_reach(scale: int, *, last: int) -> int:
    """Count the LR pixels beyond its own that an output pixel sees through pixel shuffles.

    Args:
        scale: The scale of the tail, of steps `stages(scale)` with a 3x3 convolution before each.
        last: Reach of the convolution that ends the tail, on the HR grid.
    """
    low, high = -last, scale - 1 + last  # range that the HR pixels of one LR pixel read
    for factor in reversed(stages(scale)):
        low, high = low // factor - 1, high // factor + 1
    return max(-low, high)
