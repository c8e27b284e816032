"""Every picture survives: kinds of files that other programs wrote, upscaled by the command.

Other programs judge the outputs too: Pillow and ImageMagick open them, exiftool reads what they
say, and ImageMagick decodes the colours of inputs and outputs through their profiles.
"""

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
import pyvips
from PIL import Image, ImageCms

from facts import refusal
from kinds import KINDS, REFUSED, sample_of
from others import exiftool, icc_file, magick, program, tags
from studio import Kind
from widesr.cli import run

CASES = [(name, picture) for name, kind in KINDS.items() for picture in kind.pictures]


LOSSY = {".jpeg": 6, ".webp": 8, ".avif": 7}
"""Levels of 8 bits that a smooth picture may be off when it is written at the usual quality; the
last bits of bf16 differ from CPU to CPU, which moves the encoder's choices by half a level."""


def upscaled(sample: Path, *, suffix: str = "") -> Path:
    """The output of `widesr upscale` for a sample, in its own format if that is written."""
    own = sample.suffix if sample.suffix in {*LOSSY, ".tiff"} else ".png"
    out = sample.with_name(f"out{suffix or own}")
    assert run(["upscale", str(sample), "-o", str(out), "-s", "2"]) == 0
    return out


def shown(path: Path, folder: Path, kind: Kind | None = None) -> np.ndarray:
    """The colours that others show, through the profile and upright: sRGB, (H, W, 4), 0..255."""
    arguments = ["-auto-orient"]
    if kind and kind.found.get("IFD0:PhotometricInterpretation") == "YCbCr":
        arguments += ["-colorspace", "sRGB"]  # ImageMagick would give Y, Cb and Cr for R, G and B
    if path.suffix == ".avif":  # ImageMagick 6 halves the resolution of its colours
        path = decoded_avif(path, folder)
    if kind and kind.turned:
        arguments += ["-rotate", str(kind.turned)]
    if kind and is_cmyk(kind):  # ImageMagick's is coarse
        path = decoded_cmyk(path, icc_file(folder, kind.icc or kind.meant))
    elif kind and kind.meant:
        arguments += ["+profile", "icc", "-profile", str(icc_file(folder, kind.meant))]
    arguments += ["-intent", "relative", "-profile", str(icc_file(folder, "srgb"))]
    header, _, body = magick(path, *arguments, "-depth", "16", "pam:-").partition(b"ENDHDR\n")
    width, height, depth, top = (
        int(re.search(rb"%s (\d+)" % name, header)[1])
        for name in (b"WIDTH", b"HEIGHT", b"DEPTH", b"MAXVAL")
    )
    assert top == 65535
    array = np.frombuffer(body, ">u2").reshape(height, width, depth) / 257
    alpha = array[..., -1:] if depth in (2, 4) else np.full((height, width, 1), 255.0)
    colours = array[..., : 1 if depth < 3 else 3]
    return np.dstack([np.broadcast_to(colours, (height, width, 3)), alpha])


def decoded_avif(path: Path, folder: Path) -> Path:
    """Decode by libavif."""
    out = folder / "decoded.png"
    command = [program("avifdec"), "-j", "1", str(path), str(out)]
    subprocess.run(command, check=True, capture_output=True, timeout=250)
    return out


def decoded_cmyk(path: Path, icc: Path) -> Path:
    """Convert by LittleCMS as Pillow has it."""
    if path.suffix == ".tiff":
        inks = path.with_name("inks.tif")  # Pillow reads no CMYK of 16 bits
        magick(path, "-depth", "8", "-compress", "none", inks)
        path = inks
    with Image.open(path) as image:
        assert image.mode == "CMYK"
        colours = ImageCms.profileToProfile(
            image,
            str(icc),
            ImageCms.createProfile("sRGB"),
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            outputMode="RGB",
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    colours.info.clear()
    out = path.with_name("decoded.png")
    colours.save(out)
    return out


def over(picture: np.ndarray, ground: int) -> np.ndarray:
    """A picture laid over black or white."""
    alpha = picture[..., 3:] / 255
    return picture[..., :3] * alpha + ground * (1 - alpha)


def halved(picture: np.ndarray) -> np.ndarray:
    """A picture shrunk to half by Pillow's bicubic interpolation, which is antialiased."""
    size = (picture.shape[1] // 2, picture.shape[0] // 2)
    planes = [Image.fromarray(plane.astype(np.float32)) for plane in np.moveaxis(picture, 2, 0)]
    shrunk = [plane.resize(size, Image.Resampling.BICUBIC) for plane in planes]
    return np.stack([np.asarray(plane) for plane in shrunk], axis=2)


def flat(picture: np.ndarray) -> np.ndarray:
    """Mark the pixels that have no other colour within four pixels."""
    padded = np.pad(picture, ((4, 4), (4, 4), (0, 0)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (9, 9), axis=(0, 1))
    return np.ptp(windows, axis=(3, 4)).max(axis=2) == 0


def check_colours(before: np.ndarray, after: np.ndarray, picture: str, tolerance: float) -> None:
    for ground in (0, 255):
        small, large = over(before, ground), over(after, ground)
        error = np.abs(halved(large) - small)
        if picture == "blocks":
            error = error[flat(small)]
            assert error.size > 300
        if picture == "photograph":
            assert error.mean() <= 1
        else:
            assert error.max() <= tolerance


def depth_of(said: dict) -> int:
    names = (
        "PNG:BitDepth",
        "IFD0:BitsPerSample",
        "QuickTime:ImagePixelDepth",
        "File:BitsPerSample",
    )
    found = [said[name] for name in names if name in said]
    return int(str(found[0]).split()[0]) if found else 8  # WebP has no other


def check_file(out: Path, kind: Kind, *, size: tuple[int, int], folder: Path) -> None:
    """Hold that the output opens elsewhere, in the right mode, depth, size and profile."""
    said = tags(out)
    with Image.open(out) as image:
        image.load()
        mode = {"I;16": "L", "I;16B": "L"}.get(image.mode, image.mode)
        assert mode == ("RGBA" if (kind.mode, kind.bits) == ("LA", 16) else kind.mode)
        assert image.size == size
        check_profile(image.info.get("icc_profile"), kind, folder)
    opened = magick(out, "-format", "%w %h %[channels]", "info:").decode().split()
    assert opened[:2] == [str(n) for n in size]
    if out.suffix in (".png", ".tiff"):
        channels = {"L": "gray", "LA": "graya", "RGB": "srgb", "RGBA": "srgba"}
        assert opened[2] == channels[kind.mode]
    assert depth_of(said) == kind.bits
    turned = {value for tag, value in said.items() if tag.endswith(":Orientation")}
    assert turned <= {"Horizontal (normal)"}


def check_profile(icc: bytes | None, kind: Kind, folder: Path) -> None:
    if is_cmyk(kind):
        assert icc == pyvips.Image.profile_load("srgb")
    elif kind.icc:
        assert icc == icc_file(folder, kind.icc).read_bytes()
    else:
        assert (icc is None) == (kind.meant in (None, "srgb"))


def is_cmyk(kind: Kind) -> bool:
    return "cmyk" in str((kind.icc, kind.meant))


@pytest.mark.parametrize(("name", "picture"), CASES)
def test_it_survives(tmp_path, name, picture):
    kind = KINDS[name]
    sample = sample_of(name, picture, tmp_path)
    out = upscaled(sample)
    before, after = shown(sample, tmp_path, kind), shown(out, tmp_path)
    height, width, _ = before.shape
    check_file(out, kind, size=(2 * width, 2 * height), folder=tmp_path)
    check_colours(before, after, picture, LOSSY.get(out.suffix, kind.tolerance))
    if picture == "smooth" and out.suffix in LOSSY:
        exact = shown(upscaled(sample, suffix=".png"), tmp_path)
        check_colours(before, exact, picture, kind.tolerance)


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_read_is_refused_in_one_line(tmp_path, capsys, name):
    sample = sample_of(name, "smooth", tmp_path)
    assert run(["upscale", str(sample), "-o", str(tmp_path / "out.png"), "-s", "2"]) == 1
    refusal(capsys.readouterr().err, "image-format", sample, *REFUSED[name][1])
    assert not (tmp_path / "out.png").exists()


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_a_dark_16_bit_png_stays_16_bit_and_dark(tmp_path, suffix):
    sample = tmp_path / "dark.png"
    magick("-size", "48x36", "gradient:", "-evaluate", "multiply", 200 / 65535, f"PNG48:{sample}")
    before = np.frombuffer(magick(sample, "-depth", "16", "rgb:-"), "=u2").reshape(36, 48, 3)
    assert before.max() == 200
    out = upscaled(sample, suffix=suffix)
    assert depth_of(tags(out)) == 16
    after = np.frombuffer(magick(out, "-depth", "16", "rgb:-"), "=u2").reshape(72, 96, 3)
    level = 257  # of 8 bits, which is what the network is exact to
    assert 200 - level < after.max() <= 200 + level
    assert len(np.unique(after)) > 100
    assert np.abs(halved(after.astype(float)) - before).max() <= level


def test_the_checks_see_a_profile_that_is_lost(tmp_path):
    sample = sample_of("png display p3", "photograph", tmp_path)
    before = shown(sample, tmp_path)
    lost = tmp_path / "lost.png"
    magick(sample, "-strip", "-filter", "Triangle", "-resize", "200%", lost)
    with pytest.raises(AssertionError):
        check_colours(before, shown(lost, tmp_path), "photograph", 2)


SAID = {
    "EXIF:Artist": "A N Other",
    "EXIF:Copyright": "© nobody",
    "EXIF:ImageDescription": "Blossom in Évora",
    "EXIF:Make": "Maker",
    "EXIF:Model": "Model 1",
    "EXIF:DateTimeOriginal": "2024:01:02 03:04:05",
    "EXIF:ExposureTime": "1/250",
    "EXIF:FNumber": "2.8",
    "EXIF:ISO": "200",
    "EXIF:LensModel": "50mm",
    "EXIF:UserComment": "with a comment",
    "EXIF:GPSLatitude": "48.85",
    "EXIF:GPSLatitudeRef": "N",
    "EXIF:GPSLongitude": "2.35",
    "EXIF:GPSLongitudeRef": "E",
    "EXIF:Rating": "4",
    "XMP-dc:Title": "A title",
    "XMP-dc:Subject": "blossom",
    "XMP-xmp:Rating": "4",
    "XMP-photoshop:City": "Évora",
    "IPTC:Caption-Abstract": "A caption",
    "IPTC:Keywords": "blossom",
    "IPTC:By-line": "A N Other",
}
SIZES = ("ExifIFD:ExifImageWidth", "ExifIFD:ExifImageHeight")
DESCRIPTIVE = re.compile(r"(IFD0|ExifIFD|GPS|XMP-(dc|xmp|photoshop|exif|tiff)|IPTC):")
OF_THE_FILE = re.compile(  # of the TIFF file or the thumbnail, not of the photograph
    r".*:(ImageWidth|ImageHeight|BitsPerSample|Compression|Photometric.*|Strip.*|SamplesPerPixel"
    r"|RowsPerStrip|PlanarConfiguration|Predictor|SampleFormat|PageNumber|WhitePoint|FillOrder"
    r"|PrimaryChromaticities|YCbCrPositioning|Thumbnail.*|Orientation|NewSubfileType|SubfileType"
    r"|ExifVersion|FlashpixVersion|ComponentsConfiguration|ColorSpace|.*Resolution(Unit)?)"
)


@pytest.mark.parametrize(
    ("suffix", "iptc"),
    [(".jpeg", True), (".tiff", True), (".png", True), (".webp", False), (".avif", False)],
)
def test_all_that_exiftool_wrote_into_a_file_it_finds_in_the_output(tmp_path, suffix, iptc):
    sample = tmp_path / f"sample{suffix}"
    make_annotated(sample)
    before, after = tags(sample), tags(upscaled(sample))
    expected = described(before)
    if not iptc:  # there is no place for it
        expected = {name: value for name, value in expected.items() if "IPTC" not in name}
    assert len(expected) >= len(SAID) - (0 if iptc else 3)
    assert {name.split(":")[0] for name in expected} >= {"IFD0", "ExifIFD", "GPS", "XMP-dc"}
    size = (128, 96) if suffix == ".avif" else (96, 128)  # AVIF turns by irot, never by EXIF
    expected |= dict(zip(SIZES, size, strict=True))
    assert {name: after.get(name) for name in expected} == expected
    assert before["IFD0:Orientation"] == "Rotate 90 CW"
    assert after["IFD0:Orientation"] == "Horizontal (normal)"
    assert after.get("XMP-tiff:Orientation", "Horizontal (normal)") == "Horizontal (normal)"
    assert suffix == ".tiff" or any("Thumbnail" in name for name in before)
    assert not any("Thumbnail" in name for name in after)
    for axis in "XY":
        assert after[f"IFD0:{axis}Resolution"] == before[f"IFD0:{axis}Resolution"] == 240


def test_what_imagemagick_puts_behind_the_pixels_of_a_png_is_found(tmp_path):
    photograph, sample = tmp_path / "photograph.jpeg", tmp_path / "sample.png"
    make_annotated(photograph)
    magick(photograph, sample)
    data = sample.read_bytes()
    assert data.index(b"eXIf") > data.index(b"IDAT")
    before, after = tags(sample), tags(upscaled(sample))
    assert before["IFD0:Orientation"] == "Rotate 90 CW"
    assert after["IFD0:Orientation"] == "Horizontal (normal)"
    assert (after["PNG:ImageWidth"], after["PNG:ImageHeight"]) == (96, 128)
    for name in ("IFD0:Artist", "GPS:GPSLatitude", "IPTC:Keywords"):
        assert after[name] == before[name]


def make_annotated(sample: Path) -> None:
    """A picture, 64x48 and turned by 90 degrees, with all of `SAID` and a thumbnail."""
    plain, thumbnail = sample.with_name("plain.png"), sample.with_name("thumbnail.jpg")
    picture = ["-size", "64x48", "gradient:red-blue"]
    magick(*picture, "-resize", "16x12", thumbnail)
    if sample.suffix == ".avif":
        magick(*picture, f"PNG24:{plain}")
        command = [program("avifenc"), "-s", "9", str(plain), str(sample)]
        subprocess.run(command, check=True, capture_output=True, timeout=250)
    else:
        magick(*picture, "-depth", "8", "-density", "240", "-units", "PixelsPerInch", sample)
    said = [f"-{name}={value}" for name, value in SAID.items()]
    said += ["-EXIF:Orientation#=6", "-EXIF:ExifImageWidth=64", "-EXIF:ExifImageHeight=48"]
    said += ["-EXIF:XResolution=240", "-EXIF:YResolution=240", "-EXIF:ResolutionUnit=inches"]
    exiftool("-overwrite_original", "-m", *said, f"-ThumbnailImage<={thumbnail}", sample)


def described(said: dict) -> dict:
    """Select exiftool's tags that are about the photograph."""
    return {
        name: value
        for name, value in said.items()
        if DESCRIPTIVE.match(name) and not OF_THE_FILE.match(name) and name not in SIZES
    }
