"""Gathers the data of a run: photographs, a teacher's pictures of them, and their objects."""

import hashlib
import socket
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from widesr.data.opening import open_source
from widesr.data.pack import is_pack
from widesr.data.patches import Pair, n_frames
from widesr.data.source import Source, hold_out, large_enough, training_data
from widesr.errors import CheckpointError, DataError
from widesr.models.catalog import TrainingData
from widesr.system.progress import OnNotice, ignore
from widesr.train.labels import labelled
from widesr.train.parallel import World
from widesr.train.recipe import Recipe
from widesr.train.run import Run
from widesr.train.schedule import parts
from widesr.train.teacher import Teacher, taught
from widesr.train.validation import centre


class Photographs(NamedTuple):
    """The photographs that a run learns from and is validated on, ready in memory."""

    training: list[Pair]
    held_out: list[Pair]
    """The centres of the photographs that are held out."""
    sources: tuple[TrainingData, ...]
    pack: Path | None = None
    """The pack that the photographs come from, if any; a teacher's pictures are kept in it."""

    @property
    def digest(self) -> str:
        """SHA-256 of the names and sizes of all these photographs, in hexadecimal."""
        names = [(pair.name, pair.lr.shape) for pair in (*self.training, *self.held_out)]
        return hashlib.sha256(repr(names).encode()).hexdigest()


def open_photographs(data: Path | Source, recipe: Recipe) -> Source:
    """List the photographs or clips that a recipe takes from a folder or a pack.

    A source that is already open is returned as it is.

    Raises:
        DataError: There is nothing that can be used.
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
    data: Path | Source, recipe: Recipe, *, on_notice: OnNotice = ignore
) -> Photographs:
    """Load the photographs that a recipe takes from a folder or a pack.

    Runs that take the same ones can share them. Arguments and errors are those of `train`.
    """
    scale, wanted = recipe.network.scale, recipe.data
    source = open_photographs(data, recipe)
    lr_patch = max(part.settings.lr_patch for part in parts(recipe))
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


def _long_enough(pairs: list[Pair], recipe: Recipe, *, on_notice: OnNotice) -> list[Pair]:
    """Leave out clips that are too short for a recurrent network to learn from, and say so.

    Raises:
        DataError: No clip is left.
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


def gather(
    data: Path | Source | Photographs,
    run: Run,
    out: Path,
    *,
    on_teacher: Callable[[int, int], None],
    on_notice: OnNotice,
) -> Photographs:
    """Load all data that a run's processes learn from; see `train` for the arguments and errors."""
    recipe, world = run.recipe, run.world
    photographs = world.together(
        lambda: (
            data
            if isinstance(data, Photographs)
            else load_photographs(data, recipe, on_notice=on_notice)
        )
    )
    world.together(lambda: _require_same(photographs, world))
    world.together(lambda: _require_as_before(run, photographs))
    if recipe.teacher:
        photographs = _teach(run, photographs, out, on_progress=on_teacher)
    if recipe.detector:
        photographs = _label(run, photographs, out)
    return photographs


def _require_same(photographs: Photographs, world: World) -> None:
    """Check that all processes have the same photographs.

    Raises:
        DataError: This process has other photographs than the main process.
    """
    ours = photographs.digest.encode()
    if world.broadcast(ours) != ours:
        raise DataError(
            f"{len(photographs.training)} photographs on {socket.gethostname()} are not those of "
            "process 0; copy the folder to every machine, or pack it and copy the pack"
        )


def _require_as_before(run: Run, photographs: Photographs) -> None:
    """Check that a resumed run has the photographs that it began with, and note those of a new one.

    Raises:
        CheckpointError: It has others.
    """
    now = photographs.digest
    if run.photographs not in (None, now):
        raise CheckpointError(
            f"the run was started with other photographs than these {len(photographs.training)}; "
            "resume with the same, or start a new run from its weights",
            options=["data", "init"],
        )
    run.photographs = now


def _teach(
    run: Run, photographs: Photographs, out: Path, *, on_progress: Callable[[int, int], None]
) -> Photographs:
    """Add the teacher's pictures to the photographs that the network learns from."""
    table, world = run.recipe.teacher, run.world
    assert table is not None

    def load() -> Teacher:
        return Teacher(table, scale=run.recipe.network.scale, device=run.device)

    teacher = world.together(load)
    if run.teacher not in (None, teacher.origin):
        raise CheckpointError(
            f"the run was started with another teacher ({run.teacher}, now {teacher.origin}); "
            "resume with that one"
        )
    run.teacher = teacher.origin

    def learn() -> list[Pair]:
        return taught(
            photographs.training,
            teacher,
            folder=photographs.pack or out,
            exclude=table.exclude,
            on_progress=on_progress if world.is_main else ignore,
        )

    return photographs._replace(training=_main_first(world, learn))


def _label(run: Run, photographs: Photographs, out: Path) -> Photographs:
    """Add their objects to the photographs that the network learns from."""
    table, region_loss = run.recipe.detector, run.objective.region_loss
    assert table is not None
    assert region_loss is not None

    def label() -> list[Pair]:
        folder = photographs.pack or out
        return labelled(photographs.training, region_loss.detector, table, folder=folder)

    return photographs._replace(training=_main_first(run.world, label))


def _main_first(world: World, make: Callable[[], list[Pair]]) -> list[Pair]:
    """Make the pairs first in the main process, whose files others on the same disk then find."""
    first = world.together(lambda: make() if world.is_main else [])
    others = world.together(lambda: [] if world.is_main else make())
    return first or others
