"""A picture that passes row by row from its file to its output is the same as one held whole."""

import errno
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from facts import refusal, refused
from peak import peak_mib
from samples import noise, profile, smooth
from widesr.batch.jobs import plan_jobs
from widesr.batch.many import upscale_many
from widesr.batch.settings import UpscaleSettings
from widesr.engine import EngineOptions
from widesr.pictures.picture import Picture
from widesr.pictures.reading import read_header, read_picture
from widesr.pictures.writing import write_picture
from widesr.upscaling.resize_to import load_upscaler
from widesr.upscaling.target import Target
from widesr.upscaling.upscaler import Upscaler

PASSING = 1
"""A limit on memory under which every picture passes row by row."""


@pytest.fixture(autouse=True)
def small_bands(monkeypatch):
    """Bands of a few rows, so that small pictures have many."""
    monkeypatch.setattr("widesr.pictures.feed._BAND", 2000)
    monkeypatch.setattr("widesr.pictures.feed._STRIP", 1000)
    monkeypatch.setattr("widesr.pixels.resize._CHUNK", 4000)
    monkeypatch.setattr("widesr.pixels.alpha._CHUNK", 4000)


def upscaled(source, target, *, upscaler, passes, on_progress=lambda *_: None, **options):
    jobs = plan_jobs([source], name_end="", output=target)
    memory = {"max_memory": PASSING} if passes else {}
    settings = UpscaleSettings(engine=EngineOptions(**memory), **options)
    (outcome,) = upscale_many(
        jobs, upscaler=upscaler, settings=settings, existing="overwrite", on_progress=on_progress
    )
    if outcome.error:
        raise outcome.error
    return target


def same_both_ways(source, folder, suffix, *, upscaler, **options):
    held, passed = folder / f"held{suffix}", folder / f"passed{suffix}"
    upscaled(source, held, upscaler=upscaler, passes=False, **options)
    upscaled(source, passed, upscaler=upscaler, passes=True, **options)
    assert held.read_bytes() == passed.read_bytes()
    return read_picture(passed)


def picture_of(*, channels, dtype, alpha, size=(90, 70)):
    pixels = smooth(*size, channels, dtype)
    opacity = None
    if alpha:
        opacity = smooth(*size, 1, dtype)[..., 0]
        opacity = np.where(noise(*size, 1)[..., 0] < 120, 0, opacity)
    return Picture(pixels=pixels, alpha=opacity)


@pytest.mark.parametrize("suffix", [".png", ".tiff", ".webp", ".avif"])
@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_any_mode_is_the_same_either_way(tmp_path, suffix, alpha, channels, dtype):
    source = tmp_path / "in.png"
    write_picture(source, picture_of(channels=channels, dtype=dtype, alpha=alpha))
    upscaler = Upscaler.load(scale=2, tile=32)
    made = same_both_ways(source, tmp_path, suffix, upscaler=upscaler)
    assert (made.height, made.width) == (180, 140)
    assert (made.alpha is not None) == alpha


@pytest.mark.parametrize(
    "target", [{"scale": 1.5}, {"scale": 8}, {"width": 99}, {"scale": 0.37}, {"fit": (200, 77)}]
)
def test_any_size_is_the_same_either_way(tmp_path, target):
    source = tmp_path / "in.png"
    write_picture(source, picture_of(channels=3, dtype=np.uint8, alpha=True))
    upscaler = load_upscaler(target=Target(**target), options=EngineOptions(tile=32))
    same_both_ways(source, tmp_path, ".png", upscaler=upscaler)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_any_orientation_is_the_same_by_way_of_a_file(tmp_path, monkeypatch, orientation, channels):
    exif = Image.Exif()
    exif[0x0112] = orientation
    array = noise(70, 40, channels)
    image = Image.fromarray(array[..., 0] if channels == 1 else array)
    image.save(tmp_path / "in.png", exif=exif)
    held = read_picture(tmp_path / "in.png")
    monkeypatch.setattr("widesr.pictures.turning._IN_MEMORY", 0)
    passed = read_picture(tmp_path / "in.png")
    np.testing.assert_array_equal(passed.pixels, held.pixels)
    assert np.array_equal(passed.alpha, held.alpha) or held.alpha is None
    assert (passed.width > passed.height) == (orientation > 4)


@pytest.mark.parametrize("suffix", [".png", ".tiff", ".jpg"])
@pytest.mark.parametrize("icc", ["keep", "srgb", "strip"])
@pytest.mark.parametrize("channels", [1, 3])
def test_profiles_are_the_same_either_way(tmp_path, suffix, icc, channels):
    source = tmp_path / "in.tiff"
    given_profile = profile(b"GRAY" if channels == 1 else b"RGB ", gamma=1.8)
    pixels = smooth(90, 70, channels)
    write_picture(source, Picture(pixels=pixels, icc=given_profile, pixels_per_mm=(10, 20)))
    upscaler = Upscaler.load("bicubic", scale=2)
    made = same_both_ways(source, tmp_path, suffix, upscaler=upscaler, icc=icc)
    assert made.pixels.shape[2] == channels
    assert (made.icc == given_profile) == (icc == "keep")


@given(
    height=st.integers(1, 80),
    width=st.integers(1, 80),
    tile=st.integers(16, 40),
    channels=st.sampled_from([1, 3]),
)
@settings(max_examples=15)
def test_small_and_odd_pictures_pass_too(tmp_path_factory, height, width, tile, channels):
    folder = tmp_path_factory.mktemp("odd")
    write_picture(folder / "in.png", Picture(pixels=noise(height, width, channels)))
    upscaler = Upscaler.load(scale=2, tile=tile)
    made = same_both_ways(folder / "in.png", folder, ".tif", upscaler=upscaler)
    np.testing.assert_array_equal(made.pixels, upscaler(noise(height, width, channels)))


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg"])
def test_a_file_that_is_cut_short_leaves_nothing(tmp_path, suffix):
    source = tmp_path / f"in{suffix}"
    write_picture(source, Picture(pixels=noise(200, 100, 3)))
    source.write_bytes(source.read_bytes()[:-9000])
    before = set(tmp_path.iterdir())
    for output in ("out.png", "out.tif", "out.jpg", "out.webp"):
        with refused("image-read", source, "damaged"):
            upscaled(
                source,
                tmp_path / output,
                upscaler=Upscaler.load("bicubic", scale=2),
                passes=True,
            )
    assert set(tmp_path.iterdir()) == before


def test_transparency_that_jpeg_cannot_hold_is_refused_before_the_work(tmp_path):
    source = tmp_path / "in.png"
    write_picture(source, picture_of(channels=3, dtype=np.uint8, alpha=True))
    told = []
    with refused("image-format", tmp_path / "out.jpg", "transparent", "JPEG"):
        upscaled(
            source,
            tmp_path / "out.jpg",
            upscaler=Upscaler.load(scale=2, tile=16),
            passes=True,
            on_progress=lambda *now: told.append(now),
        )
    assert not told
    assert not (tmp_path / "out.jpg").exists()


def test_opaque_alpha_is_no_hindrance_to_jpeg(tmp_path):
    source = tmp_path / "in.png"
    pixels = smooth(90, 70)
    write_picture(source, Picture(pixels=pixels, alpha=np.full((90, 70), 255, np.uint8)))
    made = same_both_ways(
        source, tmp_path, ".jpg", upscaler=Upscaler.load("bicubic", scale=2), quality=90
    )
    assert made.alpha is None


BY_ROWS = """
import sys, widesr.batch.many
from widesr.cli import run

widesr.batch.many._UNDER_WAY = 0
sys.exit(run(sys.argv[1:]))
"""


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg", ".webp"])
def test_ctrl_c_while_a_picture_passes_leaves_nothing(tmp_path, suffix):
    source = tmp_path / "in.png"
    Image.fromarray(noise(1200, 1200)).save(source)
    words = ["upscale", source, "-o", tmp_path / f"out{suffix}", "--quiet"]
    words += ["-x", "-t", "16"]  # hours of work
    before = ended_seconds()
    with subprocess.Popen(
        [sys.executable, "-c", BY_ROWS, *map(str, words)], stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    ) as running:  # fmt: skip
        try:
            while not list(tmp_path.glob(".widesr-*.part")):
                assert running.poll() is None
                time.sleep(0.01)
            time.sleep(0.5)  # for some tiles
            before += processor_seconds(running.pid)
            running.send_signal(signal.SIGINT)
            out, err = running.communicate(timeout=250)
        finally:
            running.kill()
    assert (running.returncode, out, err) == (130, "", "")
    assert list(tmp_path.iterdir()) == [source]
    assert ended_seconds() - before < 5


def ended_seconds():
    """Return the processor seconds of all processes that this one started and that have ended."""
    return sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])


def processor_seconds(pid):
    """Return the processor seconds of a process that runs; 0 where there is no /proc."""
    stat = Path(f"/proc/{pid}/stat")
    fields = stat.read_text().rpartition(")")[2].split() if stat.exists() else ["0"] * 13
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg", ".webp"])
def test_a_disk_that_is_full_leaves_nothing_and_is_said(tmp_path, suffix):
    source = tmp_path / "in.jpg"
    Image.fromarray(noise(400, 400)).save(source)
    target = tmp_path / f"out{suffix}"

    def limit_files():
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))

    done = subprocess.run(
        [sys.executable, "-c", BY_ROWS, "upscale", source, "-o", target, "-n", "bicubic"],
        preexec_fn=limit_files, capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    refusal(done.stderr, "image-write", target, os.strerror(errno.EFBIG))
    assert list(tmp_path.iterdir()) == [source]


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg"])
def test_memory_does_not_grow_with_the_picture(tmp_path, suffix):
    peaks = []
    for side in (4000, 8000):
        rows = np.tile(smooth(500, side), (side // 500, 1, 1))
        source = tmp_path / f"{side}{suffix}"
        Image.fromarray(rows).save(source)
        peaks.append(
            peak_mib("upscale", source, "-o", tmp_path / f"out{suffix}", "-n", "bicubic",
                     "--overwrite", "--max-memory", "300M")
        )  # fmt: skip
        header = read_header(tmp_path / f"out{suffix}")
        assert (header.height, header.width) == (2 * side, 2 * side)
        del rows
    decoded_growth = (8000**2 - 4000**2) * 3 * 5 / 2**20  # of input and output, MiB
    assert peaks[1] - peaks[0] < 0.5 * decoded_growth  # threads leave gaps, more or fewer
    assert peaks[1] < 600
