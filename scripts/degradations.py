"""Draw what each degradation leaves of one photograph: docs/why/degradation.md.

Run from the checkout, with the base install:
`python scripts/degradations.py examples/kitten.jpg docs/assets/degradations.png`.
"""

import sys
from pathlib import Path

from widesr.degrade.named import DEGRADATIONS, photograph_seed
from widesr.pictures.picture import Picture
from widesr.pictures.reading import read_picture
from widesr.pictures.writing import write_picture
from widesr.pixels.drawing import enlarged, joined, titled

SCALE = 2
COLUMNS = 4
WINDOW = slice(85, 145), slice(105, 185)
"""Rows and columns of the LR picture."""


def main(photograph: Path, out: Path) -> None:
    hr = read_picture(photograph).pixels
    seed = photograph_seed(photograph.name)
    panels = []
    for name, degradation in DEGRADATIONS.items():
        pixels = enlarged(degradation.shrink(hr, scale=SCALE, seed=seed)[WINDOW], zoom=3)
        panels.append(titled(name.upper(), pixels, width=pixels.shape[1]))
    rows = [
        joined(panels[first : first + COLUMNS], axis=1) for first in range(0, len(panels), COLUMNS)
    ]
    write_picture(out, Picture(pixels=joined(rows, axis=0)), overwrite=True)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
