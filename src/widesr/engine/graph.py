"""Reads networks as OpenVINO graphs, by the one OpenVINO of this process."""

import sys
import threading
from dataclasses import dataclass
from typing import Any

import numpy as np

from widesr.engine.interface import refused
from widesr.errors import MissingExtraError, UsageError
from widesr.models.catalog import ModelFile

PRECISION_HINTS = {"fp32": "f32", "bf16": "bf16", "fp16": "f16", "int8": "f32"}
"""OpenVINO's names of precisions, by ours. In int8, this is the precision of everything that is not
marked for int8. Without a hint, OpenVINO computes in bf16 where the CPU can."""

_CONVERTER = "openvino.tools.ovc"


@dataclass
class _Started:
    """The OpenVINO of this process."""

    core: Any = None
    thread: threading.Thread | None = None
    """The thread that started it."""
    is_lost: bool = False
    """True if its threads stayed behind when this process was forked."""


_started = _Started()


def start_openvino() -> Any:  # noqa: ANN401 - the import is in here
    """Start the one OpenVINO of this process, which is stopped only before a fork.

    On a CPU with AMX, each `Core` sets up a stack for signals. It removes the stack when it ends,
    even while another one uses it; the next signal, such as Ctrl-C, would then kill the process.

    Raises:
        UsageError: This process was forked while OpenVINO could not be stopped.
    """
    if _started.is_lost:
        raise UsageError(
            "OpenVINO was started by another thread than the one that forked this process, and "
            "cannot be used here; start processes by spawn, or take another back end",
            options=['backend="onnxruntime"'],
        )
    if _started.core is None:
        # OpenVINO would import its model converter too, which reports the import over the network
        # and takes twice as long as all the rest. OpenVINO works without it.
        sys.modules.setdefault(_CONVERTER, None)  # type: ignore[arg-type]
        try:
            import openvino as ov
        finally:
            if sys.modules[_CONVERTER] is None:
                del sys.modules[_CONVERTER]
        _started.core, _started.thread = ov.Core(), threading.current_thread()
        _started.core.set_property({"FORCE_TBB_TERMINATE": True})  # its threads end with it
    return _started.core


def stop_openvino() -> None:
    """Stop OpenVINO and all its threads, once its networks are gone; it can be started again.

    The stack for signals belongs to the thread that started OpenVINO, so no other thread can stop
    it while that thread lives.
    """
    thread = _started.thread
    if thread is threading.current_thread() or (thread and not thread.is_alive()):
        _started.core = _started.thread = None


def after_fork_in_child() -> None:
    """Note that an OpenVINO which could not be stopped has lost its threads."""
    _started.is_lost = _started.core is not None


def read_graph(model: ModelFile) -> Any:  # noqa: ANN401
    """Read a model file, as `openvino.Model`.

    Raises:
        MissingExtraError: OpenVINO is not installed.
        ModelFileError: OpenVINO refuses the file.
    """
    try:
        core = start_openvino()
    except ImportError as error:
        raise MissingExtraError(extra="openvino", needed_for="the openvino back end") from error
    try:
        return core.read_model(str(model.path))
    except RuntimeError as error:
        raise refused(model.path, error) from error


def values(port: Any) -> Any:  # noqa: ANN401
    """Return the constant behind a port, through casts and reshapes, as float32."""
    node = port.get_node()
    while node.get_type_name() != "Constant":
        node = node.input_value(0).get_node()
    return node.data.astype(np.float32)
