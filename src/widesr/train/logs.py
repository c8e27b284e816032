"""Writes the logs of a run: a line of JSON per validation, and TensorBoard's files."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from widesr.errors import CheckpointError, MissingExtraError
from widesr.system.files import append_whole, whole_file
from widesr.train.writing import named_errors

if TYPE_CHECKING:
    from torch.utils.tensorboard.writer import SummaryWriter

JSON_LOG = "log.jsonl"
_NO_CURVES = ("step", "steps", "validated")


class Write(Protocol):
    """A function that adds a validation to the logs."""

    def __call__(self, values: Mapping[str, Any], sheet: NDArray[np.uint8]) -> None:
        """Add values by name, including `step`, and the picture sheet, (H, W, 3)."""


@contextmanager
def open_logs(out: Path, *, step: int, tensorboard: bool) -> Iterator[Write]:
    """Open `log.jsonl` in a folder, and TensorBoard's files below it, to add validations.

    Entries that a killed run wrote for steps after `step` are removed.

    Raises:
        MissingExtraError: TensorBoard is not installed.
        CheckpointError: The folder takes no file, or is full; or a line of the log is damaged.
    """
    path = out / JSON_LOG
    with named_errors(path):
        _cut(path, step)
    board = _open_tensorboard(out / "tensorboard", step=step) if tensorboard else None

    def write(values: Mapping[str, Any], sheet: NDArray[np.uint8]) -> None:
        with named_errors(path):
            append_whole(path, (json.dumps(values) + "\n").encode())
        if board:
            with named_errors(out / "tensorboard"):
                _add(board, values, sheet)

    try:
        yield write
    finally:
        if board:
            board.close()


def _add(board: "SummaryWriter", values: Mapping[str, Any], sheet: NDArray[np.uint8]) -> None:
    step = values["step"]
    terms = {f"terms/{name}": value for name, value in values.get("terms", {}).items()}
    for name, value in (*values.items(), *terms.items()):
        if isinstance(value, int | float) and name not in _NO_CURVES:
            board.add_scalar(name, value, step)
    board.add_image("validation", sheet, step, dataformats="HWC")
    board.flush()


def _open_tensorboard(folder: Path, *, step: int) -> "SummaryWriter":
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ModuleNotFoundError as error:
        raise MissingExtraError(extra="tensorboard", needed_for="log.tensorboard") from error
    with named_errors(folder):
        return SummaryWriter(str(folder), purge_step=step + 1)


def _cut(path: Path, step: int) -> None:
    """Remove the lines that a killed run wrote after the step that it resumes from."""
    if not path.exists():
        return
    *whole, _half = path.read_bytes().split(b"\n")
    kept = []
    for number, line in enumerate(whole, start=1):
        try:
            is_kept = json.loads(line)["step"] <= step
        except (LookupError, RecursionError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"{path}: line {number} is damaged; remove it, or move the file elsewhere"
            ) from error
        kept += [line] * is_kept
    with whole_file(path, overwrite=True) as file:
        file.writelines(line + b"\n" for line in kept)
