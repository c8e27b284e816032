"""Offers the optimizers of a run: Adam, AdamW, and Muon beside Adam."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Adam, AdamW, Optimizer

from widesr.errors import TrainingError
from widesr.train.tables import OptimTable

_QUINTIC = (3.4445, -4.7750, 2.0315)
_NEWTON_SCHULZ_STEPS = 5


class Muon(Optimizer):
    """Step along the momentum of each kernel, with all its singular values brought near 1.

    The momentum of a kernel (O, I, kh, kw) is treated as a matrix O x (I kh kw). Newton-Schulz
    iterations orthogonalise it, and the step is scaled by sqrt(max(1, O / (I kh kw))), so that one
    learning rate fits kernels of any shape.

    Source: Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024, with its
    coefficients; momentum is Nesterov's.
    """

    def __init__(
        self,
        kernels: Iterable[nn.Parameter],
        *,
        lr: float,
        momentum: float,
        precision: torch.dtype = torch.bfloat16,
    ) -> None:
        """Set up the optimizer for kernels of four dimensions.

        Args:
            kernels: The kernels that are learned.
            lr: The largest singular value of the change of a matrix in a step.
            momentum: Decay of the running mean of the gradients.
            precision: The precision of the iterations. bf16 takes half the time, but depends more
                on the order in which gradients were summed.
        """
        super().__init__(kernels, {"lr": lr, "momentum": momentum})
        self._precision = precision

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update each kernel that has a gradient."""
        assert closure is None
        for group in self.param_groups:
            learned = [kernel for kernel in group["params"] if kernel.grad is not None]
            # Kernels of one shape form a batch: many small products take longer than a large one.
            for shape, alike in groupby(sorted(learned, key=_shape), key=_shape):
                kernels = list(alike)
                momenta = [self._momentum(kernel, group["momentum"]) for kernel in kernels]
                matrices = torch.stack([momentum.flatten(1) for momentum in momenta])
                scale = max(1.0, matrices.shape[1] / matrices.shape[2]) ** 0.5
                updates = orthogonalized(matrices.to(self._precision)).to(matrices.dtype)
                for kernel, update in zip(kernels, updates, strict=True):
                    kernel.add_(update.view(shape), alpha=-group["lr"] * scale)

    def _momentum(self, kernel: nn.Parameter, decay: float) -> Tensor:
        """Update the running mean of a kernel's gradients, and return it one step ahead."""
        assert kernel.grad is not None
        state = self.state[kernel]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(kernel)
        mean: Tensor = state["momentum"]
        mean.lerp_(kernel.grad, 1 - decay)
        ahead: Tensor = torch.lerp(kernel.grad, mean, decay)
        return ahead


def _shape(kernel: nn.Parameter) -> torch.Size:
    return kernel.shape


def orthogonalized(matrices: Tensor) -> Tensor:
    """Bring the singular values of each matrix (N, rows, columns) near 1.

    Five iterations of a quintic that rises steeply at 0 leave the values between about 0.7 and 1.2,
    which is as good for an optimizer as 1. A matrix of zeros stays zero.
    """
    a, b, c = _QUINTIC
    x = matrices / (matrices.norm(dim=(1, 2), keepdim=True) + 1e-7)
    tall = x.shape[1] > x.shape[2]
    x = x.mT if tall else x
    for _ in range(_NEWTON_SCHULZ_STEPS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    orthogonal: Tensor = x.mT if tall else x
    return orthogonal


class Optimizers:
    """The optimizers of a run, used as one; each parameter belongs to exactly one of them.

    The first has the schedule's learning rate, and Muon's keeps a fixed ratio to it.
    """

    def __init__(self, optim: OptimTable, network: nn.Module) -> None:
        """Divide the parameters of a network among the optimizers.

        Raises:
            TrainingError: Muon should learn layers that the network does not have.
        """
        muon, rest = _shared_out(network, optim.muon.layers if optim.muon else ())
        adam: Adam | AdamW
        if optim.optimizer == "adamw":
            adam = AdamW(
                rest, lr=0.0, betas=optim.betas, weight_decay=optim.weight_decay, fused=True
            )
        else:
            adam = Adam(rest, lr=0.0, betas=optim.betas, fused=True)
        self._all: list[tuple[Optimizer, float]] = [(adam, 1.0)]
        if optim.muon:
            ratio = optim.muon.learning_rate / optim.learning_rate
            precision = torch.bfloat16 if optim.precision == "bf16" else torch.float32
            kernels = Muon(muon, lr=0.0, momentum=optim.muon.momentum, precision=precision)
            self._all.append((kernels, ratio))

    def __iter__(self) -> Iterator[Optimizer]:
        """Iterate over the optimizers, always in the same order."""
        return (optimizer for optimizer, _ in self._all)

    def set_learning_rate(self, learning_rate: float) -> None:
        """Set the learning rate of the next step."""
        for optimizer, ratio in self._all:
            for group in optimizer.param_groups:
                group["lr"] = learning_rate * ratio

    def zero_grad(self) -> None:
        """Clear all gradients."""
        for optimizer in self:
            optimizer.zero_grad()

    def state(self) -> dict[str, Tensor]:
        """Return all moments; see `moments_of`."""
        return moments_of(self)

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Restore what `state` returned; the tensors are copied."""
        load_moments(self, state)


def gradients_of(network: nn.Module) -> list[Tensor]:
    """Return the gradients of all parameters that have one."""
    return [p.grad for p in network.parameters() if p.grad is not None]


def moments_of(optimizers: Iterable[Optimizer]) -> dict[str, Tensor]:
    """Return all moments by `{parameter}.{moment}`; parameters are numbered across optimizers."""
    return {
        f"{first + index}.{name}": moment
        for first, optimizer in _counted(optimizers)
        for index, moments in optimizer.state_dict()["state"].items()
        for name, moment in moments.items()
    }


def load_moments(optimizers: Iterable[Optimizer], state: Mapping[str, Tensor]) -> None:
    """Load copies of what `moments_of` returned into optimizers."""
    moments: dict[int, dict[str, Tensor]] = {}
    for name, value in state.items():
        index, key = name.split(".", 1)
        moments.setdefault(int(index), {})[key] = value.clone()
    for first, optimizer in _counted(optimizers):
        blank: dict[str, Any] = optimizer.state_dict()
        count = sum(len(group["params"]) for group in blank["param_groups"])
        ours = {i: moments[first + i] for i in range(count) if first + i in moments}
        optimizer.load_state_dict({**blank, "state": ours})


def _counted(optimizers: Iterable[Optimizer]) -> Iterator[tuple[int, Optimizer]]:
    """Yield each optimizer with the number of parameters before its own."""
    first = 0
    for optimizer in optimizers:
        yield first, optimizer
        first += sum(len(group["params"]) for group in optimizer.param_groups)


def _shared_out(
    network: nn.Module, layers: tuple[str, ...]
) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Split the parameters into the kernels of some layers, and the rest.

    Depthwise kernels, which make poor matrices, belong to the rest.
    """
    kernels = {
        name: parameter
        for name, parameter in network.named_parameters()
        if parameter.ndim == 4 and parameter.shape[1] > 1
    }
    tops = sorted({name.partition(".")[0] for name in kernels})
    if missing := [layer for layer in layers if layer not in tops]:
        raise TrainingError(
            f"optim.muon.layers: the network has no kernels in {', '.join(missing)}; expected some "
            f"of {', '.join(tops)}"
        )
    muon = [kernel for name, kernel in kernels.items() if name.partition(".")[0] in layers]
    chosen = set(map(id, muon))
    return muon, [p for p in network.parameters() if id(p) not in chosen]
