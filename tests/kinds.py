"""Pictures of every kind as other programs write them: ImageMagick, cjpeg, cwebp, avifenc, ...

A kind is a list of commands that turn a source picture into a sample, and what exiftool must find
in the sample, so that a program that quietly writes something else is found out.
"""

import atexit
import functools
import io
import json
import os
import re
import shlex
import shutil
import struct
import subprocess
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pyvips
import tifffile
from PIL import Image, ImageCms

from samples import chunk, png, profile

EXAMPLES = Path(__file__).parents[1] / "examples"
GHOSTSCRIPT = Path("/usr/share/color/icc/ghostscript")
"""Where the Debian package libgs-common has profiles."""


# ---- the other programs --------------------------------------------------------------------


def missing(what: str) -> None:
    """Skip the test; fail it where WIDESR_TOOLS=required says that everything is to be there."""
    if os.environ.get("WIDESR_TOOLS") == "required":
        pytest.fail(f"needs {what} (WIDESR_TOOLS=required); scripts/tools installs it")
    pytest.skip(f"needs {what}; scripts/tools installs it")


def _run(command: list[str], **options: Any) -> bytes:
    try:
        done = subprocess.run(command, capture_output=True, check=True, timeout=60, **options)
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip()
        raise AssertionError(f"{shlex.join(command)} failed: {said}") from error
    return done.stdout


@functools.cache
def _found(name: str) -> str | None:
    if name != "magick":
        return shutil.which(name)
    for each in ("magick", "/usr/bin/convert", "convert"):  # another program may hide the second
        path = shutil.which(each)
        if path and b"ImageMagick" in _run([path, "-version"]):
            return path
    return None


def program(name: str) -> str:
    """The path of a program, "magick" being ImageMagick's of any version; skips without it."""
    path = _found(name)
    if path is None:
        missing("ImageMagick" if name == "magick" else name)
    return str(path)


def magick(*arguments: str | Path) -> bytes:
    """Run ImageMagick; a thread for each of these small pictures would take longer than they do."""
    command = [program("magick"), *map(str, arguments)]
    return _run(command, env={**os.environ, "MAGICK_THREAD_LIMIT": "1"})


@functools.cache
def _exiftool() -> subprocess.Popen[str]:
    """One process for all questions: it starts slowly and answers quickly."""
    command = [program("exiftool"), "-stay_open", "True", "-@", "-"]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    atexit.register(process.communicate, "-stay_open\nFalse\n")
    return process


def exiftool(*arguments: str | Path) -> str:
    """What exiftool prints."""
    program("exiftool")
    process = _exiftool()
    assert process.stdin
    assert process.stdout
    process.stdin.write("\n".join(map(str, [*arguments, "-execute", ""])))
    process.stdin.flush()
    lines = []
    for line in process.stdout:
        if line == "{ready}\n":
            return "".join(lines)
        lines.append(line)
    raise AssertionError("exiftool ended")


def tags(path: Path) -> dict[str, Any]:
    """Every tag of a file, by "Group:Name", in words."""
    found: dict[str, Any] = json.loads(exiftool("-json", "-G1", "-a", path))[0]
    return found


# ---- profiles ------------------------------------------------------------------------------


@functools.cache
def srgb() -> bytes:
    """Of LittleCMS."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def with_primaries(icc: bytes, *primaries: tuple[float, float, float]) -> bytes:
    """A profile with other XYZ of red, green and blue, adapted to D50."""
    changed, wanted = bytearray(icc), dict(zip((b"rXYZ", b"gXYZ", b"bXYZ"), primaries, strict=True))
    for n in range(int.from_bytes(icc[128:132], "big")):
        name, at, _ = struct.unpack_from(">4sII", icc, 132 + 12 * n)
        if name in wanted:
            xyz = wanted.pop(name)
            struct.pack_into(">3i", changed, at + 8, *(round(value * 65536) for value in xyz))
    assert not wanted
    return bytes(changed)


P3 = (0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407)
BT709 = (0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410)

MADE_PROFILES = {
    "p3": lambda: with_primaries(srgb(), *P3),
    "grey22": lambda: profile(b"GRAY", gamma=2.2),
    "gamma18": lambda: with_primaries(profile(gamma=1.8), *BT709),
    "grey18": lambda: profile(b"GRAY", gamma=1.8),
    "vips_cmyk": lambda: pyvips.Image.profile_load("cmyk"),  # what libvips takes CMYK for
    "srgb": srgb,
}
FOUND_PROFILES = {
    "adobe": GHOSTSCRIPT / "a98.icc",
    "prophoto": GHOSTSCRIPT / "rommrgb.icc",
    "cmyk": GHOSTSCRIPT / "default_cmyk.icc",
}


def icc_file(folder: Path, name: str) -> Path:
    """A profile's file; skips where no package has brought it."""
    path = folder / f"{name}.icc"
    if name in MADE_PROFILES:
        path.write_bytes(MADE_PROFILES[name]())
    elif FOUND_PROFILES[name].is_file():
        shutil.copy(FOUND_PROFILES[name], path)
    else:
        missing(f"the profile {FOUND_PROFILES[name]} (Debian: libgs-common)")
    return path


# ---- source pictures -----------------------------------------------------------------------


def smooth_picture(height: int = 64, width: int = 96) -> np.ndarray:
    """Gradients, and flat patches of black and white, without a hard edge: [0, 1] RGBA."""
    y, x = np.mgrid[0:height, 0:width]

    def ramp(values: np.ndarray, start: float, stop: float) -> np.ndarray:
        values = np.clip((values - start) / (stop - start), 0, 1)
        return values * values * (3 - 2 * values)

    across, down = ramp(x, 8, width - 9), ramp(y, 8, height - 9)
    diagonal = 1 - ramp(x + y, 16, height + width - 18)
    colours = 0.3 + 0.4 * np.stack([across, down, diagonal], axis=2)
    for right, level in ((26, 0.0), (width - 27, 1.0)):
        far = ramp(np.hypot(x - right, y - (height - 1) / 2), 5, 25)[..., None]
        colours = level + (colours - level) * far
    return np.dstack([colours, ramp(x - y, 4 - height, width - 8)])


def block_picture(height: int = 32, width: int = 48) -> np.ndarray:
    """Flat blocks of 16 pixels, for kinds that have few colours: [0, 1] RGBA."""
    y, x = np.mgrid[0:height, 0:width] // 16
    levels = np.stack([(x + y) % 2, x % 2, y % 2, (x + y) % 3 > 0], axis=2)
    return levels.astype(float)


def photograph() -> np.ndarray:
    """A piece of a photograph, 96x64, under an alpha of our making: [0, 1] RGBA."""
    with Image.open(EXAMPLES / "blossom.jpg") as image:
        colours = np.asarray(image.convert("RGB").crop((300, 200, 396, 264))) / 255
    alpha = np.clip(np.linspace(-0.2, 1.4, 96), 0, 1) * np.ones((64, 1))
    return np.dstack([colours, alpha])


PICTURES: dict[str, Callable[[], np.ndarray]] = {
    "smooth": smooth_picture,
    "blocks": block_picture,
    "photograph": photograph,
}


# ---- kinds ---------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of picture file, and what is to become of it."""

    make: "str | Callable[[Studio], None]"
    """Commands, one a line; {rgb}, {rgba}, {sample}, {folder} and profiles' names are paths."""
    found: dict[str, Any] = field(default_factory=dict)
    """What exiftool must find in the sample: tags in words."""
    holds: bytes = b""
    """Bytes that must be in the sample."""
    mode: str = "RGB"
    """Of the output: its channels, as Pillow names those of 8 bits."""
    bits: int = 8
    """Of a channel of the output."""
    icc: str | None = None
    """The profile that lies in the sample."""
    meant: str | None = None
    """The profile of the sample's numbers where none lies in it; by default sRGB."""
    turned: int = 0
    """Degrees clockwise to turn the sample by, where ImageMagick does not by itself."""
    pictures: tuple[str, ...] = ("smooth", "photograph")
    tolerance: float = 2
    """Levels of 8 bits that a smooth picture may be off where nothing is written lossily."""


@dataclass(frozen=True)
class Studio:
    """A folder in which a sample is made."""

    folder: Path
    sample: Path
    picture: np.ndarray
    """[0, 1], (H, W, 4)."""

    def source(self, name: str) -> Path:
        """The source picture as a 16-bit TIFF: "rgb" or "rgba"."""
        path = self.folder / f"{name}.tif"
        extra = ["unassalpha"] if name == "rgba" else []
        array = self.levels(len(name), np.uint16)
        tifffile.imwrite(path, array, photometric="rgb", extrasamples=extra, metadata=None)
        return path

    def levels(self, channels: int, dtype: Any = np.uint8) -> np.ndarray:
        """The source picture as an array (H, W, C): grey of 1 or 2 channels, colour of 3 or 4."""
        picture = self.picture if channels > 2 else self.picture[..., [1, 3]]
        return np.round(picture[..., :channels] * np.iinfo(dtype).max).astype(dtype)

    def run(self, commands: str) -> None:
        """Run commands on files of this folder."""
        for line in commands.strip().splitlines():
            name, *words = [self._filled(word) for word in shlex.split(line)]
            if name == "magick":
                magick(*words)
            elif name == "exiftool":
                exiftool(*words)
            else:
                _run([program(name), *words], cwd=self.folder)

    def _filled(self, word: str) -> str:
        paths = {"sample": self.sample, "folder": self.folder}
        for name in re.findall(r"{(\w+)}", word):
            if name in ("rgb", "rgba"):
                paths[name] = self.source(name)
            elif name not in paths:
                paths[name] = icc_file(self.folder, name)
            word = word.replace(f"{{{name}}}", str(paths[name]))
        return word


GREY = "magick {rgb} -channel G -separate +channel"
TO_GREY = "magick {rgba} -colorspace gray"
FEW_COLOURS = "magick {rgb} +dither -colors 250"
PPM = "magick {rgb} -depth 8 {folder}/a.ppm\n"
PNG = "magick {rgb} PNG24:{folder}/a.png\n"
PNG_ALPHA = "magick {rgba} PNG32:{folder}/a.png\n"
AVIFENC = "avifenc -s 9 -j 1 --min 0 --max 6 --minalpha 0 --maxalpha 0"
BLOCKS = ("blocks",)


def _png(colour_type: int, bits: int) -> str:
    return f" -define png:color-type={colour_type} -define png:bit-depth={bits} {{sample}}"


def _with_chunks(source: tuple[str, ...], **bodies: bytes) -> Callable[[Studio], None]:
    """An 8-bit PNG with chunks that name its colours, and no other; `source` ends with them."""
    start = "-channel G -separate +channel -profile {grey22}"
    start = start if source[0] == "grey" else "-profile {srgb}"
    through = " ".join(f"-profile {{{name}}}" for name in source[1:])

    def make(studio: Studio) -> None:
        commands = f"magick {{rgb}} {start} {through} -strip -depth 8"
        studio.run(commands + " -define png:exclude-chunks=all PNG:{sample}")
        data, header = studio.sample.read_bytes(), 33
        added = b"".join(chunk(name.encode(), body) for name, body in bodies.items())
        studio.sample.write_bytes(data[:header] + added + data[header:])

    return make


def _by_tifffile(channels: int, dtype: Any = np.uint8, **options: Any) -> Callable[[Studio], None]:
    def make(studio: Studio) -> None:
        array = studio.levels(channels, dtype)
        if options.get("planarconfig") == "separate":
            array = np.ascontiguousarray(array.transpose(2, 0, 1))
        elif channels == 1:
            array = array[..., 0]
        tifffile.imwrite(studio.sample, array, metadata=None, **options)

    return make


def _by_pillow(mode: str, **options: Any) -> Callable[[Studio], None]:
    def make(studio: Studio) -> None:
        array = studio.levels(len(mode))
        image = Image.fromarray(array[..., 0] if len(mode) == 1 else array)
        image.save(studio.sample, **options)

    return make


def _clear_bits(studio: Studio) -> None:
    bits = np.packbits(studio.levels(1)[..., 0] > 127, axis=1)
    width = studio.picture.shape[1]
    clear = chunk(b"tRNS", b"\0\1")
    data = png(bits[..., np.newaxis], bits=1, colour_type=0, width=width, extra=clear)
    studio.sample.write_bytes(data)


PNG_KINDS = {
    "png grey 1 bit": Kind(
        make=GREY + " -threshold 50%" + _png(0, 1),
        found={"PNG:ColorType": "Grayscale", "PNG:BitDepth": 1},
        mode="L",
        pictures=BLOCKS,
    ),
    "png grey 2 bit": Kind(
        make=GREY + " -posterize 4" + _png(0, 2),
        found={"PNG:ColorType": "Grayscale", "PNG:BitDepth": 2},
        mode="L",
        pictures=BLOCKS,
    ),
    "png grey 4 bit": Kind(
        make=GREY + " -posterize 16" + _png(0, 4),
        found={"PNG:ColorType": "Grayscale", "PNG:BitDepth": 4},
        mode="L",
        pictures=BLOCKS,
    ),
    "png grey 8 bit": Kind(
        make=GREY + _png(0, 8), found={"PNG:ColorType": "Grayscale", "PNG:BitDepth": 8}, mode="L"
    ),
    "png grey 16 bit": Kind(
        make=GREY + _png(0, 16),
        found={"PNG:ColorType": "Grayscale", "PNG:BitDepth": 16},
        mode="L",
        bits=16,
    ),
    "png grey with a clear level": Kind(
        make=_by_pillow("L", transparency=0),
        found={"PNG:ColorType": "Grayscale", "PNG:Transparency": 0},
        mode="LA",
        pictures=BLOCKS,
    ),
    "png grey and alpha 8 bit": Kind(
        make=TO_GREY + _png(4, 8),
        found={"PNG:ColorType": "Grayscale with Alpha", "PNG:BitDepth": 8},
        mode="LA",
    ),
    "png grey and alpha 16 bit": Kind(
        make=TO_GREY + _png(4, 16),
        found={"PNG:ColorType": "Grayscale with Alpha", "PNG:BitDepth": 16},
        mode="LA",
        bits=16,
    ),
    "png palette 1 bit": Kind(
        make="magick {rgb} -colors 2" + _png(3, 1),
        found={"PNG:ColorType": "Palette", "PNG:BitDepth": 1},
        pictures=BLOCKS,
    ),
    "png palette 4 bit": Kind(
        make="magick {rgb}" + _png(3, 4),
        found={"PNG:ColorType": "Palette", "PNG:BitDepth": 4},
        pictures=BLOCKS,
    ),
    "png palette 8 bit": Kind(
        make=FEW_COLOURS + " PNG8:{sample}",
        found={"PNG:ColorType": "Palette", "PNG:BitDepth": 8},
    ),
    "png palette with clear colours": Kind(
        make="magick {rgba} +dither -colors 250 PNG8:{sample}",
        found={"PNG:ColorType": "Palette"},
        holds=b"tRNS",
        mode="RGBA",
        pictures=BLOCKS,
    ),
    "png rgb 8 bit": Kind(
        make="magick {rgb} PNG24:{sample}", found={"PNG:ColorType": "RGB", "PNG:BitDepth": 8}
    ),
    "png rgb 16 bit": Kind(
        make="magick {rgb} PNG48:{sample}",
        found={"PNG:ColorType": "RGB", "PNG:BitDepth": 16},
        bits=16,
    ),
    "png rgb by ffmpeg": Kind(
        make="ffmpeg -v error -i {rgb} -pix_fmt rgb48be {sample}",
        found={"PNG:ColorType": "RGB", "PNG:BitDepth": 16},
        bits=16,
    ),
    "png rgb with a clear colour": Kind(
        make="magick {rgba} -channel A -threshold 50% +channel" + _png(2, 8),
        found={"PNG:ColorType": "RGB", "PNG:Transparency": "0 0 0"},
        mode="RGBA",
        pictures=BLOCKS,
    ),
    "png rgba 8 bit": Kind(
        make="magick {rgba} PNG32:{sample}",
        found={"PNG:ColorType": "RGB with Alpha", "PNG:BitDepth": 8},
        mode="RGBA",
    ),
    "png rgba 16 bit": Kind(
        make="magick {rgba} PNG64:{sample}",
        found={"PNG:ColorType": "RGB with Alpha", "PNG:BitDepth": 16},
        mode="RGBA",
        bits=16,
    ),
    "png interlaced": Kind(
        make="magick {rgb} -interlace PNG PNG24:{sample}",
        found={"PNG:Interlace": "Adam7 Interlace"},
    ),
    "png interlaced rgba 16 bit": Kind(
        make="magick {rgba} -interlace PNG PNG64:{sample}",
        found={"PNG:Interlace": "Adam7 Interlace", "PNG:BitDepth": 16},
        mode="RGBA",
        bits=16,
    ),
    "png display p3": Kind(
        make="magick {rgb} -profile {srgb} -profile {p3} PNG24:{sample}",
        found={"PNG:BitDepth": 8},
        icc="p3",
    ),
    "png prophoto 16 bit": Kind(
        make="magick {rgb} -profile {srgb} -profile {prophoto} PNG48:{sample}",
        found={"PNG:BitDepth": 16},
        bits=16,
        icc="prophoto",
        tolerance=4,  # a level of ProPhoto is up to two of sRGB
    ),
    "png adobe rgb with alpha": Kind(
        make="magick {rgba} -profile {srgb} -profile {adobe} PNG32:{sample}",
        found={"PNG:ColorType": "RGB with Alpha"},
        mode="RGBA",
        icc="adobe",
        tolerance=3,  # a level of Adobe RGB is up to one and a half of sRGB
    ),
    "png grey with gamma 2.2 profile": Kind(
        make=GREY + " -profile {grey22}" + _png(0, 8),
        found={"PNG:ColorType": "Grayscale"},
        mode="L",
        icc="grey22",
    ),
    "png grey 16 bit with gamma 1.8 profile": Kind(
        make=GREY + " -profile {grey18}" + _png(0, 16),
        found={"PNG:ColorType": "Grayscale", "PNG:BitDepth": 16},
        mode="L",
        bits=16,
        icc="grey18",
    ),
    "png display p3 by codes": Kind(
        make=_with_chunks(("rgb", "p3"), cICP=b"\x0c\x0d\0\1"), holds=b"cICP", meant="p3"
    ),
    "png sRGB by codes, against its profile": Kind(
        make=_with_chunks(("rgb",), cICP=b"\x01\x0d\0\1", iCCP=b"p\0\0" + zlib.compress(profile())),
        holds=b"cICP",
        meant="srgb",
    ),
    "png by gamma": Kind(
        make=_with_chunks(("rgb", "gamma18"), gAMA=struct.pack(">I", round(100000 / 1.8))),
        found={"PNG:Gamma": 1.8},
        meant="gamma18",
    ),
    "png grey by gamma": Kind(
        make=_with_chunks(("grey", "grey18"), gAMA=struct.pack(">I", round(100000 / 1.8))),
        found={"PNG:Gamma": 1.8, "PNG:ColorType": "Grayscale"},
        mode="L",
        meant="grey18",
    ),
    "png by gamma and primaries": Kind(
        make=_with_chunks(
            ("rgb", "adobe"),
            gAMA=struct.pack(">I", round(256e5 / 563)),
            cHRM=struct.pack(">8I", 31270, 32900, 64000, 33000, 21000, 71000, 15000, 6000),
        ),
        found={"PNG:RedX": 0.64, "PNG:GreenX": 0.21},
        meant="adobe",
        tolerance=3,  # a level of Adobe RGB is up to one and a half of sRGB
    ),
    "png sRGB by gamma and primaries": Kind(
        make="magick {rgb} -define png:include-chunk=gAMA,cHRM PNG24:{sample}",
        found={"PNG:Gamma": 2.2, "PNG:RedX": 0.64},
        holds=b"gAMA",
    ),
}

JPEG_KINDS = {
    "jpeg 4:2:0": Kind(
        make=PPM + "cjpeg -quality 99 -outfile {sample} {folder}/a.ppm",
        found={
            "File:EncodingProcess": "Baseline DCT, Huffman coding",
            "File:YCbCrSubSampling": "YCbCr4:2:0 (2 2)",
        },
    ),
    "jpeg 4:2:2": Kind(
        make=PPM + "cjpeg -quality 99 -sample 2x1 -outfile {sample} {folder}/a.ppm",
        found={"File:YCbCrSubSampling": "YCbCr4:2:2 (2 1)"},
    ),
    "jpeg 4:4:4": Kind(
        make=PPM + "cjpeg -quality 99 -sample 1x1 -outfile {sample} {folder}/a.ppm",
        found={"File:YCbCrSubSampling": "YCbCr4:4:4 (1 1)"},
    ),
    "jpeg progressive": Kind(
        make=PPM + "cjpeg -quality 99 -progressive -outfile {sample} {folder}/a.ppm",
        found={"File:EncodingProcess": "Progressive DCT, Huffman coding"},
    ),
    "jpeg arithmetic": Kind(
        make=PPM + "cjpeg -quality 99 -arithmetic -outfile {sample} {folder}/a.ppm",
        found={"File:EncodingProcess": "Extended sequential DCT, arithmetic coding"},
    ),
    "jpeg with restart markers": Kind(
        make=PPM + "cjpeg -quality 99 -restart 1 -outfile {sample} {folder}/a.ppm",
        holds=b"\xff\xdd\x00\x04",
    ),
    "jpeg of rgb": Kind(
        make=PPM + "cjpeg -quality 99 -rgb -outfile {sample} {folder}/a.ppm",
        found={"Adobe:ColorTransform": "Unknown (RGB or CMYK)", "File:ColorComponents": 3},
    ),
    "jpeg grey": Kind(
        make=PPM + "cjpeg -quality 99 -grayscale -outfile {sample} {folder}/a.ppm",
        found={"File:ColorComponents": 1},
        mode="L",
    ),
    "jpeg grey with gamma 2.2 profile": Kind(
        make=GREY + " -profile {grey22} -quality 99 {sample}",
        found={"File:ColorComponents": 1},
        mode="L",
        icc="grey22",
    ),
    "jpeg display p3": Kind(
        make="magick {rgb} -profile {srgb} -profile {p3} -quality 99 {sample}", icc="p3"
    ),
    "jpeg adobe rgb": Kind(
        make="magick {rgb} -profile {srgb} -profile {adobe} -quality 99 {sample}",
        icc="adobe",
        tolerance=3,  # a level of Adobe RGB is up to one and a half of sRGB
    ),
    "jpeg by ffmpeg": Kind(
        make="ffmpeg -v error -i {rgb} -pix_fmt yuvj444p -q:v 1 {sample}",
        found={"File:YCbCrSubSampling": "YCbCr4:4:4 (1 1)"},
    ),
    "jpeg ycck with profile": Kind(
        make="magick {rgb} -profile {srgb} -profile {cmyk} -quality 99 {sample}",
        found={"File:ColorComponents": 4, "Adobe:ColorTransform": "YCCK"},
        icc="cmyk",
        tolerance=3,  # two conversions that round
    ),
    "jpeg ycck without profile": Kind(
        make="magick {rgb} -profile {srgb} -profile {vips_cmyk} -strip -quality 99 {sample}",
        found={"File:ColorComponents": 4, "Adobe:ColorTransform": "YCCK"},
        meant="vips_cmyk",
        tolerance=3,  # two conversions that round
    ),
    "jpeg cmyk with profile": Kind(
        make=lambda studio: _cmyk_by_pillow(studio, "cmyk", keep=True),
        found={"File:ColorComponents": 4, "Adobe:ColorTransform": "Unknown (RGB or CMYK)"},
        icc="cmyk",
        tolerance=3,  # two conversions that round
    ),
    "jpeg cmyk without profile": Kind(
        make=lambda studio: _cmyk_by_pillow(studio, "vips_cmyk", keep=False),
        found={"File:ColorComponents": 4, "Adobe:ColorTransform": "Unknown (RGB or CMYK)"},
        meant="vips_cmyk",
        tolerance=3,  # two conversions that round
    ),
}


def _cmyk_by_pillow(studio: Studio, name: str, *, keep: bool) -> None:
    """Inks as Adobe has them, inverted, which Pillow writes too."""
    icc = icc_file(studio.folder, name).read_bytes()
    image = ImageCms.profileToProfile(
        Image.fromarray(studio.levels(3)),
        ImageCms.createProfile("sRGB"),
        io.BytesIO(icc),
        outputMode="CMYK",
    )
    image.save(studio.sample, quality=99, subsampling=0, icc_profile=icc if keep else None)


TURNED = (
    "Horizontal (normal)",
    "Mirror horizontal",
    "Rotate 180",
    "Mirror vertical",
    "Mirror horizontal and rotate 270 CW",
    "Rotate 90 CW",
    "Mirror horizontal and rotate 90 CW",
    "Rotate 270 CW",
)
JPEG_KINDS |= {
    f"jpeg orientation {n}": Kind(
        make="magick {rgb} -quality 99 {sample}\n"
        f"exiftool -overwrite_original -n -Orientation={n} {{sample}}",
        found={"IFD0:Orientation": words},
        pictures=("smooth",),
    )
    for n, words in enumerate(TURNED, 1)
}

TIFF_KINDS = {
    "tiff strips": Kind(
        make="magick {rgb} -depth 8 -define tiff:rows-per-strip=8 -compress none {sample}",
        found={"IFD0:Compression": "Uncompressed", "IFD0:RowsPerStrip": 8},
    ),
    "tiff lzw 16 bit": Kind(
        make="magick {rgb} -depth 16 -compress lzw {sample}",
        found={"IFD0:Compression": "LZW", "IFD0:BitsPerSample": "16 16 16"},
        bits=16,
    ),
    "tiff deflate": Kind(
        make="magick {rgb} -depth 8 -compress zip {sample}",
        found={
            "IFD0:Compression": "Adobe Deflate",
            "IFD0:Predictor": "Horizontal differencing",
        },
    ),
    "tiff packbits": Kind(
        make="magick {rgb} -depth 8 -compress rle {sample}",
        found={"IFD0:Compression": "PackBits"},
    ),
    "tiff jpeg": Kind(
        make="magick {rgb} -depth 8 -quality 99 -compress jpeg {sample}",
        found={"IFD0:Compression": "JPEG", "IFD0:PhotometricInterpretation": "RGB"},
    ),
    "tiff jpeg ycbcr": Kind(
        make="magick {rgb} -depth 8 -quality 99 -colorspace YCbCr -compress jpeg {sample}",
        found={"IFD0:Compression": "JPEG", "IFD0:PhotometricInterpretation": "YCbCr"},
    ),
    "tiff tiles": Kind(
        make="magick {rgb} -depth 8 -define tiff:tile-geometry=16x16 {sample}",
        found={"IFD0:TileWidth": 16},
    ),
    "tiff planes 16 bit": Kind(
        make="magick {rgb} -interlace plane {sample}",
        found={"IFD0:PlanarConfiguration": "Planar", "IFD0:BitsPerSample": "16 16 16"},
        bits=16,
    ),
    "tiff big-endian 16 bit": Kind(
        make=_by_tifffile(3, np.uint16, photometric="rgb", byteorder=">"),
        found={"File:ExifByteOrder": "Big-endian (Motorola, MM)", "IFD0:SamplesPerPixel": 3},
        bits=16,
    ),
    "tiff big": Kind(
        make="magick {rgb} -depth 8 TIFF64:{sample}",
        found={"File:FileType": "BTF"},
    ),
    "tiff big, big-endian, 16 bit, tiles": Kind(
        make=_by_tifffile(
            3, np.uint16, photometric="rgb", byteorder=">", bigtiff=True, tile=(16, 32)
        ),
        found={"File:FileType": "BTF", "IFD0:TileWidth": 32},
        bits=16,
    ),
    "tiff grey, white is zero": Kind(
        make=_by_tifffile(1, photometric="miniswhite"),
        found={"IFD0:PhotometricInterpretation": "WhiteIsZero", "IFD0:BitsPerSample": 8},
        mode="L",
    ),
    "tiff grey 16 bit": Kind(
        make=GREY + " -depth 16 -compress zip {sample}",
        found={"IFD0:PhotometricInterpretation": "BlackIsZero", "IFD0:BitsPerSample": 16},
        mode="L",
        bits=16,
    ),
    "tiff grey 16 bit, white is zero": Kind(
        make=_by_tifffile(1, np.uint16, photometric="miniswhite"),
        found={"IFD0:PhotometricInterpretation": "WhiteIsZero", "IFD0:BitsPerSample": 16},
        mode="L",
        bits=16,
    ),
    "tiff grey and alpha": Kind(
        make=TO_GREY + " -depth 8 {sample}",
        found={"IFD0:SamplesPerPixel": 2, "IFD0:ExtraSamples": "Unassociated Alpha"},
        mode="LA",
    ),
    "tiff 1 bit": Kind(
        make=GREY + " -threshold 50% -type bilevel -depth 1 -compress none {sample}",
        found={"IFD0:Compression": "Uncompressed", "IFD0:BitsPerSample": 1},
        mode="L",
        pictures=BLOCKS,
    ),
    "tiff group 4": Kind(
        make=GREY + " -threshold 50% -type bilevel -compress group4 {sample}",
        found={"IFD0:Compression": "T6/Group 4 Fax"},
        mode="L",
        pictures=BLOCKS,
    ),
    "tiff palette": Kind(
        make=FEW_COLOURS + " -type palette -compress none {sample}",
        found={"IFD0:PhotometricInterpretation": "RGB Palette"},
    ),
    "tiff alpha": Kind(
        make="magick {rgba} -depth 8 -define tiff:alpha=unassociated {sample}",
        found={"IFD0:ExtraSamples": "Unassociated Alpha", "IFD0:BitsPerSample": "8 8 8 8"},
        mode="RGBA",
    ),
    "tiff alpha 16 bit": Kind(
        make="magick {rgba} -define tiff:alpha=unassociated {sample}",
        found={"IFD0:ExtraSamples": "Unassociated Alpha", "IFD0:BitsPerSample": "16 16 16 16"},
        mode="RGBA",
        bits=16,
    ),
    "tiff premultiplied alpha": Kind(
        make="magick {rgba} -depth 8 -define tiff:alpha=associated {sample}",
        found={"IFD0:ExtraSamples": "Associated Alpha", "IFD0:BitsPerSample": "8 8 8 8"},
        mode="RGBA",
    ),
    "tiff premultiplied alpha 16 bit": Kind(
        make="magick {rgba} -define tiff:alpha=associated {sample}",
        found={"IFD0:ExtraSamples": "Associated Alpha", "IFD0:BitsPerSample": "16 16 16 16"},
        mode="RGBA",
        bits=16,
    ),
    "tiff adobe rgb 16 bit": Kind(
        make="magick {rgb} -profile {srgb} -profile {adobe} {sample}",
        found={"IFD0:BitsPerSample": "16 16 16"},
        bits=16,
        icc="adobe",
        tolerance=3,  # a level of Adobe RGB is up to one and a half of sRGB
    ),
    "tiff prophoto 16 bit": Kind(
        make="magick {rgb} -profile {srgb} -profile {prophoto} {sample}",
        found={"IFD0:BitsPerSample": "16 16 16"},
        bits=16,
        icc="prophoto",
        tolerance=4,  # a level of ProPhoto is up to two of sRGB
    ),
    "tiff cmyk": Kind(
        make="magick {rgb} -profile {srgb} -profile {cmyk} -depth 8 {sample}",
        found={"IFD0:PhotometricInterpretation": "CMYK", "IFD0:BitsPerSample": "8 8 8 8"},
        icc="cmyk",
        tolerance=3,  # two conversions that round
    ),
    "tiff cmyk 16 bit": Kind(
        make="magick {rgb} -profile {srgb} -profile {cmyk} -depth 16 {sample}",
        found={"IFD0:PhotometricInterpretation": "CMYK", "IFD0:BitsPerSample": "16 16 16 16"},
        bits=16,
        icc="cmyk",
        tolerance=3,  # two conversions that round
    ),
    "tiff orientation 6": Kind(
        make="magick {rgb} -depth 8 {sample}\n"
        "exiftool -overwrite_original -n -Orientation=6 {sample}",
        found={"IFD0:Orientation": "Rotate 90 CW"},
    ),
}

WEBP_KINDS = {
    "webp lossy": Kind(make=PNG + "cwebp -quiet -q 99 {folder}/a.png -o {sample}", holds=b"VP8 "),
    "webp lossless": Kind(
        make=PNG + "cwebp -quiet -lossless {folder}/a.png -o {sample}", holds=b"VP8L"
    ),
    "webp lossy alpha": Kind(
        make=PNG_ALPHA + "cwebp -quiet -q 99 {folder}/a.png -o {sample}",
        holds=b"ALPH",
        mode="RGBA",
    ),
    "webp lossless alpha": Kind(
        make=PNG_ALPHA + "cwebp -quiet -lossless -exact {folder}/a.png -o {sample}",
        holds=b"VP8L",
        mode="RGBA",
    ),
    "webp display p3": Kind(
        make="magick {rgb} -profile {srgb} -profile {p3} PNG24:{folder}/a.png\n"
        "cwebp -quiet -q 99 -metadata all {folder}/a.png -o {sample}",
        holds=b"ICCP",
        icc="p3",
    ),
    "webp orientation 8": Kind(
        make=PNG + "cwebp -quiet -lossless {folder}/a.png -o {sample}\n"
        "exiftool -overwrite_original -n -Orientation=8 {sample}",
        found={"IFD0:Orientation": "Rotate 270 CW"},
        turned=270,
    ),
}

AVIF_KINDS = {
    f"avif {bits} bit {layout}": Kind(
        make=f"magick {{rgb}} PNG48:{{folder}}/a.png\n{AVIFENC} -d {bits} "
        f"-y {layout.replace(':', '')} {{folder}}/a.png {{sample}}",
        found={
            "QuickTime:ImagePixelDepth": " ".join([str(bits)] * 3),
            "QuickTime:ChromaFormat": f"YUV {layout}",
        },
        bits=8 if bits == 8 else 12,
        tolerance=6 if layout == "4:2:0" else 2,  # libheif repeats colours, libavif interpolates
    )
    for bits, layout in ((8, "4:2:0"), (8, "4:4:4"), (10, "4:2:0"), (10, "4:4:4"), (12, "4:2:0"))
} | {
    "avif 12 bit 4:4:4": Kind(
        make="magick {rgb} PNG48:{folder}/a.png\n"
        + AVIFENC
        + " -d 12 -y 444 {folder}/a.png {sample}",
        found={"QuickTime:ImagePixelDepth": "12 12 12"},
        bits=12,
    ),
    "avif lossless": Kind(
        make=PNG + "avifenc -s 9 -j 1 --lossless {folder}/a.png {sample}",
        found={"QuickTime:MatrixCoefficients": "Identity matrix"},
    ),
    "avif of limited range": Kind(
        make=PNG + AVIFENC + " -r limited {folder}/a.png {sample}",
        found={"QuickTime:ChromaFormat": "YUV 4:4:4"},
        tolerance=3,  # two decoders that round
    ),
    "avif monochrome": Kind(
        make=PNG + AVIFENC + " -y 400 {folder}/a.png {sample}",
        found={"QuickTime:ChromaFormat": "Monochrome 4:0:0"},
        mode="RGB",
    ),
    "avif alpha": Kind(
        make=PNG_ALPHA + AVIFENC + " {folder}/a.png {sample}",
        holds=b"auxiliary:alpha",
        mode="RGBA",
    ),
    "avif premultiplied alpha": Kind(
        make=PNG_ALPHA + AVIFENC + " --premultiply {folder}/a.png {sample}",
        holds=b"prem",
        mode="RGBA",
        tolerance=4,  # 8 bits times alpha leave fewer
    ),
    "avif display p3": Kind(
        make="magick {rgb} -profile {srgb} -profile {p3} PNG24:{folder}/a.png\n"
        + AVIFENC
        + " {folder}/a.png {sample}",
        holds=b"colrprof",
        icc="p3",
        tolerance=3,  # two decoders that round
    ),
    "avif display p3 by codes": Kind(
        make="magick {rgb} -profile {srgb} -profile {p3} -strip PNG24:{folder}/a.png\n"
        + AVIFENC
        + " --cicp 12/13/6 {folder}/a.png {sample}",
        found={"QuickTime:ColorPrimaries": "SMPTE EG 432-1"},
        meant="p3",
        tolerance=3,  # two decoders that round
    ),
    "avif turned": Kind(
        make=PNG + AVIFENC + " --irot 1 {folder}/a.png {sample}",
        found={"QuickTime:Rotation": 90},
        turned=270,  # irot turns the other way round
    ),
    "avif by ffmpeg": Kind(
        make="ffmpeg -v error -i {rgb} -c:v libaom-av1 -still-picture 1 -crf 4 -cpu-used 8 "
        "-pix_fmt yuv444p {sample}",
        found={"QuickTime:HandlerDescription": "PictureHandler"},
        tolerance=3,  # two decoders that round
    ),
}

OTHER_KINDS = {
    "bmp 1 bit": Kind(
        make="magick {rgb} -threshold 50% -type bilevel BMP3:{sample}",
        found={"File:BitDepth": 1},
        mode="L",
        pictures=BLOCKS,
    ),
    "bmp 4 bit": Kind(
        make="magick {rgb} -colors 16 BMP3:{sample}", found={"File:BitDepth": 4}, pictures=BLOCKS
    ),
    "bmp 8 bit": Kind(
        make=FEW_COLOURS + " -compress none BMP3:{sample}",
        found={"File:BitDepth": 8, "File:Compression": "None"},
    ),
    "bmp run lengths": Kind(
        make=FEW_COLOURS + " -compress RLE BMP3:{sample}",
        found={"File:BitDepth": 8, "File:Compression": "8-Bit RLE"},
    ),
    "bmp 16 bit 5-5-5": Kind(
        make="ffmpeg -v error -i {rgb} -pix_fmt rgb555le {sample}",
        found={"File:BitDepth": 16, "File:Compression": "None"},
        tolerance=4,  # in steps of 8 levels, no picture is smooth
    ),
    "bmp 16 bit 5-6-5": Kind(
        make="ffmpeg -v error -i {rgb} -pix_fmt rgb565le {sample}",
        found={"File:BitDepth": 16, "File:Compression": "Bitfields"},
        tolerance=4,  # in steps of 8 levels, no picture is smooth
    ),
    "bmp 24 bit": Kind(make="magick {rgb} BMP3:{sample}", found={"File:BitDepth": 24}),
    "bmp 32 bit alpha": Kind(
        make="magick {rgba} -depth 8 BMP:{sample}",
        found={"File:BitDepth": 32, "File:AlphaMask": "0xff000000"},
        mode="RGBA",
    ),
    "pbm plain": Kind(
        make=GREY + " -threshold 50% -compress none PBM:{sample}",
        holds=b"P1\n",
        mode="L",
        pictures=BLOCKS,
    ),
    "pbm raw": Kind(
        make=GREY + " -threshold 50% PBM:{sample}", holds=b"P4\n", mode="L", pictures=BLOCKS
    ),
    "pgm plain 16 bit": Kind(
        make=GREY + " -compress none PGM:{sample}",
        found={"File:MaxVal": 65535},
        holds=b"P2\n",
        mode="L",
        bits=16,
    ),
    "pgm raw": Kind(make=GREY + " -depth 8 PGM:{sample}", holds=b"P5\n", mode="L"),
    "ppm plain": Kind(make="magick {rgb} -depth 8 -compress none PPM:{sample}", holds=b"P3\n"),
    "ppm raw": Kind(make=PPM + "magick {folder}/a.ppm PPM:{sample}", holds=b"P6\n"),
    "ppm raw 16 bit": Kind(
        make="magick {rgb} PPM:{sample}", found={"File:MaxVal": 65535}, holds=b"P6\n", bits=16
    ),
    "gif": Kind(make=FEW_COLOURS + " {sample}", found={"GIF:HasColorMap": "Yes"}),
    "gif interlaced": Kind(
        make=FEW_COLOURS + " -interlace GIF {sample}", found={"GIF:HasColorMap": "Yes"}
    ),
    "gif with a clear colour": Kind(
        make="magick {rgba} +dither -colors 250 {sample}",
        holds=b"\x21\xf9\x04\x01",
        mode="RGBA",
        pictures=BLOCKS,
    ),
}

REFUSED = {
    "tiff tiled planes": (
        Kind(
            make=_by_tifffile(3, planarconfig="separate", photometric="rgb", tile=(16, 16)),
            found={"IFD0:PlanarConfiguration": "Planar", "IFD0:TileWidth": 16},
        ),
        "each colour has tiles of its own",
    ),
    "tiff lab": (
        Kind(
            make="magick {rgb} -colorspace Lab -depth 8 {sample}",
            found={"IFD0:PhotometricInterpretation": "CIELab"},
        ),
        "the colours are Lab",
    ),
    "tiff float": (
        Kind(
            make=lambda studio: tifffile.imwrite(
                studio.sample, studio.picture.astype(np.float32), photometric="rgb"
            ),
            found={"IFD0:SampleFormat": "Float; Float; Float; Float"},
        ),
        "the values are of type float",
    ),
    "tiff 12 bit": (
        Kind(make=GREY + " -depth 12 {sample}", found={"IFD0:BitsPerSample": 12}),
        "this is a variant of TIFF that is not read",
    ),
    "tiff lzma": (
        Kind(
            make="magick {rgb} -depth 8 -compress lzma {sample}",
            found={"IFD0:Compression": "LZMA2"},
        ),
        "this is a variant of TIFF that is not read",
    ),
    "png hdr": (
        Kind(make=_with_chunks(("rgb",), cICP=b"\x09\x10\0\1"), holds=b"cICP"),
        r"this is an HDR picture \(PQ\)",
    ),
    "avif hdr": (
        Kind(
            make=PNG + AVIFENC + " --cicp 9/18/9 {folder}/a.png {sample}",
            found={"QuickTime:ColorPrimaries": "BT.2020, BT.2100"},
        ),
        r"this is an HDR picture \(HLG\)",
    ),
    "jpeg 2000": (
        Kind(make="magick {rgb} -depth 8 JP2:{sample}", holds=b"jP  "),
        "this is JPEG 2000",
    ),
    "heic": (
        Kind(make="magick {rgb} -depth 8 HEIC:{sample}", holds=b"ftypheic"),
        "this is HEIC",
    ),
}
"""Kinds that are not read, and what is said of them."""

RARE_KINDS = {
    "png grey 1 bit with a clear level": Kind(
        make=_clear_bits,
        found={"PNG:BitDepth": 1, "PNG:Transparency": 1},
        mode="LA",
        pictures=BLOCKS,
    ),
    "png grey and alpha by ffmpeg": Kind(
        make="ffmpeg -v error -i {rgba} -pix_fmt ya16be {sample}",
        found={"PNG:ColorType": "Grayscale with Alpha", "PNG:BitDepth": 16},
        mode="LA",
        bits=16,
    ),
    "jpeg 4:1:1": Kind(
        make=PPM + "cjpeg -quality 99 -sample 4x1 -outfile {sample} {folder}/a.ppm",
        found={"File:YCbCrSubSampling": "YCbCr4:1:1 (4 1)"},
    ),
    "jpeg 4:4:0": Kind(
        make=PPM + "cjpeg -quality 99 -sample 1x2 -outfile {sample} {folder}/a.ppm",
        found={"File:YCbCrSubSampling": "YCbCr4:4:0 (1 2)"},
    ),
    "tiff grey 4 bit": Kind(
        make=GREY + " -depth 4 {sample}",
        found={"IFD0:BitsPerSample": 4},
        mode="L",
        pictures=BLOCKS,
    ),
    "tiff palette 2 bit": Kind(
        make="magick {rgb} -colors 8 -type palette -depth 4 {sample}",
        found={"IFD0:PhotometricInterpretation": "RGB Palette", "IFD0:BitsPerSample": 2},
        pictures=BLOCKS,
    ),
    "tiff group 3": Kind(
        make=GREY + " -threshold 50% -type bilevel -depth 1 -compress fax {sample}",
        found={"IFD0:Compression": "T4/Group 3 Fax"},
        mode="L",
        pictures=BLOCKS,
    ),
    "tiff ycbcr": Kind(
        make="magick {rgb} -depth 8 -colorspace YCbCr -compress none {sample}",
        found={
            "IFD0:Compression": "Uncompressed",
            "IFD0:PhotometricInterpretation": "YCbCr",
        },
    ),
    "tiff webp": Kind(
        make="magick {rgb} -depth 8 -quality 99 -compress webp {sample}",
        holds=b"WEBPVP8 ",
    ),
    "tiff planes with alpha": Kind(
        make="magick {rgba} -depth 8 -interlace plane {sample}",
        found={"IFD0:PlanarConfiguration": "Planar", "IFD0:SamplesPerPixel": 4},
        mode="RGBA",
    ),
    "tiff grey, premultiplied alpha": Kind(
        make=_by_tifffile(2, extrasamples=["assocalpha"], photometric="minisblack"),
        found={"IFD0:SamplesPerPixel": 2, "IFD0:ExtraSamples": "Associated Alpha"},
        mode="LA",
    ),
    "avif grid": Kind(
        make="magick {rgb} -resize 256x128! PNG24:{folder}/a.png\n"
        "magick {folder}/a.png -crop 128x128 +repage PNG24:{folder}/%d.png\n"
        + AVIFENC
        + " --grid 2x1 {folder}/0.png {folder}/1.png {sample}",
        holds=b"grid",
    ),
    "avif 10 bit alpha": Kind(
        make=f"magick {{rgba}} PNG64:{{folder}}/a.png\n{AVIFENC} -d 10 {{folder}}/a.png {{sample}}",
        holds=b"auxiliary:alpha",
        mode="RGBA",
        bits=12,
    ),
    "avif monochrome 10 bit": Kind(
        make=f"magick {{rgb}} PNG48:{{folder}}/a.png\n"
        f"{AVIFENC} -d 10 -y 400 {{folder}}/a.png {{sample}}",
        found={"QuickTime:ChromaFormat": "Monochrome 4:0:0"},
        bits=12,
    ),
    "bmp of os/2": Kind(make="magick {rgb} BMP2:{sample}", found={"File:BMPVersion": "OS/2 V1"}),
    "bmp grey": Kind(make=GREY + " -type palette BMP3:{sample}", mode="L"),
}
RARE_KINDS = {name: replace(each, pictures=each.pictures[:1]) for name, each in RARE_KINDS.items()}

KINDS = PNG_KINDS | JPEG_KINDS | TIFF_KINDS | WEBP_KINDS | AVIF_KINDS | OTHER_KINDS | RARE_KINDS


def sample_of(name: str, picture: str, folder: Path) -> Path:
    """Make the sample of a kind, and hold it to be of that kind."""
    kind = KINDS[name] if name in KINDS else REFUSED[name][0]
    studio = Studio(folder, folder / f"sample.{name.split()[0]}", PICTURES[picture]())
    if callable(kind.make):
        kind.make(studio)
    else:
        studio.run(kind.make)
    said = tags(studio.sample)
    assert {tag: said.get(tag) for tag in kind.found} == kind.found
    assert kind.holds in studio.sample.read_bytes()
    return studio.sample
