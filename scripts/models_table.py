"""Write the table of models in the README from the cards in the package; `--check` only compares.

python scripts/models_table.py [--check]
"""

import sys
from pathlib import Path

from widesr.models.catalog import ModelCard, aliases_of, list_shipped

README = Path(__file__).parents[1] / "README.md"
START, END = "<!-- models-table:start -->\n", "<!-- models-table:end -->"
PROTOCOL = "benchmark-y"


def score(card: ModelCard, dataset: str) -> str:
    """PSNR and SSIM on one test set, as tables of the field print them."""
    found = [s for s in card.scores if (s.dataset, s.protocol) == (dataset, PROTOCOL)]
    return " / ".join(f"{s.psnr:.2f} dB, {s.ssim:.4f}" for s in found) or "not measured"


def table() -> str:
    """The whole table, markers left out."""
    lines = [
        "| model | `-n` | scale | parameters | file | Set5 | Set14 |",
        "|---|---|---|---|---|---|---|",
    ]
    for model in sorted(list_shipped(), key=lambda m: (m.card.scale, m.card.parameters)):
        card = model.card
        if card.frames > 1:  # a model of clips has no score on pictures
            continue
        aliases = [f"`{alias}` " for alias in aliases_of(card.name)]
        lines.append(
            f"| `{card.name}` | {''.join(aliases)}| x{card.scale} | {card.parameters_fused:,} | "
            f"{model.path.stat().st_size / 1e6:.2f} MB | {score(card, 'Set5')} | "
            f"{score(card, 'Set14')} |"
        )
    return "\n".join([*lines, "", f"PSNR-Y and SSIM-Y, protocol `{PROTOCOL}`.", ""])


def main() -> int:
    text = README.read_text(encoding="utf-8")
    before, rest = text.split(START)
    after = rest.split(END)[1]
    fresh = before + START + table() + END + after
    if "--check" in sys.argv:
        return 0 if fresh == text else "README.md: the models table is not that of the cards"
    README.write_text(fresh, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
