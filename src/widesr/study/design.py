"""Reads a study, which varies some settings of one recipe, and lays out its cells."""

import itertools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Annotated, Any, Literal, NamedTuple

import torch
from pydantic import Field, ValidationError, ValidationInfo, field_validator
from torch.utils.flop_counter import FlopCounterMode

from widesr.errors import RecipeError
from widesr.nets import NetworkConfig, build
from widesr.study import STUDIES
from widesr.train.named_files import names_in, read_named
from widesr.train.recipe import Recipe, parse_recipe
from widesr.train.recipe_errors import list_mistakes, nearest, recipe_error
from widesr.train.tables import Table, Whole

_BASE = ("family", "net", "data", "optim", "log")
"""Keys and tables of a study file that belong to a recipe."""
_HD_PIXELS = 1280 * 720


class Equal(Table):
    """Networks made equal in size, so that a comparison is fair."""

    what: Literal["parameters", "gflop"]
    """The size to make equal, as nearly as a whole number allows."""
    by: str
    """The key whose value is chosen for that, such as "net.n_feats"."""
    axis: str
    to: str
    """The value of `axis` whose networks stay as they are."""


class Study(Table):
    """A complete study: the keys of a recipe, and the settings that are varied."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")]
    title: str
    source: str
    """The paper or repository whose claim is tested."""
    claim: str
    """The claim, in a sentence."""
    seeds: tuple[Whole, ...]
    """The seeds that each cell is run with; they decide the initial weights and the patches."""
    axes: Annotated[dict[str, list[Any] | dict[str, dict[str, Any]]], Field(min_length=1)]
    """The settings to vary: a recipe's key with its values, such as `"net.norm" = ["batch",
    "none"]`; or a name of your own and, for each value, the keys that it sets."""
    family: str
    net: dict[str, Any]
    data: dict[str, Any]
    optim: dict[str, Any]
    log: dict[str, Any]
    equal: Equal | None = None

    @field_validator("seeds")
    @classmethod
    def _seeds_differ(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        _require_different([str(seed) for seed in value])
        return value

    @field_validator("axes")
    @classmethod
    def _values_differ(cls, value: dict[str, Any]) -> dict[str, Any]:
        for name, values in value.items():
            _require_different([_label(each) for each in values], what=f"{name}: ")
            keys = {key for settings in _settings(name, values).values() for key in settings}
            if own := sorted({key.partition(".")[0] for key in keys} & {"name", "seed", "source"}):
                raise ValueError(f"{name}: the study itself gives each cell its {own[0]}")
        return value

    @field_validator("equal")
    @classmethod
    def _equal_names_what_there_is(cls, value: Equal | None, info: ValidationInfo) -> Equal | None:
        if value is None or not {"axes", "net"} <= info.data.keys():
            return value
        axes = {_short(name): _settings(name, axis) for name, axis in info.data["axes"].items()}
        if value.axis not in axes:
            raise ValueError(f"no axis {value.axis!r}{nearest(value.axis, axes)}")
        if value.to not in axes[value.axis]:
            near = nearest(value.to, axes[value.axis])
            raise ValueError(f"no value {value.to!r} of axis {value.axis}{near}")
        table, _, key = value.by.partition(".")
        if table != "net" or type(info.data["net"].get(key)) is not int:
            raise ValueError(f"{value.by!r} is no whole number of [net]")
        return value

    @property
    def axis_names(self) -> list[str]:
        """Short names of the axes, in the order of the file."""
        return [_short(name) for name in self.axes]


class Cell(NamedTuple):
    """One run of a study."""

    labels: dict[str, str]
    """The value on each axis."""
    seed: int
    recipe: Recipe

    @property
    def name(self) -> str:
        """The name of the cell's folder and files."""
        return self.recipe.name


class Size(NamedTuple):
    """The size of a network, as it is trained."""

    parameters: int
    gflop: float
    """Work to make a picture of 1280x720; a multiply-add counts as two."""


def list_studies() -> list[str]:
    """List the studies that come with the package."""
    return names_in(STUDIES)


def load_study(name_or_path: str) -> Study:
    """Read a study of the package by its name, or a TOML file by its path.

    Raises:
        RecipeError: There is no such study, it is not TOML, or some keys or values are wrong, all
            of which are named, even those that only some of the cells have.
    """
    path, values = read_named(name_or_path, folder=STUDIES, what="study")
    return parse_study(values, origin=str(path))


def parse_study(values: dict[str, Any], *, origin: str) -> Study:
    """Make a study from keys and values; messages call it `origin`.

    Raises:
        RecipeError: Some keys or values are wrong, all of which are named.
    """
    mistakes: list[str] = []
    try:
        study = Study.model_validate(values)
    except ValidationError as error:
        tables = {"": Study.model_fields, "equal": Equal.model_fields}
        mistakes += list_mistakes(error, known=tables)
    mistakes += _mistakes_of_cells(values)
    if mistakes:
        raise recipe_error(origin, mistakes)
    return study


def cells(study: Study) -> list[Cell]:
    """Lay out the grid: later axes vary faster than earlier ones, and seeds vary fastest.

    Raises:
        RecipeError: No value of the key in `equal` makes the networks equal.
    """
    grid = [
        Cell(labels, seed, parse_recipe(recipe, origin=recipe["name"]))
        for labels, seed, recipe in _grid(study.model_dump())
    ]
    if study.equal is None:
        return grid
    return [_made_equal(cell, grid, study.equal) for cell in grid]


@cache
def size_of(cfg: NetworkConfig) -> Size:
    """Measure the size of a network by building it and running it on a small picture."""
    side = 16
    with torch.random.fork_rng():  # the caller's random state must not change
        network = build(cfg)
    channels = 3 * (1 if cfg.is_recurrent else cfg.window) + network.noise
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, channels, side, side))
    pixels = (side * cfg.scale) ** 2
    return Size(
        parameters=sum(p.numel() for p in network.parameters()),
        gflop=counter.get_total_flops() * _HD_PIXELS / pixels / 1e9,
    )


def _require_different(values: Sequence[str], *, what: str = "") -> None:
    if not values:
        raise ValueError(f"{what}expected at least one value")
    if twice := [value for value in values if values.count(value) > 1]:
        raise ValueError(f"{what}{twice[0]} is there twice")


def _mistakes_of_cells(values: Mapping[str, Any]) -> list[str]:
    """List the mistakes in the recipes of a study's cells, each once."""
    found: dict[str, None] = {}
    names: set[str] = set()
    for _, _, recipe in _grid(values):
        if recipe["name"] in names:
            found[f"axes: two cells have the same name, {recipe['name']}"] = None
        names.add(recipe["name"])
        try:
            parse_recipe(recipe, origin="")
        except RecipeError as error:
            text = re.sub(r"^: (\d+ mistakes: )?", "", str(error))
            found |= dict.fromkeys(text.split("; "))
    return list(found)


def _grid(values: Mapping[str, Any]) -> Iterator[tuple[dict[str, str], int, dict[str, Any]]]:
    """Yield the labels, seed and recipe of each cell, as far as mistakes in the file allow."""
    axes = values.get("axes")
    named = [
        (_short(name), _settings(name, axis))
        for name, axis in (axes.items() if isinstance(axes, Mapping) else ())
        if isinstance(axis, Mapping | list)
    ]
    seeds = values.get("seeds")
    seeds = [seed for seed in seeds if type(seed) is int] if isinstance(seeds, list | tuple) else []
    for combination in itertools.product(*(axis.items() for _, axis in named)):
        labels = {name: label for (name, _), (label, _) in zip(named, combination, strict=True)}
        for seed in seeds or [0]:
            words = [str(values.get("name")), *labels.values(), f"s{seed}"]
            recipe = {key: values[key] for key in _BASE if key in values}
            for _, settings in combination:
                for key, value in settings.items():
                    recipe = _with(recipe, key, value)
            name = re.sub(r"[^a-z0-9.]+", "-", "-".join(words).lower()).strip("-")
            own = {"name": name, "source": f"study {values.get('name')}", "seed": seed}
            yield labels, seed, recipe | own


def _settings(name: str, axis: Mapping[str, Any] | list[Any]) -> dict[str, dict[str, Any]]:
    """Return the keys that each value of an axis sets, by label."""
    if isinstance(axis, Mapping):
        return {
            label: dict(keys) if isinstance(keys, Mapping) else {name: keys}
            for label, keys in axis.items()
        }
    return {_label(value): {name: value} for value in axis}


def _label(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def _short(axis: str) -> str:
    return axis.rpartition(".")[2]


def _with(recipe: dict[str, Any], key: str, value: object) -> dict[str, Any]:
    """Return a recipe with another value for a dotted key."""
    first, _, rest = key.partition(".")
    if not rest:
        return {**recipe, first: value}
    table = recipe.get(first)
    return {**recipe, first: _with(table if isinstance(table, dict) else {}, rest, value)}


def _made_equal(cell: Cell, grid: list[Cell], equal: Equal) -> Cell:
    """Choose the key's value that makes a cell's network as large as the one to compare it with."""
    labels = {**cell.labels, equal.axis: equal.to}
    if cell.labels == labels:
        return cell
    model = next(c for c in grid if c.labels == labels and c.seed == cell.seed)
    wanted = getattr(size_of(model.recipe.network), equal.what)

    def at(number: int) -> Cell:
        values = _with(cell.recipe.model_dump(), equal.by, number)
        return cell._replace(recipe=parse_recipe(values, origin=cell.name))

    def size(number: int) -> float:
        return float(getattr(size_of(at(number).recipe.network), equal.what))

    low = high = int(cell.recipe.net[equal.by.removeprefix("net.")])
    while (smaller := size(high)) < wanted:
        high *= 2
        if size(high) <= smaller:
            raise RecipeError(
                f"{cell.name}: a larger {equal.by} gives no more {equal.what}; name another key"
            )
    while low > 1 and size(low) > wanted:
        low //= 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if size(middle) < wanted else (low, middle)
    return at(min(low, high, key=lambda number: abs(math.log(size(number) / wanted))))
