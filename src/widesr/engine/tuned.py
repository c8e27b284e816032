"""Remembers what `widesr bench` found to be fastest on this machine, so that "auto" can use it.

The findings are in one JSON file in the user's cache folder. They are valid for the CPU, the number
of CPUs and the runtime versions that they were measured with. A file that was measured with others,
is damaged or is absent counts as empty.
"""

import importlib.metadata
import logging
import os
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from widesr.system.files import whole_file
from widesr.system.machine import cpu_name
from widesr.system.paths import cache_folder

_logger = logging.getLogger(__name__)


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Best(_Record):
    """The fastest way to run one model."""

    backend: Literal["onnxruntime", "openvino"]
    precision: Literal["fp32", "bf16", "fp16"]
    tile: int = Field(ge=1)
    """Side of a tile's core, LR pixels."""


class _File(_Record):
    machine: dict[str, str]
    models: dict[str, Best]
    """The findings, by the SHA-256 of the weights."""


def best_path() -> Path:
    """Return the path of the file; $WIDESR_CACHE names another folder."""
    return cache_folder() / "bench.json"


def recall_best(weights_sha256: str) -> Best | None:
    """Return the findings for a model on this machine; None if there are none."""
    return _models(best_path()).get(weights_sha256)


def keep_best(weights_sha256: str, best: Best) -> Path:
    """Save the findings for a model, and keep those for other models.

    Returns:
        The path of the file.

    Raises:
        OSError: The file cannot be written.
    """
    path = best_path()
    models = {**_models(path), weights_sha256: best}
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path, overwrite=True) as file:
        file.write(_File(machine=_machine(), models=models).model_dump_json(indent=1).encode())
    return path


def _models(path: Path) -> dict[str, Best]:
    try:
        found = _File.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValidationError) as error:
        why = error.strerror if isinstance(error, OSError) else "no findings of this version"
        _logger.info("%s: passed over (%s)", path, why)
        return {}
    return dict(found.models) if found.machine == _machine() else {}


@cache
def _machine() -> dict[str, str]:
    """Describe the machine and the runtimes that the findings are valid for."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    versions = {
        name: next(iter(found)).version
        for name in ("onnxruntime", "openvino")
        if (found := list(importlib.metadata.distributions(name=name)))
    }
    return {"cpu": cpu_name(), "cpus": str(cpus), **versions}
