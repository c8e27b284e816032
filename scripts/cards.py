"""Draw each model's card as a page: docs/models/NAME.md, its curve, and where it fails.

    python scripts/cards.py          # from the checkout; needs the dependency group `plots`

Figures come from the card in the model file, from `training/logs/` and, for seconds, from
`benchmarks/results/pareto.json`. The failures are looked for in examples/, which no model learned
from: each photograph is shrunk as the model's training photographs were, doubled (x3, x4) again,
and compared window by window.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from widesr.degrade.bicubic import cropped_to_multiple
from widesr.degrade.named import DEGRADATIONS, Shrink, photograph_seed
from widesr.models.catalog import ModelCard, ModelFile, aliases_of, list_shipped
from widesr.pictures.picture import Picture
from widesr.pictures.reading import read_picture
from widesr.pictures.writing import write_picture
from widesr.pixels.drawing import enlarged, joined, titled
from widesr.pixels.resize import imresize
from widesr.upscaling.upscaler import Upscaler

ROOT = Path(__file__).parents[1]
PAGES = ROOT / "docs" / "models"
LOGS = ROOT / "training" / "logs"
EXAMPLES = sorted((ROOT / "examples").glob("*.jpg"))
SECONDS = ROOT / "benchmarks" / "results" / "pareto.json"
WINDOW, STRIDE, ZOOM = 48, 24, 4

Pixels = NDArray[np.uint8]


class Window(NamedTuple):
    """A piece of a photograph that a network was to find again."""

    file: str
    hr: Pixels
    bicubic: Pixels
    sr: Pixels

    @property
    def psnr(self) -> float:
        return decibels(self.hr, self.sr)

    @property
    def gain(self) -> float:
        return self.psnr - decibels(self.hr, self.bicubic)


def main() -> None:
    PAGES.mkdir(exist_ok=True)
    for model in list_shipped():
        name = model.card.name
        draw_curve(LOGS / f"{name}.jsonl", PAGES / f"{name}.svg")
        from_worst = {} if model.card.frames > 1 else failures(model)
        if from_worst:
            write_sheet(from_worst, PAGES / f"{name}.png")
        (PAGES / f"{name}.md").write_text(page(model, from_worst), encoding="utf-8")
        print(name)
    (PAGES / "index.md").write_text(contents(), encoding="utf-8")


def contents() -> str:
    """List all pages, the quickest of a scale first."""
    cards = [model.card for model in list_shipped()]
    rows = "\n".join(
        f"| [{card.name}]({card.name}.md) | {listed(aliases_of(card.name))} | x{card.scale} "
        f"| {card.parameters_fused:,} | {card.scores[0].psnr:.2f} dB |"
        for card in sorted(cards, key=lambda card: (card.scale, card.parameters_fused))
        if card.scores and card.frames == 1
    )
    of_clips = "\n".join(
        f"- [{card.name}]({card.name}.md), {listed(aliases_of(card.name))}, x{card.scale}: "
        f"{card.parameters_fused:,} parameters; {score.psnr:.2f} dB on {score.dataset}, "
        f"`{score.protocol}`"
        for card in cards
        for score in card.scores[:1]
        if card.frames > 1
    )
    return f"""# The models in the package

<!-- Written by scripts/cards.py. -->

`-n fast`, `-n default`, `-n best`, `-n realistic` and `-n crisp` take the model for the scale.
The scores are PSNR-Y on Set5, `benchmark-y`. Its pictures are clean; on those that `realistic` is
for [it has its own figures](../benchmarks/realistic.md). `crisp` gives up PSNR for
[detail](../why/crisp.md).

| model | alias | scale | parameters | Set5 |
|---|---|---|---|---|
{rows}

For clips there is

{of_clips}

[Seconds against decibels](../benchmarks/models.md) has those of pictures beside other projects'
models, and [Clips](../benchmarks/video.md) has those of clips beside each other.
"""


def page(model: ModelFile, worst: dict[str, Window]) -> str:
    card = model.card
    facts = "\n".join(f"| {what} | {value} |" for what, value in facts_of(model))
    data = "\n".join(f"| {each.name} | {each.n} | {each.licence} |" for each in card.training_data)
    begun = f", begun with {card.started_from.split()[0]}" if card.started_from else ""
    return f"""# {card.name}

<!-- Written by scripts/cards.py from the card in the model file. -->

| | |
|---|---|
{facts}

## How it was trained

```sh
{command(card)}
```

{card.steps:,} steps in {card.seconds:,.0f} seconds on {card.machine}{begun}, at commit
`{card.commit}`. Loss by the recipe, validation by PSNR-Y, `benchmark-y`, over the middle of
photographs that were held out:

![Loss and validation over the steps]({card.name}.svg)

| photographs from | number | licence |
|---|---|---|
{data}

{fails(card, worst)}"""


def fails(card: ModelCard, worst: dict[str, Window]) -> str:
    """Write the last section of a page: where a model fails, or where those of clips are judged."""
    if not worst:
        return """## On clips

[Clips: quality, speed and memory](../benchmarks/video.md) has its figures beside those of
models that look at one frame, and [Upscale clips](../how-to/video.md) says how to use it.
"""
    found = "; ".join(
        f"{what}: {window.psnr:.1f} dB, {window.gain:+.1f} dB against bicubic"
        for what, window in worst.items()
    )
    return f"""## Where it fails

Of all windows of the photographs in `examples/`, which it never saw, made small as its training
photographs were, the one that comes out worst, and the one where it gains least over bicubic. PSNR
over RGB: {found}.

![Original, bicubic and {card.name}]({card.name}.png)
"""


def facts_of(model: ModelFile) -> list[tuple[str, str]]:
    card = model.card
    size = model.path.stat().st_size / 1e6
    return [
        ("alias", listed(aliases_of(card.name))),
        ("scale", f"x{card.scale}"),
        ("parameters", f"{card.parameters_fused:,}, {size:.2f} MB"),
        *([("made for", card.notes)] if card.notes else []),
        (
            "learned from",
            f"LR by [`{card.degradation}`](../why/degradation.md#other-ways-to-lose-detail)",
        ),
        *([("teacher", card.teacher.partition(" sha256:")[0])] if card.teacher else []),
        ("looks as far as", f"{card.receptive_radius} LR pixels"),
        ("licence", card.licence),
        *((score.dataset, f"{score.psnr:.2f} dB, SSIM {score.ssim:.4f} (`{score.protocol}`)")
          for score in card.scores),
        *((f"lost in {loss.precision}",
           f"{loss.mean:.4f} dB, at most {loss.worst:.4f} dB ({loss.n} photographs)")
          for loss in card.losses),
        *seconds_of(card),
        ("SHA-256 of the graph", f"`{card.weights_sha256[:16]}`"),
    ]  # fmt: skip


def listed(aliases: list[str]) -> str:
    return ", ".join(f"`{alias}`" for alias in aliases) or "none"


def seconds_of(card: ModelCard) -> list[tuple[str, str]]:
    result = json.loads(SECONDS.read_text(encoding="utf-8"))
    width, height = map(int, result["picture"].split("x"))
    megapixels = width * height * card.scale**2 / 1e6
    return [
        (
            "processor seconds per megapixel of output, on one thread",
            f"{took['1']['cpu'] / megapixels:.3f}, openvino {precision}, {result['machine']}",
        )
        for row in result["networks"]
        if row["name"] == card.name
        for precision, took in list(row["seconds"].items())[:1]  # the quickest
    ]


def command(card: ModelCard) -> str:
    recipe = ROOT / "src" / "widesr" / "train" / "recipes" / f"{card.recipe}.toml"
    lines = recipe.read_text(encoding="utf-8").splitlines()
    return next(line.removeprefix("# Run: ") for line in lines if line.startswith("# Run: "))


def failures(model: ModelFile) -> dict[str, Window]:
    """Find the worst of all windows, by two measures."""
    upscaler = Upscaler.load(str(model.path), scale=model.card.scale, precision="fp32")
    shrink = DEGRADATIONS[model.card.degradation].shrink
    windows = [window for path in EXAMPLES for window in windows_of(path, upscaler, shrink)]
    return {
        "worst": min(windows, key=lambda window: window.psnr),
        "least gained": min(windows, key=lambda window: window.gain),
    }


def windows_of(path: Path, upscaler: Upscaler, shrink: Shrink) -> list[Window]:
    scale = upscaler.scale
    hr = cropped_to_multiple(read_picture(path).pixels, scale)
    lr = shrink(hr, scale=scale, seed=photograph_seed(path.name))
    sr, bicubic = upscaler(lr), imresize(lr, scale=scale)
    height, width = hr.shape[:2]
    return [
        Window(path.name, *(each[y : y + WINDOW, x : x + WINDOW] for each in (hr, bicubic, sr)))
        for y in range(0, height - WINDOW + 1, STRIDE)
        for x in range(0, width - WINDOW + 1, STRIDE)
    ]


def decibels(hr: Pixels, sr: Pixels) -> float:
    """Return PSNR over RGB, which ranks windows; the scores are of luma."""
    error = np.mean((hr.astype(np.float64) - sr) ** 2)
    return float(10 * np.log10(255**2 / max(error, 1e-3)))


def write_sheet(worst: dict[str, Window], path: Path) -> None:
    rows = [
        joined(
            [
                titled(text.upper(), enlarged(pixels, zoom=ZOOM), width=WINDOW * ZOOM)
                for text, pixels in (
                    (window.file, window.hr), ("bicubic", window.bicubic), (what, window.sr),
                )
            ],
            axis=1,
        )
        for what, window in worst.items()
    ]  # fmt: skip
    write_picture(path, Picture(pixels=joined(rows, axis=0)), overwrite=True)


def draw_curve(log: Path, path: Path) -> None:
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams |= {"svg.hashsalt": "widesr", "svg.fonttype": "path", "font.size": 9}
    from matplotlib import pyplot as plt

    lines: list[dict[str, Any]] = [json.loads(line) for line in log.read_text().splitlines()]
    steps = [line["step"] for line in lines]
    figure, (left, right) = plt.subplots(1, 2, figsize=(7, 2.6), layout="constrained")
    left.plot(steps, [255 * line["loss"] for line in lines], color="#8a8f98")
    left.set(title="loss, levels of 255", xlabel="step")
    right.plot(steps, [line["psnr"] for line in lines], color="#0b7a75", marker=".")
    right.set(title="validation, dB", xlabel="step")
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


if __name__ == "__main__":
    main()
