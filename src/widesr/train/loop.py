"""One function: a recipe and photographs in, weights and a log out; resumes where it stopped."""

import json
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, TextIO

import numpy as np
import torch

import widesr
from widesr.catalog import TrainingData
from widesr.data.loader import Loader
from widesr.data.opening import open_source
from widesr.data.patches import Pair
from widesr.data.source import hold_out, large_enough, training_data
from widesr.errors import CheckpointError
from widesr.files import whole_file
from widesr.metrics import PROTOCOLS, psnr
from widesr.train.checkpoint import (
    Provenance,
    list_states,
    load_newest_state,
    save_state,
    save_weights,
)
from widesr.train.device import Device, describe, find_device
from widesr.train.grow import load_start
from widesr.train.recipe import Recipe
from widesr.train.run import Run, as_tensor
from widesr.train.schedule import learning_rate_at
from widesr.train.signals import held_back

_VALIDATION_CROP = 128
"""Side of the centre of each held-out photograph that is validated on, in LR pixels at most."""
_REPORT_S = 2.0


class Progress(NamedTuple):
    """What a run says of itself, every few steps."""

    step: int
    steps: int
    loss: float
    """Mean since the last report."""
    learning_rate: float
    images_per_second: float
    """LR patches learned from per second, since the last report."""
    data_wait: float
    """Share of that time spent waiting for patches, 0 to 1."""
    seconds_left: float
    psnr: float | None
    """Of the last validation, `benchmark-y`, in dB."""
    psnr_at_start: float | None
    """Of the network that training began with; None where that was random."""
    validated: bool
    """Whether that validation was at this step; a checkpoint goes with it."""


class Photographs(NamedTuple):
    """What a run learns from and is validated on, ready in memory."""

    training: list[Pair]
    held_out: list[Pair]
    """The middles of the photographs that are held out."""
    sources: tuple[TrainingData, ...]


def load_photographs(
    data: Path, recipe: Recipe, *, notice: Callable[[str], None] = lambda _: None
) -> Photographs:
    """Load what a recipe takes from a folder or a pack; runs that take the same can share.

    Arguments and errors are those of `train`.
    """
    scale, wanted = recipe.network.scale, recipe.data
    source = open_source(data, scale=scale, degradation=wanted.degradation, exclude=wanted.exclude)
    names = large_enough(source, scale=scale, lr_patch=wanted.lr_patch, notice=notice)
    training, validation = hold_out(names, wanted.validation)
    return Photographs(
        training=source.load(training),
        held_out=[_centre(pair, scale) for pair in source.load(validation)],
        sources=training_data(source, training),
    )


def train(
    recipe: Recipe,
    *,
    data: Path | Photographs,
    out: Path,
    resume: bool = False,
    start_from: str | Path | None = None,
    threads: int | None = None,
    device: Device = "cpu",
    report: Callable[[Progress], None] = lambda _: None,
    notice: Callable[[str], None] = lambda _: None,
) -> Path:
    """Train a network and write `{recipe.name}.safetensors`, run states and `log.jsonl` to `out`.

    Ctrl-C ends the run after the step or validation that it is in, with all that it learned kept;
    a second Ctrl-C ends it at once.

    Args:
        recipe: What to train, and how.
        data: A folder of HR photographs, looked through with the folders below it; one with LR
            beside HR, as DIV2K has it; or a pack. A MANIFEST.csv (columns `file`, `licence`,
            `origin`) in it names the licences for the model's card. Or what `load_photographs`
            made of it.
        out: Folder for the results; made where it is missing.
        resume: Go on from the newest whole run state in `out`, with the same recipe: on the same
            machine and device to the same weights, bit for bit, as a run that never stopped.
        start_from: Weights, a model file or the name of a model to begin with, grown to the size
            of the recipe's network; for another scale, its tail and skip start anew.
        threads: CPU threads; None leaves torch's choice.
        device: Where to train; what is written can be loaded anywhere.
        report: Called every few steps.
        notice: Called with a sentence on what the user should know and the run can live with.

    Returns:
        The weights file: the moving average, weight norm still in it.

    Raises:
        DataError: Photographs that cannot be used.
        CheckpointError: Nothing to resume from, the state of another recipe, or weights that
            do not load or cannot grow.
        ModelNotFoundError: No model of the name to start from.
        TrainingError: The loss is no longer a finite number, or there is no such device.
    """
    run = prepare(recipe, start_from=start_from, threads=threads, device=device)
    if list_states(out) and not resume:
        raise CheckpointError(f"{out}: holds a run already; add --resume, or choose another --out")
    if resume:
        run.restore(*load_newest_state(out, notice=notice))
    photographs = load_photographs(data, recipe, notice=notice) if isinstance(data, Path) else data
    out.mkdir(parents=True, exist_ok=True)
    checkpoint = _Checkpoint(out, recipe, photographs.sources, which_commit())
    log_file = out / "log.jsonl"
    _cut_log(log_file, run.step)
    loader = Loader(
        photographs.training,
        scale=recipe.network.scale,
        lr_patch=recipe.data.lr_patch,
        batch=recipe.data.batch,
        seed=recipe.seed,
    )
    with loader, log_file.open("a", encoding="utf-8") as log:
        if run.sampler_state:
            loader.state = run.sampler_state
        _take_steps(
            run, loader, photographs.held_out, checkpoint=checkpoint, report=report, log=log
        )
    return checkpoint.weights_file


def prepare(
    recipe: Recipe, *, start_from: str | Path | None, threads: int | None, device: Device
) -> Run:
    """Stand at step 0 of a recipe, all randomness seeded; see `train`."""
    if threads is not None:
        torch.set_num_threads(threads)
    torch.manual_seed(recipe.seed)
    torch.use_deterministic_algorithms(mode=True)
    run = Run(recipe, device=find_device(device))
    if start_from is not None:
        run.begin_with(load_start(start_from, scale=recipe.network.scale))
    return run


class _Checkpoint(NamedTuple):
    """Where a run's files go, and what goes into them beside the run."""

    out: Path
    recipe: Recipe
    sources: tuple[TrainingData, ...]
    commit: str

    @property
    def weights_file(self) -> Path:
        return self.out / f"{self.recipe.name}.safetensors"

    def keep(self, run: Run) -> None:
        """Write run state and weights.

        Raises:
            TrainingError: The weights are not finite; the files are as they were.
            CheckpointError: They cannot be written.
        """
        run.require_finite()
        save_state(self.out, *run.state(), step=run.step)
        provenance = Provenance(
            recipe=self.recipe,
            steps=run.step,
            seconds=round(run.seconds, 1),
            started_from=run.started_from,
            commit=self.commit,
            machine=describe(run.device),
            training_data=self.sources,
            validation_psnr=run.psnr,
        )
        save_weights(self.weights_file, run.average, provenance)


def _take_steps(
    run: Run,
    loader: Loader,
    held_out: Sequence[Pair],
    *,
    checkpoint: _Checkpoint,
    report: Callable[[Progress], None],
    log: TextIO,
) -> None:
    """Learn until the recipe's last step, or until Ctrl-C."""
    recipe = run.recipe
    losses: list[float] = []
    since, reported, waited = time.perf_counter(), run.step, loader.waited
    with held_back() as interrupts:
        if run.step == 0 and run.started_from:
            run.psnr_at_start = _validate(run, held_out)
        while run.step < recipe.optim.steps:
            began = time.perf_counter()
            losses.append(run.advance(*loader.next()))
            now = time.perf_counter()
            run.seconds += now - began
            at_end = run.step == recipe.optim.steps
            validates = run.step % recipe.log.validate_every == 0 or at_end
            if validates:
                run.psnr = _validate(run, held_out)
            if validates or now - since > _REPORT_S:
                rate = (run.step - reported) / (now - since)
                wait = (loader.waited - waited) / (now - since)
                progress = _progress(run, losses, rate=rate, data_wait=wait, validated=validates)
                report(progress)
                losses.clear()
                since, reported, waited = time.perf_counter(), run.step, loader.waited
                if validates:
                    log.write(json.dumps(progress._asdict() | {"seconds": run.seconds}) + "\n")
                    log.flush()
            if validates or interrupts:
                run.sampler_state = loader.state
                checkpoint.keep(run)
            if interrupts:
                break


def _progress(
    run: Run, losses: Sequence[float], *, rate: float, data_wait: float, validated: bool
) -> Progress:
    """Sum up the steps since the last report; `rate` is steps per second."""
    optim = run.recipe.optim
    return Progress(
        step=run.step,
        steps=optim.steps,
        loss=sum(losses) / len(losses),
        learning_rate=learning_rate_at(optim, run.step),
        images_per_second=rate * run.recipe.data.batch,
        data_wait=data_wait,
        seconds_left=(optim.steps - run.step) / rate,
        psnr=run.psnr,
        psnr_at_start=run.psnr_at_start,
        validated=validated,
    )


def _cut_log(path: Path, step: int) -> None:
    """Take out of a log what a killed run wrote after the state that is gone on from."""
    if not path.exists():
        return
    *whole, _half = path.read_text(encoding="utf-8").split("\n")
    kept = [line for line in whole if json.loads(line)["step"] <= step]
    with whole_file(path, overwrite=True) as file:
        file.write("".join(f"{line}\n" for line in kept).encode())


def _centre(pair: Pair, scale: int) -> Pair:
    """Cut the middle out of a photograph, so that validation takes seconds."""
    height, width = (min(side, _VALIDATION_CROP) for side in pair.lr.shape[:2])
    y, x = (pair.lr.shape[0] - height) // 2, (pair.lr.shape[1] - width) // 2
    lr = pair.lr[y : y + height, x : x + width]
    hr = pair.hr[y * scale : (y + height) * scale, x * scale : (x + width) * scale]
    return Pair(
        pair.name, lr.copy(), hr.copy()
    )  # lets the whole go, and torch takes no mapped file


def _validate(run: Run, pairs: Sequence[Pair]) -> float:
    """Mean PSNR-Y (`benchmark-y`) in dB over the pairs, after rounding to 8 bits."""
    fused, scale = run.average.fused().eval(), run.recipe.network.scale
    scores = []
    for pair in pairs:
        with torch.inference_mode():
            sr = fused(as_tensor(pair.lr[None], run.device))[0].permute(1, 2, 0).cpu().numpy()
        sr = np.floor(np.clip(sr, 0, 1) * 255 + 0.5).astype(np.uint8)
        scores.append(psnr(sr, pair.hr, protocol=PROTOCOLS["benchmark-y"], scale=scale))
    return float(np.mean(scores))


def which_commit() -> str:
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
