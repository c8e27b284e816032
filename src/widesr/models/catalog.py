"""Lists the available models, and reads what is known about each: its card.

A model is one `.onnx` file; its card is JSON in the file's `metadata_props["widesr"]`. Cards are
read by scanning the top-level protobuf fields, so listing models starts no runtime.
"""

import difflib
import hashlib
import logging
import os
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from widesr.errors import ModelFileError, ModelNotFoundError
from widesr.models.protobuf import NotProtobufError, graph, metadata, with_metadata
from widesr.system.files import whole_file
from widesr.system.folders import is_folder
from widesr.system.paths import models_folder

_logger = logging.getLogger(__name__)

MODELS_DIR = Path(__file__).parent
"""Folder of the models in the package; each file has its model's name. Other models are in
`models_folder()`."""

ALIASES: dict[str, dict[int, str]] = {
    "fast": {2: "wdsr-a12w16-x2", 3: "wdsr-a12w16-x3", 4: "wdsr-a12w16-x4"},
    "default": {2: "wdsr-a8-x2", 3: "wdsr-a8-x3", 4: "wdsr-a8-x4"},
    "best": {2: "wdsr-a16-taught-x2", 3: "wdsr-a16-taught-x3", 4: "wdsr-a16-taught-x4"},
    "realistic": {
        2: "wdsr-a8-realistic-x2",
        3: "wdsr-a8-realistic-x3",
        4: "wdsr-a8-realistic-x4",
    },
    "crisp": {2: "wdsr-a16-crisp-x2", 4: "wdsr-a16-crisp-x4"},
    "samples": {4: "wdsr-a16-samples-x4"},
    "video": {2: "wdsr-a12w16-video-x2", 4: "wdsr-a12w16-video-x4"},
}
"""Other names of models, by scale. `fast`, `default` and `best` are for clean pictures, `realistic`
is for JPEG files and noise, `crisp` invents detail, `samples` invents different detail for each
seed, and `video` is for clips."""

FOR_PICTURES = tuple(alias for alias in ALIASES if alias != "video")
"""The aliases of models that upscale pictures; `video` looks at several frames of a clip."""


def aliases_of(name: str) -> list[str]:
    """List the aliases that stand for a model; most models have one, and some have none."""
    return [alias for alias, models in ALIASES.items() if name in models.values()]


CRISP = "crisp"
"""The alias of the models that invent detail; "crisp:0.5" goes half-way to them."""

FAITHFUL = {"wdsr-a16-crisp-x2": "wdsr-a16-x2", "wdsr-a16-crisp-x4": "wdsr-a16-x4"}
"""The models that the crisp ones were fine-tuned from, at the other end of the dial."""

BICUBIC = "bicubic"
"""The name of `imresize` everywhere a model is named: any scale, no file."""

NEAREST = "nearest"
"""The name of upscaling by repeated pixels, for pixel art: any size, no file."""

CARD_KEY = "widesr"
"""The key of the card in a model file's `metadata_props`."""

CARDS_SINCE = "0.1.0"
"""The first version of widesr that reads a card as this one writes it."""

LowPrecision = Literal["bf16", "fp16", "int8"]
"""Precisions below fp32."""

_Count = Annotated[int, Field(ge=0)]
_Magnitude = Annotated[float, Field(ge=0)]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Score(_Record):
    """Quality over one test set by one named protocol, without which it is meaningless."""

    dataset: str
    protocol: str
    psnr: float
    """Mean over the set, dB."""
    ssim: float


class Loss(_Record):
    """The cost of a precision against fp32, in dB PSNR-Y by `benchmark-y`."""

    precision: LowPrecision
    mean: float
    worst: float
    """The cost on the photograph that loses most."""
    n: _Count
    """The number of photographs, none of which was used to find the ranges."""


class TrainingData(_Record):
    """One source of training pictures."""

    name: str
    licence: str
    n: _Count
    """The number of pictures."""


class ModelCard(_Record):
    """All that a model file says about itself."""

    name: str
    family: str
    scale: Annotated[int, Field(ge=1)]
    receptive_radius: _Count
    """Halo in LR pixels with which a tile comes out as in the whole picture."""
    frames: Annotated[int, Field(ge=1)] = 1
    """Input frames, side by side, for each picture; above 1, the model is for clips only."""
    tiles: bool = True
    """False if no tile comes out as in the whole picture, on which every pixel depends."""
    margin: _Count = 0
    """Mirrored LR pixels that the graph itself adds around a picture; for other graphs, widesr adds
    them."""
    parameters: _Count
    """The number of parameters in training, with the gains of weight norm, as papers count them."""
    parameters_fused: _Count = 0
    """The number of parameters at run time, with weight norm folded in."""
    licence: str
    degradation: str
    """The degradation from HR to LR in training: "bicubic", "realistic"."""
    recipe: str = ""
    commit: str = ""
    steps: _Count = 0
    """Optimizer steps."""
    seconds: Annotated[float, Field(ge=0)] = 0.0
    machine: str = ""
    started_from: str = ""
    """The weights that training began with, and their SHA-256; empty if they were random."""
    teacher: str = ""
    """The model whose output was a training target, beside the photographs or instead of them: its
    name, licence and SHA-256; empty if there was none."""
    training_data: tuple[TrainingData, ...] = ()
    scores: tuple[Score, ...] = ()
    losses: tuple[Loss, ...] = ()
    """The costs of precisions, as `widesr calibrate` measured them."""
    ranges: dict[str, Annotated[tuple[_Magnitude, ...], Field(min_length=1)]] = {}
    """The largest magnitudes that int8 holds in each channel of a convolution's input, by the
    input's name in the graph; convolutions without ranges are not computed in int8."""
    weights_sha256: str
    """The SHA-256 of the file's graph, structure and weights; it is checked whenever it is read."""
    source: str = ""
    notes: str = ""

    def loss_in(self, precision: str) -> Loss | None:
        """Return the cost of a precision; None if it was not measured."""
        return next((loss for loss in self.losses if loss.precision == precision), None)


@dataclass(frozen=True)
class ModelFile:
    """A model on disk whose card is read and valid; its graph has not been looked at yet."""

    path: Path
    card: ModelCard


def list_models() -> list[ModelFile]:
    """List the models that have names: those in the package, then those that were pulled.

    Raises:
        ModelFileError: One of them is damaged.
    """
    return [ModelFile(path, read_card(path)) for path in model_paths().values()]


def list_shipped() -> list[ModelFile]:
    """List the models in the package, by name.

    Raises:
        ModelFileError: One of them is damaged.
    """
    return [ModelFile(path, read_card(path)) for path in models_in(MODELS_DIR).values()]


def model_paths() -> dict[str, Path]:
    """Return the files of models by name; the package takes precedence over pulled models."""
    shipped = models_in(MODELS_DIR)
    return shipped | {n: path for n, path in models_in(models_folder()).items() if n not in shipped}


def locate(name: str, *, scale: int | None) -> Path:
    """Return the file of the model that a user names, without reading it.

    Args:
        name: An alias, the name of a model, or the path of an `.onnx` file or of a folder that
            holds one such file, as model hubs have them.
        scale: The scale at which to look up an alias.

    Raises:
        ModelNotFoundError: There is no such model or file, or the alias has none at this scale.
    """
    if name in ALIASES:
        name = _model_of_alias(name, scale)
    path = Path(name) if _is_path(name) else model_paths().get(name)
    if path is None:
        raise ModelNotFoundError(_unknown(name))
    if is_folder(path):
        inside = [*models_in(path).values()]
        if len(inside) != 1:
            raise ModelNotFoundError(
                f"{path}: a folder with {len(inside)} models (.onnx), expected one; name the file"
            )
        path = inside[0]
    if not os.path.isfile(path):  # noqa: PTH113 (False for a name that is too long)
        raise ModelNotFoundError(f"{path}: no such file, expected a model (.onnx)")
    return path


def read_header(path: Path) -> tuple[ModelCard | None, str]:
    """Read a model file's card, and compute the SHA-256 of its graph, which the card must match.

    Returns:
        The card, or None if the file has none; and the hash in hexadecimal.

    Raises:
        ModelFileError: The file cannot be read, is not ONNX, holds no valid card, or is damaged.
    """
    try:
        message = memoryview(path.read_bytes())
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        text = metadata(message, CARD_KEY)
        graph_sha256 = hashlib.sha256(graph(message)).hexdigest()
    except NotProtobufError as error:
        raise ModelFileError(
            f"{path}: not an ONNX file, or cut short ({len(message):,} bytes); get it again"
        ) from error
    if text is None:
        return None, graph_sha256
    try:
        card = ModelCard.model_validate_json(text)
    except ValidationError as error:
        raise ModelFileError(
            f"{path}: its widesr card is not valid: {first_fault(error)}; "
            "it may be of another version of widesr"
        ) from error
    if card.weights_sha256 != graph_sha256:
        raise ModelFileError(
            f"{path}: damaged, its weights are not those that its card was made for; get it again"
        )
    return card, graph_sha256


def first_fault(error: ValidationError) -> str:
    """Word the first fault that pydantic found: "scale: Input should be a valid integer"."""
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {first['msg']}" if where else first["msg"]


def read_card(path: Path) -> ModelCard:
    """Read a model file's card, and check the file against the hash in it.

    Raises:
        ModelFileError: The file has no card, or is refused by `read_header`.
    """
    card, _ = read_header(path)
    if card is None:
        raise ModelFileError(
            f"{path}: an ONNX file without a widesr card; make models with `widesr export`"
        )
    return card


def write_card(model: ModelFile, card: ModelCard, *, out: Path) -> None:
    """Write a model file with another card; all else in it stays, byte for byte.

    Args:
        model: The file, as read.
        card: A card for the same graph.
        out: The file to write or replace, which may be the model's own.

    Raises:
        ModelFileError: The file can no longer be read, or the new one cannot be written.
    """
    try:
        message = memoryview(model.path.read_bytes())
        with whole_file(out, overwrite=True) as file:
            for part in with_metadata(message, CARD_KEY, card.model_dump_json()):
                file.write(part)
    except (OSError, NotProtobufError) as error:
        why = error.strerror if isinstance(error, OSError) else "its model is no ONNX file any more"
        raise ModelFileError(f"{out}: cannot be written: {why}") from error


def _model_of_alias(alias: str, scale: int | None) -> str:
    models = ALIASES[alias]
    if scale is None:
        raise ModelNotFoundError(
            f"{alias!r} means another model at each scale; name one: {', '.join(models.values())}"
        )
    if scale not in models:
        scales = ", ".join(f"x{scale}" for scale in sorted(models))
        there = f"there is one for {scales}" if models else "there is none yet"
        others = [each for each in ALIASES if scale in ALIASES[each]]
        raise ModelNotFoundError(
            f"no {alias} model for x{scale}; {there}; "
            f"for x{scale} there is {', '.join([*others, BICUBIC])}"
        )
    return models[scale]


def models_in(folder: Path) -> dict[str, Path]:
    """Return the model files in a folder by their models' names; empty if it cannot be read."""
    try:
        return {path.stem: path for path in sorted(folder.glob("*.onnx"))}
    except OSError as error:  # the home of another user
        _logger.info("%s: no models from there (%s)", folder, error.strerror)
        return {}


def _is_path(name: str) -> bool:
    return name.endswith(".onnx") or os.sep in name


def _unknown(name: str) -> str:
    if name == BICUBIC:
        return f"{BICUBIC!r} is computed, there is no model file of it"
    if name == NEAREST:
        return f"{NEAREST!r} repeats pixels, for upscaling alone; there is no model file of it"
    names = [*ALIASES, *model_paths(), BICUBIC, NEAREST]
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    there = ", ".join(names[len(ALIASES) :])
    pull = ""
    if os.environ.get("WIDESR_MIRROR"):
        pull = f"; if your mirror has it: widesr models pull {shlex.quote(name)}"
    return f"no model {name!r}; {hint}there is {there}, or the path of an .onnx file{pull}"
