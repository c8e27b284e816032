"""Measures how far a picture is from the one that is learned."""

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional as F  # noqa: N812 (torch's own habit)

Loss = Callable[[Tensor, Tensor], Tensor]

_CHARBONNIER_EPSILON = 1e-3


def _charbonnier(sr: Tensor, hr: Tensor) -> Tensor:
    """L1 that is smooth near zero. Source: Lai et al., "LapSRN", 2017, with its epsilon."""
    return ((sr - hr).square() + _CHARBONNIER_EPSILON**2).sqrt().mean()


LOSSES: dict[str, Loss] = {
    "l1": F.l1_loss,
    "charbonnier": _charbonnier,
    "mse": F.mse_loss,
}
"""Losses of SR and HR, (N, 3, H, W) float32 in [0, 1], each a scalar."""
