"""Draw one detail as several samples have it, with the map of where they differ.

    python scripts/samples.py docs/assets/samples.jpg

from the checkout, with the base install: a photograph that no model has seen, made a quarter as
large and enlarged again.
"""

import sys
from pathlib import Path

import numpy as np
from demo import busiest, comparison  # beside this file

from widesr.pictures.picture import Picture
from widesr.pictures.reading import read_picture
from widesr.pictures.writing import write_picture
from widesr.pixels.resize import imresize
from widesr.upscaling.sampling import samples, variance_map

PHOTOGRAPH = Path("examples/kitten.jpg")
SCALE, SIDE, COUNT, SHOWN = 4, 160, 10, 2


def main(out: Path) -> None:
    pixels = read_picture(Path(__file__).parents[1] / PHOTOGRAPH).pixels
    height, width = (n - n % SCALE for n in pixels.shape[:2])
    hr = pixels[:height, :width]
    made = list(samples(imresize(hr, scale=1 / SCALE), scale=SCALE, count=COUNT))
    panels = {f"seed {seed}": made[seed] for seed in range(SHOWN)}
    panels["variance"] = np.repeat(variance_map(made)[..., np.newaxis], 3, axis=2)
    top, left = busiest(hr, side=SIDE)
    sheet = comparison(panels | {"original": hr}, top=top, left=left, side=SIDE)
    write_picture(out, Picture(pixels=sheet), quality=80, overwrite=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
