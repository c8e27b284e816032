"""What a step is judged by."""

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional as F  # noqa: N812 (torch's own habit)

Loss = Callable[[Tensor, Tensor], Tensor]

LOSSES: dict[str, Loss] = {
    "l1": F.l1_loss,
}
"""From SR and HR, (N, 3, H, W) float32 in [0, 1], to a scalar."""
