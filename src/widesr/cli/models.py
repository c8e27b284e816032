"""`widesr models`: what there is to choose from."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from widesr.cli import options
from widesr.cli.terminal import table
from widesr.errors import UsageError

if TYPE_CHECKING:
    from widesr.catalog import Loss, ModelCard, Score


def show_models(
    name: Annotated[
        list[str] | None,
        typer.Argument(metavar="[show] [NAME]", help="Print this model's whole card."),
    ] = None,
    scale: Annotated[
        int | None,
        typer.Option(
            "-s",
            "--scale",
            metavar="N",
            parser=options.whole_number("scale"),
            help="Models of this scale only.",
        ),
    ] = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Also what each precision costs a model.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """List the models, or print the card of one."""
    from widesr.catalog import list_models

    names = [word for word in name or [] if word != "show"]
    if len(names) > 1:
        raise UsageError(f"expected one model, got {' '.join(names)}")
    if names:
        card = _find_card(names[0], scale)
        typer.echo(card.model_dump_json(indent=2) if as_json else "\n".join(_card_lines(card)))
        return
    cards = [model.card for model in list_models() if scale in (None, model.card.scale)]
    if as_json:
        typer.echo(json.dumps([card.model_dump(mode="json") for card in cards], indent=2))
        return
    head = ("model", "rung", "scale", "parameters", "radius", "licence", "scores")
    rows = [head, *(_row(card) for card in cards)]
    rows.append(("bicubic", "", "any", "0", "2", "", "the baseline: imresize, no model file"))
    if verbose:
        losses = ["lost against fp32", *(_losses(card) for card in cards), ""]
        rows = [(*row, lost) for row, lost in zip(rows, losses, strict=True)]
    typer.echo("\n".join(table(rows, left=frozenset({0, 1, 5, 6, 7}))))


def _find_card(name: str, scale: int | None) -> "ModelCard":
    from widesr.catalog import LADDER, find_model

    if scale is None and name in LADDER:
        raise UsageError(f"each scale has its own {name} model; say which with -s")
    return find_model(name, scale=scale).card


def _row(card: "ModelCard") -> tuple[str, ...]:
    from widesr.catalog import LADDER

    return (
        card.name,
        ", ".join(rung for rung, models in LADDER.items() if card.name in models.values()),
        f"x{card.scale}",
        f"{card.parameters:,}",
        str(card.receptive_radius) if card.tiles else "all",
        card.licence,
        ", ".join(f"{each.dataset} {each.psnr:.2f} dB {each.protocol}" for each in card.scores),
    )


def _card_lines(card: "ModelCard") -> list[str]:
    plain = card.model_dump(mode="json", exclude={"scores", "training_data", "losses", "ranges"})
    rows = [(key.replace("_", " "), str(value)) for key, value in plain.items() if value]
    rows += [("score", _score(each)) for each in card.scores]
    rows += [("loss", f"{_loss(each)} ({each.n} photographs)") for each in card.losses]
    rows += [("int8", f"{len(card.ranges)} convolutions")] if card.ranges else []
    rows += [
        ("training data", f"{each.name}: {each.n} pictures, {each.licence}")
        for each in card.training_data
    ]
    return table(rows, left=frozenset({0, 1}))


def _losses(card: "ModelCard") -> str:
    return ", ".join(_loss(each) for each in card.losses) or "not measured"


def _loss(loss: "Loss") -> str:
    mean, worst = (round(each, 3) + 0.0 for each in (loss.mean, loss.worst))  # no minus zero
    return f"{loss.precision} {mean:.3f} dB, at most {worst:.3f} dB"


def _score(score: "Score") -> str:
    return f"{score.dataset}: {score.psnr:.2f} dB, SSIM {score.ssim:.4f} ({score.protocol})"
