"""The recipe: everything that decides what a training run gives, in one flat TOML file."""

from dataclasses import fields
from difflib import get_close_matches
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from widesr.errors import RecipeError
from widesr.nets import FAMILIES, NetworkConfig, parse_config
from widesr.train.named_files import RECIPES, names_in, read_named
from widesr.train.recipe_errors import list_mistakes, nearest

# Strict, because TOML has types: "8" is no number, and true is not 1.
Positive = Annotated[int, Field(gt=0, strict=True)]
Whole = Annotated[int, Field(ge=0, strict=True)]
Share = Annotated[float, Field(ge=0, lt=1, strict=True)]
LossName = Literal["l1", "charbonnier", "mse"]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=False, allow_inf_nan=False)


class DataTable(_Table):
    """What is learned from."""

    degradation: Literal[
        "bicubic",
        "unknown",
        "mild",
        "difficult",
        "wild",
        "realistic",
        "second-order-light",
        "second-order",
        "given",
    ]
    """How LR is made of HR, four times of each photograph but by `"bicubic"`; or which LR that lies
    beside HR is taken: a track of DIV2K, or `"given"`, what is in `lr/`."""
    lr_patch: Positive
    """Side of a training patch in LR pixels."""
    batch: Positive
    """Patches per optimizer step."""
    validation: Positive = 12
    """Photographs held out to validate on: those whose names have the smallest SHA-256."""
    exclude: tuple[str, ...] = ()
    """File names that are neither trained nor validated on."""
    candidates: Positive = 1
    """Places that are drawn for each patch; one of them is taken, by chance in proportion to the
    mean gradient of its LR, so that more is learned where there is more to see."""


class MuonTable(_Table):
    """How Muon learns the kernels that are its own."""

    learning_rate: Annotated[float, Field(gt=0, strict=True)]
    """Where `optim.learning_rate` is highest; the two keep their ratio."""
    momentum: Share = 0.95
    layers: Annotated[tuple[str, ...], Field(min_length=1)] = ("body",)
    """Parts of the network, by the first part of the names of their tensors."""


class OptimTable(_Table):
    """How it is learned. Schedules count optimizer steps."""

    optimizer: Literal["adam", "adamw", "muon"] = "adam"
    """`"muon"` learns the kernels of some layers by Muon, `muon` says how, and the rest by Adam."""
    loss: LossName
    """`"mse"` is what PSNR measures; networks learn faster by the others, and may end with it."""
    steps: Positive
    learning_rate: Annotated[float, Field(gt=0, strict=True)]
    """The highest; each schedule says where."""
    warmup: Whole
    """Steps over which the learning rate rises, from zero, or from a 25th for `"one-cycle"`."""
    schedule: Literal["cosine", "step", "one-cycle"]
    """`"cosine"` falls to zero; `"one-cycle"` rises and falls by cosines, to a 250,000th."""
    decay_at: Annotated[tuple[Positive, ...], Field(validate_default=True)] = ()
    """For `"step"`: where the learning rate is multiplied by `decay`."""
    decay: Annotated[float | None, Field(gt=0, lt=1, strict=True, validate_default=True)] = None
    betas: tuple[Share, Share] = (0.9, 0.999)
    """Of Adam and AdamW."""
    muon: Annotated[MuonTable | None, Field(validate_default=True)] = None
    weight_decay: Annotated[float, Field(ge=0, strict=True)] = 0.0
    """Of AdamW, on all parameters."""
    clip_grad_norm: Annotated[float, Field(gt=0, strict=True)] | None = None
    """Gradients whose norm over all parameters is larger are scaled down to it."""
    ema_decay: Share
    """Of the moving average of the weights, which is what is validated and kept; 0: none."""
    precision: Literal["fp32", "bf16", "fp16"]
    """Of the network's arithmetic; weights, loss and optimizer are in fp32 always."""
    compile: bool = Field(default=False, strict=True)
    """Whether torch compiles the network first: a minute or more, and a C++ compiler on a CPU."""

    # Checked key by key, for a check of the whole table would wait until each key is right.
    @field_validator("schedule")
    @classmethod
    def _one_cycle_rises(cls, value: str, info: ValidationInfo) -> str:
        if value != "one-cycle" or not {"warmup", "steps"} <= info.data.keys():
            return value
        warmup, steps = info.data["warmup"], info.data["steps"]
        if not 1 < warmup < steps:
            raise ValueError(f"needs a warmup between 1 and steps = {steps}, not {warmup}")
        return value

    @field_validator("decay_at", "decay")
    @classmethod
    def _goes_with_the_step_schedule(cls, value: object, info: ValidationInfo) -> object:
        schedule = info.data.get("schedule")
        if schedule == "step" and not value:
            raise ValueError('schedule = "step" needs decay_at and decay')
        if schedule not in ("step", None) and value:
            raise ValueError(f'only schedule = "step" has it, not "{schedule}"')
        return value

    @field_validator("weight_decay")
    @classmethod
    def _goes_with_adamw(cls, value: float, info: ValidationInfo) -> float:
        if value and info.data.get("optimizer") == "adam":
            raise ValueError('needs optimizer = "adamw"')
        return value

    @field_validator("muon")
    @classmethod
    def _goes_with_muon(cls, value: MuonTable | None, info: ValidationInfo) -> MuonTable | None:
        optimizer = info.data.get("optimizer")
        if optimizer == "muon" and value is None:
            raise ValueError('optimizer = "muon" needs the table [optim.muon]')
        if optimizer not in ("muon", None) and value is not None:
            raise ValueError(f'only optimizer = "muon" has it, not "{optimizer}"')
        return value


class TeacherTable(_Table):
    """A trained model whose pictures are learned from, instead of or beside the photographs."""

    model: str
    """The name of a model, a model file (`.onnx`), or weights (`.safetensors`)."""
    self_ensemble: bool = Field(default=False, strict=True)
    """Whether its pictures are the mean over the eight flips and turns."""
    share: Annotated[float, Field(gt=0, le=1, strict=True)]
    """Of the teacher's picture in what is learned; the rest is the photograph."""
    exclude: tuple[str, ...] = ()
    """Names, or patterns such as `"sketch_*"`, of photographs that are learned from as they are."""


class Stage(_Table):
    """A part of the run, at its end, that is learned in another way.

    What is None stays as it is in the rest of the run.
    """

    steps: Positive
    loss: LossName | None = None
    lr_patch: Positive | None = None
    batch: Positive | None = None
    learning_rate: Annotated[float, Field(gt=0, strict=True)] | None = None
    """Where the stage begins a schedule of its own, which falls to zero like half a cosine; None
    goes on with the run's."""
    teacher_share: Annotated[float, Field(ge=0, le=1, strict=True)] | None = None
    """As `teacher.share`; 0 learns from the photographs alone."""


class LogTable(_Table):
    """How often the run looks at itself."""

    validate_every: Positive = 1000
    """Steps between validations, each of which also writes a checkpoint."""
    tensorboard: bool = Field(default=False, strict=True)
    """Whether TensorBoard's event files are written beside `log.jsonl`."""


class Recipe(_Table):
    """A training run, complete."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")]
    source: str = "not stated"
    """Where the settings come from: a paper, a repository at a commit, or a study of our own."""
    seed: Whole = 0
    family: str
    net: dict[str, Any]
    data: DataTable
    optim: OptimTable
    teacher: TeacherTable | None = None
    stage: Annotated[tuple[Stage, ...], Field(validate_default=True)] = ()
    """The last steps of the run; those before them are learned as the tables say."""
    log: LogTable = LogTable()

    @model_validator(mode="before")
    @classmethod
    def _finish_is_a_stage(cls, values: Any) -> Any:  # noqa: ANN401 (of any kind)
        """Read recipes of weights and runs of before there were stages."""
        optim = values.get("optim") if isinstance(values, dict) else None
        if not isinstance(optim, dict):
            return values
        loss, steps = optim.get("finish_loss"), optim.get("finish_steps", 0)
        if (loss is None) != (not steps):
            return values  # half of it was never a recipe
        optim = {key: optim[key] for key in optim.keys() - {"finish_loss", "finish_steps"}}
        stages = {"stage": [{"loss": loss, "steps": steps}]} if steps else {}
        return {**values, "optim": optim, **stages}

    @field_validator("family")
    @classmethod
    def _family_is_known(cls, value: str) -> str:
        if value not in FAMILIES:
            expected = f"expected one of {', '.join(FAMILIES)}"
            raise ValueError(expected + nearest(value, FAMILIES))
        return value

    @field_validator("net")
    @classmethod
    def _net_is_of_its_family(cls, value: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        if "family" in info.data:
            parse_config(info.data["family"], value)  # its ValidationError names the keys
            if small := [key for key, v in value.items() if type(v) is int and v <= 0]:
                raise ValueError(f"expected more than 0 for {', '.join(small)}")
        return value

    @field_validator("stage")
    @classmethod
    def _fits_into_the_run(
        cls, value: tuple[Stage, ...], info: ValidationInfo
    ) -> tuple[Stage, ...]:
        optim, teacher = info.data.get("optim"), info.data.get("teacher")
        if optim and (taken := sum(stage.steps for stage in value)) > optim.steps:
            raise ValueError(f"takes {taken} steps, more than optim.steps = {optim.steps}")
        is_alone = "teacher" in info.data and not teacher
        if is_alone and any(stage.teacher_share for stage in value):
            raise ValueError("teacher_share needs the table [teacher]")
        return value

    @property
    def network(self) -> NetworkConfig:
        """The configuration of the network to train."""
        return parse_config(self.family, self.net)


def list_recipes() -> list[str]:
    """Names of the recipes that come with the package."""
    return names_in(RECIPES)


def load_recipe(name_or_path: str) -> Recipe:
    """Read a recipe: the name of one that comes with the package, or a path to a TOML file.

    Raises:
        RecipeError: No such recipe, not TOML, or keys and values that are wrong, all of them named.
    """
    path, values = read_named(name_or_path, folder=RECIPES, what="recipe")
    values.setdefault("name", path.stem)
    return parse_recipe(values, origin=str(path))


def parse_recipe(values: dict[str, Any], *, origin: str) -> Recipe:
    """Make a recipe of keys and values; `origin` is what messages call it.

    Raises:
        RecipeError: Keys and values that are wrong, all of them named.
    """
    mistakes = _mistakes_in(values)
    if not mistakes:
        return Recipe.model_validate(values)
    family = str(values.get("family"))
    if near := get_close_matches(family, FAMILIES, n=1):  # or [net] would wait for its name
        more = _mistakes_in({**values, "family": near[0]})
        mistakes = [*mistakes, *(each for each in more if each not in mistakes)]
    count = f"{len(mistakes)} mistakes: " if len(mistakes) > 1 else ""
    raise RecipeError(f"{origin}: {count}{'; '.join(mistakes)}")


def _mistakes_in(values: dict[str, Any]) -> list[str]:
    try:
        Recipe.model_validate(values)
    except ValidationError as error:
        return list_mistakes(error, known=_known_keys(values))
    return []


def fine_tuning(recipe: Recipe, *, photographs: int) -> Recipe:
    """Turn the recipe of a trained network into one that adapts it to a few photographs.

    Few steps at a tenth of the learning rate: it must learn what is special about the photographs
    and forget nothing of what all have in common.

    Args:
        recipe: What the network was trained with.
        photographs: How many there are; a tenth of them is held out.

    Source: our own runs, docs/how-to/train.md.
    """
    muon = recipe.optim.muon
    optim = recipe.optim.model_copy(
        update={
            "steps": 2000,
            "learning_rate": recipe.optim.learning_rate / 10,
            "muon": muon and muon.model_copy(update={"learning_rate": muon.learning_rate / 10}),
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
            "teacher": None,
            "stage": (),
            "log": recipe.log.model_copy(update={"validate_every": 200}),
        }
    )


def _known_keys(values: dict[str, Any]) -> dict[str, tuple[str, ...]]:
    """All keys of a recipe by table, those of [net] as its family has them."""
    family = FAMILIES.get(str(values.get("family")))
    return {
        "": tuple(Recipe.model_fields),
        "data": tuple(DataTable.model_fields),
        "optim": tuple(OptimTable.model_fields),
        "optim.muon": tuple(MuonTable.model_fields),
        "teacher": tuple(TeacherTable.model_fields),
        "stage": tuple(Stage.model_fields),
        "log": tuple(LogTable.model_fields),
        "net": tuple(field.name for field in fields(family.config)) if family else (),
    }
