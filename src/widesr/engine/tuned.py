"""Remember what `widesr bench` found to be fastest on this machine, so that "auto" goes by it.

One JSON file in the user's cache folder. It holds for the CPU, the number of CPUs and the versions
of the runtimes that it was measured with; a file of others, or a damaged one, is passed over.
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
    """Return what was found for a model on this machine; None if nothing was."""
    return _models(best_path()).get(weights_sha256)


def keep_best(weights_sha256: str, best: Best) -> Path:
    """Keep what was found for a model, beside what is known of others.

    Returns:
        The file.

    Raises:
        OSError: The folder takes no file.
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
    """Describe what the findings hold for."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    versions = {
        name: next(iter(found)).version
        for name in ("onnxruntime", "openvino")
        if (found := list(importlib.metadata.distributions(name=name)))
    }
    return {"cpu": cpu_name(), "cpus": str(cpus), **versions}
