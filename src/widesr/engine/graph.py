"""Networks as OpenVINO's graphs: the one OpenVINO that reads them, and what is in them."""

import sys
from functools import cache
from typing import Any

import numpy as np

from widesr.catalog import ModelFile
from widesr.engine.interface import refused
from widesr.errors import MissingExtraError

_CONVERTER = "openvino.tools.ovc"


@cache
def start_openvino() -> Any:  # noqa: ANN401 - the import is in here
    """Start the one OpenVINO of this process, which is never let go.

    Where the CPU has AMX each core sets up a stack for signals and on its end takes it back, also
    from under another: after that the next signal, Ctrl-C too, would kill the process.
    """
    # OpenVINO imports its model converter along, which reports that over the network, and takes
    # twice as long as all the rest. It does without where there is none.
    sys.modules.setdefault(_CONVERTER, None)  # type: ignore[arg-type]
    try:
        import openvino as ov
    finally:
        if sys.modules[_CONVERTER] is None:
            del sys.modules[_CONVERTER]
    return ov.Core()


def read_graph(model: ModelFile) -> Any:  # noqa: ANN401
    """Read a model file, as `openvino.Model`.

    Raises:
        MissingExtraError: OpenVINO is not installed.
        ModelFileError: It refuses the file.
    """
    try:
        core = start_openvino()
    except ImportError as error:
        raise MissingExtraError(extra="openvino", needed_for="the openvino back end") from error
    try:
        return core.read_model(str(model.path))
    except RuntimeError as error:
        raise refused(model, error) from error


def values(port: Any) -> Any:  # noqa: ANN401
    """The constant that a port is made of, through casts and reshapes, as float32."""
    node = port.get_node()
    while node.get_type_name() != "Constant":
        node = node.input_value(0).get_node()
    return node.data.astype(np.float32)
