"""Finds the model that a user names: ours by name, alias or file, another maker's by its file."""

import os

from widesr.engine.foreign import probe
from widesr.errors import ModelNotFoundError, UsageError
from widesr.models.blend import blend
from widesr.models.catalog import (
    ALIASES,
    BICUBIC,
    CRISP,
    FAITHFUL,
    NEAREST,
    ModelFile,
    locate,
    model_paths,
    read_header,
)
from widesr.system.arguments import whole_number


def model_name(name: object) -> str:
    """Return the name or the path of a model as text.

    Raises:
        UsageError: The value is neither a name nor a path.
    """
    if isinstance(name, str | os.PathLike):
        return str(name)
    raise UsageError(
        f"{type(name).__name__} was given as the model, expected its name or the path of its file"
    )


def find_model(name: str | os.PathLike[str], *, scale: int | None) -> ModelFile:
    """Find the model that a user names; nothing is fetched.

    Args:
        name: An alias ("fast", "default", "best", "realistic"); the name of a model in the package
            or of one that was pulled; or the path of an `.onnx` file, recognised by its suffix or
            by a separator in it, or of a folder with one such file. A file without a card, from
            another maker, is probed by trial. "crisp:0.5" lies half-way between "crisp" and the
            faithful model of the same network.
        scale: The scale that the model must have; with None, a model of any scale is found, by its
            own name or path.

    Raises:
        ModelNotFoundError: There is no such model or file, or it has another scale.
        ModelFileError: The file is damaged, or is not an ONNX network from RGB to larger RGB.
        UsageError: The name is not a string or path, or the scale is not a whole number.
    """
    name, share = parted(model_name(name))
    if scale is not None:
        scale = whole_number(scale, "a whole number of at least 1 as the scale", least=1)
    if share is not None:
        return _blend(name, share, scale=scale)
    path = locate(name, scale=scale)
    card, graph_sha256 = read_header(path)
    model = ModelFile(path, card) if card else probe(path, graph_sha256)
    if scale not in (None, model.card.scale):
        others = [each for each in model_paths() if each.endswith(f"-x{scale}")]
        raise ModelNotFoundError(
            f"model {name!r} upscales x{model.card.scale}, not x{scale}; "
            f"for x{scale} there is {', '.join([*others, BICUBIC])}"
        )
    return model


def native_scales(name: str) -> tuple[int, ...]:
    """Return the scales of the networks that a name stands for; none for bicubic and nearest.

    Raises:
        ModelNotFoundError: There is no such model or file.
        ModelFileError: The file is damaged, or is not an ONNX network from RGB to larger RGB.
    """
    if name in (BICUBIC, NEAREST):
        return ()
    alias, _ = parted(name)
    if alias in ALIASES:
        return tuple(ALIASES[alias])
    return (find_model(name, scale=None).card.scale,)


def parted(name: str) -> tuple[str, float | None]:
    """Split "crisp:0.5" into the model and its share; the share is None if the name is no blend.

    Raises:
        UsageError: There is no number after the colon.
    """
    model, colon, share = name.partition(":")
    if not colon or (model != CRISP and model not in ALIASES.get(CRISP, {}).values()):
        return name, None
    try:
        return model, float(share)
    except ValueError:
        raise UsageError(
            f"model {name!r}: expected a number from 0 to 1 after the colon, as in {CRISP}:0.5"
        ) from None


def _blend(name: str, share: float, *, scale: int | None) -> ModelFile:
    """Blend a crisp model with the model that it was fine-tuned from."""
    crisp = find_model(name, scale=scale)
    return blend(find_model(FAITHFUL[crisp.card.name], scale=None), crisp, share)
