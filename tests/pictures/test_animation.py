"""Animations keep their frames, durations and repetition, as other programs see them."""

import json
import struct
import subprocess
import zlib
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageSequence
from typer.testing import CliRunner

from facts import names, refusal, refused
from others import program
from peak import peak_mib
from samples import chunk, profile, smooth
from widesr.batch.jobs import plan_jobs
from widesr.batch.many import upscale_many
from widesr.batch.settings import UpscaleSettings
from widesr.cli import app
from widesr.errors import (
    ImageReadError,
)
from widesr.pictures.animation import is_animation
from widesr.pictures.picture import Picture
from widesr.pictures.reading import read_picture
from widesr.pictures.sequence import PictureSequence, Timing
from widesr.pictures.several import open_several, write_pictures
from widesr.pictures.writing import write_picture
from widesr.upscaling.upscaler import Upscaler

SUFFIXES = (".gif", ".webp", ".png")
LOSSLESS = (".webp", ".png")
MS = (20, 100, 650, 40)


def noise(height, width, channels, dtype=np.uint8, *, seed=0):
    generator = np.random.default_rng(seed)
    return generator.integers(
        0, np.iinfo(dtype).max, (height, width, channels), dtype, endpoint=True
    )


def drawn(*, n=4, size=(40, 60), alpha=True):
    """A square that moves over flat colours, some of it clear: frames that differ in part."""
    frames = []
    for number in range(n):
        pixels = np.zeros((*size, 4), np.uint8)
        pixels[..., :3] = (40, 90, 160)
        pixels[..., 3] = 255
        pixels[6 * number : 6 * number + 14, 9 * number : 9 * number + 20] = (240, 200, 10, 255)
        if alpha:
            pixels[25:, :30, 3] = 0
        frames.append(Image.fromarray(pixels if alpha else pixels[..., :3].copy()))
    return frames


def saved(path, frames, *, duration=MS, loop=0, **options):
    lossless = {"lossless": True, "exact": True} if path.suffix == ".webp" else {}
    repeat = {} if loop is None else {"loop": loop}
    frames[0].save(
        path,
        save_all=True,
        append_images=frames[1:],
        duration=list(duration)[: len(frames)],
        **lossless,
        **repeat,
        **options,
    )
    return path


def seen(path):
    """Frames as RGBA, durations in ms and plays, by Pillow."""
    with Image.open(path) as image:
        frames = [np.asarray(frame.convert("RGBA")) for frame in ImageSequence.Iterator(image)]
        loop, kind = image.info.get("loop"), image.format
    plays = loop if kind != "GIF" else 1 if loop is None else loop + 1 if loop else 0
    return frames, shown(path), plays


def shown(path):
    """Durations in ms, by Pillow; of WebP by its chunks, as Pillow says none."""
    if path.read_bytes()[8:12] == b"WEBP":
        return [int.from_bytes(body[12:15], "little") for body in riff_chunks(path, b"ANMF")]
    with Image.open(path) as image:
        return [frame.info["duration"] for frame in ImageSequence.Iterator(image)]


def riff_chunks(path, wanted):
    data, at, found = path.read_bytes(), 12, []
    while at < len(data):
        name, size = struct.unpack_from("<4sI", data, at)
        found += [data[at + 8 : at + 8 + size]] if name == wanted else []
        at += 8 + size + size % 2
    return found


def read(path, **limits):
    with open_several(path, **limits) as animation:
        return animation, list(animation.frames)


def rgba(frame):
    """Frames of any mode as Pillow would show them, 8 bits."""
    if frame.dtype == np.uint16:
        frame = np.round(frame / 257).astype(np.uint8)
    if frame.shape[2] in (1, 2):
        frame = np.concatenate([np.repeat(frame[..., :1], 3, axis=2), frame[..., 1:]], axis=2)
    if frame.shape[2] == 3:
        frame = np.concatenate([frame, np.full_like(frame[..., :1], 255)], axis=2)
    return frame


def check_same(ours, theirs, *, off=0):
    """The same where anything is to be seen."""
    assert len(ours) == len(theirs) > 0
    for our, their in zip(map(rgba, ours), theirs, strict=True):
        np.testing.assert_allclose(our[..., 3], their[..., 3], atol=off)
        visible = their[..., 3] > 0
        np.testing.assert_allclose(our[visible].astype(int), their[visible], atol=off)


def upscaled(source, target, *, on_progress=lambda *_: None, **options):
    (job,) = plan_jobs([source], name_end="_x2", output=target)
    upscaler = options.pop("upscaler", None) or Upscaler.load(scale=2)
    (outcome,) = upscale_many(
        [job], upscaler=upscaler, settings=UpscaleSettings(**options), on_progress=on_progress
    )
    if outcome.error:
        raise outcome.error
    return job.target


def run(*words):
    return subprocess.run(list(map(str, words)), check=True, capture_output=True, text=True).stdout


# ---- frames as other programs see them -------------------------------------------------------


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("alpha", [False, True])
def test_frames_are_those_that_pillow_sees(tmp_path, suffix, alpha):
    source = saved(tmp_path / f"a{suffix}", drawn(alpha=alpha))
    animation, frames = read(source)
    check_same(frames, seen(source)[0])
    assert animation.still.rows.shape[2] == 4 if alpha else animation.still.rows.shape[2] in (3, 4)


@pytest.mark.parametrize("disposal", [0, 1, 2, 3])
@pytest.mark.parametrize("alpha", [False, True])
def test_any_disposal_in_gif_is_that_of_pillow(tmp_path, disposal, alpha):
    # No two programs agree on the canvas before the first frame, which may come back after it.
    source = saved(tmp_path / "a.gif", drawn(alpha=alpha), disposal=[1, *[disposal] * 3])
    check_same(read(source)[1], seen(source)[0])


@pytest.mark.parametrize("dispose", [0, 1, 2])
@pytest.mark.parametrize("blend", [0, 1])
@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_any_disposal_and_blending_in_png_is_that_of_ffmpeg(tmp_path, dispose, blend, mode):
    program("ffmpeg")
    frames = [frame.convert(mode) for frame in drawn()]
    source = saved(tmp_path / "a.png", frames, disposal=dispose, blend=blend)
    check_same(read(source)[1], by_ffmpeg(source, (40, 60)))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "RGB", "L", "P", "1"])
def test_any_mode_of_png_is_that_of_pillow(tmp_path, mode):
    source = saved(tmp_path / "a.png", [frame.convert(mode) for frame in drawn()])
    check_same(read(source)[1], seen(source)[0])


@given(data=st.data(), deep=st.booleans())
@settings(max_examples=50)
def test_boxes_of_any_place_and_kind_are_drawn_as_the_specification_says(
    data, deep, tmp_path_factory
):
    path = tmp_path_factory.mktemp("boxes") / "a.png"
    height, width = data.draw(st.tuples(st.integers(1, 9), st.integers(1, 9)), label="size")
    dtype = np.uint16 if deep else np.uint8
    boxes = []
    for number in range(data.draw(st.integers(2, 5), label="frames")):
        x, y = (data.draw(st.integers(0, side - 1)) * (number > 0) for side in (width, height))
        w, h = (data.draw(st.integers(1, side)) for side in (width - x, height - y))
        w, h = (w, h) if number else (width, height)
        dispose, blend = data.draw(st.integers(0, 2)), data.draw(st.integers(0, 1))
        pixels = noise(h, w, 4, dtype, seed=number)
        some = np.array([0, np.iinfo(dtype).max, np.iinfo(dtype).max // 2], dtype)
        pixels[..., 3] = some[pixels[..., 3] % 3]
        boxes.append(((w, h, x, y, 1, 10, dispose, blend), pixels))
    path.write_bytes(apng(boxes, size=(height, width), bits=16 if deep else 8))
    for ours, theirs in zip(read(path)[1], by_the_specification(boxes, height, width), strict=True):
        assert (np.abs(ours[..., 3] - theirs[..., 3].astype(float)) <= 1).all()
        visible = theirs[..., 3] > np.iinfo(dtype).max / 3
        assert (np.abs(ours - theirs.astype(float))[visible] <= 4).all()  # rounded frame by frame


def by_the_specification(boxes, height, width):
    """In floating point, colours multiplied by alpha, where "over" is one line."""
    canvas = np.zeros((height, width, 4))
    for number, ((w, h, x, y, _, _, dispose, blend), pixels) in enumerate(boxes):
        top = np.iinfo(pixels.dtype).max
        part = pixels / top
        part[..., :3] *= part[..., 3:]
        before = canvas.copy()
        there = canvas[y : y + h, x : x + w]
        there[:] = part + (1 - part[..., 3:]) * there if blend else part
        alpha = canvas[..., 3:]
        yield top * np.concatenate([canvas[..., :3] / np.maximum(alpha, 1e-9), alpha], axis=2)
        if dispose == 1 or (dispose == 2 and number == 0):
            there[:] = 0
        elif dispose == 2:
            canvas = before


def apng(boxes, *, size, claimed=None, plays=0, default=None, bits=8):
    """An animated PNG by hand: boxes are (width, height, x, y, delay, per, dispose, blend)."""
    height, width = size
    colour_type = {1: 0, 2: 4, 3: 2, 4: 6}[boxes[0][1].shape[2]]
    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)
    parts = [b"\x89PNG\r\n\x1a\n", chunk(b"IHDR", header)]
    parts.append(chunk(b"acTL", struct.pack(">II", claimed or len(boxes), plays)))
    if default is not None:
        parts.append(chunk(b"IDAT", packed(default)))
    number = 0
    for control, pixels in boxes:
        parts.append(chunk(b"fcTL", struct.pack(">IIIIIHHBB", number, *control)))
        number += 1
        if number == 1 and default is None:
            parts.append(chunk(b"IDAT", packed(pixels)))
        else:  # in two pieces, as the format allows
            data = packed(pixels)
            for piece in (data[: len(data) // 2], data[len(data) // 2 :]):
                parts.append(chunk(b"fdAT", struct.pack(">I", number) + piece))
                number += 1
    return b"".join([*parts, chunk(b"IEND")])


def packed(pixels):
    pixels = pixels.astype(">u2") if pixels.dtype == np.uint16 else pixels
    return zlib.compress(b"".join(b"\0" + row.tobytes() for row in pixels))


def test_a_picture_for_programs_without_animation_is_no_frame(tmp_path):
    boxes = [((6, 4, 0, 0, 1, 10, 0, 0), noise(4, 6, 3, seed=n)) for n in range(2)]
    (tmp_path / "a.png").write_bytes(apng(boxes, size=(4, 6), default=noise(4, 6, 3, seed=9)))
    _, frames = read(tmp_path / "a.png")
    np.testing.assert_array_equal(frames, [pixels for _, pixels in boxes])


def test_what_no_frame_covers_is_clear(tmp_path):
    boxes = [((2, 2, 1, 1, 1, 10, 1, 0), noise(2, 2, 3, seed=n)) for n in range(2)]
    (tmp_path / "a.png").write_bytes(apng(boxes, size=(4, 4), default=noise(4, 4, 3)))
    animation, frames = read(tmp_path / "a.png")
    assert animation.still.rows.shape == (4, 4, 4)
    for (_, pixels), frame in zip(boxes, frames, strict=True):
        np.testing.assert_array_equal(frame[1:3, 1:3, :3], pixels)
        assert (frame[..., 3] == np.pad(np.full((2, 2), 255), 1)).all()


# ---- there and back --------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("made", SUFFIXES)
def test_any_of_the_three_becomes_any(tmp_path, suffix, made):
    source = saved(tmp_path / f"a{suffix}", drawn(), loop=3)
    frames, durations, plays = seen(source)
    target = upscaled(source, tmp_path / f"b{made}", lossless=made != ".gif")
    new_frames, new_durations, new_plays = seen(target)
    assert new_durations == durations == list(MS)
    assert new_plays == plays == (4 if suffix == ".gif" else 3)
    assert [frame.shape for frame in new_frames] == [(80, 120, 4)] * 4
    for old, new in zip(frames, new_frames, strict=True):  # far from edges, flat stays flat
        for y, x in ((2, 55), (20, 50), (36, 10)):
            old_pixel, new_pixel = old[y, x].astype(int), new[2 * y, 2 * x]
            assert old_pixel[3] == new_pixel[3]
            assert abs(old_pixel - new_pixel)[: 3 * (old_pixel[3] > 0)].max(initial=0) <= 8


@pytest.mark.parametrize("made", LOSSLESS)
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_frame_is_upscaled_as_that_picture_alone(tmp_path, suffix, made):
    source = saved(tmp_path / f"a{suffix}", drawn())
    upscaler = Upscaler.load(scale=2, tile=32)
    target = upscaled(source, tmp_path / f"b{made}", upscaler=upscaler, lossless=True)
    _, frames = read(source)
    _, made_frames = read(target)
    for frame, made_frame in zip(frames, made_frames, strict=True):
        alone = upscaler.upscale_picture(
            Picture(pixels=frame[..., :3].copy(), alpha=frame[..., 3].copy())
        )
        np.testing.assert_array_equal(made_frame[..., :3], alone.pixels)
        np.testing.assert_array_equal(made_frame[..., 3], alone.alpha)


def test_a_frame_of_lossy_webp_is_what_a_still_webp_would_be(tmp_path):
    frames = [noise(20, 30, 3, seed=seed) for seed in (0, 1)]
    still = Picture(pixels=frames[0])
    timing = Timing(durations=(Fraction(1, 10),) * 2, plays=0)
    animation = PictureSequence.of_frames(frames, still=still.stream(), timing=timing)
    write_pictures(tmp_path / "both.webp", animation, quality=80)
    write_picture(tmp_path / "still.webp", still, quality=80)
    with open_several(tmp_path / "both.webp") as read:
        np.testing.assert_array_equal(
            next(read.frames), read_picture(tmp_path / "still.webp").pixels
        )


def test_frames_that_are_equal_stay_as_many(tmp_path):
    boxes = [((30, 20, 0, 0, 1, 10, 0, 0), smooth(20, 30)) for _ in range(4)]
    (tmp_path / "a.png").write_bytes(apng(boxes, size=(20, 30)))
    for made in SUFFIXES:
        target = upscaled(tmp_path / "a.png", tmp_path / f"b{made}")
        assert len(read(target)[1]) == 4
        assert shown(target) == [100] * 4
        with Image.open(target) as image:
            assert image.n_frames == 4


@pytest.mark.parametrize("loop", [None, 0, 1, 3])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_repetition_is_kept(tmp_path, suffix, loop):
    source = saved(tmp_path / f"a{suffix}", drawn(n=2), loop=loop)
    for made in SUFFIXES:
        target = upscaled(source, tmp_path / f"b{made}", upscaler=Upscaler.load("bicubic", scale=2))
        assert seen(target)[2] == seen(source)[2]


def test_durations_of_any_fraction_stay_in_png_and_together_last_as_long_elsewhere(tmp_path):
    boxes = [
        ((6, 4, 0, 0, *delay, 0, 0), noise(4, 6, 3, seed=n))
        for n, delay in enumerate([(1, 30)] * 6 + [(1001, 24000), (7, 0), (0, 100)])
    ]
    (tmp_path / "a.png").write_bytes(apng(boxes, size=(4, 6)))
    old, _ = read(tmp_path / "a.png")
    assert old.timing.durations[-3:] == (Fraction(1001, 24000), Fraction(7, 100), 0)
    for made, ends in ((".png", 0), (".webp", 0.001), (".gif", 0.011)):
        target = upscaled(
            tmp_path / "a.png", tmp_path / f"b{made}", upscaler=Upscaler.load("bicubic", scale=2)
        )
        new, _ = read(target)
        assert abs(sum(new.timing.durations) - sum(old.timing.durations)) <= ends
        assert (new.timing.durations == old.timing.durations) == (made == ".png")
        assert new.timing.durations[-1] == 0


def test_sixteen_bits_and_grey_stay_in_png(tmp_path):
    for channels in (1, 2, 3, 4):
        pixels = [noise(8, 9, channels, np.uint16, seed=n) for n in range(3)]
        boxes = [((9, 8, 0, 0, 1, 10, 0, 0), each) for each in pixels]
        (tmp_path / "a.png").write_bytes(apng(boxes, size=(8, 9), bits=16))
        animation, frames = read(tmp_path / "a.png")
        assert animation.still.rows.dtype == np.uint16
        np.testing.assert_array_equal(frames, pixels)
        target = tmp_path / f"b{channels}.png"
        with open_several(tmp_path / "a.png") as animation:
            write_pictures(target, animation)
        np.testing.assert_array_equal(read(target)[1], pixels)
        with refused("image-format", tmp_path / "b.webp", "16 bits", "WebP", 8):
            upscaled(tmp_path / "a.png", tmp_path / "b.webp", lossless=True)
        made = read(upscaled(tmp_path / "a.png", tmp_path / f"c{channels}.webp"))[0]
        assert made.still.rows.dtype == np.uint8


@pytest.mark.parametrize("suffix", LOSSLESS)
@pytest.mark.parametrize("made", LOSSLESS)
def test_profile_and_metadata_are_kept_and_the_orientation_applied(tmp_path, suffix, made):
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "by the sea"
    icc = profile(b"RGB ", gamma=1.8)
    frames = drawn(alpha=False)
    source = saved(tmp_path / f"a{suffix}", frames, exif=exif.tobytes(), icc_profile=icc)
    target = upscaled(source, tmp_path / f"b{made}", lossless=True)
    with Image.open(target) as image:
        assert image.info["icc_profile"] == icc
        assert dict(image.getexif()) == {0x0112: 1, 0x010E: "by the sea"}
        assert image.size == (80, 120)
    turned = [frame.transpose(Image.Transpose.ROTATE_270) for frame in frames]
    upscaler = Upscaler.load(scale=2)
    for frame, made_frame in zip(turned, seen(target)[0], strict=True):
        np.testing.assert_array_equal(made_frame[..., :3], upscaler(np.asarray(frame)))


def test_xmp_is_kept(tmp_path):
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a tiff:Orientation="1">sea</a></x:xmpmeta>'
    source = saved(tmp_path / "a.webp", drawn(), xmp=xmp)
    for name in ("b.webp", "b.png"):
        target = upscaled(source, tmp_path / name)
        assert read(target)[0].still.xmp == xmp
        with Image.open(target) as image:
            assert (
                b"sea" in str(image.info.get("xmp", image.info.get("XML:com.adobe.xmp"))).encode()
            )
        stripped = upscaled(source, tmp_path / f"s{name}", metadata="strip")
        assert read(stripped)[0].still.xmp is None


def test_gif_gets_the_colours_of_the_profile_in_srgb(tmp_path):
    icc = profile(b"RGB ", gamma=1.0)
    greys = [Image.new("RGB", (30, 20), (level,) * 3) for level in (60, 120)]
    source = saved(tmp_path / "a.webp", greys, icc_profile=icc)
    frames, _, _ = seen(upscaled(source, tmp_path / "b.gif"))
    for level, frame in zip((60, 120), frames, strict=True):
        expected = 255 * (1.055 * (level / 255) ** (1 / 2.4) - 0.055)
        assert np.abs(frame[..., :3] - expected).max() <= 2


def test_gif_is_clear_where_less_than_half_is_seen(tmp_path):
    pixels = np.full((4, 256, 4), 200, np.uint8)
    pixels[..., 3] = np.arange(256)
    source = saved(tmp_path / "a.png", [Image.fromarray(pixels[:, ::step]) for step in (1, -1)])
    with open_several(source) as animation:
        write_pictures(tmp_path / "b.gif", animation)
    frames, _, _ = seen(tmp_path / "b.gif")
    np.testing.assert_array_equal(frames[0][0, :, 3], np.where(np.arange(256) < 128, 0, 255))


# ---- other programs --------------------------------------------------------------------------


@pytest.mark.parametrize("layers", ["coalesce", "optimize", "optimize-transparency"])
@pytest.mark.parametrize("dispose", ["none", "background", "previous"])
def test_gif_of_imagemagick_goes_in_and_out(tmp_path, layers, dispose):
    convert = program("magick")
    saved(tmp_path / "a.gif", drawn(), loop=2)
    source = tmp_path / "m.gif"
    run(convert, "-dispose", dispose, tmp_path / "a.gif", "-layers", layers, source)
    run(convert, source, "-coalesce", f"PNG32:{tmp_path}/frame%d.png")
    theirs = [np.asarray(Image.open(tmp_path / f"frame{n}.png")) for n in range(4)]
    check_same(read(source)[1], theirs)
    target = upscaled(source, tmp_path / "b.gif")
    told = run(convert, target, "-format", "%wx%h %T %[scene]\n", "info:").split("\n")[:-1]
    assert [line.split()[1] for line in told] == ["2", "10", "65", "4"]
    assert read(target)[0].timing.plays == read(source)[0].timing.plays


@pytest.mark.parametrize("pixel_format", ["rgba", "rgb24", "rgb48be", "gray", "gray16be", "ya8"])
def test_apng_of_ffmpeg_goes_in_and_out(tmp_path, pixel_format):
    ffmpeg = program("ffmpeg")
    source = tmp_path / "a.apng"
    run(ffmpeg, "-v", "error", "-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=0.2", "-plays", "2",
        "-pix_fmt", pixel_format, source)  # fmt: skip
    animation, frames = read(source)
    deep = pixel_format.endswith("be")
    assert animation.timing.durations == (Fraction(1, 25),) * 5
    assert animation.timing.plays == 2
    assert animation.still.rows.dtype == (np.uint16 if deep else np.uint8)
    check_same(frames, by_ffmpeg(source, (48, 64)), off=deep)
    upscaler = Upscaler.load("bicubic", scale=2)
    target = upscaled(source, tmp_path / "b.apng", upscaler=upscaler)
    check_same(read(target)[1], by_ffmpeg(target, (96, 128)), off=deep)
    if pixel_format != "gray16be":  # which Pillow shows as white
        check_same(read(target)[1], seen(target)[0], off=deep)


def by_ffmpeg(path, size):
    done = subprocess.run(
        ["ffmpeg", "-v", "error", "-i", str(path), "-vsync", "0", "-f", "rawvideo",
         "-pix_fmt", "rgba", "-"], check=True, capture_output=True,
    )  # fmt: skip
    return list(np.frombuffer(done.stdout, np.uint8).reshape(-1, *size, 4))


def test_webp_of_ffmpeg_goes_in_and_webpmux_finds_ours_sound(tmp_path):
    ffmpeg, source = program("ffmpeg"), tmp_path / "a.webp"
    run(ffmpeg, "-v", "error", "-f", "lavfi", "-i", "testsrc2=s=64x48:r=10:d=0.5", "-loop", "3",
        "-lossless", "1", source)  # fmt: skip
    check_same(read(source)[1], seen(source)[0])
    target = upscaled(source, tmp_path / "b.webp", lossless=True)
    told = run(program("webpmux"), "-info", target)
    assert "Canvas size: 128 x 96" in told
    assert "Loop Count : 3" in told
    assert "Number of frames: 5" in told
    check_same(read(target)[1], seen(target)[0])


# ---- the command line ------------------------------------------------------------------------


def widesr(*words):
    return CliRunner().invoke(app, list(map(str, words)))


def test_a_gif_becomes_a_gif_if_it_moves_and_png_if_it_is_still(tmp_path):
    saved(tmp_path / "moves.gif", drawn())
    drawn()[0].save(tmp_path / "still.gif")
    ran = widesr("upscale", tmp_path / "moves.gif", tmp_path / "still.gif", "-n", "bicubic")
    assert ran.exit_code == 0, ran.output
    moves, still, _ = ran.stdout.splitlines()
    assert names(moves, "moves_x2_bicubic.gif", "60x40 -> 120x80")
    assert moves.endswith("4 frames")
    assert "PNG" not in moves
    assert names(still, ".gif", "PNG")
    assert seen(tmp_path / "moves_x2_bicubic.gif")[1] == list(MS)
    with Image.open(tmp_path / "still_x2_bicubic.png") as image:
        assert image.n_frames == 1


def test_a_format_is_chosen_and_a_folder_holds_both(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    saved(folder / "a.gif", drawn())
    saved(folder / "b.png", drawn())
    Image.fromarray(smooth(20, 30)).save(folder / "c.jpg")
    words = ("upscale", folder, "-o", tmp_path / "out", "-n", "bicubic", "-f", "webp")
    ran = widesr(*words, "--lossless", "--json")
    assert ran.exit_code == 0, ran.output
    assert [json.loads(line)["output_width"] for line in ran.stdout.splitlines()] == [120, 120, 60]
    counts = {path.name: n_frames(path) for path in (tmp_path / "out").glob("*.webp")}
    assert counts == {"a.webp": 4, "b.webp": 4, "c.webp": 1}
    entries = (tmp_path / "out" / "manifest.jsonl").read_text().splitlines()
    assert [json.loads(entry)["status"] for entry in entries] == ["done"] * 3
    again = widesr(*words, "--lossless", "--resume", "--json")
    assert [json.loads(line)["status"] for line in again.stdout.splitlines()] == ["skipped"] * 3


def n_frames(path):
    with Image.open(path) as image:
        return image.n_frames


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("word", ["jpg", "tiff", "avif"])
def test_a_format_that_holds_one_picture_is_refused_with_those_that_hold_more(
    tmp_path, suffix, word
):
    saved(tmp_path / f"a{suffix}", drawn())
    ran = widesr("upscale", tmp_path / f"a{suffix}", "-f", word)
    assert ran.exit_code == 1
    others = [f"--format {each}" for each in ("webp", "gif", "png")]
    refusal(ran.stderr, "image-format", "4 frames", *others)
    assert {path.name for path in tmp_path.iterdir()} == {f"a{suffix}"}


def test_a_gif_of_a_still_picture_is_refused(tmp_path):
    Image.fromarray(smooth(20, 30)).save(tmp_path / "a.png")
    with refused("image-format", "'.gif'", "still"):
        upscaled(tmp_path / "a.png", tmp_path / "b.gif")


def test_a_lossless_gif_is_refused(tmp_path):
    saved(tmp_path / "a.gif", drawn())
    with refused("image-format", tmp_path / "b.gif", "256 colours", 'format="webp"'):
        upscaled(tmp_path / "a.gif", tmp_path / "b.gif", lossless=True)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_takes_one_picture_says_who_takes_more(tmp_path, suffix):
    source = saved(tmp_path / f"a{suffix}", drawn())
    with refused("image-format", source, "4 pages", "`widesr upscale`"):
        read_picture(source)


def test_progress_goes_up_to_the_end_frame_by_frame(tmp_path):
    source, told = saved(tmp_path / "a.png", drawn()), []
    upscaled(
        source,
        tmp_path / "b.png",
        on_progress=lambda done, *_: told.append(done),
        upscaler=Upscaler.load(scale=2),
    )
    assert told[-1] == 1
    assert len(told) >= 4
    assert all(before <= after for before, after in pairwise(told))


# ---- what is no animation, and what is none any more -----------------------------------------


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_one_frame_is_a_still_picture(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    if suffix == ".png":
        path.write_bytes(apng([((6, 4, 0, 0, 1, 10, 0, 0), noise(4, 6, 3))], size=(4, 6)))
    elif suffix == ".webp":
        twice = saved(tmp_path / "b.webp", drawn(n=2))
        with open_several(twice) as animation:
            one = next(animation.frames)
            alone = PictureSequence.of_frames(
                [one], still=animation.still, timing=Timing(durations=(Fraction(1),), plays=1)
            )
        write_pictures(path, alone)
        assert b"ANIM" in path.read_bytes()
    else:
        saved(path, drawn(n=1))
    assert not is_animation(path)
    assert read_picture(path).width in (6, 60)
    with refused("image-read", path, "neither", "animation"):
        read(path)
    assert read_picture(upscaled(path, tmp_path / "out.png")).width in (12, 120)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_that_is_cut_short_leaves_nothing(tmp_path, suffix, caplog):
    whole = saved(tmp_path / f"a{suffix}", drawn()).read_bytes()
    source = tmp_path / f"cut{suffix}"
    upscaler = Upscaler.load("bicubic", scale=2)
    failed = 0
    for size in np.linspace(60, len(whole) - 2, 40).astype(int):
        source.write_bytes(whole[:size])
        if not is_animation(source):
            continue  # cut in the first frame: it is read, or refused, as a still picture
        caplog.clear()
        try:
            upscaled(source, tmp_path / f"b{suffix}", upscaler=upscaler).unlink()
            assert names(caplog.text, source, "end")  # a GIF that ends with a frame
        except ImageReadError:
            failed += 1
    assert failed >= (10 if suffix != ".webp" else 0)
    assert {path.name for path in tmp_path.iterdir()} == {f"a{suffix}", f"cut{suffix}"}


def test_a_still_picture_is_read_of_a_webp_that_is_cut_short_by_no_one(tmp_path):
    whole = saved(tmp_path / "a.webp", drawn()).read_bytes()
    for size in range(60, len(whole), 97):
        (tmp_path / "cut.webp").write_bytes(whole[:size])
        with refused("image-read"):
            upscaled(tmp_path / "cut.webp", tmp_path / "b.png")


BOXES = [((6, 4, 0, 0, 1, 10, 0, 0), noise(4, 6, 3, seed=n)) for n in range(3)]


@pytest.mark.parametrize(
    ("change", "facts"),
    [
        (lambda png: png.replace(b"fdAT\0\0\0\2", b"fdAT\0\0\0\7"), ["number 2", "missing"]),
        (lambda png: png[:-60] + bytes([png[-60] ^ 1]) + png[-59:], ["damaged"]),
        (lambda _: apng(BOXES, size=(4, 6), claimed=4), ["4 frames", 3]),
        (lambda _: apng(BOXES, size=(4, 6), claimed=2), ["2 frames", 3]),
        (lambda _: apng(BOXES, size=(4, 5)), ["frame", "within"]),
        (lambda png: png.replace(b"fcTL", b"fcTl"), ["number 0", "missing"]),
        (lambda png: png[:8] + png[33:], ["damaged"]),
    ],
)
def test_a_damaged_png_is_one_line_and_no_file(tmp_path, change, facts):
    (tmp_path / "a.png").write_bytes(change(apng(BOXES, size=(4, 6))))
    assert (tmp_path / "a.png").read_bytes() != apng(BOXES, size=(4, 6))
    with refused("image-read", tmp_path / "a.png", *facts):
        upscaled(tmp_path / "a.png", tmp_path / "b.png")
    assert {path.name for path in tmp_path.iterdir()} == {"a.png"}


def gif_of(n, *, width, height):
    frame = b"\x21\xf9\x04\0\x0a\0\0\0" + b"\x2c" + struct.pack("<HHHHB", 0, 0, width, height, 0)
    frame += b"\2\2\x44\x01\0"
    head = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(6)
    return head + n * frame + b";"


def test_bombs_are_refused_by_what_they_claim(tmp_path):
    bombs = {
        "frames.png": apng(BOXES, size=(4, 6), claimed=2**31 - 1),
        "canvas.png": apng([((60000, 60000, 0, 0, 1, 9, 0, 0), BOXES[0][1])] * 2,
                           size=(60000, 60000)),
        "canvas.gif": gif_of(2, width=65535, height=65535),
        "frames.gif": gif_of(3000, width=4000, height=4000),
    }  # fmt: skip
    for name, data in bombs.items():
        (tmp_path / name).write_bytes(data)
        with refused("image-too-large", tmp_path / name, "max_pixels"):
            upscaled(tmp_path / name, tmp_path / "b.png")
    with refused("image-too-large", "3,000 frames", "4000x4000", "48,000,000,000"):
        read(tmp_path / "frames.gif")
    assert {path.name for path in tmp_path.iterdir()} == set(bombs)


@pytest.mark.parametrize("n", [1, 2])
def test_a_gif_without_pixels_is_damaged(tmp_path, n):
    (tmp_path / "a.gif").write_bytes(gif_of(n, width=0, height=7))
    with refused("image-read", tmp_path / "a.gif", "0x7"):
        upscaled(tmp_path / "a.gif", tmp_path / "b.png")


def test_the_limit_can_be_raised(tmp_path):
    source = saved(tmp_path / "a.gif", drawn())
    with refused("image-too-large", source, "60x40", "2,400", "2,399"):
        read(source, max_pixels=2399)
    assert len(read(source, max_pixels=2400)[1]) == 4
    many = saved(tmp_path / "b.gif", drawn(n=4) * 5, duration=[50] * 20)
    with refused("image-too-large", "20 frames", "60x40", "48,000", "38,400"):
        read(many, max_pixels=2400)
    assert len(read(many, max_pixels=3000)[1]) == 20


def test_a_quality_that_cannot_be_meant_is_refused(tmp_path):
    saved(tmp_path / "a.gif", drawn())
    with (
        open_several(tmp_path / "a.gif") as animation,
        refused("usage", "quality", 0, 100),
    ):
        write_pictures(tmp_path / "b.webp", animation, quality=0)


def test_a_lower_quality_takes_fewer_bytes(tmp_path):
    boxes = [((64, 64, 0, 0, 1, 10, 0, 0), noise(64, 64, 3, seed=n)) for n in range(3)]
    (tmp_path / "a.png").write_bytes(apng(boxes, size=(64, 64)))
    sizes = [
        upscaled(tmp_path / "a.png", tmp_path / f"{quality}.webp", quality=quality).stat().st_size
        for quality in (10, 60, 95)
    ]
    assert sizes[0] < 0.7 * sizes[1] < 0.7 * sizes[2]


@pytest.mark.slow
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_memory_does_not_grow_with_the_frames(tmp_path, suffix):
    peaks = []
    for n in (10, 60):
        frames = [Image.fromarray(np.roll(smooth(400, 500), 7 * k, axis=1)) for k in range(n)]
        source = saved(tmp_path / f"{n}{suffix}", frames, duration=[40] * n)
        peaks.append(peak_mib("upscale", source, "-n", "bicubic", "-s", "2"))
    decoded = 50 * 800 * 1000 * 3 / 2**20
    # libvips decodes a WebP file whole, before it doubles, up to 100 MB, and beyond into a file.
    share = 1 / 2 if suffix == ".webp" else 1 / 4
    assert peaks[1] - peaks[0] < decoded * share, peaks
