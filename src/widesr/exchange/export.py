"""Writes networks as ONNX, fused and with the card inside, and keeps them if the runtime agrees."""

import hashlib
import logging
import warnings
from collections.abc import Sequence, Set
from copy import deepcopy
from os.path import lexists  # unlike Path.exists, False also for a name that is too long
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper
from torch import Tensor

from widesr.engine import NOISY, load_engine
from widesr.errors import ExportError, WidesrError, output_exists
from widesr.exchange.sources import read_source
from widesr.models.catalog import CARD_KEY, ModelCard, ModelFile, Score, read_card, write_card
from widesr.nets import Network, RecurrentWDSR, family_of
from widesr.nets.recurrent import stepwise
from widesr.system.files import whole_file
from widesr.upscaling.tile_policy import MARGIN

Stored = Literal["fp16", "fp32"]

_OPSET = 18
_SIZES = ((1, 1), (24, 33), (64, 48))
"""Sizes, (height, width), at which the file is compared with torch: one pixel, odd and even."""
_TOLERANCE = 1e-5
"""Largest difference from the network, in a range of 1: some ulps of fp32 through all layers."""
_MORE_ROUNDING = 4
"""Multiple of torch's own rounding error in fp32 that is allowed, if it is larger: on noise, SPAN's
gates turn rounding into a thousandth of its output, in whatever order a runtime adds."""


def export_onnx(
    weights: Path,
    out: Path,
    *,
    licence: str = "",
    source: str = "",
    notes: str = "",
    stored: Stored = "fp16",
    iterations: int | None = None,
    margin: bool = False,
    overwrite: bool = False,
) -> ModelCard:
    """Write the model file of a network: RGB float32 (N, 3, H, W) in [0, 1] to (N, 3, sH, sW).

    Weight norm is folded, normalisation is part of the graph, and height and width are free. A
    network of T frames takes them side by side, (N, 3T, H, W), with noise, if it reads any, in the
    channels behind them. The file of a recurrent network does one step: it takes the state, which
    is zero at first, beside the frames, and returns the next state beside the picture.

    Args:
        weights: Trained weights or a model, as for `read_source`.
        out: The `.onnx` file to write; its stem is the model's name.
        licence: The licence, as an SPDX expression; "" keeps that of the model in `weights`.
        source: The origin of the model, for the card; "" keeps that of the model in `weights`.
        notes: Text for the card; "" keeps that of the model in `weights`.
        stored: `"fp16"` halves the file; the graph widens the weights again and computes in
            float32. The network that the file is compared with has the same rounded weights.
        iterations: Number of times that a recurrent network runs its weights in the file; None
            takes the number that it was trained with.
        margin: Let the graph add the mirrored pixels that widesr puts around a picture, so that
            programs that do not add them get the same picture up to its border.
        overwrite: Replace an existing file.

    Raises:
        CheckpointError: The weights cannot be loaded.
        ExportError: The file's pictures differ from the network's, or it cannot be written.
        ModelFileError: The model cannot be used.
        ModelNotFoundError: There is no such model.
        OutputExistsError: `out` exists already.
        UsageError: The network takes no other number of iterations.
    """
    if out.suffix.lower() != ".onnx":
        raise ExportError(f"{out}: is no name of an ONNX file; expected one that ends in .onnx")
    if lexists(out) and not overwrite:
        raise output_exists(out)
    read = read_source(weights, iterations=iterations)
    facts = read.facts(licence=licence, source=source, notes=notes)
    return write_onnx(
        read.network, out, facts=facts, stored=stored, margin=margin, overwrite=overwrite
    )


def write_onnx(
    network: Network,
    out: Path,
    *,
    facts: dict[str, Any],
    stored: Stored = "fp16",
    margin: bool = False,
    overwrite: bool = False,
) -> ModelCard:
    """Write a network as `export_onnx` does.

    Args:
        network: The network as it was trained.
        out: The `.onnx` file to write; its stem is the model's name.
        facts: The fields of the card that cannot be read off the network.
        stored: The type of the weights in the file, as for `export_onnx`.
        margin: Let the graph add the mirrored pixels, as for `export_onnx`.
        overwrite: Replace an existing file.

    Raises:
        ExportError: The file's pictures differ from the network's, or it cannot be written.
        OutputExistsError: `out` exists already.
    """
    trained = sum(p.numel() for p in network.parameters())
    plain = network.fused().eval()
    plain.margin = MARGIN if margin else 0
    if stored == "fp16":
        plain.load_state_dict({n: t.half().float() for n, t in plain.state_dict().items()})
    model = _graph(plain, stored)
    card = ModelCard(
        name=out.stem,
        family=family_of(network.cfg),
        scale=network.cfg.scale,
        frames=network.cfg.window,
        receptive_radius=network.receptive_radius or 0,
        tiles=network.receptive_radius is not None,
        margin=plain.margin,
        parameters=trained,
        parameters_fused=sum(p.numel() for p in plain.parameters()),
        weights_sha256=hashlib.sha256(model.graph.SerializeToString()).hexdigest(),
        **facts,
    )
    helper.set_model_props(model, {CARD_KEY: card.model_dump_json()})
    onnx.checker.check_model(model, full_check=True)
    try:
        with whole_file(out, overwrite=overwrite) as file:
            file.write(model.SerializeToString())
            file.flush()  # so that it can be opened by name
            _compare(Path(file.name), plain, out=out)
    except OSError as error:
        raise write_error(out, error) from error
    return card


def put_scores(path: Path, scores: Sequence[Score]) -> ModelCard:
    """Replace the scores on a model file's card; the graph stays as it is, byte for byte.

    Raises:
        ModelFileError: `path` is not a model file of widesr, or cannot be written; it is unchanged.
    """
    old = read_card(path)
    card = old.model_copy(update={"scores": tuple(scores)})
    write_card(ModelFile(path, old), card, out=path)
    return card


def _graph(plain: Network, stored: Stored) -> ModelProto:
    """Make an ONNX model that holds nothing but the computation of the picture."""
    model = _traced(plain)
    graph = model.graph
    for notes in (model, graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        del notes.metadata_props[:]
        notes.doc_string = ""
    del graph.value_info[:]
    graph.name, model.producer_name = "super_resolution", "widesr"
    sides = [(value, "N H W") for value in (*graph.input, *graph.output)]
    sides[len(graph.input)] = (graph.output[0], "N sH sW")
    for value, axes in sides:
        n, _, height, width = value.type.tensor_type.shape.dim
        n.dim_param, height.dim_param, width.dim_param = axes.split()
    if any(node.op_type == "DepthToSpace" and not _is_crd(node) for node in graph.node):
        raise ExportError("the pixel shuffle was not exported in CRD order")
    if stored == "fp16":
        _store_fp16(model, weights={name for name, _ in stepwise(plain).named_parameters()})
    return model


def _traced(plain: Network) -> ModelProto:
    """Trace a network for any size, with torch's own messages silenced."""
    free = torch.export.Dim.DYNAMIC
    module, examples = stepwise(plain), _inputs(plain, n=1, height=24, width=32)
    loud = logging.getLogger("torch.onnx")
    level = loud.level
    loud.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's own deprecations: nothing a user can fix
            program = torch.onnx.export(
                module,
                tuple(torch.from_numpy(each) for each in examples),
                dynamo=True,
                input_names=[NOISY if plain.noise else "lr", "state"][: len(examples)],
                output_names=["sr", "next_state"][: len(examples)],
                dynamic_shapes=({0: free, 2: free, 3: free},) * len(examples),
                opset_version=_OPSET,
                verbose=False,
            )
    finally:
        loud.setLevel(level)
    if program is None:
        raise ExportError("torch gave no ONNX program for this network")
    model: ModelProto = program.model_proto
    return model


def _is_crd(node: onnx.NodeProto) -> bool:
    return any(a.name == "mode" and a.s == b"CRD" for a in node.attribute)


def _store_fp16(model: ModelProto, *, weights: Set[str]) -> None:
    """Store large weights as fp16, each widened by a Cast that runtimes fold away.

    Biases, which take little space, and constants that were not learned, which are exact, stay in
    fp32.
    """
    graph = model.graph
    casts = []
    for tensor in graph.initializer:
        name, values = tensor.name, numpy_helper.to_array(tensor)
        if name not in weights or values.size < 256:
            continue
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}.fp16"))
        casts.append(helper.make_node("Cast", [tensor.name], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def write_error(out: Path, error: OSError) -> WidesrError:
    """Make the error that says why an output cannot be written."""
    if isinstance(error, FileExistsError):  # the file appeared while the network was traced
        return output_exists(out)
    return ExportError(f"{out}: cannot be written: {error.strerror}")


def _compare(path: Path, plain: Network, *, out: Path) -> None:
    """Compare the file with the network on pictures of several sizes.

    Raises:
        ExportError: The outputs of the file and of the network differ.
    """
    engine = load_engine(ModelFile(path, read_card(path)), precision="fp32", threads=1)
    in_fp32, in_fp64 = stepwise(plain), stepwise(deepcopy(plain).double())
    for height, width in _SIZES:
        inputs = _inputs(plain, n=2, height=height, width=width)
        with torch.inference_mode():
            tensors = [torch.from_numpy(each) for each in inputs]
            expected = _arrays(in_fp64(*(each.double() for each in tensors)))
            rounded = _arrays(in_fp32(*tensors))
        for found, ours, right in zip(engine.run_all(*inputs), rounded, expected, strict=True):
            difference, rounding = (float(np.abs(each - right).max()) for each in (found, ours))
            most = max(_TOLERANCE, _MORE_ROUNDING * rounding)
            if not difference <= most:
                raise ExportError(
                    f"{out}: differs from its network by {difference:.1e} on {width}x{height}, "
                    f"more than {most:.0e}; not kept"
                )


def _inputs(network: Network, *, n: int, height: int, width: int) -> list[NDArray[np.float32]]:
    """Draw inputs for a network's file: frames with noise, and a state if it is recurrent."""
    random = np.random.default_rng(0)
    channels = [3 * network.cfg.window + network.noise]
    if isinstance(network, RecurrentWDSR):
        channels.append(network.cfg.state_channels)
    return [random.random((n, each, height, width), np.float32) for each in channels]


def _arrays(outputs: Tensor | tuple[Tensor, ...]) -> list[NDArray[Any]]:
    """Convert the outputs of a module, one or several, to arrays."""
    several = outputs if isinstance(outputs, tuple) else (outputs,)
    return [each.numpy() for each in several]
