"""Pictures that only other programs write: AVIF of every range, depth and layout, odd JPEG."""

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from generated import Generated, image, picture
from others import program
from samples import by_pillow, png


def all_generated_by_tools() -> Iterator[Generated]:
    """Every kind of avifenc's and cjpeg's; the test is skipped where these are missing."""
    for depth in (8, 10, 12):
        for sampling in (400, 420, 422, 444):
            for extent in ("limited", "full"):
                for alpha in (False, True):
                    words = f"-d {depth} -y {sampling} -r {extent}"
                    name = f"{depth}-{sampling}-{extent}{'-alpha' * alpha}.avif"
                    yield Generated(name, lambda w=words, a=alpha: _avifenc(w, alpha=a))
    for name, words in {
        "premultiplied": "--premultiply",
        "turned": "--irot 1",
        "mirrored": "--imir 0",
        "turned-mirrored": "--irot 3 --imir 1",
        "bt2020": "--cicp 9/14/9 -d 10",
        "bt709": "--cicp 1/13/1",
        "identity": "--cicp 1/13/0 -y 444 --lossless",
    }.items():
        alpha = name == "premultiplied"
        yield Generated(f"{name}.avif", lambda w=words, a=alpha: _avifenc(w, alpha=a))
    for grid in ("2x1", "1x2", "2x2"):
        for extent in ("limited", "full"):
            words = f"--grid {grid} -y 420 -r {extent}"
            yield Generated(
                f"grid-{grid}-{extent}.avif", lambda w=words: _avifenc(w, size=(192, 256))
            )
    yield Generated("grid-alpha.avif", lambda: _avifenc("--grid 2x2", size=(192, 256), alpha=True))
    for name, words in {
        "arithmetic": "-arithmetic",
        "arithmetic-progressive": "-arithmetic -progressive",
        "smoothed-411": "-sample 4x1",
        "sampled-440": "-sample 1x2",
        "optimised": "-optimize -dct float",
    }.items():
        yield Generated(f"{name}.jpg", lambda w=words: _cjpeg(w))


def _avifenc(words: str, *, size: tuple[int, int] = (44, 61), alpha: bool = False) -> bytes:
    channels, bits = (4 if alpha else 3), 16 if "-d 1" in words else 8
    array = picture(*size, channels=channels, bits=bits)
    source = png(array, bits=bits, colour_type=6 if alpha else 2)
    quality = "-s 9 -j 1 --min 0 --max 4 --minalpha 0 --maxalpha 0"
    quality = "-s 9 -j 1" if "--lossless" in words else quality
    return _made_by("avifenc", f"{quality} {words}", source, "png", "{source} {made}")


def _cjpeg(words: str) -> bytes:
    source = by_pillow(image(), "PPM")
    return _made_by("cjpeg", f"-quality 92 {words}", source, "ppm", "-outfile {made} {source}")


def _made_by(name: str, words: str, source: bytes, suffix: str, files: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        given, made = Path(folder) / f"source.{suffix}", Path(folder) / "made"
        given.write_bytes(source)
        made = made.with_suffix(".avif" if name == "avifenc" else ".jpg")
        places = [each.format(source=given, made=made) for each in files.split()]
        command = [program(name), *words.split(), *places]
        subprocess.run(command, check=True, capture_output=True, timeout=250)
        return made.read_bytes()
