"""The recipe: everything that decides what a training run gives, in one flat TOML file."""

import tomllib
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from widesr.errors import RecipeError
from widesr.nets import FAMILIES, NetworkConfig, parse_config

Positive = Annotated[int, Field(gt=0)]
RECIPES = Path(__file__).parents[1] / "recipes"


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=False, allow_inf_nan=False)


class DataTable(_Table):
    """What is learned from."""

    degradation: Literal["bicubic"]
    lr_patch: Positive
    """Side of a training patch in LR pixels."""
    batch: Positive
    """Patches per optimizer step."""
    validation: Annotated[int, Field(ge=1)]
    """Photographs held out to validate on: those whose names have the smallest SHA-256."""
    exclude: tuple[str, ...]
    """File names that are neither trained nor validated on."""


class OptimTable(_Table):
    """How it is learned. Schedules count optimizer steps."""

    loss: Literal["l1", "charbonnier", "mse"]
    """`"mse"` is what PSNR measures; networks learn faster by the others, and may end with it."""
    steps: Positive
    learning_rate: Annotated[float, Field(gt=0)]
    warmup: Annotated[int, Field(ge=0)]
    """Steps over which the learning rate rises from zero."""
    schedule: Literal["cosine", "step"]
    decay_at: tuple[Positive, ...] = ()
    """For `"step"`: where the learning rate is multiplied by `decay`."""
    decay: Annotated[float, Field(gt=0, lt=1)] | None = None
    betas: tuple[float, float]
    """Of Adam."""
    ema_decay: Annotated[float, Field(ge=0, lt=1)]
    """Of the moving average of the weights, which is what is validated and kept; 0: none."""
    precision: Literal["fp32", "bf16"]

    @model_validator(mode="after")
    def _schedule_has_its_keys(self) -> Self:
        if (self.schedule == "step") != (bool(self.decay_at) and self.decay is not None):
            raise ValueError('schedule = "step" needs decay_at and decay; no other schedule does')
        return self


class LogTable(_Table):
    """How often the run looks at itself."""

    validate_every: Positive
    """Steps between validations, each of which also writes a checkpoint."""


class Recipe(_Table):
    """A training run, complete."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")]
    source: str
    """Where the settings come from: a paper, a repository at a commit, or a study of our own."""
    seed: int
    family: str
    net: dict[str, Any]
    data: DataTable
    optim: OptimTable
    log: LogTable

    @model_validator(mode="after")
    def _net_is_of_its_family(self) -> Self:
        if self.family not in FAMILIES:
            raise ValueError(f"family: expected one of {', '.join(FAMILIES)}, got {self.family!r}")
        parse_config(self.family, self.net)  # its ValidationError names the keys
        return self

    @property
    def network(self) -> NetworkConfig:
        """The configuration of the network to train."""
        return parse_config(self.family, self.net)


def list_recipes() -> list[str]:
    """Names of the recipes that come with the package."""
    return sorted(path.stem for path in RECIPES.glob("*.toml"))


def load_recipe(name_or_path: str) -> Recipe:
    """Read a recipe: the name of one that comes with the package, or a path to a TOML file.

    Raises:
        RecipeError: No such recipe, not TOML, or keys and values that are wrong, all of them named.
    """
    path = Path(name_or_path)
    if path.suffix != ".toml":
        path = RECIPES / f"{name_or_path}.toml"
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        near = get_close_matches(name_or_path, list_recipes(), n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise RecipeError(
            f"{name_or_path}: no such recipe ({error.strerror or error}); expected a path to a "
            f".toml file or one of {', '.join(list_recipes()) or '(none)'}{hint}"
        ) from error
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path}: not a text file in UTF-8") from error
    try:
        return Recipe.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{path}: not TOML: {error}") from error
    except ValidationError as error:
        raise RecipeError(f"{path}: {_mistakes(error)}") from error


def fine_tuning(recipe: Recipe, *, photographs: int) -> Recipe:
    """Turn the recipe of a trained network into one that adapts it to a few photographs.

    Few steps at a tenth of the learning rate: it must learn what is special about the photographs
    and forget nothing of what all have in common.

    Args:
        recipe: What the network was trained with.
        photographs: How many there are; a tenth of them is held out.

    Source: our own runs, docs/how-to/train.md.
    """
    optim = recipe.optim.model_copy(
        update={
            "steps": 2000,
            "learning_rate": recipe.optim.learning_rate / 10,
            "warmup": 100,
            "schedule": "cosine",
            "decay_at": (),
            "decay": None,
        }
    )
    held_out = min(recipe.data.validation, max(1, photographs // 10))
    return recipe.model_copy(
        update={
            "name": f"{recipe.name}-tuned",
            "source": f"fine-tuning of {recipe.name}",
            "data": recipe.data.model_copy(update={"validation": held_out, "exclude": ()}),
            "optim": optim,
            "log": recipe.log.model_copy(update={"validate_every": 200}),
        }
    )


def _mistakes(error: ValidationError) -> str:
    """Put all mistakes of a recipe on one line, each with its key, value, and what is allowed."""
    tables = (DataTable, OptimTable, LogTable, Recipe)
    known = [name for table in tables for name in table.model_fields]
    parts = []
    for mistake in error.errors():
        key = ".".join(str(part) for part in mistake["loc"])
        message = mistake["msg"].removeprefix("Value error, ")
        match mistake["type"]:
            case "extra_forbidden":
                near = get_close_matches(str(mistake["loc"][-1]), known, n=1)
                parts.append(f"{key}: unknown key" + (f", did you mean {near[0]}?" if near else ""))
            case "missing":
                parts.append(f"{key}: missing")
            case _:
                parts.append(f"{key} = {mistake['input']!r}: {message}" if key else message)
    return "; ".join(parts)
