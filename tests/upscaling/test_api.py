"""One call gives back the kind of picture that it was given."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

import widesr
from disk import save
from facts import refused
from samples import smooth
from widesr.pictures.picture import Picture
from widesr.pictures.reading import read_picture
from widesr.pixels.resize import imresize
from widesr.upscaling.api import upscale
from widesr.upscaling.resize_to import SizedUpscaler
from widesr.upscaling.target import Target
from widesr.upscaling.upscaler import Upscaler

ROOT = Path(__file__).parents[2]
TINY = str(Path(__file__).parents[1] / "assets" / "tiny-x2.onnx")


def test_upscale_gives_an_array_for_an_array_and_a_picture_for_a_file(tmp_path):
    source = save(tmp_path / "a.png")
    pixels = read_picture(source).pixels
    expected = imresize(pixels, scale=3)
    assert np.array_equal(upscale(pixels, scale=3, model="bicubic"), expected)
    for given_picture in (source, str(source), Picture(pixels=pixels)):
        made = upscale(given_picture, scale=3, model="bicubic")
        assert isinstance(made, Picture)
        assert np.array_equal(made.pixels, expected)


def test_upscale_refuses_what_is_no_picture():
    with refused("shape", "float64"):
        upscale(np.zeros((4, 4, 3)), model="bicubic")
    with refused("shape", "float64"):
        upscale(np.zeros((4, 4, 4)), model="bicubic")
    with refused("image-format", "mode F"):
        upscale(Image.new("F", (4, 4)), model="bicubic")


@given(
    st.sampled_from([np.uint8, np.uint16]).flatmap(
        lambda dtype: hnp.arrays(
            dtype,
            st.tuples(st.integers(1, 5), st.integers(1, 5), st.integers(1, 4))
            | st.tuples(st.integers(1, 5), st.integers(1, 5)),
        )
    )
)
def test_an_array_comes_back_with_its_type_and_its_channels(array):
    made = upscale(array, scale=2, model="bicubic")
    height, width, *channels = array.shape
    assert made.shape == (2 * height, 2 * width, *channels)
    assert made.dtype == array.dtype


@pytest.mark.filterwarnings("ignore:the matrix subclass")
def test_a_matrix_of_numpy_is_an_array_too():
    matrix = np.asmatrix(smooth(channels=1)[..., 0])
    made = upscale(matrix, model=TINY, consistent=True)
    assert np.array_equal(made, upscale(np.asarray(matrix), model=TINY, consistent=True))


@pytest.mark.parametrize("channels", [2, 4])
def test_the_last_of_2_or_4_channels_is_alpha(channels):
    array = smooth(channels=4)[..., -channels:]
    array[:20, :, -1] = 0
    made = upscale(array, model=TINY)
    picture = upscale(
        Picture(pixels=array[..., :-1].copy(), alpha=array[..., -1].copy()), model=TINY
    )
    assert np.array_equal(made[..., :-1], picture.pixels)
    assert np.array_equal(made[..., -1], picture.alpha)


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("RGB", 3), ("RGBA", 4), ("LA", 2)])
def test_an_image_an_array_and_a_file_become_the_same(tmp_path, mode, channels):
    array = smooth(channels=channels)
    image = Image.fromarray(array[..., 0] if channels == 1 else array)
    image.save(tmp_path / "a.png")
    made = upscale(image, scale=1.5, model=TINY)
    assert isinstance(made, Image.Image)
    assert (made.mode, made.size) == (mode, (84, 60))
    picture = upscale(tmp_path / "a.png", scale=1.5, model=TINY)
    planes = [picture.pixels] if picture.alpha is None else [picture.pixels, picture.alpha]
    assert np.array_equal(np.atleast_3d(np.asarray(made)), np.dstack(planes))
    assert np.array_equal(upscale(array, scale=1.5, model=TINY), np.dstack(planes))


@pytest.mark.parametrize(
    "upscaler", [Upscaler.load(TINY, scale=2), SizedUpscaler.load(TINY, target=Target(width=100))]
)
def test_a_model_that_is_loaded_serves_many_pictures_of_any_kind(upscaler):
    array = smooth()
    expected = upscaler(array)
    assert np.array_equal(upscale(array, model=upscaler), expected)
    assert np.array_equal(np.asarray(upscale(Image.fromarray(array), model=upscaler)), expected)
    assert np.array_equal(upscale(Picture(pixels=array), model=upscaler).pixels, expected)


@pytest.mark.parametrize("option", [{"scale": 2}, {"fit": (9, 9)}, {"tile": 64},
                                    {"tile": None}, {"self_ensemble": True}])  # fmt: skip
def test_a_model_that_is_loaded_takes_no_other_options(option):
    upscaler = Upscaler.load("bicubic", scale=2)
    with refused("usage", "model", "loaded"):
        upscale(smooth(), model=upscaler, **option)


@pytest.mark.parametrize(
    ("wrong", "name"),
    [
        ({"scale": "2"}, "scale"),
        ({"scale": True}, "scale"),
        ({"width": 12.5}, "width"),
        ({"height": "12"}, "height"),
        ({"fit": (12,)}, "fit"),
        ({"fit": "12x8"}, "fit"),
        ({"fit": (12.5, 8)}, "fit"),
        ({"scale": 2, "model": TINY, "tile": "64"}, "tile"),
        ({"model": None}, "model"),
    ],
)
def test_a_value_of_another_type_is_refused_by_its_name(wrong, name):
    with refused("usage", name):
        upscale(np.zeros((4, 6, 3), np.uint8), **({"model": "bicubic"} | wrong))


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16])
def test_small_integers_of_numpy_mean_the_size_that_they_say(dtype):
    pixels = np.zeros((300, 310, 3), np.uint8)
    assert upscale(pixels, fit=(dtype(120), dtype(110)), model="bicubic").shape == (110, 114, 3)
    assert upscale(pixels, width=dtype(31), model="bicubic").shape == (30, 31, 3)
    assert Upscaler.load("bicubic", scale=dtype(2))(pixels).shape == (600, 620, 3)


@pytest.mark.parametrize(
    ("wrong", "name"),
    [
        ({"scale": [2]}, "scale"),
        ({"scale": True}, "scale"),
        ({"scale": 2, "name": "bicubic", "threads": None, "consistent": "no"}, "consistent"),
        ({"scale": float("inf"), "name": "bicubic"}, "scale"),
        ({"scale": 2, "threads": True}, "thread"),
        ({"scale": 2, "threads": 10**9}, "4,096"),
        ({"scale": 2, "tile": True}, "tile"),
        ({"scale": 2, "self_ensemble": "false"}, "self_ensemble"),
        ({"scale": 2, "temperature": "1"}, "temperature"),
        ({"scale": 2, "seed": True}, "seed"),
    ],
)
def test_a_value_that_no_network_can_be_loaded_with_is_refused_by_its_name(wrong, name):
    with refused("usage", name):
        Upscaler.load(**({"name": TINY} | wrong))


@pytest.mark.parametrize("pixels", [None, [[1, 2], [3, 4]], "photo.jpg"])
def test_what_is_no_array_is_refused(pixels):
    upscaler = Upscaler.load("bicubic", scale=2)
    for call in (upscaler, lambda each: Picture(pixels=each)):
        with refused("usage", type(pixels).__name__):
            call(pixels)


def test_an_upscaler_of_a_name_says_how_names_are_loaded():
    with refused("usage", "Upscaler.load"):
        Upscaler("fast")
    with refused("usage", "find_model"):
        widesr.load_engine("fast")


def test_a_model_file_may_be_a_path_object():
    pixels = np.random.default_rng(0).integers(0, 256, (20, 24, 3), np.uint8)
    expected = upscale(pixels, model=TINY)
    assert np.array_equal(upscale(pixels, model=Path(TINY)), expected)
    assert np.array_equal(Upscaler.load(Path(TINY), scale=2)(pixels), expected)


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("size", [{"scale": 1.5, "model": "bicubic"}, {"scale": 2, "model": TINY}])
def test_the_order_of_the_bytes_in_memory_does_not_matter(channels, size):
    array = np.random.default_rng(0).integers(0, 2**16, (20, 24, channels)).astype("<u2")
    assert np.array_equal(upscale(array.astype(">u2"), **size), upscale(array, **size))


def test_pillow_is_not_needed():
    program = (
        "import sys; sys.modules['PIL'] = None; import numpy as np, widesr\n"
        "print(widesr.upscale(np.zeros((4, 6, 3), np.uint8), model='bicubic').shape)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True,
                          check=False, timeout=250)  # fmt: skip
    assert (done.stdout, done.stderr) == ("(8, 12, 3)\n", "")


def python_blocks(page: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", ["README.md", "docs/index.md", "docs/how-to/python.md"])
def test_the_examples_in_the_documentation_run(tmp_path, monkeypatch, page):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(smooth()).save("photo.jpg")
    (tmp_path / "holiday").mkdir()
    Image.fromarray(smooth()).save("holiday/one.jpg")
    blocks = python_blocks(page)
    assert blocks
    names = {"widesr": widesr, "lr": smooth()}
    for block in blocks:
        exec(compile(block, page, "exec"), names)  # noqa: S102 (our own page)
    assert set(tmp_path.rglob("*_x2.*"))
