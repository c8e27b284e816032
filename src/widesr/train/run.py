"""Where a training run stands, and what one step of it does."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from torch import Tensor

from widesr.errors import CheckpointError, TrainingError
from widesr.nets import build
from widesr.train.grow import Start, grown
from widesr.train.losses import LOSSES
from widesr.train.recipe import Recipe
from widesr.train.schedule import learning_rate_at


class Run:
    """All that changes while training: network, average, optimizer, and where the run stands."""

    def __init__(self, recipe: Recipe, *, device: torch.device) -> None:
        """Start at step 0 with weights that depend on torch's generator, on any device alike."""
        self.recipe = recipe
        self.device = device
        self.network = build(recipe.network).to(device)
        self.average = build(recipe.network).to(device)
        self.average.load_state_dict(self.network.state_dict())
        self.optimizer = torch.optim.Adam(
            self.network.parameters(), lr=0.0, betas=recipe.optim.betas, fused=True
        )
        self.step = 0
        self.seconds = 0.0
        self.psnr: float | None = None
        self.psnr_at_start: float | None = None
        self.started_from: str | None = None
        self.sampler_state: dict[str, Any] = {}

    def advance(self, lr: NDArray[np.uint8], hr: NDArray[np.uint8]) -> float:
        """Take one optimizer step on a batch, (N, h, w, 3) and (N, s*h, s*w, 3); return its loss.

        Raises:
            TrainingError: The loss is not a finite number; nothing was learned from the batch.
        """
        optim = self.recipe.optim
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate_at(optim, self.step)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=optim.precision == "bf16"):
            sr = self.network(as_tensor(lr, self.device))
        loss = LOSSES[optim.loss](sr.float(), as_tensor(hr, self.device))
        value = float(loss.detach())
        if not math.isfinite(value):
            raise self._exploded()
        self.optimizer.zero_grad()
        torch.autograd.backward(loss)
        self.optimizer.step()
        self.step += 1
        # An average over fewer steps at first, so that the random start is soon forgotten.
        decay = min(optim.ema_decay, self.step / (self.step + 10))
        ours = [p.data for p in self.average.parameters()]
        theirs = [p.data for p in self.network.parameters()]
        with torch.no_grad():
            torch._foreach_lerp_(ours, theirs, 1 - decay)
            for kept, new in zip(self.average.buffers(), self.network.buffers(), strict=True):
                kept.copy_(new)  # statistics of batch norm, which are averages already
        return value

    def begin_with(self, start: Start) -> None:
        """Take over a trained network, grown to the size of this one."""
        state = grown(start.network, self.network)
        self.network.load_state_dict(state)
        self.average.load_state_dict(state)
        self.started_from = start.origin

    def require_finite(self) -> None:
        """Hold all weights to finite numbers: a step may spoil them before the loss shows it.

        Raises:
            TrainingError: One is not.
        """
        for tensor in (*self.network.parameters(), *self.average.parameters()):
            if not torch.isfinite(tensor).all():
                raise self._exploded()

    def _exploded(self) -> TrainingError:
        return TrainingError(
            f"the loss is no longer a finite number at step {self.step}; the files in --out are "
            "of before; lower optim.learning_rate",
            diverged_at=self.step,
        )

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Everything that `restore` needs: tensors, and plain values."""
        tensors = {f"network.{n}": t for n, t in self.network.state_dict().items()}
        tensors |= {f"average.{n}": t for n, t in self.average.state_dict().items()}
        for index, moments in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{name}": t for name, t in moments.items()}
        tensors["torch_rng"] = torch.get_rng_state()
        plain = {
            "recipe": self.recipe.model_dump(mode="json"),
            "step": self.step,
            "seconds": self.seconds,
            "psnr": self.psnr,
            "psnr_at_start": self.psnr_at_start,
            "started_from": self.started_from,
            "sampler": self.sampler_state,
        }
        return tensors, plain

    def restore(self, tensors: dict[str, Tensor], plain: dict[str, Any]) -> None:
        """Stand where the run stood when `state` was taken.

        Raises:
            CheckpointError: The state is of another recipe.
        """
        _refuse_another_recipe(self.recipe, plain["recipe"])
        for part, module in (("network", self.network), ("average", self.average)):
            prefix = f"{part}."
            module.load_state_dict(
                {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
            )
        moments: dict[int, dict[str, Tensor]] = {}
        for name, value in tensors.items():
            if name.startswith("optimizer."):
                _, index, key = name.split(".", 2)
                moments.setdefault(int(index), {})[key] = value
        blank = self.optimizer.state_dict()
        self.optimizer.load_state_dict({**blank, "state": moments})
        torch.set_rng_state(tensors["torch_rng"])
        self.step, self.seconds = plain["step"], plain["seconds"]
        self.psnr, self.psnr_at_start = plain["psnr"], plain["psnr_at_start"]
        self.started_from, self.sampler_state = plain["started_from"], plain["sampler"]


def _refuse_another_recipe(ours: Recipe, theirs: dict[str, Any]) -> None:
    """Raise unless recipes agree in all that decides the weights; [log] does not."""
    try:
        then = Recipe.model_validate(theirs)  # where a key is newer than the state: its default
    except ValidationError as error:
        raise CheckpointError("the run state is of another version of widesr") from error
    now = ours.model_dump(mode="json", exclude={"log"})
    before = then.model_dump(mode="json", exclude={"log"})
    if now != before:
        changes = ", ".join(_changes(now, before))
        raise CheckpointError(
            f"the run was started with other settings ({changes}); resume with its own recipe, "
            "or start a new run --from its weights"
        )


def _changes(now: dict[str, Any], before: dict[str, Any], table: str = "") -> Iterator[str]:
    for key in sorted({*now, *before}):
        ours, theirs = now.get(key), before.get(key)
        if isinstance(ours, dict) and isinstance(theirs, dict):
            yield from _changes(ours, theirs, f"{table}{key}.")
        elif ours != theirs:
            yield f"{table}{key} {theirs!r}, now {ours!r}"


def as_tensor(images: NDArray[np.uint8], device: torch.device) -> Tensor:
    """Turn uint8 (N, H, W, 3) into float32 (N, 3, H, W) in [0, 1], channels last in memory."""
    return torch.from_numpy(images).to(device).permute(0, 3, 1, 2).float() / 255
