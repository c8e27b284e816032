"""The steps in which a network's tail makes pixels."""


def stages(scale: int) -> list[int]:
    """List the factors of the upsampler: powers of two in steps of two, 3 in one."""
    return [3] if scale == 3 else [2] * (scale.bit_length() - 1)


def tail_reach(scale: int, *, last: int) -> int:
    """Return how many LR pixels around its own a pixel depends on through a tail of pixel shuffles.

    Args:
        scale: The scale of the tail, of steps `stages(scale)` with a 3x3 convolution before each.
        last: Reach of the convolution that ends the tail, on the HR grid.
    """
    low, high = -last, scale - 1 + last  # of what the HR pixels of one LR pixel read
    for factor in reversed(stages(scale)):
        low, high = low // factor - 1, high // factor + 1
    return max(-low, high)
