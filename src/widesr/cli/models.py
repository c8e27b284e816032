"""Lists the models there are, and gets more from a mirror, as `widesr models`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from widesr.cli import offers, options, values
from widesr.cli.terminal import (
    Command,
    Group,
    group,
    print_error,
    print_json,
    print_line,
    print_lines,
    progress,
    table,
)
from widesr.errors import ModelFileError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from widesr.models import mirrors
    from widesr.models.catalog import Loss, ModelCard, ModelFile, Score


class _ShowFirst(Group):
    """A group that runs `show` if the first word is not the name of a command."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 (typer's own)
        is_named = bool(args) and args[0] in {*self.commands, *ctx.help_option_names}
        if not is_named and not ctx.resilient_parsing:  # completion asks for the commands
            args = ["show", *args]
        return super().parse_args(ctx, args)


commands = group(
    "List the models; with a NAME, print its card. The commands below get more from a mirror.",
    cls=_ShowFirst,
)

_SHOWN = ("Set5", "benchmark-y")
"""The score in the list, by test set and protocol; a card has all of them."""
_LEGEND = (
    "Set5 dB: PSNR-Y by benchmark-y. `widesr models NAME` prints a whole card;",
    "bicubic is interpolation, the baseline; nearest repeats pixels.",
)
_PRECISIONS = ("bf16", "fp16", "int8")
_LEGEND_OF_LOSSES = ("The mean, and the photograph that loses most.",)

Mirror = Annotated[
    str | None,
    typer.Option(
        "--mirror",
        metavar="URL|DIR",
        help="The address or folder of more models. Default: WIDESR_MIRROR in the environment.",
        show_default=False,
    ),
]


@commands.command("show", cls=Command)
def show_models(
    name: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME",
            autocompletion=offers.models,
            help="The model whose card to print. An alias without -s lists its models.",
        ),
    ] = None,
    scale: Annotated[
        int | None,
        typer.Option(
            "-s",
            "--scale",
            metavar="N",
            parser=values.whole_number("scale"),
            help="List models of this scale only.",
        ),
    ] = None,
    verbose: Annotated[
        bool,
        typer.Option(
            "--verbose",
            help="Say also what each precision costs a model, and in JSON the ranges of int8.",
        ),
    ] = False,
    as_json: options.Json = False,
) -> None:
    """List the models, or print the card of one.

    Models of one scale stand together, the quickest first. `widesr models` alone does the same.
    """
    from widesr.models.catalog import ALIASES

    names = [word for word in name or [] if word != "show"]
    if len(names) > 1:
        raise UsageError(f"expected one model, got {' '.join(names)}")
    if names and (scale is not None or names[0] not in ALIASES):
        _show_card(names[0], scale, verbose=verbose, as_json=as_json)
        return
    models, damaged = _readable()
    models = [
        model
        for model in models
        if scale in (None, model.card.scale) and (not names or names[0] in _aliases(model))
    ]
    models.sort(key=lambda each: (each.card.scale, _parameters(each.card)))
    if as_json:
        print_json(json.dumps([_as_json(model, ranges=verbose) for model in models], indent=2))
    else:
        print_lines(_list(models, baseline=not names, verbose=verbose))
    for error in damaged:
        print_error(error)
    if damaged:
        raise typer.Exit(1)


def _show_card(name: str, scale: int | None, *, verbose: bool, as_json: bool) -> None:
    from widesr.engine import find_model

    model = find_model(name, scale=scale)
    if as_json:
        print_json(json.dumps(_as_json(model, ranges=verbose), indent=2))
    else:
        print_lines(_card(model))


@commands.command("pull", cls=Command)
def pull_models(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME", help="The models to fetch. Without one, list those on the mirror."
        ),
    ] = None,
    mirror: Mirror = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace other models of these names.")
    ] = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Fetch models from a mirror; -n NAME finds them from then on.

    What is there already is not fetched again, and a download that was cut goes on where it
    stopped. Each is held to the size and hash in the mirror's index, and to its own card.
    """
    from widesr.models.mirrors import open_mirror
    from widesr.system.text import readable_share, readable_size

    opened = open_mirror(mirror)
    if not names:
        _show_offers(opened, as_json=as_json)
        return
    for entry in [opened.find(name) for name in dict.fromkeys(names)]:
        with progress(entry.n_bytes, quiet=quiet or as_json) as show:

            def tell(n: int, total: int | None, name: str = entry.name) -> None:
                show(n, f"getting {name} {readable_share(n, total)}")

            model, was_there = opened.pull(entry, overwrite=overwrite, on_progress=tell)
        if as_json:
            print_json(json.dumps(_as_json(model) | {"was_there": was_there}))
        elif not quiet:
            how = "there already" if was_there else "sha256 as in the index"
            print_line(
                f"{entry.name}: x{entry.scale}, {readable_size(entry.n_bytes)} in {model.path} "
                f"({how}; licence: {entry.licence})  "
                f"(next: widesr upscale photo.jpg -s {entry.scale} -n {entry.name})"
            )


@commands.command("remove", cls=Command)
def remove_models(
    names: Annotated[list[str], typer.Argument(metavar="NAME", help="Models that were pulled.")],
    quiet: options.Quiet = False,
) -> None:
    """Remove models that were pulled."""
    from widesr.models.mirrors import remove_model

    for name in dict.fromkeys(names):
        path = remove_model(name)
        if not quiet:
            print_line(f"{name}: removed {path}")


@commands.command("index", cls=Command)
def index_models(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder of model files (.onnx).")],
    quiet: options.Quiet = False,
) -> None:
    """Make a mirror of a folder: write its models.json.

    Serve the folder over HTTP, or put it where others can read it, and `widesr models pull` takes
    models from there. Run it again after each change.
    """
    from widesr.models.index import INDEX, write_index

    index = write_index(folder)
    if not quiet:
        names = ", ".join(entry.name for entry in index.models)
        print_line(
            f"{folder / INDEX}: {names}  (next: widesr models pull NAME --mirror {folder}, or "
            "the address that it is served at)"
        )


def _readable() -> "tuple[list[ModelFile], list[ModelFileError]]":
    """Return all models that can be read, and the errors of the others."""
    from widesr.models.catalog import ModelFile, model_paths, read_card

    models, damaged = [], []
    for path in model_paths().values():
        try:
            models.append(ModelFile(path, read_card(path)))
        except ModelFileError as error:
            damaged.append(error)
    return models, damaged


def _as_json(model: "ModelFile", *, ranges: bool = False) -> dict[str, Any]:
    """Return a model's card, origin and path; the `ranges` of int8 are thousands of numbers."""
    left_out = None if ranges else {"ranges"}
    card = model.card.model_dump(mode="json", exclude=left_out)
    return card | {"from": _origin(model), "path": str(model.path)}


def _origin(model: "ModelFile") -> str:
    from widesr.models.catalog import MODELS_DIR
    from widesr.system.paths import models_folder

    return {MODELS_DIR: "package", models_folder(): "pulled"}.get(model.path.parent, "file")


def _list(models: "list[ModelFile]", *, baseline: bool, verbose: bool) -> list[str]:
    """Lay models out in 80 columns."""
    rows: list[tuple[str, ...]] = [
        ("model", "alias", "scale", "parameters", "Set5 dB", "licence", "from")
    ]
    rows += [_row(model) for model in models]
    if baseline:
        rows += [(name, "", "any", "0", "", "", "") for name in ("bicubic", "nearest")]
    lines = table(rows, left=frozenset({0, 1, 5, 6}))
    lines += ["", *_LEGEND]
    if verbose:
        rows = [("lost against fp32, dB", *_PRECISIONS)]
        rows += [(each.card.name, *_losses(each.card)) for each in models]
        lines += ["", *table(rows, left=frozenset({0})), "", *_LEGEND_OF_LOSSES]
    return lines


def _show_offers(mirror: "mirrors.Mirror", *, as_json: bool) -> None:
    from widesr.models.mirrors import standing
    from widesr.system.text import readable_size

    entries = mirror.entries.values()
    if as_json:
        found = [
            entry.model_dump(mode="json", by_alias=True) | {"standing": standing(entry)}
            for entry in entries
        ]
        print_json(json.dumps(found, indent=2))
        return
    rows = [("model", "scale", "file", "licence", "")]
    rows += [
        (e.name, f"x{e.scale}", readable_size(e.n_bytes), e.licence, standing(e)) for e in entries
    ]
    print_lines(table(rows, left=frozenset({0, 3, 4})))


def _row(model: "ModelFile") -> tuple[str, ...]:
    card = model.card
    score = next((s for s in card.scores if (s.dataset, s.protocol) == _SHOWN), None)
    return (
        card.name,
        ", ".join(_aliases(model)),
        f"x{card.scale}",
        f"{_parameters(card):,}",
        f"{score.psnr:.2f}" if score else "",
        card.licence,
        _origin(model),
    )


def _aliases(model: "ModelFile") -> list[str]:
    from widesr.models.catalog import aliases_of

    return aliases_of(model.card.name) if _origin(model) == "package" else []


def _parameters(card: "ModelCard") -> int:
    return card.parameters_fused or card.parameters  # older cards lack the fused number


def _card(model: "ModelFile") -> list[str]:
    card = model.card
    plain = card.model_dump(mode="json", exclude={"scores", "training_data", "losses", "ranges"})
    rows = [(key.replace("_", " "), str(value)) for key, value in plain.items() if value]
    rows += [("score", _score(each)) for each in card.scores]
    rows += [("loss", f"{_loss(each)} ({each.n} photographs)") for each in card.losses]
    rows += [("int8", f"{len(card.ranges)} convolutions")] if card.ranges else []
    rows += [
        ("training data", f"{each.name}: {each.n} pictures, {each.licence}")
        for each in card.training_data
    ]
    rows.append(("file", str(model.path)))
    return table(rows, left=frozenset({0, 1}))


def _losses(card: "ModelCard") -> "Iterable[str]":
    for precision in _PRECISIONS:
        loss = card.loss_in(precision)
        yield " / ".join(_decibels(loss)) if loss else "not measured"


def _loss(loss: "Loss") -> str:
    mean, worst = _decibels(loss)
    return f"{loss.precision} {mean} dB, at most {worst} dB"


def _decibels(loss: "Loss") -> tuple[str, str]:
    mean, worst = (f"{round(each, 3) + 0.0:.3f}" for each in (loss.mean, loss.worst))  # no -0.000
    return mean, worst


def _score(score: "Score") -> str:
    return f"{score.dataset}: {score.psnr:.2f} dB, SSIM {score.ssim:.4f} ({score.protocol})"
