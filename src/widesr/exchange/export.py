"""Network to ONNX: fused, any size, its card inside, kept only if the runtime agrees with torch."""

import hashlib
import logging
import warnings
from collections.abc import Sequence, Set
from copy import deepcopy
from io import BufferedRandom
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper

from widesr.engine import NOISY, load_engine
from widesr.errors import ExportError, WidesrError, output_exists
from widesr.models.catalog import CARD_KEY, ModelCard, ModelFile, Score, read_card, write_card
from widesr.nets import Network, family_of, iterated
from widesr.system.files import whole_file
from widesr.train.checkpoint import Provenance, load_weights

Stored = Literal["fp16", "fp32"]

_OPSET = 18
_SIZES = ((1, 1), (24, 33), (64, 48))
"""(height, width) on which the file is compared with torch: one pixel, odd sides, even ones."""
_TOLERANCE = 1e-5
"""Largest difference from the network, of a range of 1: some ulps of fp32 through all layers."""
_MORE_ROUNDING = 4
"""Times the difference of torch in fp32 itself, where that is larger: on noise, SPAN's gates make
a thousandth of its output of what was rounded, in whatever order a runtime adds."""


def export_onnx(
    weights: Path,
    out: Path,
    *,
    licence: str,
    source: str = "",
    notes: str = "",
    stored: Stored = "fp16",
    iterations: int | None = None,
    overwrite: bool = False,
) -> ModelCard:
    """Write the model file of a network: RGB float32 (N, 3, H, W) in [0, 1] to (N, 3, sH, sW).

    Weight norm is folded, normalisation is part of the graph, height and width are free. Noise, if
    the network reads it, is in channels behind those of RGB.

    Args:
        weights: What `widesr train` wrote.
        out: The `.onnx` file to write; its stem is the model's name.
        licence: Of the weights, as an SPDX expression.
        source: Where the model comes from, for the card.
        notes: For the card.
        stored: `"fp16"` halves the file; the graph widens the weights again and computes in
            float32. The network compared with has the same rounded weights.
        iterations: Times that a recurrent network runs its weights in the file; None takes the
            number that it was trained with.
        overwrite: Replace a file that is there.

    Raises:
        CheckpointError: The weights cannot be loaded.
        ExportError: The file's pictures differ from the network's, or it cannot be written.
        OutputExistsError: `out` is there already.
        UsageError: The network takes no other number of iterations.
    """
    if out.exists() and not overwrite:
        raise output_exists(out)
    network, provenance = load_weights(weights)
    if iterations is not None:
        network = iterated(network, iterations)
    trained = sum(p.numel() for p in network.parameters())
    plain = network.fused().eval()
    if stored == "fp16":
        plain.load_state_dict({n: t.half().float() for n, t in plain.state_dict().items()})
    model = _graph(plain, stored)
    card = ModelCard(
        name=out.stem,
        family=family_of(network.cfg),
        scale=network.cfg.scale,
        receptive_radius=network.receptive_radius or 0,
        tiles=network.receptive_radius is not None,
        parameters=trained,
        parameters_fused=sum(p.numel() for p in plain.parameters()),
        licence=licence,
        weights_sha256=hashlib.sha256(model.graph.SerializeToString()).hexdigest(),
        source=source,
        notes=notes,
        **_origin(provenance),
    )
    _set_card(model, card)
    try:
        with whole_file(out, overwrite=overwrite) as file:
            _write(file, model)
            _compare(Path(file.name), plain, out=out)
    except OSError as error:
        raise _write_error(out, error) from error
    return card


def put_scores(path: Path, scores: Sequence[Score]) -> ModelCard:
    """Replace the scores on a model file's card; the graph stays as it is, byte for byte.

    Raises:
        ModelFileError: `path` is not a model file of widesr, or cannot be written; it is as it was.
    """
    old = read_card(path)
    card = old.model_copy(update={"scores": tuple(scores)})
    write_card(ModelFile(path, old), card, out=path)
    return card


def _origin(provenance: Provenance | None) -> dict[str, Any]:
    """Fields of the card that tell how the weights came to be."""
    if provenance is None:
        return {"degradation": "unknown"}
    return {
        "degradation": provenance.recipe.data.degradation,
        "recipe": provenance.recipe.name,
        "commit": provenance.commit,
        "steps": provenance.steps,
        "seconds": provenance.seconds,
        "machine": provenance.machine,
        "started_from": provenance.started_from or "",
        "teacher": provenance.teacher or "",
        "training_data": provenance.training_data,
    }


def _graph(plain: Network, stored: Stored) -> ModelProto:
    """Trace the network into an ONNX graph that holds nothing but what computes the picture."""
    free = torch.export.Dim.DYNAMIC
    loud = logging.getLogger("torch.onnx")
    level = loud.level
    loud.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's own deprecations: nothing a user can mend
            program = torch.onnx.export(
                plain,
                (torch.rand(1, 3 + plain.noise, 24, 32),),
                dynamo=True,
                input_names=[NOISY if plain.noise else "lr"],
                output_names=["sr"],
                dynamic_shapes=({0: free, 2: free, 3: free},),
                opset_version=_OPSET,
                verbose=False,
            )
    finally:
        loud.setLevel(level)
    if program is None:
        raise ExportError("torch gave no ONNX program for this network")
    model: ModelProto = program.model_proto
    graph = model.graph
    for notes in (model, graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        del notes.metadata_props[:]
        notes.doc_string = ""
    del graph.value_info[:]
    graph.name, model.producer_name = "super_resolution", "widesr"
    for value, axes in ((graph.input[0], "N H W"), (graph.output[0], "N sH sW")):
        n, _, height, width = value.type.tensor_type.shape.dim
        n.dim_param, height.dim_param, width.dim_param = axes.split()
    if any(node.op_type == "DepthToSpace" and not _is_crd(node) for node in graph.node):
        raise ExportError("the pixel shuffle was not exported in CRD order")
    if stored == "fp16":
        _store_fp16(model, weights={name for name, _ in plain.named_parameters()})
    return model


def _is_crd(node: onnx.NodeProto) -> bool:
    return any(a.name == "mode" and a.s == b"CRD" for a in node.attribute)


def _store_fp16(model: ModelProto, *, weights: Set[str]) -> None:
    """Keep large weights as fp16, each widened by a Cast that runtimes fold away.

    Biases stay in fp32, which weigh nothing, and all that was not learned: it is exact.
    """
    graph = model.graph
    casts = []
    for tensor in graph.initializer:
        values = numpy_helper.to_array(tensor)
        if tensor.name not in weights or values.size < 256:
            continue
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}.fp16"))
        casts.append(helper.make_node("Cast", [tensor.name], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def _set_card(model: ModelProto, card: ModelCard) -> None:
    helper.set_model_props(model, {CARD_KEY: card.model_dump_json()})


def _write(file: BufferedRandom, model: ModelProto) -> None:
    onnx.checker.check_model(model, full_check=True)
    file.write(model.SerializeToString())
    file.flush()  # so that it can be opened by name


def _write_error(out: Path, error: OSError) -> WidesrError:
    if isinstance(error, FileExistsError):  # it came while the network was traced
        return output_exists(out)
    return ExportError(f"{out}: cannot be written: {error.strerror}")


def _compare(path: Path, plain: Network, *, out: Path) -> None:
    """Hold the file against the network on pictures of several sizes.

    Raises:
        ExportError: They differ.
    """
    engine = load_engine(ModelFile(path, read_card(path)), precision="fp32", threads=1)
    in_fp64 = deepcopy(plain).double()
    random = np.random.default_rng(0)
    for height, width in _SIZES:
        lr: NDArray[np.float32] = random.random((2, 3 + plain.noise, height, width), np.float32)
        with torch.inference_mode():
            expected = in_fp64(torch.from_numpy(lr).double()).numpy()
            rounding = float(np.abs(plain(torch.from_numpy(lr)).numpy() - expected).max())
        difference = float(np.abs(engine.run(lr) - expected).max())
        most = max(_TOLERANCE, _MORE_ROUNDING * rounding)
        if not difference <= most:
            raise ExportError(
                f"{out}: differs from its network by {difference:.1e} on {width}x{height}, "
                f"more than {most:.0e}; not kept"
            )
