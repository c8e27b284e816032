"""Reads the networks to export, from weights or from model files."""

from pathlib import Path
from typing import Any, NamedTuple

from widesr.engine import find_model
from widesr.nets import Network, iterated
from widesr.system.folders import is_folder
from widesr.train.checkpoint import Provenance, find_weights, load_weights
from widesr.train.exported import network_of_model

_KEPT = {
    "licence", "degradation", "recipe", "commit", "steps", "seconds", "machine", "started_from",
    "teacher", "training_data", "scores", "source", "notes",
}  # fmt: skip
"""The fields of a card that stay true for the same weights in another file."""


class Source(NamedTuple):
    """A network to export."""

    name: str
    network: Network
    provenance: Provenance | None
    """The origin of the weights as stored in their file; None for a model file."""
    origin: dict[str, Any]
    """Fields of the card that describe the origin of the weights, and their scores."""

    def facts(self, **given: str) -> dict[str, Any]:
        """Return `origin` with the given fields replaced; "" leaves a field as it is."""
        said = {key: value for key, value in given.items() if value}
        return {"licence": "not stated", **self.origin, **said}


def read_source(weights: Path, *, iterations: int | None = None) -> Source:
    """Read the network to export.

    Args:
        weights: A file that `widesr train` wrote, or a folder that `export_hub` made; else the name
            or the file of a WDSR or EDSR model, whose weights are read back from its graph.
        iterations: Number of times that a recurrent network runs its weights, as for `export_onnx`.

    Raises:
        CheckpointError: The weights cannot be loaded.
        ModelFileError: The model cannot be used.
        ModelNotFoundError: There is no such model.
        UsageError: The network takes no other number of iterations.
    """
    if find_weights(weights):
        network, provenance = load_weights(weights)
        name = weights.resolve().name if is_folder(weights) else weights.stem
        source = Source(name, network, provenance, _origin(provenance))
    else:
        model = find_model(f"{weights}/" if is_folder(weights) else str(weights), scale=None)
        origin = model.card.model_dump(include=_KEPT)
        source = Source(model.card.name, network_of_model(model), None, origin)
    if iterations is not None:
        source = source._replace(network=iterated(source.network, iterations))
    return source


def _origin(provenance: Provenance | None) -> dict[str, Any]:
    """Return the fields of the card that describe the origin of the weights."""
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
