"""imresize against the published LR pictures, and the properties that follow from theory."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image

from facts import refused
from widesr.pixels.resize import imresize

EDGES = st.sampled_from(["symmetric", "replicate"])


def load(path):
    return np.asarray(Image.open(path))


def cropped(image, scale):
    height, width = (side // scale * scale for side in image.shape[:2])
    return image[:height, :width]


def set5(bench, scale):
    pairs = [
        (load(hr), load(bench / "Set5" / "LR_bicubic" / f"X{scale}" / f"{hr.stem}x{scale}.png"))
        for hr in sorted((bench / "Set5" / "HR").glob("*.png"))
    ]
    assert len(pairs) == 5
    return pairs


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_shrinking_set5_gives_the_published_lr_pictures(bench, scale):
    # Golden: the usual Set5 archive, LR by MATLAB's imresize of uint8.
    for hr, lr in set5(bench, scale):
        assert_array_equal(imresize(cropped(hr, scale), scale=1 / scale), lr)


def test_shrinking_set5_eight_times_in_floats_gives_the_published_lr_pictures(bench):
    # Golden: the same archive's X8, which was not rounded between the passes.
    for hr, lr in set5(bench, 8):
        floats = imresize(cropped(hr, 8).astype(np.float64), scale=1 / 8)
        assert_array_equal(np.clip(np.floor(floats + 0.5), 0, 255), lr)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_shrinking_set14_with_repeated_edges_gives_the_published_lr_pictures(bench, scale):
    # Golden: the SelfExSR copy of Set14, LR by an older MATLAB; img_003 is grey.
    files = sorted((bench / "Set14" / f"HR_x{scale}").glob("*.png"))
    assert len(files) == 14
    for file in files:
        lr = load(bench / "Set14" / f"LR_x{scale}" / file.name.replace("HR", "LR"))
        assert_array_equal(imresize(load(file), scale=1 / scale, edges="replicate"), lr)


def slow_imresize(image, size, edges):
    """MATLAB's algorithm as its documentation has it: a kernel weight for each pair of lines."""

    def cubic(x):
        x = abs(x)
        if x <= 1:
            return 1.5 * x**3 - 2.5 * x**2 + 1
        return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x < 2 else 0.0

    def matrix(n_in, n_out):
        factor = n_out / n_in
        weights = np.zeros((n_out, n_in))
        for i in range(n_out):
            centre = (i + 0.5) / factor - 0.5
            reach = int(4 / min(factor, 1)) + 3
            for j in range(int(centre) - reach, int(centre) + reach + 1):
                if edges == "symmetric":
                    source = j % (2 * n_in)
                    source = min(source, 2 * n_in - 1 - source)
                else:
                    source = min(max(j, 0), n_in - 1)
                weights[i, source] += cubic((centre - j) * min(factor, 1))
            weights[i] /= weights[i].sum()
        return weights

    return matrix(len(image), size[0]) @ image @ matrix(image.shape[1], size[1]).T


@given(
    hnp.arrays(
        np.float64, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.floats(0, 1)
    ),
    st.tuples(st.integers(1, 30), st.integers(1, 30)),
    EDGES,
)
def test_floats_follow_the_definition_at_any_size(image, size, edges):
    assert_allclose(
        imresize(image, size=size, edges=edges), slow_imresize(image, size, edges), atol=1e-12
    )


@given(
    st.integers(1, 40),
    st.integers(1, 40),
    st.sampled_from([2, 3, 4, 8, 1 / 2, 1 / 3, 1 / 4, 1 / 8]),
)
def test_a_flat_picture_stays_flat_and_sizes_round_up(height, width, scale):
    flat = np.full((height, width, 3), 137, np.uint8)
    resized = imresize(flat, scale=scale)
    expected = [
        -(-side // round(1 / scale)) if scale < 1 else side * scale for side in (height, width)
    ]
    assert list(resized.shape) == [*expected, 3]
    assert (resized == 137).all()


@given(
    hnp.arrays(np.uint8, st.tuples(st.integers(1, 20), st.integers(1, 20), st.just(3))),
    st.sampled_from([2, 3, 1 / 2, 1 / 3]),
    EDGES,
)
def test_turning_by_half_a_turn_and_resizing_commute(image, scale, edges):
    sides = np.array(image.shape[:2])
    if scale < 1:  # where the size is no multiple, the last line lies off centre
        sides = np.maximum(sides * scale, 1).astype(int) * round(1 / scale)
        image = np.resize(image, (*sides, 3))
    turned = imresize(image[::-1, ::-1], scale=scale, edges=edges)[::-1, ::-1]
    difference = np.abs(turned.astype(int) - imresize(image, scale=scale, edges=edges))
    assert difference.max() <= 1  # half up is not symmetric in the last bit of a float


def test_the_argument_is_not_written_to_and_its_type_is_kept():
    random = np.random.default_rng(0)
    assert imresize(random.random((9, 7)), 1 / 2).shape == (5, 4)
    for dtype in (np.uint8, np.uint16, np.float32, np.float64):
        image = (random.random((9, 7, 3)) * 200).astype(dtype)
        before = image.copy()
        assert imresize(image, scale=2).dtype == dtype
        assert imresize(image[..., 0], scale=2).shape == (18, 14)
        assert_array_equal(image, before)


def test_sixteen_bits_are_resized_in_sixteen_bits():
    ramp = np.tile(np.arange(0, 65_536, 257, dtype=np.uint16), (8, 1))
    resized = imresize(ramp, scale=2)
    assert resized.max() > 65_000
    assert len(np.unique(resized)) > 256


@pytest.mark.parametrize(
    ("image", "options", "facts"),
    [
        (np.zeros((0, 4, 3), np.uint8), {"scale": 2}, [(0, 4, 3)]),
        (np.zeros(4, np.uint8), {"scale": 2}, [(4,)]),
        (np.zeros((4, 4), np.int32), {"scale": 2}, ["int32"]),
        (np.zeros((4, 4), np.uint8), {}, ["scale=", "size="]),
        (np.zeros((4, 4), np.uint8), {"scale": 2, "size": (8, 8)}, ["scale=", "size="]),
        (np.zeros((4, 4), np.uint8), {"scale": -1}, ["scale", -1]),
        (np.zeros((4, 4), np.uint8), {"size": (0, 8)}, ["8x0"]),
    ],
)
def test_what_cannot_be_resized_is_refused(image, options, facts):
    with refused("shape", *facts):
        imresize(image, **options)


@pytest.mark.parametrize(
    ("options", "fact"),
    [
        ({"scale": 0.5, "edges": "reflect"}, "symmetric"),
        ({"scale": "2"}, "scale"),
        ({"size": 8}, "size"),
        ({"size": (8.0, 8)}, "size"),
        ({"size": (True, 8)}, "size"),
    ],
)
def test_a_value_of_another_type_resizes_nothing(options, fact):
    with refused("usage", fact):
        imresize(np.zeros((4, 4), np.uint8), **options)


def test_what_is_no_array_is_not_resized():
    with refused("usage", "NoneType"):
        imresize(None, 2)
