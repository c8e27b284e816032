"""Draws noise that depends only on the place in a picture, so that tiles have no seams."""

from collections.abc import Iterator

import numpy as np

from widesr.pixels.rows import Band, Rows


def noise_rows(height: int, width: int, *, channels: int, seed: int) -> Rows:
    """Draw normal noise for each pixel, (H, W, channels), float32, mean 0 and variance 1.

    A pixel gets the same noise whatever the size of the picture.

    Args:
        height: The height of the picture.
        width: The width of the picture.
        channels: Numbers per pixel.
        seed: Seed of the noise, 0 or more; another seed gives other noise.
    """

    def bands() -> Iterator[Band]:
        for y in range(height):
            # Philox's counter holds the row number, so that no row depends on those above it.
            random = np.random.Generator(np.random.Philox(key=seed, counter=[0, 0, y, 0]))
            yield random.standard_normal((1, width, channels), np.float32)

    return Rows(bands(), shape=(height, width, channels), dtype=np.float32)
