"""One picture on its own: by its path or its bytes, as a worker in another process does it."""

import io
import pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest
from PIL import Image

from examples import EXAMPLES
from facts import refused
from widesr.batch.one import upscale_bytes, upscale_one
from widesr.batch.settings import UpscaleSettings
from widesr.engine import EngineOptions
from widesr.pixels.resize import imresize
from widesr.upscaling.target import Target

BICUBIC = UpscaleSettings(model="bicubic", target=Target(scale=2))


def picture(kind="PNG", *, seed=0, **options):
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, kind, **options)
    return pixels, data.getvalue()


def decoded(data):
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


def test_a_file_becomes_a_larger_one_and_says_how_large(tmp_path):
    pixels, data = picture()
    (tmp_path / "a.png").write_bytes(data)
    told = []
    made = upscale_one(
        BICUBIC,
        tmp_path / "a.png",
        tmp_path / "b.png",
        on_progress=lambda *now: told.append(now),
    )
    assert made == ((6, 8), (12, 16), 1)
    assert told[-1] == (1, 1)
    np.testing.assert_array_equal(
        decoded((tmp_path / "b.png").read_bytes()), imresize(pixels, scale=2)
    )


def test_nothing_is_overwritten_unasked(tmp_path):
    (tmp_path / "a.png").write_bytes(picture()[1])
    (tmp_path / "b.png").write_bytes(b"mine")
    with refused("output-exists"):
        upscale_one(BICUBIC, tmp_path / "a.png", tmp_path / "b.png")
    assert (tmp_path / "b.png").read_bytes() == b"mine"
    upscale_one(BICUBIC, tmp_path / "a.png", tmp_path / "b.png", overwrite=True)
    assert decoded((tmp_path / "b.png").read_bytes()).shape == (12, 16, 3)


def test_bytes_become_bytes_of_the_format_that_the_name_or_the_settings_say():
    pixels, data = picture()
    made = upscale_bytes(BICUBIC, data, name="holiday/a.png")
    assert (made.suffix, made.upscaled.output_size) == (".png", (12, 16))
    np.testing.assert_array_equal(decoded(made.data), imresize(pixels, scale=2))
    webp = UpscaleSettings(model="bicubic", format="webp", lossless=True)
    assert upscale_bytes(webp, data, name="a.png").suffix == ".webp"
    with refused("image-read"):
        upscale_bytes(BICUBIC, b"no picture", name="a.png")


def test_an_animation_is_upscaled_frame_by_frame():
    frames = [Image.fromarray(picture(seed=n)[0]) for n in range(3)]
    data = io.BytesIO()
    frames[0].save(data, "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    made = upscale_bytes(BICUBIC, data.getvalue(), name="a.webp")
    assert made.upscaled == ((6, 8), (12, 16), 3)
    with Image.open(io.BytesIO(made.data)) as image:
        assert image.n_frames == 3


@pytest.mark.slow
def test_a_worker_process_that_is_given_the_settings_makes_the_same():
    settings = UpscaleSettings(
        model="fast", engine=EngineOptions(threads=1, precision="fp32"), quality=90
    )
    assert pickle.loads(pickle.dumps(settings)) == settings  # noqa: S301 (our own)
    with Image.open(EXAMPLES[0]) as image:
        data = io.BytesIO()
        image.crop((100, 100, 180, 160)).save(data, "PNG")
    given = (settings, data.getvalue())
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        there = pool.submit(upscale_bytes, *given, name="a.png").result(timeout=250)
    assert there == upscale_bytes(*given, name="a.png")
