"""Helpers that the tests of networks share."""

import torch
from torch import nn

from widesr.nets import build


def n_parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def with_biases(cfg, *, divisor: int = 50) -> nn.Module:
    """Build a network whose biases and slopes are not those that it begins with."""
    torch.manual_seed(0)
    network = build(cfg)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim == 1:
                parameter.add_(torch.randn_like(parameter) / divisor)
    return network.eval()


def trained(cfg) -> nn.Module:
    """Build a network with biases, slopes and statistics that must not be lost."""
    network = with_biases(cfg).train()
    with torch.no_grad():
        for _ in range(3):
            network(torch.rand(2, 3, 12, 13))
    return network.eval()


def reach(cfg, *, side: int) -> tuple[int, int, int, int]:
    """Measure how many LR pixels up, down, left and right a change of the middle one is seen."""
    torch.manual_seed(0)
    network = build(cfg).double().eval()
    for parameter in network.parameters():  # all positive, so that no effect cancels out
        parameter.data.abs_().clamp_(min=1e-3)  # DRCN begins with kernels of one tap
    middle = side // 2
    lr = torch.rand(1, 3, side, side, dtype=torch.float64) / 10 + 0.7  # above the mean
    poked = lr.clone()
    poked[..., middle, middle] += 0.1
    with torch.inference_mode():
        changed = ((network(poked) - network(lr)).abs() > 1e-15).any(dim=1)[0]
    rows = torch.nonzero(changed.any(dim=1)).flatten() // cfg.scale
    columns = torch.nonzero(changed.any(dim=0)).flatten() // cfg.scale
    return tuple(
        int(distance)
        for lines in (rows, columns)
        for distance in (middle - lines.min(), lines.max() - middle)
    )
