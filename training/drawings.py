"""Draw pages of text, line drawings and flat colours, to be learned from beside photographs.

    python training/drawings.py OUT

Photographs have little small print and few flat colours, and networks that saw none draw halos
round letters. Each picture is drawn at three times its size and shrunk by area, as a scanner sees
it. The same pictures come out wherever Pillow and matplotlib are the same; matplotlib brings the
fonts (DejaVu, a free licence). Writes PNG files, and a MANIFEST.csv as `widesr train` reads it.
"""

import argparse
import csv
import math
import random
from pathlib import Path

import matplotlib as mpl
import numpy as np
from PIL import Image, ImageDraw, ImageFont

SIZE, FINER, COUNT = (1000, 752), 3, 14
FONTS = ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSerif", "DejaVuSerif-Italic", "DejaVuSansMono")
LETTERS = "eeeeeetttttaaaaooooiiiinnnnsssshhhrrrddlllcuuummwfgypbvk"
FOLDER = Path(mpl.get_data_path()) / "fonts" / "ttf"
Colour = tuple[int, int, int]


def main() -> None:
    """Draw all pictures, and list them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--count", type=int, default=COUNT, help="pictures (default: %(default)s)")
    args = parser.parse_args()
    out = args.out
    out.mkdir(parents=True, exist_ok=True)
    rows = []
    for index in range(args.count):
        chance = random.Random(index)  # noqa: S311 (no secret)
        draw = page if index % 2 == 0 else lines
        picture = draw(chance)
        name = f"sketch_{'text' if draw is page else 'lines'}_{index:02}.png"
        picture.save(out / name)
        rows.append((name, "CC0-1.0", "drawn by training/drawings.py"))
    with (out / "MANIFEST.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("file", "licence", "origin"), *rows])


def page(chance: random.Random) -> Image.Image:
    """Draw columns of words on paper that is lit unevenly."""
    is_dark = chance.random() < 0.2
    paper, ink = shade(chance, light=not is_dark), shade(chance, light=is_dark)
    canvas = Image.new("RGB", scaled(SIZE), paper)
    pen = ImageDraw.Draw(canvas)
    width, height = canvas.size
    columns = chance.choice([1, 2, 3])
    for column in range(columns):
        left = width * column // columns + 20 * FINER
        right = width * (column + 1) // columns - 20 * FINER
        y = 15 * FINER
        while y < height:
            size = chance.choice([7, 8, 9, 10, 11, 12, 14, 18, 26, 40]) * FINER
            face = ImageFont.truetype(str(FOLDER / f"{chance.choice(FONTS)}.ttf"), size)
            colour = ink if chance.random() < 0.8 else any_colour(chance)
            for _ in range(chance.randint(2, 9)):
                text = sentence(chance)
                while text and pen.textlength(text, font=face) > right - left:
                    text = text[:-1]
                pen.text((left, y), text, fill=colour, font=face)
                y += int(size * 1.35)
            y += size
    canvas = canvas.rotate(chance.uniform(-4, 4), Image.Resampling.BICUBIC, fillcolor=paper)
    return lit(finished(canvas), chance)


def lines(chance: random.Random) -> Image.Image:
    """Draw shapes of flat colours, outlines, hatching and labels."""
    canvas = Image.new("RGB", scaled(SIZE), any_colour(chance))
    pen = ImageDraw.Draw(canvas)
    width, height = canvas.size
    for _ in range(90):
        x, y = chance.randrange(width), chance.randrange(height)
        reach = chance.randint(10, 160) * FINER
        colour, thick = any_colour(chance), max(1, int(FINER * chance.choice([0.7, 1, 1.5, 2, 4])))
        box = (x - reach, y - reach * chance.uniform(0.3, 1), x + reach, y + reach)
        match chance.randrange(6):
            case 0:
                pen.ellipse(box, fill=colour, outline=any_colour(chance), width=thick)
            case 1:
                pen.rectangle(box, fill=colour, outline=any_colour(chance), width=thick)
            case 2:
                corners = [
                    (x + reach * math.cos(turn), y + reach * math.sin(turn))
                    for turn in sorted(chance.uniform(0, math.tau) for _ in range(5))
                ]
                pen.polygon(corners, fill=colour, outline=any_colour(chance), width=thick)
            case 3:
                slant = chance.uniform(0, math.pi)
                for n in range(-9, 10):
                    offset = n * max(3 * thick, reach / 10)
                    cx, cy = x - offset * math.sin(slant), y + offset * math.cos(slant)
                    dx, dy = reach * math.cos(slant), reach * math.sin(slant)
                    pen.line((cx - dx, cy - dy, cx + dx, cy + dy), fill=colour, width=thick)
            case 4:
                points = [(x, y)]
                for _ in range(chance.randint(3, 12)):
                    px, py = points[-1]
                    points.append(
                        (px + chance.gauss(0, reach / 2), py + chance.gauss(0, reach / 2))
                    )
                pen.line(points, fill=colour, width=thick, joint="curve")
            case _:
                size = chance.randint(8, 48) * FINER
                face = ImageFont.truetype(str(FOLDER / f"{chance.choice(FONTS)}.ttf"), size)
                pen.text((x, y), sentence(chance)[:24], fill=colour, font=face)
    return finished(canvas)


def sentence(chance: random.Random) -> str:
    """Return random words, with the marks and numbers that print has."""
    words = []
    for _ in range(16):
        word = "".join(chance.choice(LETTERS) for _ in range(chance.randint(1, 9)))
        word = word.capitalize() if chance.random() < 0.15 else word
        if chance.random() < 0.12:
            word = str(chance.randrange(10 ** chance.randint(1, 4)))
        words.append(word + chance.choice(["", "", "", "", ",", ".", ";", ")", "-"]))
    return " ".join(words)


def shade(chance: random.Random, *, light: bool) -> Colour:
    """Choose paper or ink: nearly grey, rarely white or black itself."""
    level = chance.randint(205, 250) if light else chance.randint(5, 70)
    return tuple(min(255, max(0, level + chance.randint(-14, 14))) for _ in range(3))


def any_colour(chance: random.Random) -> Colour:
    """Choose any colour; each channel is 0 or 255 half of the time."""
    return tuple(
        chance.choice([0, 255, chance.randrange(256), chance.randrange(256)]) for _ in range(3)
    )


def scaled(size: tuple[int, int]) -> tuple[int, int]:
    """Return the size at which is drawn."""
    return size[0] * FINER, size[1] * FINER


def finished(canvas: Image.Image) -> Image.Image:
    """Shrink what was drawn by area."""
    return canvas.resize(SIZE, Image.Resampling.BOX)


def lit(picture: Image.Image, chance: random.Random) -> Image.Image:
    """Let the light fall off to one side, by at most a tenth."""
    x = np.linspace(-1, 1, picture.width)[None, :, None] * chance.uniform(-0.05, 0.05)
    y = np.linspace(-1, 1, picture.height)[:, None, None] * chance.uniform(-0.05, 0.05)
    pixels = np.asarray(picture) * (0.97 + x + y)
    return Image.fromarray(np.clip(pixels + 0.5, 0, 255).astype(np.uint8))


if __name__ == "__main__":
    main()
