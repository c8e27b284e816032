"""Runs the cells of a study one after another, and never runs a finished one again."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from widesr.errors import CheckpointError, TrainingError
from widesr.study.design import Cell, Study, cells, size_of
from widesr.system.commit import which_commit
from widesr.system.progress import OnNotice, ignore
from widesr.train.checkpoint import list_states
from widesr.train.device import Device, describe, find_device
from widesr.train.dry_run import plan
from widesr.train.logs import JSON_LOG
from widesr.train.loop import Progress, train
from widesr.train.photographs import Photographs, load_photographs
from widesr.train.recipe import Recipe
from widesr.train.writing import named_errors, write_whole

_OUTCOME = "outcome.json"


class Point(NamedTuple):
    """A validation of a run."""

    step: int
    loss: float
    """Mean over the steps since the previous report."""
    psnr: float
    """PSNR-Y of the held-out photographs, `benchmark-y`."""


class Outcome(BaseModel):
    """The outcome of a cell, with everything that is needed to run it again."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    labels: dict[str, str]
    """The value on each axis."""
    seed: int
    psnr: float | None
    """PSNR-Y of the last validation; None if the run diverged."""
    diverged_at: int | None
    """The step at which the run exploded for the last time, and was given up."""
    rewinds: int = 0
    """Number of times that the run exploded and was rewound, and then went on to its end."""
    parameters: int
    gflop: float
    """Work to make a picture of 1280x720; a multiply-add counts as two."""
    seconds: float
    """Training time, without validation and everything before the first step."""
    photographs: int
    """Number of photographs that the network learned from."""
    held_out: int
    commit: str
    machine: str
    curve: tuple[Point, ...]
    recipe: Recipe


def run_study(
    study: Study,
    *,
    data: Path,
    out: Path,
    threads: int | None = None,
    device: Device = "cpu",
    on_progress: Callable[[Cell, Progress], None] = ignore,
    on_outcome: Callable[[Outcome], None] = ignore,
    on_notice: OnNotice = ignore,
) -> list[Outcome]:
    """Run each cell of a study that is not finished in `out`; resume a cell that was begun.

    Each cell has a folder in `out`, which keeps its log, its weights and its outcome. The
    photographs are loaded once for all cells of the same scale and data. A run that diverges counts
    as a result.

    Args:
        study: The grid.
        data: Folder of HR photographs, as for training.
        out: Folder for the results; created if it is missing.
        threads: Number of CPU threads; None leaves the choice to torch.
        device: The device to train on.
        on_progress: Called every few steps.
        on_outcome: Called with each outcome, in the order of the grid, including those of earlier
            calls.
        on_notice: Called with a sentence that the user should read about anything that does not
            stop the run.

    Returns:
        All outcomes, in the order of the grid.

    Raises:
        DataError: The photographs cannot be used.
        CheckpointError: `out` holds a cell with other settings, or cannot be written to.
        TrainingError: There is no such device.
    """
    find_device(device)
    outcomes: list[Outcome] = []
    shared: tuple[object, Photographs] | None = None
    for cell in cells(study):
        folder = out / cell.name
        outcome = _earlier(folder, cell)
        if outcome is None:
            key = _what_it_takes(cell.recipe)
            if shared is None or shared[0] != key:
                shared = None  # first, so that two sets are never in memory
                shared = key, load_photographs(data, cell.recipe, on_notice=on_notice)
            outcome = _run(
                cell,
                shared[1],
                folder,
                threads=threads,
                device=device,
                on_progress=partial(on_progress, cell),
                on_notice=on_notice,
            )
            _keep(folder, outcome)
        outcomes.append(outcome)
        on_outcome(outcome)
    return outcomes


def _run(
    cell: Cell,
    photographs: Photographs,
    folder: Path,
    *,
    threads: int | None,
    device: Device,
    on_progress: Callable[[Progress], None],
    on_notice: OnNotice,
) -> Outcome:
    """Train a cell, from its beginning or from the step at which it was stopped."""
    diverged_at = None
    try:
        train(
            cell.recipe,
            data=photographs,
            out=folder,
            resume=bool(list_states(folder)),
            threads=threads,
            device=device,
            on_progress=on_progress,
            on_notice=lambda sentence: on_notice(f"{cell.name}: {sentence}"),
        )
    except TrainingError as error:
        if error.diverged_at is None:
            raise
        diverged_at = error.diverged_at
    return _outcome(folder, cell, photographs, diverged_at, device)


def is_finished(cell: Cell, out: Path) -> bool:
    """Return whether a cell is finished in `out`, so that a study would not run it again."""
    return (out / cell.name / _OUTCOME).is_file()


def time_cell(cell: Cell, *, data: Path, threads: int | None, device: Device) -> float:
    """Time a few steps, and estimate the seconds that all of them would take; see `plan`."""
    calm = cell.recipe.optim.model_copy(update={"learning_rate": 1e-12})  # noise must not diverge
    recipe = cell.recipe.model_copy(update={"optim": calm})
    return plan(recipe, data=data, threads=threads, device=device).seconds


def _what_it_takes(recipe: Recipe) -> object:
    """Return the settings that decide which photographs a run takes and how they are prepared."""
    return recipe.network.scale, recipe.data.model_copy(update={"batch": 1})


def _earlier(folder: Path, cell: Cell) -> Outcome | None:
    """Read the outcome of a cell from an earlier call; return None if it is not finished."""
    file = folder / _OUTCOME
    if not file.is_file():
        return None
    try:
        outcome = Outcome.model_validate_json(file.read_bytes())
    except ValidationError as error:
        raise CheckpointError(f"{file}: damaged; delete it to run the cell again") from error
    if outcome.recipe != cell.recipe:
        ours, theirs = cell.recipe.model_dump(), outcome.recipe.model_dump()
        keys = ", ".join(sorted(key for key in ours if ours[key] != theirs[key]))
        raise CheckpointError(
            f"{folder}: was run with other settings ({keys}); choose another folder, or delete it",
            options=["out"],
        )
    return outcome


def _outcome(
    folder: Path, cell: Cell, photographs: Photographs, diverged_at: int | None, device: Device
) -> Outcome:
    log = folder / JSON_LOG  # missing if the run diverged before its first validation
    text = log.read_text(encoding="utf-8") if log.exists() else ""
    rows = [json.loads(row) for row in text.splitlines()]
    curve = tuple(Point(row["step"], row["loss"], row["psnr"]) for row in rows)
    size = size_of(cell.recipe.network)
    return Outcome(
        labels=cell.labels,
        seed=cell.seed,
        psnr=curve[-1].psnr if diverged_at is None else None,
        diverged_at=diverged_at,
        rewinds=rows[-1]["rewinds"] if rows else 0,
        parameters=size.parameters,
        gflop=size.gflop,
        seconds=rows[-1]["seconds"] if rows else 0.0,
        photographs=len(photographs.training),
        held_out=len(photographs.held_out),
        commit=which_commit(),
        machine=describe(find_device(device)),
        curve=curve,
        recipe=cell.recipe,
    )


def _keep(folder: Path, outcome: Outcome) -> None:
    """Write the outcome of a cell, and drop the run states, which only an unfinished run needs."""
    file = folder / _OUTCOME
    with named_errors(file):
        folder.mkdir(parents=True, exist_ok=True)
    write_whole(file, outcome.model_dump_json(indent=1).encode() + b"\n")
    for state in list_states(folder):
        state.unlink(missing_ok=True)
