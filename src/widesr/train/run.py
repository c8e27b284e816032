"""Holds the state of a training run, and takes one step of it."""

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from widesr.data.loader import share_of
from widesr.data.patches import Batch
from widesr.errors import CheckpointError, TrainingError
from widesr.nets import build
from widesr.train.adversary import Judgement, Share
from widesr.train.checkpoint import part_of
from widesr.train.device import require_compiler
from widesr.train.extension import goes_on
from widesr.train.grow import Start, grown
from widesr.train.objective import Objective
from widesr.train.optimizers import Optimizers, gradients_of
from widesr.train.parallel import ALONE, World
from widesr.train.recipe import Recipe
from widesr.train.schedule import Settings, learning_rate_at, settings_at
from widesr.train.tables import Scores

_PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

_NOISE = 1
"""Number that tells the random stream of noise from others of the same seed and step."""

_STATISTICS = ("running_mean", "running_var")
"""Buffers of batch norm."""


class ExplosionError(TrainingError):
    """A run that is no longer sound; `advice` names the keys of the recipe that may help."""

    def __init__(self, message: str, *, advice: str | None = None) -> None:
        super().__init__(message)
        self.advice = advice


class Learned(NamedTuple):
    """The result of one step, over the whole batch."""

    loss: float
    gradient_norm: float
    """Norm over all parameters, before clipping; not finite if fp16 overflowed."""
    terms: dict[str, float]
    """Each term of the loss before its weight, and a discriminator's logits."""


class Run:
    """Everything that changes during training: network, its EMA, optimizers, and the step."""

    def __init__(self, recipe: Recipe, *, device: torch.device, world: World = ALONE) -> None:
        """Start at step 0 with random weights from torch's generator, the same on any device."""
        self.recipe = recipe
        self.device = device
        self.world = world
        self.network = build(recipe.network).to(device)
        self.ema = build(recipe.network).to(device)
        self.ema.load_state_dict(self.network.state_dict())
        self.optimizers = Optimizers(recipe.optim, self.network)
        self.objective = Objective(recipe, device=device, world=world)
        self.scaler = torch.amp.GradScaler(device.type, enabled=recipe.optim.precision == "fp16")
        self._forward: Callable[[Tensor], Tensor] = self.network.supervised
        if recipe.optim.compile:
            require_compiler(device)
            self._forward = torch.compile(self.network.supervised)
        self.step = 0
        self.seconds = 0.0
        self.scores = Scores()
        """The scores of the last validation."""
        self.psnr_at_start: float | None = None
        self.best: tuple[bool, float] | None = None
        """Rank of the best weights so far, as `BestTable.rank` gives it."""
        self.started_from: str | None = None
        self.photographs: str | None = None
        """The photographs, as `Photographs.digest` names them."""
        self.teacher: str | None = None
        """The teacher, as `Teacher.origin` names it."""
        self.sampler_state: dict[str, Any] = {}
        self.losses: list[float] = []
        """Losses of the last steps of one stage, as far back as the guard looks."""
        self.watched: dict[str, list[float]] = {}
        """Other terms of the last steps, by name, as far back as the guard looks."""
        self.rewinds = 0
        """Number of times that the run was rewound to its last validation."""

    def advance(self, batch: Batch) -> Learned:
        """Take one optimizer step on this process' share of a batch.

        Args:
            batch: The batch, with a teacher's pictures if the step learns from them.

        Raises:
            ExplosionError: The loss or a gradient is not finite; nothing was learned.
            TrainingError: Another process of the run has ended; nothing was learned.
        """
        optim, settings = self.recipe.optim, settings_at(self.recipe, self.step)
        learning_rate = learning_rate_at(self.recipe, self.step)
        self.optimizers.set_learning_rate(learning_rate)
        precision = _PRECISIONS[optim.precision]
        with torch.autocast(self.device.type, precision, enabled=optim.precision != "fp32"):
            sr = self._forward(self._input(batch, settings)).float()
            target = self._target(batch, settings.teacher_share)
            target = target.repeat(len(sr) // len(target), 1, 1, 1)  # for each iteration's picture
            share = Share(len(batch.lr), settings.batch)
            objects = [torch.from_numpy(each).to(self.device) for each in batch.objects or ()]
            judged = self.objective.judge(sr, target, settings.loss, share, objects, step=self.step)
        self.optimizers.zero_grad()
        loss = judged.loss
        if self.world.size > 1:  # the mean over the whole batch is the sum of these
            loss = loss * (share.n / share.total)
        torch.autograd.backward(self.scaler.scale(loss))
        others = self.objective.gradients(settings.loss)
        learned = self._over_all(judged, share, others)
        self._require_sound(learned, others)
        if optim.clip_grad_norm is not None:
            torch.nn.utils.clip_grads_with_norm_(
                self.network.parameters(),
                optim.clip_grad_norm,
                torch.tensor(learned.gradient_norm, device=self.device),
            )
        for optimizer in self.optimizers:
            self.scaler.step(optimizer)
        self.scaler.update()
        self.objective.step(settings.loss, learning_rate)
        self.step += 1
        self._update_ema()
        return learned

    def _input(self, batch: Batch, settings: Settings) -> Tensor:
        """Make the input of the network: LR, or a copy of it with noise for each sample.

        The noise depends on the seed, the step, and the place in the batch of all processes.
        """
        lr = as_tensor(batch.lr, self.device)
        if not self.network.noise:
            return lr
        k = settings.loss.samples or 1
        random = np.random.default_rng((self.recipe.seed, self.step, _NOISE))
        shape = (k, settings.batch, self.network.noise, *lr.shape[2:])
        noise = torch.from_numpy(random.standard_normal(shape, np.float32))
        share = share_of(settings.batch, rank=self.world.rank, world_size=self.world.size)
        mine = noise[:, share].flatten(0, 1).to(self.device)
        return torch.cat([lr.repeat(k, 1, 1, 1), mine], dim=1)

    def _target(self, batch: Batch, teacher_share: float) -> Tensor:
        """Make the target: HR, the teacher's picture, or a mixture of the two."""
        hr = as_tensor(batch.hr, self.device)
        hr = torch.cat(hr.chunk(hr.shape[1] // 3, dim=1))  # frame after frame
        if not teacher_share:
            return hr
        assert batch.taught is not None
        return hr.lerp(as_tensor(batch.taught, self.device), teacher_share)

    def _over_all(self, judged: Judgement, share: Share, others: list[Tensor]) -> Learned:
        """Sum losses and gradients over all processes; `others` are other networks' gradients."""
        values = torch.stack([judged.loss.detach(), *judged.terms.values()])
        if self.world.size > 1:
            values *= share.n / share.total
            # Each process' batch norm keeps statistics of its own share: all go on with their mean.
            kept = [b for n, b in self.network.named_buffers() if n.endswith(_STATISTICS)]
            for statistic in kept:
                statistic.div_(self.world.size)
            self.world.all_reduce([values, *gradients_of(self.network), *others, *kept])
        loss, *terms = values.tolist()
        return Learned(loss, self._unscaled_norm(), dict(zip(judged.terms, terms, strict=True)))

    def _unscaled_norm(self) -> float:
        for optimizer in self.optimizers:
            self.scaler.unscale_(optimizer)
        return float(torch.nn.utils.get_total_norm(gradients_of(self.network)))

    def _require_sound(self, learned: Learned, others: list[Tensor]) -> None:
        # fp16 overflows now and then: the scaler then skips the step and takes a smaller scale.
        may_overflow = self.scaler.is_enabled() and self.scaler.get_scale() >= 1
        sound = math.isfinite(learned.gradient_norm) or may_overflow
        if others:
            sound &= math.isfinite(float(torch.nn.utils.get_total_norm(others)))
        if not (math.isfinite(learned.loss) and sound):
            raise ExplosionError(self._not_finite())

    def _update_ema(self) -> None:
        """Move the EMA of the weights towards the network's."""
        # The average is over fewer steps at first, so that the random start is soon forgotten.
        decay = min(self.recipe.optim.ema_decay, self.step / (self.step + 10))
        ours = [p.data for p in self.ema.parameters()]
        theirs = [p.data for p in self.network.parameters()]
        with torch.no_grad():
            torch._foreach_lerp_(ours, theirs, 1 - decay)
            for kept, new in zip(self.ema.buffers(), self.network.buffers(), strict=True):
                kept.copy_(new)  # statistics of batch norm, which are averages already

    def begin_with(self, start: Start) -> None:
        """Begin with a trained network, grown to the size of this one."""
        state = grown(start.network, self.network)
        self.network.load_state_dict(state)
        self.ema.load_state_dict(state)
        self.started_from = start.origin

    def require_finite(self) -> None:
        """Check that all weights are finite: a step may spoil them before the loss shows it.

        Raises:
            ExplosionError: A weight is not finite.
        """
        learning = (*self.network.parameters(), *self.objective.parameters())
        for tensor in (*learning, *self.ema.parameters()):
            if not torch.isfinite(tensor).all():
                raise ExplosionError(self._not_finite())

    def _not_finite(self) -> str:
        return f"the loss is no longer a finite number at step {self.step}"

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return all that `restore` needs: tensors, which are not copies, and plain values."""
        tensors = {f"network.{n}": t for n, t in self.network.state_dict().items()}
        tensors |= {f"average.{n}": t for n, t in self.ema.state_dict().items()}
        tensors |= {f"optimizer.{n}": t for n, t in self.optimizers.state().items()}
        tensors |= {f"objective.{n}": t for n, t in self.objective.state().items()}
        tensors["torch_rng"] = torch.get_rng_state()
        plain = {
            "recipe": self.recipe.model_dump(mode="json"),
            "step": self.step,
            "seconds": self.seconds,
            "psnr": self.scores.psnr,
            "scores": list(self.scores),
            "psnr_at_start": self.psnr_at_start,
            "best": self.best,
            "started_from": self.started_from,
            "photographs": self.photographs,
            "teacher": self.teacher,
            "sampler": self.sampler_state,
            "scaler": self.scaler.state_dict(),
            "losses": self.losses,
            "watched": self.watched,
            "rewinds": self.rewinds,
            "processes": self.world.size,
            "features": self.objective.features,
            "detector": self.objective.detector,
        }
        return tensors, plain

    def restore(self, tensors: dict[str, Tensor], plain: dict[str, Any]) -> None:
        """Restore what `state` returned; the tensors are copied.

        Raises:
            CheckpointError: The state is of another recipe, or not whole.
        """
        try:
            self._restore(tensors, plain)
        except (LookupError, RuntimeError, TypeError, ValueError) as error:
            raise CheckpointError("the run state is of another version of widesr") from error

    def _restore(self, tensors: dict[str, Tensor], plain: dict[str, Any]) -> None:
        _refuse_another_recipe(self.recipe, plain["recipe"], step=plain["step"])
        self.objective.restore(
            part_of(tensors, "objective"),
            features=plain.get("features"),
            detector=plain.get("detector"),
        )
        self.network.load_state_dict(part_of(tensors, "network"))
        self.ema.load_state_dict(part_of(tensors, "average"))
        self.optimizers.restore(part_of(tensors, "optimizer"))
        torch.set_rng_state(tensors["torch_rng"])
        self.step, self.seconds = plain["step"], plain["seconds"]
        self.psnr_at_start = plain["psnr_at_start"]
        self.started_from, self.sampler_state = plain["started_from"], plain["sampler"]
        # States that are older than these keys lack them.
        self.photographs, self.teacher = plain.get("photographs"), plain.get("teacher")
        self.scores = Scores(*plain.get("scores", [plain.get("psnr")]))
        best = plain.get("best_psnr")
        self.best = (True, best) if best is not None else None
        if best := plain.get("best"):
            self.best = best[0], best[1]
        self.losses, self.rewinds = list(plain.get("losses", [])), plain.get("rewinds", 0)
        self.watched = {name: list(v) for name, v in plain.get("watched", {}).items()}
        if scaler := plain.get("scaler"):
            self.scaler.load_state_dict(scaler)


def _refuse_another_recipe(ours: Recipe, theirs: dict[str, Any], *, step: int) -> None:
    """Raise unless two recipes agree in everything that decides the weights; [log] does not."""
    then = Recipe.model_validate(theirs)  # keys that are newer than the state have defaults
    now = ours.model_dump(mode="json", exclude={"log"})
    before = then.model_dump(mode="json", exclude={"log"})
    if now != before and not goes_on(then, ours, step=step):
        changes = ", ".join(_changes(now, before))
        raise CheckpointError(
            f"the run was started with other settings ({changes}); resume with its own recipe, "
            "or start a new run from its weights",
            options=["init"],
        )


def _changes(now: dict[str, Any], before: dict[str, Any], table: str = "") -> Iterator[str]:
    for key in sorted({*now, *before}):
        ours, theirs = now.get(key), before.get(key)
        if isinstance(ours, dict) and isinstance(theirs, dict):
            yield from _changes(ours, theirs, f"{table}{key}.")
        elif ours != theirs:
            yield f"{table}{key} {theirs!r}, now {ours!r}"


def as_tensor(images: NDArray[np.uint8], device: torch.device) -> Tensor:
    """Convert uint8 (N, H, W, C) to float32 (N, C, H, W) in [0, 1], channels last in memory."""
    return torch.from_numpy(images).to(device).permute(0, 3, 1, 2).float() / 255
