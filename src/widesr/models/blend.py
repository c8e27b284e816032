"""Blends two models of the same network: a dial between the faithful and the crisp.

The weights are interpolated, so a blend takes no longer than either model. It works because one of
the two was fine-tuned from the other.

Source: Wang et al., "ESRGAN", 2018, network interpolation.
"""

import hashlib
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from widesr.errors import ModelFileError, UsageError
from widesr.models.catalog import CARD_KEY, ModelFile, read_card
from widesr.models.protobuf import NotProtobufError, Weights, graph, initializers, with_metadata
from widesr.system.files import whole_file
from widesr.system.paths import cache_folder

_TYPES: dict[int, np.dtype[Any]] = {1: np.dtype("<f4"), 10: np.dtype("<f2")}


def blend(start: ModelFile, end: ModelFile, share: float) -> ModelFile:
    """Make a model between two models.

    The blend is kept in the cache folder under a name made from the two models and the share, so
    that another process finds it.

    Args:
        start: The model at share 0.
        end: The model at share 1, of the same network; the blend has its graph.
        share: The share of `end` in each weight, 0 to 1.

    Returns:
        The blend, with a card that names both and has no scores.

    Raises:
        UsageError: The share is out of range, or the two models are not of the same network.
        ModelFileError: A file cannot be read, or the blend cannot be written.
    """
    if not 0 <= share <= 1:
        raise UsageError(f"a blend of two models by {share:g}: expected 0 to 1")
    if share == 1:
        return end
    key = f"{start.card.weights_sha256} {end.card.weights_sha256} {share!r}"
    digest = hashlib.sha256(key.encode()).hexdigest()[:16]
    path = cache_folder() / "blends" / f"{end.card.name}-{share:g}-{digest}.onnx"
    with suppress(ModelFileError):  # the blend is missing or damaged: make it
        return ModelFile(path, read_card(path))
    model = memoryview(_blended(start, end, share))
    card = end.card.model_copy(
        update={
            "name": f"{end.card.name}:{share:g}",
            "scores": (),
            "losses": (),
            "ranges": {},
            "notes": f"{share:g} of {end.card.name} and {1 - share:g} of {start.card.name}",
            "weights_sha256": hashlib.sha256(graph(model)).hexdigest(),
        }
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path, overwrite=True) as file:
            for part in with_metadata(model, CARD_KEY, card.model_dump_json()):
                file.write(part)
    except OSError as error:
        raise ModelFileError(
            f"{path}: cannot be written ({error.strerror}); name another folder in the environment "
            "variable WIDESR_CACHE"
        ) from error
    return ModelFile(path, card)


def _blended(start: ModelFile, end: ModelFile, share: float) -> bytes:
    """Return the file of `end` with blended weights; all else stays, byte for byte."""
    try:
        first, model = start.path.read_bytes(), bytearray(end.path.read_bytes())
        theirs, ours = initializers(memoryview(first)), initializers(memoryview(bytes(model)))
    except OSError as error:
        raise ModelFileError(f"{end.path}: cannot be read ({error.strerror})") from error
    except NotProtobufError as error:
        raise ModelFileError(f"{end.path}: not an ONNX file") from error
    for name, place in ours.items():
        twin = theirs.get(name)
        if twin is None or not {place.data_type, twin.data_type} <= _TYPES.keys():
            continue  # a constant of the layers that only `end` has
        values, other = _values(model, place), _values(first, twin)
        if values.shape != other.shape:
            raise UsageError(
                f"{start.card.name} and {end.card.name} are different networks: {name} differs"
            )
        mixed = (1 - share) * other + share * values
        model[place.start : place.stop] = mixed.astype(_TYPES[place.data_type]).tobytes()
    missing = [name for name, place in theirs.items() if place.data_type == 10 and name not in ours]
    if missing:
        raise UsageError(
            f"{start.card.name} and {end.card.name} are different networks: {missing[0]} is missing"
        )
    return bytes(model)


def _values(model: bytes | bytearray, place: Weights) -> NDArray[np.float64]:
    raw = np.frombuffer(model[place.start : place.stop], _TYPES[place.data_type])
    values: NDArray[np.float64] = raw.astype(np.float64)
    return values
