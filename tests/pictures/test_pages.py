"""TIFF files of several pages keep each page, as other programs see them."""

from math import prod

import numpy as np
import pytest
import tifffile
from PIL import Image
from typer.testing import CliRunner

from facts import refusal, refused
from others import magick
from samples import profile, smooth
from widesr.batch.jobs import plan_jobs
from widesr.batch.many import upscale_many
from widesr.batch.settings import UpscaleSettings
from widesr.cli import app
from widesr.pictures.picture import Picture
from widesr.pictures.reading import read_header, read_picture
from widesr.pictures.several import holds_several, open_several
from widesr.upscaling.upscaler import Upscaler

PAGES = {
    "rgb": smooth(40, 56),
    "grey": smooth(30, 20, 1),
    "deep": smooth(25, 33, 3, np.uint16),
    "clear": smooth(20, 30, 4),
    "deep grey": smooth(31, 17, 1, np.uint16),
}


def tiff(path, pages, *, big=False, order="<", **options):
    with tifffile.TiffWriter(path, bigtiff=big, byteorder=order) as file:
        for pixels in pages:
            kind = "rgb" if pixels.shape[2] > 2 else "minisblack"
            extra = {"extrasamples": ["unassalpha"]} if pixels.shape[2] in (2, 4) else {}
            array = pixels[..., 0] if pixels.shape[2] == 1 else pixels
            file.write(array, photometric=kind, metadata=None, **extra, **options)
    return path


def upscaled(source, target, *, upscaler=None, on_progress=lambda *_: None, **options):
    (job,) = plan_jobs([source], name_end="_x2", output=target)
    upscaler = upscaler or Upscaler.load(scale=2)
    (outcome,) = upscale_many(
        [job], upscaler=upscaler, settings=UpscaleSettings(**options), on_progress=on_progress
    )
    if outcome.error:
        raise outcome.error
    return job.target


def alone(pixels, upscaler):
    n = 3 if pixels.shape[2] > 2 else 1
    alpha = pixels[..., -1].copy() if pixels.shape[2] > n else None
    made = upscaler.upscale_picture(Picture(pixels=pixels[..., :n].copy(), alpha=alpha))
    return made.pixels if alpha is None else np.dstack([made.pixels, made.alpha])


def decoded(path):
    """Read by tifffile, (H, W, C) each."""
    with tifffile.TiffFile(path) as file:
        return [page.asarray().reshape(*page.shape[:2], -1) for page in file.pages]


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("layout", [{}, {"tile": (16, 16)}, {"rowsperstrip": 3}])
def test_every_page_is_upscaled_as_that_picture_alone(tmp_path, big, order, layout):
    source = tiff(tmp_path / "a.tif", PAGES.values(), big=big, order=order, **layout)
    upscaler = Upscaler.load(scale=2, tile=16)
    pages = decoded(upscaled(source, tmp_path / "b.tif", upscaler=upscaler))
    assert len(pages) == len(PAGES)
    for made, pixels in zip(pages, PAGES.values(), strict=True):
        np.testing.assert_array_equal(made, alone(pixels, upscaler))
        assert made.dtype == pixels.dtype


def test_pages_by_any_size_keep_their_own_aspect(tmp_path):
    source = tiff(tmp_path / "a.tif", PAGES.values())
    ran = CliRunner().invoke(app, ["upscale", str(source), "--width", "64", "-n", "bicubic"])
    assert ran.exit_code == 0, ran.output
    assert ran.stdout.endswith("5 pages\n")
    for made, pixels in zip(decoded(tmp_path / "a_64w_bicubic.tif"), PAGES.values(), strict=True):
        assert made.shape[1] == 64
        assert abs(made.shape[0] - 64 * pixels.shape[0] / pixels.shape[1]) <= 0.5


def test_profile_resolution_and_description_stay_with_their_page(tmp_path):
    source = tmp_path / "a.tif"
    said = [(300, "first", profile(gamma=1.8)), (150, "second", None), (72, "third", profile())]
    with tifffile.TiffWriter(source) as file:
        for dots, text, icc in said:
            file.write(
                smooth(20, 30), photometric="rgb", resolution=(dots, dots), resolutionunit=2,
                description=text, iccprofile=icc, metadata=None,
            )  # fmt: skip
    with tifffile.TiffFile(upscaled(source, tmp_path / "b.tif")) as file:
        for page, (dots, text, icc) in zip(file.pages, said, strict=True):
            across, per = page.tags["XResolution"].value
            assert abs(across / per - dots) < 0.01
            assert page.description == text
            assert (page.iccprofile if "InterColorProfile" in page.tags else None) == icc


def test_pillow_and_imagemagick_see_all_pages(tmp_path):
    source = tmp_path / "a.tif"
    pictures = [smooth(40, 56), smooth(20, 30), smooth(30, 30, 1)]
    for number, pixels in enumerate(pictures):
        image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
        image.save(tmp_path / f"{number}.png")
    names = [str(tmp_path / f"{number}.png") for number in range(3)]
    magick(*names, "-compress", "LZW", source)
    target = upscaled(source, tmp_path / "b.tif")
    told = magick(target, "-format", "%wx%h ", "info:").decode()
    assert told.split() == ["112x80", "60x40", "60x60"]
    with Image.open(target) as image:
        assert image.n_frames == 3
        for number, pixels in enumerate(pictures):
            image.seek(number)
            shown = np.asarray(image).reshape(image.height, image.width, -1)
            np.testing.assert_array_equal(shown, alone(pixels, Upscaler.load(scale=2)))


def test_smaller_copies_of_a_page_are_left_out(tmp_path):
    pixels = smooth(64, 48)
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(pixels[::4, ::4], photometric="rgb", subfiletype=1, metadata=None)
        file.write(pixels, photometric="rgb", metadata=None)
        file.write(pixels[::2, ::2], photometric="rgb", subfiletype=1, metadata=None)
    assert not holds_several(tmp_path / "a.tif")
    assert read_header(tmp_path / "a.tif")[:2] == (64, 48)
    np.testing.assert_array_equal(read_picture(tmp_path / "a.tif").pixels, pixels)


def test_one_page_is_a_still_picture(tmp_path):
    source = tiff(tmp_path / "a.tif", [PAGES["rgb"]])
    assert not holds_several(source)
    with (
        refused("image-read", source, "nor", "pages"),
        open_several(source),
    ):
        pass
    Image.fromarray(PAGES["rgb"]).save(tmp_path / "b.jpg")
    assert not holds_several(tmp_path / "b.jpg")
    assert not holds_several(tmp_path / "none.tif")


@pytest.mark.parametrize("word", ["png", "jpg", "webp", "gif", "avif"])
def test_a_format_that_holds_one_page_is_refused(tmp_path, word):
    source = tiff(tmp_path / "a.tif", PAGES.values())
    ran = CliRunner().invoke(app, ["upscale", str(source), "-f", word])
    assert ran.exit_code == 1
    refusal(ran.stderr, "image-format", "5 pages", "--format tiff")
    assert [path.name for path in tmp_path.iterdir()] == ["a.tif"]


def test_what_takes_one_picture_says_who_takes_more(tmp_path):
    source = tiff(tmp_path / "a.tif", PAGES.values())
    with refused("image-format", source, "5 pages", "`widesr upscale`"):
        read_picture(source)


def test_a_file_that_is_cut_short_leaves_nothing(tmp_path):
    whole = tiff(tmp_path / "a.tif", PAGES.values()).read_bytes()
    for size in np.linspace(50, len(whole) - 1, 25).astype(int):
        (tmp_path / "cut.tif").write_bytes(whole[:size])
        with refused("image-read", tmp_path / "cut.tif", "damaged"):
            upscaled(
                tmp_path / "cut.tif", tmp_path / "b.tif", upscaler=Upscaler.load("bicubic", scale=2)
            )
    assert {path.name for path in tmp_path.iterdir()} == {"a.tif", "cut.tif"}


def test_a_page_that_is_not_read_is_said_before_the_work(tmp_path):
    told = []
    source = tiff(tmp_path / "a.tif", [PAGES["rgb"], PAGES["rgb"].astype(np.float32)])
    with refused("image-format", source, "type float"):
        upscaled(source, tmp_path / "b.tif", on_progress=lambda *now: told.append(now))
    assert not told
    assert not (tmp_path / "b.tif").exists()


def test_pages_have_a_limit_each_and_together(tmp_path):
    source = tiff(tmp_path / "a.tif", [PAGES["grey"]] * 20)
    one = prod(PAGES["grey"].shape)
    with refused("image-too-large", "20x30", 600, 599):
        upscaled(source, tmp_path / "b.tif", max_pixels=one - 1)
    with refused("image-too-large", "20 pages", 17, "10,200"):
        upscaled(source, tmp_path / "b.tif", max_pixels=one)
    assert len(decoded(upscaled(source, tmp_path / "b.tif", max_pixels=2 * one))) == 20


def test_more_pages_than_are_read_are_refused(tmp_path):
    source = tiff(tmp_path / "a.tif", [np.zeros((1, 1, 1), np.uint8)] * 501)
    with refused("image-format", source, "501 pages", 500):
        upscaled(source, tmp_path / "b.tif")


def test_pages_that_go_round_in_a_ring_end(tmp_path):
    source = tiff(tmp_path / "a.tif", [PAGES["rgb"], PAGES["grey"]])
    with tifffile.TiffFile(source) as file:
        first, last = (page.offset for page in file.pages)
        n_tags = len(file.pages[1].tags)
    data = bytearray(source.read_bytes())
    pointer = last + 2 + 12 * n_tags
    assert data[pointer : pointer + 4] == bytes(4)
    data[pointer : pointer + 4] = int(first).to_bytes(4, "little")
    source.write_bytes(data)
    pages = decoded(upscaled(source, tmp_path / "b.tif"))
    assert [page.shape[:2] for page in pages] == [(80, 112), (60, 40)]
