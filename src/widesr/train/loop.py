"""Trains: a recipe and photographs in, weights and a log out; resumes where it stopped."""

import hashlib
import json
import os
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Literal, NamedTuple

import torch

from widesr.data.loader import Loader
from widesr.data.opening import open_source
from widesr.data.pack import is_pack
from widesr.data.patches import Pair, n_frames
from widesr.data.source import Source, hold_out, large_enough, training_data
from widesr.errors import CheckpointError, DataError, TrainingError
from widesr.models.catalog import TrainingData
from widesr.system.version import __version__
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
from widesr.train.labels import labelled
from widesr.train.logs import open_logs
from widesr.train.parallel import ALONE, World, joined, was_restarted
from widesr.train.recipe import Recipe, Scores
from widesr.train.run import ExplosionError, Learned, Run
from widesr.train.schedule import parts, way_at
from widesr.train.signals import held_back
from widesr.train.teacher import Teacher, taught
from widesr.train.validation import centre

__all__ = [
    "Photographs",
    "Progress",
    "load_photographs",
    "open_photographs",
    "prepare",
    "train",
    "which_commit",
]

Notice = Callable[[str], None]


class Photographs(NamedTuple):
    """The photographs that a run learns from and is validated on, ready in memory."""

    training: list[Pair]
    held_out: list[Pair]
    """The middles of the photographs that are held out."""
    sources: tuple[TrainingData, ...]
    pack: Path | None = None
    """The pack that they come from, if any: a teacher's pictures are kept there."""


def open_photographs(data: Path | Source, recipe: Recipe) -> Source:
    """List what a recipe takes from a folder, of clips where it learns these, or from a pack.

    What is open already stays as it is.

    Raises:
        DataError: Nothing that can be used.
    """
    if not isinstance(data, Path):
        return data
    scale, wanted = recipe.network.scale, recipe.data
    return open_source(
        data,
        scale=scale,
        degradation=wanted.degradation,
        exclude=wanted.exclude,
        clips=recipe.learns_clips,
    )


def load_photographs(
    data: Path | Source, recipe: Recipe, *, on_notice: Notice = lambda _: None
) -> Photographs:
    """Load what a recipe takes from a folder or a pack; runs that take the same can share.

    Arguments and errors are those of `train`.
    """
    scale, wanted = recipe.network.scale, recipe.data
    source = open_photographs(data, recipe)
    lr_patch = max(part.way.lr_patch for part in parts(recipe))
    names = large_enough(source, scale=scale, lr_patch=lr_patch, on_notice=on_notice)
    training, validation = hold_out(names, wanted.validation)
    if len(validation) < wanted.validation:
        on_notice(
            f"{len(validation)} of {len(names)} photographs held out to validate on, not "
            f"{wanted.validation}: the recipe is made for more of them"
        )
    return Photographs(
        training=_long_enough(source.load(training), recipe, on_notice=on_notice),
        held_out=[centre(pair, scale=scale, span=recipe.span) for pair in source.load(validation)],
        sources=training_data(source, training),
        pack=source.data if is_pack(source.data) else None,
    )


def _long_enough(pairs: list[Pair], recipe: Recipe, *, on_notice: Notice) -> list[Pair]:
    """Leave out clips that are shorter than what a recurrent network learns from, and say so.

    Raises:
        DataError: None is left.
    """
    span = recipe.span
    if not span.learns_all:
        return pairs
    found = [pair for pair in pairs if n_frames(pair) >= span.read]
    if not found:
        raise DataError(
            f"no clip has the {span.read} frames of data.frames; the longest has "
            f"{max(map(n_frames, pairs))}"
        )
    if len(found) < len(pairs):
        on_notice(
            f"{len(pairs) - len(found):,} of {len(pairs):,} clips are shorter than {span.read} "
            "frames and left out"
        )
    return found


def train(
    recipe: Recipe,
    *,
    data: Path | Source | Photographs,
    out: Path,
    resume: bool | Literal["auto"] = False,
    init: str | Path | None = None,
    threads: int | None = None,
    device: Device = "cpu",
    on_progress: Callable[[Progress], None] = lambda _: None,
    on_teacher: Callable[[int, int], None] = lambda _done, _total: None,
    on_notice: Notice = lambda _: None,
) -> Path:
    """Train a network and write weights, run states, logs and a picture sheet to `out`.

    Weights are `{recipe.name}.safetensors`, as they are last, and `{recipe.name}.best.safetensors`,
    as they validated best.

    Ctrl-C ends the run after the step or validation that it is in, with all that it learned kept;
    a second Ctrl-C ends it at once. Several processes that torchrun started are one run: each
    learns from its share of every batch, and the first writes, reports and notices.

    Args:
        recipe: What to train, and how.
        data: A folder of HR photographs, looked through with the folders below it; one with LR
            beside HR, as DIV2K has it; or a pack. A MANIFEST.csv (columns `file`, `licence`,
            `origin`) in it names the licences for the model's card. Or what `open_photographs` or
            `load_photographs` made of it for this recipe. Networks that look at several frames
            learn from a folder of clips, which are folders of frames.
        out: Folder for the results; made where it is missing.
        resume: Go on from the newest whole run state in `out`, with the same recipe: on the same
            machine and device to the same weights, bit for bit, as a run that never stopped.
            "auto": if there is one. A process that torchrun started anew always means "auto".
        init: Weights, a model file or the name of a model to begin with, grown to the size
            of the recipe's network; for another scale, its tail and skip start anew.
        threads: CPU threads; None leaves torch's choice.
        device: Where to train; what is written can be loaded anywhere.
        on_progress: Called every few steps.
        on_teacher: Called before the first step with the pictures that the teacher has made, and
            those in all. They are kept in the pack, or in `out`, and made once.
        on_notice: Called with a sentence on what the user should know and the run can live with.

    Returns:
        The weights file: the moving average, weight norm still in it.

    Raises:
        DataError: Photographs that cannot be used.
        CheckpointError: Nothing to resume from, the state of another recipe, weights that do not
            load or cannot grow, or a folder that takes no file.
        ModelNotFoundError: No model of the name to start from.
        TrainingError: The loss explodes again and again, there is no such device, or another
            process of the run could not go on.
        MissingExtraError: `log.tensorboard` without TensorBoard.
        RecipeError: The teacher is of another scale.
    """
    with joined(find_device(device)) as world, ExitStack() as open_files:
        tell = on_notice if world.is_main else _say_nothing
        run = world.together(
            lambda: prepare(
                recipe,
                init=init if world.is_main else None,  # the others get its weights
                threads=threads,
                device=device,
                world=world,
            )
        )
        if recipe.optim.precision == "fp16" and run.device.type == "cpu":
            tell('fp16 is slow on a CPU; optim.precision = "bf16" is what it is quick in')
        restarted = world.any(was_restarted())  # the count is not the same on all machines
        _begin(run, out, resume=resume or (restarted and "auto"), on_notice=tell)
        photographs = world.together(
            lambda: (
                data
                if isinstance(data, Photographs)
                else load_photographs(data, recipe, on_notice=tell)
            )
        )
        world.together(lambda: _require_same(photographs, world))
        if recipe.teacher:
            photographs = _teach(run, photographs, out, on_progress=on_teacher)
        if recipe.detector:
            photographs = _label(run, photographs, out)
        loader = open_files.enter_context(_loader(run, photographs))
        files = Files(out, recipe.name, photographs.sources, which_commit())

        def keep() -> Checkpointer | None:
            if not world.is_main:
                return None
            _make_folder(out)
            logs = open_logs(out, step=run.step, tensorboard=recipe.log.tensorboard)
            log = open_files.enter_context(logs)
            return Checkpointer(
                run, loader, photographs.held_out, files=files, on_progress=on_progress, log=log
            )

        _take_steps(run, loader, world.together(keep), on_notice=tell)
    return files.weights


def prepare(
    recipe: Recipe,
    *,
    init: str | Path | None,
    threads: int | None,
    device: Device,
    world: World = ALONE,
) -> Run:
    """Stand at step 0 of a recipe, all randomness seeded; see `train`."""
    smallest = min(part.way.batch for part in parts(recipe))
    if smallest < world.size:
        raise TrainingError(
            f"a batch of {smallest} cannot be shared by {world.size} processes; start no more than "
            f"{smallest}"
        )
    if threads is not None:
        torch.set_num_threads(threads)
    torch.manual_seed(recipe.seed)
    torch.use_deterministic_algorithms(mode=True)
    run = Run(recipe, device=find_device(device), world=world)
    if init is not None:
        run.begin_with(load_start(init, scale=recipe.network.scale))
    return run


def _loader(run: Run, photographs: Photographs) -> Loader:
    """Draw the batches of the run, and cut this process' share."""
    recipe, way = run.recipe, way_at(run.recipe, run.step)
    loader = Loader(
        photographs.training,
        scale=recipe.network.scale,
        lr_patch=way.lr_patch,
        batch=way.batch,
        seed=recipe.seed,
        candidates=recipe.data.candidates,
        rank=run.world.rank,
        world_size=run.world.size,
        # A CPU learns so slowly that one keeps up; a GPU does not.
        workers=1 if run.device.type == "cpu" else min(16, os.cpu_count() or 1),
        span=recipe.span,
    )
    if run.sampler_state:
        loader.state = run.sampler_state
    return loader


def _teach(
    run: Run, photographs: Photographs, out: Path, *, on_progress: Callable[[int, int], None]
) -> Photographs:
    """Put the teacher's pictures beside the photographs that are learned from."""
    table, world = run.recipe.teacher, run.world
    assert table is not None

    def load() -> Teacher:
        return Teacher(table, scale=run.recipe.network.scale, device=run.device)

    teacher = world.together(load)
    run.teacher = teacher.origin

    def learn() -> list[Pair]:
        return taught(
            photographs.training,
            teacher,
            folder=photographs.pack or out,
            exclude=table.exclude,
            on_progress=on_progress if world.is_main else lambda _done, _total: None,
        )

    return photographs._replace(training=_main_first(world, learn))


def _label(run: Run, photographs: Photographs, out: Path) -> Photographs:
    """Put the objects beside the photographs that are learned from."""
    table, onlooker = run.recipe.detector, run.objective.onlooker
    assert table is not None
    assert onlooker is not None

    def label() -> list[Pair]:
        folder = photographs.pack or out
        return labelled(photographs.training, onlooker.detector, table, folder=folder)

    return photographs._replace(training=_main_first(run.world, label))


def _main_first(world: World, make: Callable[[], list[Pair]]) -> list[Pair]:
    """Make what is kept on the disk in the main process: others on the same disk find it made."""
    first = world.together(lambda: make() if world.is_main else [])
    others = world.together(lambda: [] if world.is_main else make())
    return first or others


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CheckpointError(
            f"{out}: cannot be made ({error.strerror}); choose another folder", options=["out"]
        ) from error


def _begin(run: Run, out: Path, *, resume: bool | Literal["auto"], on_notice: Notice) -> None:
    """Take the run to where it is to begin, which the leading process decides for all.

    Raises:
        CheckpointError: There is a run in `out` that is not to be gone on with, or none that is.
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


def _require_same(photographs: Photographs, world: World) -> None:
    """Hold all processes to the same photographs.

    Raises:
        DataError: This one has others than the leading one.
    """
    names = [(pair.name, pair.lr.shape) for pair in photographs.training]
    ours = hashlib.sha256(repr(names).encode()).digest()
    if world.broadcast(ours) != ours:
        raise DataError(
            f"{len(names)} photographs on {socket.gethostname()} are not those of process 0; "
            "copy the folder to every machine, or pack it and copy the pack"
        )


def _take_steps(
    run: Run, loader: Loader, checkpointer: Checkpointer | None, *, on_notice: Notice
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
                on_notice(guard.rewind(error))
                if checkpointer:
                    checkpointer.begin()
                continue
            if checkpointer:
                checkpointer.note(learned, reports=not validates)
            if validates:
                scores = _validate(checkpointer, world)
                try:
                    guard.watch_lattice(scores.lattice)
                except ExplosionError as error:
                    on_notice(guard.rewind(error))
                    if checkpointer:
                        checkpointer.begin()
                    continue
                run.scores = scores
                world.together(checkpointer.report_and_keep if checkpointer else _do_nothing)
                guard.settle()
                stops = world.any(bool(interrupts))  # it takes longer than a step
            elif stops:
                world.together(checkpointer.keep if checkpointer else _do_nothing)
            if stops:
                break


def _step(run: Run, loader: Loader, guard: Guard) -> Learned:
    """Take one step, and look whether it did the run good.

    Raises:
        ExplosionError: It did not.
    """
    began = time.perf_counter()
    way = way_at(run.recipe, run.step)
    loader.rearrange(lr_patch=way.lr_patch, batch=way.batch)
    learned = run.advance(loader.next())
    run.seconds += time.perf_counter() - began
    guard.watch(learned)
    return learned


def _validate(checkpointer: Checkpointer | None, world: World) -> Scores:
    """Validate in the main process, and give its scores to all."""
    found = world.together(checkpointer.validate if checkpointer else Scores)
    return Scores(*json.loads(world.broadcast(json.dumps(found).encode())))


def _do_nothing() -> None:
    """Do nothing: the other processes wait for the main one."""


def _say_nothing(_: str) -> None:
    """Leave it to the main process."""


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
        return f"widesr {__version__}"
