"""Defines the recipe: everything that decides the result of a training run, in one TOML file."""

from dataclasses import fields
from difflib import get_close_matches
from typing import Annotated, Any

from pydantic import Field, ValidationError, ValidationInfo, field_validator, model_validator

from widesr.data.patches import Span
from widesr.nets import FAMILIES, NetworkConfig, parse_config
from widesr.train.features import SMALLEST
from widesr.train.losses import SSIM_WINDOW
from widesr.train.named_files import RECIPES, names_in, read_recipe
from widesr.train.recipe_errors import list_mistakes, nearest, recipe_error
from widesr.train.tables import (
    AdversarialTable,
    BestTable,
    DataTable,
    DetectorTable,
    FeaturesTable,
    LogTable,
    LossTable,
    MuonTable,
    OptimTable,
    Stage,
    Table,
    TeacherTable,
    Whole,
)


def _network_in(info: ValidationInfo) -> NetworkConfig | None:
    """Return the configuration of the network; None if `family` or `net` is not valid."""
    if not {"family", "net"} <= info.data.keys():
        return None
    return parse_config(info.data["family"], info.data["net"])


def _require_room(loss: LossTable, patch: int) -> None:
    """Check that the terms of a loss can judge patches with this side, in HR pixels."""
    side = min(loss.side or patch, patch)
    if loss.adversarial and loss.adversarial.discriminator == "unet" and side % 8:
        raise ValueError(f"expected a multiple of 8 for the side that is judged, not {side}")
    if loss.ms_ssim and patch < SSIM_WINDOW:
        raise ValueError(f"ms_ssim needs a patch of {SSIM_WINDOW} HR pixels, not {patch}")
    if loss.perceptual and side < SMALLEST:
        raise ValueError(f"perceptual needs a side of {SMALLEST} HR pixels, not {side}")


class Recipe(Table):
    """The complete description of a training run."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")]
    source: str = "not stated"
    """Origin of the settings: a paper, a repository at a commit, or a study of our own."""
    seed: Whole = 0
    family: str
    net: dict[str, Any]
    data: DataTable
    optim: OptimTable
    loss: Annotated[LossTable | None, Field(validate_default=True)] = None
    features: Annotated[FeaturesTable | None, Field(validate_default=True)] = None
    detector: Annotated[DetectorTable | None, Field(validate_default=True)] = None
    teacher: TeacherTable | None = None
    stage: Annotated[tuple[Stage, ...], Field(validate_default=True)] = ()
    """The last steps of the run; the steps before them follow the tables."""
    best: BestTable = BestTable()
    log: LogTable = LogTable()

    @model_validator(mode="before")
    @classmethod
    def _finish_is_a_stage(cls, values: Any) -> Any:  # noqa: ANN401 (of any kind)
        """Convert the recipes of weights and runs that are older than stages."""
        optim = values.get("optim") if isinstance(values, dict) else None
        if not isinstance(optim, dict):
            return values
        loss, steps = optim.get("finish_loss"), optim.get("finish_steps", 0)
        if (loss is None) != (not steps):
            return values  # one of the two keys alone was never valid
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
        return value

    @field_validator("data")
    @classmethod
    def _has_frames_if_needed(cls, value: DataTable, info: ValidationInfo) -> DataTable:
        network = _network_in(info)
        if network is None:
            return value
        is_recurrent = network.is_recurrent
        if is_recurrent and value.frames is None:
            raise ValueError("a recurrent network needs frames, such as 7")
        if value.frames is not None and not is_recurrent:
            raise ValueError("only a recurrent network has frames")
        return value

    @field_validator("teacher")
    @classmethod
    def _teaches_pictures(
        cls, value: TeacherTable | None, info: ValidationInfo
    ) -> TeacherTable | None:
        network = _network_in(info)
        if value is not None and network is not None and network.window > 1:
            raise ValueError("a network of several frames has no teacher")
        return value

    @field_validator("loss")
    @classmethod
    def _there_is_one_loss(cls, value: LossTable | None, info: ValidationInfo) -> LossTable | None:
        optim = info.data.get("optim")
        if optim and (optim.loss is None) == (value is None):
            found = "neither is there" if value is None else "both are there"
            raise ValueError(f"expected either optim.loss or the table [loss], {found}")
        if value is None or not {"data", "net"} <= info.data.keys():
            return value
        _require_room(value, info.data["data"].lr_patch * int(info.data["net"].get("scale", 1)))
        if value.samples and not (value.perceptual and info.data["net"].get("noise")):
            raise ValueError("samples needs the term perceptual, and noise in the table [net]")
        return value

    @field_validator("features")
    @classmethod
    def _are_there_if_needed(
        cls, value: FeaturesTable | None, info: ValidationInfo
    ) -> FeaturesTable | None:
        loss = info.data.get("loss")
        if loss and loss.perceptual and value is None:
            raise ValueError("loss.perceptual needs the table [features]")
        return value

    @field_validator("detector")
    @classmethod
    def _is_there_if_needed(
        cls, value: DetectorTable | None, info: ValidationInfo
    ) -> DetectorTable | None:
        loss, network = info.data.get("loss"), _network_in(info)
        if loss and loss.needs_detector and value is None:
            raise ValueError(
                'classification, regression and discriminator = "mtgan" need the table [detector]'
            )
        if value and network and (network.window > 1 or network.is_recurrent):
            raise ValueError("a network of several frames has no detector")
        return value

    @field_validator("best")
    @classmethod
    def _can_be_measured(cls, value: BestTable, info: ValidationInfo) -> BestTable:
        by_features = value.score != "psnr" or value.max_lpips is not None
        if by_features and "features" in info.data and not info.data["features"]:
            name = "max_lpips" if value.score == "psnr" else f'score = "{value.score}"'
            raise ValueError(f"{name} needs the table [features]")
        if value.score == "space" and not info.data.get("net", {"noise": 1}).get("noise"):
            raise ValueError('score = "space" needs noise in the table [net]')
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
        if (loss := info.data.get("loss")) and "net" in info.data:
            for stage in value:
                if stage.lr_patch and not stage.loss:
                    _require_room(loss, stage.lr_patch * int(info.data["net"].get("scale", 1)))
        return value

    @property
    def terms(self) -> LossTable:
        """The terms of the loss, outside stages that have a loss of their own."""
        if self.loss is not None:
            return self.loss
        assert self.optim.loss is not None
        return LossTable.of(self.optim.loss)

    @property
    def network(self) -> NetworkConfig:
        """The configuration of the network to train."""
        return parse_config(self.family, self.net)

    @property
    def learns_clips(self) -> bool:
        """True if the network looks at several frames."""
        return self.network.window > 1 or self.network.is_recurrent

    @property
    def span(self) -> Span:
        """The frames that a patch has."""
        network = self.network
        return Span(self.data.frames or network.window, learns_all=network.is_recurrent)


def list_recipes() -> list[str]:
    """List the recipes that come with the package."""
    return names_in(RECIPES)


def load_recipe(name_or_path: str) -> Recipe:
    """Read a recipe of the package by its name, or a TOML file by its path.

    Raises:
        RecipeError: There is no such recipe, it is not TOML, or some keys or values are wrong, all
            of which are named.
    """
    path, values = read_recipe(name_or_path)
    return parse_recipe(values, origin=str(path))


def parse_recipe(values: dict[str, Any], *, origin: str) -> Recipe:
    """Make a recipe from keys and values; messages call it `origin`.

    Raises:
        RecipeError: Some keys or values are wrong, all of which are named.
    """
    mistakes = _mistakes_in(values)
    if not mistakes:
        return Recipe.model_validate(values)
    family = str(values.get("family"))
    if near := get_close_matches(family, FAMILIES, n=1):  # to check [net] now and not later
        more = _mistakes_in({**values, "family": near[0]})
        mistakes = [*mistakes, *(each for each in more if each not in mistakes)]
    raise recipe_error(origin, mistakes)


def _mistakes_in(values: dict[str, Any]) -> list[str]:
    try:
        Recipe.model_validate(values)
    except ValidationError as error:
        return list_mistakes(error, known=_known_keys(values))
    return []


def _known_keys(values: dict[str, Any]) -> dict[str, tuple[str, ...]]:
    """List all keys of a recipe by table; the keys of [net] are those of its family."""
    family = FAMILIES.get(str(values.get("family")))
    return {
        "": tuple(Recipe.model_fields),
        "data": tuple(DataTable.model_fields),
        "optim": tuple(OptimTable.model_fields),
        "optim.muon": tuple(MuonTable.model_fields),
        "loss": tuple(LossTable.model_fields),
        "loss.adversarial": tuple(AdversarialTable.model_fields),
        "features": tuple(FeaturesTable.model_fields),
        "detector": tuple(DetectorTable.model_fields),
        "teacher": tuple(TeacherTable.model_fields),
        "stage": tuple(Stage.model_fields),
        "best": tuple(BestTable.model_fields),
        "log": tuple(LogTable.model_fields),
        "net": tuple(field.name for field in fields(family.config)) if family else (),
    }
