"""Trains networks: a recipe and photographs in, weights and a log out; resumes stopped runs."""

import json
import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

import torch

from widesr.data.loader import Loader
from widesr.data.source import Source
from widesr.errors import CheckpointError, TrainingError
from widesr.system.commit import which_commit
from widesr.system.files import remove_leftovers
from widesr.system.locks import locked_folder
from widesr.system.progress import OnNotice, ignore
from widesr.train.checkpoint import (
    list_states,
    load_newest_state,
    state_from_bytes,
    state_to_bytes,
)
from widesr.train.checkpointer import Checkpointer, Files, Progress
from widesr.train.device import Device, find_device
from widesr.train.grow import load_start
from widesr.train.guard import Guard
from widesr.train.logs import open_logs
from widesr.train.parallel import ALONE, World, joined, was_restarted
from widesr.train.photographs import Photographs, gather
from widesr.train.recipe import Recipe
from widesr.train.run import ExplosionError, Learned, Run
from widesr.train.schedule import parts, settings_at
from widesr.train.signals import held_back
from widesr.train.tables import Scores

__all__ = ["Progress", "prepare", "train"]


def train(
    recipe: Recipe,
    *,
    data: Path | Source | Photographs,
    out: Path,
    resume: bool | Literal["auto"] = False,
    init: str | Path | None = None,
    threads: int | None = None,
    device: Device = "cpu",
    on_progress: Callable[[Progress], None] = ignore,
    on_teacher: Callable[[int, int], None] = ignore,
    on_notice: OnNotice = ignore,
) -> Path:
    """Train a network and write weights, run states, logs and a picture sheet to `out`.

    The last weights are `{recipe.name}.safetensors`, and those that validated best
    `{recipe.name}.best.safetensors`.

    Ctrl-C ends the run after the current step or validation and keeps everything that was learned;
    a second Ctrl-C ends it at once. Several processes that torchrun started form one run: each
    learns from its share of every batch, and the first writes, reports and gives notices.

    Args:
        recipe: Everything that decides what is learned.
        data: A folder of HR photographs, searched with the folders below it; a folder with LR
            beside HR, as in DIV2K; or a pack. A MANIFEST.csv in it (columns `file`, `licence`,
            `origin`) names the licences for the model's card. Instead of a path, the result of
            `open_photographs` or `load_photographs` for this recipe. Networks that read several
            frames learn from a folder of clips, each of which is a folder of frames.
        out: Folder for the results; created if it is missing.
        resume: Continue from the newest intact run state in `out`, with the same recipe. On the
            same machine and device, the weights are the same, bit for bit, as those of a run that
            never stopped. "auto" resumes if there is a state, and is the default for processes that
            torchrun restarted.
        init: Weights, a model file or the name of a model to begin with, grown to the size
            of the recipe's network. At another scale, its tail and skip start from random weights.
        threads: Number of CPU threads; None leaves the choice to torch.
        device: The device to train on; the files can be loaded on any device.
        on_progress: Called every few steps.
        on_teacher: Called before the first step with the number of pictures that the teacher has
            made and the number of all. They are made once and kept, in the pack or in `out`.
        on_notice: Called with a sentence that the user should read about anything that does not
            stop the run.

    Returns:
        The weights file: the moving average of the weights, with weight norm still in it.

    Raises:
        DataError: The photographs cannot be used.
        CheckpointError: There is nothing to resume from, the state is of another recipe, the
            weights cannot be loaded or grown, or the folder takes no file.
        ModelNotFoundError: There is no model with the name to begin with.
        TrainingError: The loss explodes again and again, there is no such device, or another
            process of the run could not go on.
        MissingExtraError: `log.tensorboard` is set, and TensorBoard is not installed.
        RecipeError: The teacher is of another scale.
    """
    with joined(find_device(device)) as world, ExitStack() as open_files:
        tell = on_notice if world.is_main else ignore
        run = world.together(
            lambda: prepare(
                recipe,
                init=init if world.is_main else None,  # the other processes receive its weights
                threads=threads,
                device=device,
                world=world,
            )
        )
        if recipe.optim.precision == "fp16" and run.device.type == "cpu":
            tell('fp16 is slow on a CPU; optim.precision = "bf16" is what it is quick in')
        restarted = world.any(was_restarted())  # torchrun's count differs between machines
        _begin(run, out, resume=resume or (restarted and "auto"), on_notice=tell)
        photographs = gather(data, run, out, on_teacher=on_teacher, on_notice=tell)
        loader = open_files.enter_context(_loader(run, photographs))
        files = Files(out, recipe.name, photographs.sources, which_commit())

        def open_checkpointer() -> Checkpointer | None:
            if not world.is_main:
                return None
            _own_folder(out, open_files)
            remove_leftovers(out)
            logs = open_logs(out, step=run.step, tensorboard=recipe.log.tensorboard)
            log = open_files.enter_context(logs)
            return Checkpointer(
                run, loader, photographs.held_out, files=files, on_progress=on_progress, log=log
            )

        _take_steps(run, loader, world.together(open_checkpointer), on_notice=tell)
    return files.weights


def prepare(
    recipe: Recipe,
    *,
    init: str | Path | None,
    threads: int | None,
    device: Device,
    world: World = ALONE,
) -> Run:
    """Make the run of a recipe at step 0, with all randomness seeded; see `train`."""
    smallest = min(part.settings.batch for part in parts(recipe))
    if smallest < world.size:
        raise TrainingError(
            f"a batch of {smallest} cannot be shared by {world.size} processes; start no more than "
            f"{smallest}"
        )
    if threads is not None:
        torch.set_num_threads(threads)
    torch.manual_seed(recipe.seed)
    torch.use_deterministic_algorithms(mode=True)
    # Filling takes time, and resumed runs would differ if anything read memory that is not written.
    # torch's module replaces itself, which mypy does not see.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    run = Run(recipe, device=find_device(device), world=world)
    if init is not None:
        run.begin_with(load_start(init, scale=recipe.network.scale))
    return run


def _loader(run: Run, photographs: Photographs) -> Loader:
    """Make the loader of this process' share of the batches."""
    recipe, settings = run.recipe, settings_at(run.recipe, run.step)
    loader = Loader(
        photographs.training,
        scale=recipe.network.scale,
        lr_patch=settings.lr_patch,
        batch=settings.batch,
        seed=recipe.seed,
        candidates=recipe.data.candidates,
        rank=run.world.rank,
        world_size=run.world.size,
        # One worker keeps up with a CPU, which learns slowly, but not with a GPU.
        workers=1 if run.device.type == "cpu" else min(16, os.cpu_count() or 1),
        span=recipe.span,
    )
    if run.sampler_state:
        loader.state = run.sampler_state
    return loader


def _own_folder(out: Path, open_files: ExitStack) -> None:
    """Make the folder of the run, and keep other runs out of it until `open_files` is closed.

    Raises:
        CheckpointError: It cannot be made, or another run writes to it.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        open_files.enter_context(locked_folder(out))
    except BlockingIOError as error:
        raise CheckpointError(
            f"{out}: another run writes to it; wait for its end, or choose another folder",
            options=["out"],
        ) from error
    except OSError as error:
        raise CheckpointError(
            f"{out}: cannot be made ({error.strerror}); choose another folder", options=["out"]
        ) from error


def _begin(run: Run, out: Path, *, resume: bool | Literal["auto"], on_notice: OnNotice) -> None:
    """Restore the state that the run resumes from, if any; the main process finds it for all.

    Raises:
        CheckpointError: `out` holds a run but `resume` is False, or holds none that can be resumed.
    """
    world = run.world

    def find() -> bytes:
        found = list_states(out)
        if found and not resume:
            raise CheckpointError(
                f"{out}: holds a run already; go on with it, or choose another folder",
                options=["resume=True", "out"],
            )
        if found or resume is True:
            tensors, plain = load_newest_state(out, on_notice=on_notice)
            run.restore(tensors, plain)
            if (before := plain.get("processes", 1)) != world.size:
                on_notice(
                    f"the run had {before} processes and has {world.size}: it goes on with the "
                    "same photographs, and the same weights but for rounding"
                )
        return state_to_bytes(*run.state()) if world.size > 1 else b""

    state = world.broadcast(world.together(lambda: find() if world.is_main else b""))
    world.together(lambda: None if world.is_main else run.restore(*state_from_bytes(state)))


def _take_steps(
    run: Run, loader: Loader, checkpointer: Checkpointer | None, *, on_notice: OnNotice
) -> None:
    """Learn until the recipe's last step, or until Ctrl-C.

    Only the main process has a checkpointer.
    """
    world, steps = run.world, run.recipe.optim.steps
    with held_back() as interrupts:
        at_start = run.scores
        if run.step == 0 and run.started_from:
            at_start = _validate(checkpointer, world)
            run.psnr_at_start = at_start.psnr
        guard = Guard(run, lattice=at_start.lattice)

        def go_back(error: ExplosionError) -> None:
            on_notice(guard.rewind(error))
            if checkpointer:
                checkpointer.begin()

        while run.step < steps:
            try:
                learned = _step(run, loader, guard)
                stops = world.any(bool(interrupts))
                validates = run.step % run.recipe.log.validate_every == 0 or run.step == steps
                if validates or stops:
                    run.require_finite()
            except ExplosionError as error:
                if world.any(bool(interrupts)):
                    raise guard.refuse(error) from error
                go_back(error)
                continue
            if checkpointer:
                checkpointer.note(learned, reports=not validates)
            if validates:
                try:
                    _validate_and_keep(run, checkpointer, guard)
                except ExplosionError as error:
                    go_back(error)
                    continue
                stops = world.any(bool(interrupts))  # validation takes longer than a step
            elif stops:
                world.together(checkpointer.keep if checkpointer else ignore)
            if stops:
                break


def _step(run: Run, loader: Loader, guard: Guard) -> Learned:
    """Take one step, and let the guard check it.

    Raises:
        ExplosionError: The run is no longer sound.
    """
    began = time.perf_counter()
    settings = settings_at(run.recipe, run.step)
    loader.rearrange(lr_patch=settings.lr_patch, batch=settings.batch)
    learned = run.advance(loader.next())
    run.seconds += time.perf_counter() - began
    guard.watch(learned)
    return learned


def _validate_and_keep(run: Run, checkpointer: Checkpointer | None, guard: Guard) -> None:
    """Validate the run, write its files, and accept its state as sound.

    Raises:
        ExplosionError: A checkerboard shows; nothing was written.
    """
    scores = _validate(checkpointer, run.world)
    guard.watch_lattice(scores.lattice)
    run.scores = scores
    run.world.together(checkpointer.report_and_keep if checkpointer else ignore)
    guard.settle()


def _validate(checkpointer: Checkpointer | None, world: World) -> Scores:
    """Validate in the main process, and send its scores to all."""
    found = world.together(checkpointer.validate if checkpointer else Scores)
    return Scores(*json.loads(world.broadcast(json.dumps(found).encode())))
