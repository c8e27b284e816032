"""Writes the logs of a run: a line of JSON per validation, and TensorBoard's files."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from widesr.errors import MissingExtraError
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
        CheckpointError: The folder takes no file, or is full.
    """
    path = out / JSON_LOG
    board = _open_tensorboard(out / "tensorboard", step=step) if tensorboard else None

    def write(values: Mapping[str, Any], sheet: NDArray[np.uint8]) -> None:
        with named_errors(path):
            append_whole(path, (json.dumps(values) + "\n").encode())
        if board:
            with named_errors(out / "tensorboard"):
                _add(board, values, sheet)

    with named_errors(path):
        _cut(path, step)
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
    return SummaryWriter(str(folder), purge_step=step + 1)


def _cut(path: Path, step: int) -> None:
    """Remove the lines that a killed run wrote after the step that it resumes from."""
    if not path.exists():
        return
    *whole, _half = path.read_text(encoding="utf-8").split("\n")
    kept = [line for line in whole if json.loads(line)["step"] <= step]
    with whole_file(path, overwrite=True) as file:
        file.write("".join(f"{line}\n" for line in kept).encode())
