"""One function: a recipe and photographs in, weights and a log out; resumes where it stopped."""

import csv
import json
import math
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import widesr
from widesr.catalog import TrainingData
from widesr.errors import CheckpointError, DataError, TrainingError
from widesr.metrics import PROTOCOLS, psnr
from widesr.nets import Network, build
from widesr.report import machine
from widesr.train.checkpoint import (
    Provenance,
    load_state,
    save_state,
    save_weights,
)
from widesr.train.grow import Start, grown, load_start
from widesr.train.losses import LOSSES
from widesr.train.pairs import Pair, PatchSampler, hold_out, list_photographs, load_pairs
from widesr.train.recipe import OptimTable, Recipe

_VALIDATION_CROP = 128
"""Side of the centre of each held-out photograph that is validated on, in LR pixels at most."""


class Progress(NamedTuple):
    """What a run says of itself, every few steps."""

    step: int
    steps: int
    loss: float
    """Mean since the last report."""
    learning_rate: float
    images_per_second: float
    """LR patches learned from per second, since the last report."""
    seconds_left: float
    psnr: float | None
    """Of the last validation, `benchmark-y`, in dB."""
    validated: bool
    """Whether that validation was at this step; a checkpoint goes with it."""


def train(
    recipe: Recipe,
    *,
    data: Path,
    out: Path,
    resume: bool = False,
    start_from: str | Path | None = None,
    threads: int | None = None,
    report: Callable[[Progress], None] = lambda _: None,
) -> Path:
    """Train a network and write `{recipe.name}.safetensors`, a run state and `log.jsonl` to `out`.

    Args:
        recipe: What to train, and how.
        data: Folder of HR photographs, looked through with the folders below it. A MANIFEST.csv
            (columns `file`, `licence`, `origin`) in it names their licences for the model's card.
        out: Folder for the results; made where it is missing.
        resume: Go on from the run state in `out`, with the same recipe.
        start_from: Weights, a model file or the name of a model to begin with, grown to the size
            of the recipe's network; for another scale, its tail and skip start anew.
        threads: CPU threads; None leaves torch's choice.
        report: Called every few steps.

    Returns:
        The weights file: the moving average, weight norm still in it.

    Raises:
        DataError: Photographs that cannot be used.
        CheckpointError: Nothing to resume from, the state of another recipe, or weights that
            do not load or cannot grow.
        ModelNotFoundError: No model of the name to start from.
        TrainingError: The loss is no longer a finite number.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    torch.manual_seed(recipe.seed)
    torch.use_deterministic_algorithms(mode=True)
    cfg, optim = recipe.network, recipe.optim
    training, validation = hold_out(
        list_photographs(data, exclude=recipe.data.exclude), recipe.data.validation
    )
    out.mkdir(parents=True, exist_ok=True)
    state_file, weights_file = out / "state.safetensors", out / f"{recipe.name}.safetensors"
    if state_file.exists() and not resume:
        raise CheckpointError(f"{out}: holds a run already; add --resume, or choose another --out")

    run = _Run(recipe, build(cfg))
    if start_from is not None:
        run.begin_with(load_start(start_from, scale=cfg.scale))
    if resume:
        run.restore(*load_state(state_file))
    scale, lr_patch = cfg.scale, recipe.data.lr_patch
    pairs = load_pairs(training, scale=scale, lr_patch=lr_patch)
    held_out = [_centre(p, scale) for p in load_pairs(validation, scale=scale, lr_patch=lr_patch)]
    sampler = PatchSampler(pairs, scale=scale, lr_patch=lr_patch, seed=recipe.seed)
    if run.sampler_state:
        sampler.state = run.sampler_state
    commit, trained_on, sources = _commit(), _machine(), _sources(data, training)

    def keep() -> None:
        run.sampler_state = sampler.state
        save_state(state_file, *run.state())
        provenance = Provenance(
            recipe=recipe,
            steps=run.step,
            seconds=round(run.seconds, 1),
            started_from=run.started_from,
            commit=commit,
            machine=trained_on,
            training_data=sources,
            validation_psnr=run.psnr,
        )
        save_weights(weights_file, run.average, provenance)

    with (out / "log.jsonl").open("a", encoding="utf-8") as log:
        losses: list[float] = []
        since, reported = time.perf_counter(), run.step
        try:
            while run.step < optim.steps:
                began = time.perf_counter()
                losses.append(run.advance(*sampler.batch(recipe.data.batch)))
                now = time.perf_counter()
                run.seconds += now - began
                validates = run.step % recipe.log.validate_every == 0 or run.step == optim.steps
                if validates or now - since > 2:
                    if not math.isfinite(sum(losses)):
                        raise TrainingError(
                            f"the loss is no longer a finite number at step {run.step}; "
                            f"{weights_file} has the last good weights; lower optim.learning_rate"
                        )
                    if validates:
                        run.psnr = _validate(run.average, held_out, scale)
                    rate = (run.step - reported) / (now - since)
                    progress = Progress(
                        step=run.step,
                        steps=optim.steps,
                        loss=sum(losses) / len(losses),
                        learning_rate=_learning_rate(optim, run.step),
                        images_per_second=rate * recipe.data.batch,
                        seconds_left=(optim.steps - run.step) / rate,
                        psnr=run.psnr,
                        validated=validates,
                    )
                    report(progress)
                    if validates:
                        log.write(json.dumps(progress._asdict() | {"seconds": run.seconds}) + "\n")
                        log.flush()
                        keep()
                    losses.clear()
                    since, reported = time.perf_counter(), run.step
        except KeyboardInterrupt:
            keep()
            raise
    return weights_file


class _Run:
    """All that changes while training: network, average, optimizer, and where the run stands."""

    def __init__(self, recipe: Recipe, network: Network) -> None:
        self.recipe = recipe
        self.network = network
        self.average = build(recipe.network)
        self.average.load_state_dict(network.state_dict())
        self.optimizer = torch.optim.Adam(
            network.parameters(), lr=0.0, betas=recipe.optim.betas, fused=True
        )
        self.step = 0
        self.seconds = 0.0
        self.psnr: float | None = None
        self.started_from: str | None = None
        self.sampler_state: dict[str, Any] = {}

    def advance(self, lr: NDArray[np.uint8], hr: NDArray[np.uint8]) -> float:
        """Take one optimizer step on a batch; return its loss."""
        optim = self.recipe.optim
        for group in self.optimizer.param_groups:
            group["lr"] = _learning_rate(optim, self.step)
        with torch.autocast("cpu", torch.bfloat16, enabled=optim.precision == "bf16"):
            sr = self.network(_tensor(lr))
        loss = LOSSES[optim.loss](sr.float(), _tensor(hr))
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
        return float(loss.detach())

    def begin_with(self, start: Start) -> None:
        """Take over a trained network, grown to the size of this one."""
        state = grown(start.network, self.network)
        self.network.load_state_dict(state)
        self.average.load_state_dict(state)
        self.started_from = start.origin

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
            "started_from": self.started_from,
            "sampler": self.sampler_state,
        }
        return tensors, plain

    def restore(self, tensors: dict[str, Tensor], plain: dict[str, Any]) -> None:
        """Stand where the run stood when `state` was taken.

        Raises:
            CheckpointError: The state is of another recipe.
        """
        ours, theirs = self.recipe.model_dump(mode="json"), plain["recipe"]
        if ours != theirs:
            keys = ", ".join(sorted(k for k in ours if ours[k] != theirs.get(k)))
            raise CheckpointError(
                f"the run was started with other settings ({keys}); resume with its own recipe, "
                "or start a new run --from its weights"
            )
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
        self.psnr, self.started_from = plain["psnr"], plain["started_from"]
        self.sampler_state = plain["sampler"]


def _learning_rate(optim: OptimTable, step: int) -> float:
    """Learning rate of optimizer step `step`, counted from 0."""
    rise = min(1.0, (step + 1) / optim.warmup) if optim.warmup else 1.0
    if optim.schedule == "cosine":
        return optim.learning_rate * rise * (1 + math.cos(math.pi * step / optim.steps)) / 2
    assert optim.decay is not None
    return optim.learning_rate * rise * optim.decay ** sum(step >= at for at in optim.decay_at)


def _tensor(images: NDArray[np.uint8]) -> Tensor:
    """Turn uint8 (N, H, W, 3) into float32 (N, 3, H, W) in [0, 1], channels last in memory."""
    return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255


def _centre(pair: Pair, scale: int) -> Pair:
    """Cut the middle out of a photograph, so that validation takes seconds."""
    height, width = (min(side, _VALIDATION_CROP) for side in pair.lr.shape[:2])
    y, x = (pair.lr.shape[0] - height) // 2, (pair.lr.shape[1] - width) // 2
    lr = pair.lr[y : y + height, x : x + width]
    hr = pair.hr[y * scale : (y + height) * scale, x * scale : (x + width) * scale]
    return Pair(pair.name, lr, hr)


def _validate(network: Network, pairs: Sequence[Pair], scale: int) -> float:
    """Mean PSNR-Y (`benchmark-y`) in dB over the pairs, after rounding to 8 bits."""
    fused = network.fused().eval()
    scores = []
    for pair in pairs:
        with torch.inference_mode():
            sr = fused(_tensor(pair.lr[None]))[0].permute(1, 2, 0).numpy()
        sr = np.floor(np.clip(sr, 0, 1) * 255 + 0.5).astype(np.uint8)
        scores.append(psnr(sr, pair.hr, protocol=PROTOCOLS["benchmark-y"], scale=scale))
    return float(np.mean(scores))


def _sources(data: Path, photographs: Sequence[Path]) -> tuple[TrainingData, ...]:
    """Count the photographs by origin and licence, as the folder's MANIFEST.csv has them."""
    manifest = data / "MANIFEST.csv"
    if not manifest.is_file():
        return (TrainingData(name=data.resolve().name, licence="not stated", n=len(photographs)),)
    with manifest.open(encoding="utf-8", newline="") as file:
        rows = {Path(row["file"]).name: row for row in csv.DictReader(file)}
    unlisted = [path.name for path in photographs if path.name not in rows]
    if unlisted:
        raise DataError(f"{manifest}: has no row for {unlisted[0]} and {len(unlisted) - 1} others")
    counts = Counter((rows[p.name]["origin"], rows[p.name]["licence"]) for p in photographs)
    return tuple(
        TrainingData(name=origin, licence=licence, n=n)
        for (origin, licence), n in sorted(counts.items())
    )


def _commit() -> str:
    """Name the widesr that trains: its commit in a checkout, else its version."""

    def git(*arguments: str) -> str:
        here = Path(__file__).parent
        command = ["git", "-C", str(here), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
        return done.stdout.strip()

    try:
        git("ls-files", "--error-unmatch", __file__)  # else the repository is somebody else's
        return git("describe", "--always", "--dirty", "--abbrev=12", "--exclude=*")
    except (OSError, subprocess.CalledProcessError):
        return f"widesr {widesr.__version__}"


def _machine() -> str:
    """Name processor, threads and torch, for the model's card."""
    here = machine()
    threads = f"{torch.get_num_threads()} threads, torch {torch.__version__}"
    return f"{here.cpu}, {here.cores} CPUs, {threads}"
