"""Pictures that pass from top to bottom give the same values as those that are whole."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from widesr.pixels.resize import imresize, resize_rows
from widesr.pixels.rows import Rows


def in_bands(pixels: np.ndarray, cuts: list[int]) -> Rows:
    return Rows(np.split(pixels, sorted(cuts)), shape=pixels.shape, dtype=pixels.dtype)


@st.composite
def pictures(draw: st.DrawFn) -> np.ndarray:
    shape = (draw(st.integers(1, 40)), draw(st.integers(1, 12)), draw(st.sampled_from([1, 3, 4])))
    dtype = draw(st.sampled_from([np.uint8, np.uint16]))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    return rng.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


cuts = st.lists(st.integers(0, 40), max_size=5)


@given(pixels=pictures(), cuts=cuts)
def test_whole_is_what_came_in_bands(pixels: np.ndarray, cuts: list[int]) -> None:
    assert np.array_equal(in_bands(pixels, cuts).whole(), pixels)


@given(pixels=pictures(), cuts=cuts, core=st.integers(1, 9), halo=st.integers(0, 5))
def test_windows_that_overlap_are_read_as_from_an_array(
    pixels: np.ndarray, cuts: list[int], core: int, halo: int
) -> None:
    rows, height = in_bands(pixels, cuts), len(pixels)
    for at in range(0, height, core):
        start, stop = max(0, at - halo), min(height, at + core + halo)
        assert np.array_equal(rows.read(start, stop), pixels[start:stop])


@given(pixels=pictures(), cuts=cuts)
def test_two_readers_at_their_own_pace_see_the_same(pixels: np.ndarray, cuts: list[int]) -> None:
    first, second = in_bands(pixels, cuts).twice()
    doubled = first.map(lambda band: band // 2, channels=pixels.shape[2]).beside(second).whole()
    assert np.array_equal(doubled, np.concatenate([pixels // 2, pixels], axis=2))


def test_rows_that_are_no_longer_needed_are_let_go() -> None:
    given_bands = [np.full((4, 3, 1), n, np.uint8) for n in range(8)]
    rows = Rows(iter(given_bands), shape=(32, 3, 1), dtype=np.uint8)
    for at in range(0, 32, 4):
        rows.read(max(0, at - 2), at + 4)
        assert len(rows._held) <= 6


@pytest.mark.parametrize("edges", ["symmetric", "replicate"])
@given(
    pixels=pictures(),
    cuts=cuts,
    size=st.tuples(st.integers(1, 60), st.integers(1, 30)),
)
def test_a_picture_that_passes_is_resized_as_a_whole_one(
    pixels: np.ndarray, cuts: list[int], size: tuple[int, int], edges: str
) -> None:
    passed = resize_rows(in_bands(pixels, cuts), size=size, edges=edges)
    assert passed.shape == (*size, pixels.shape[2])
    assert np.array_equal(passed.whole(), imresize(pixels, size=size, edges=edges))


@pytest.mark.parametrize("size", [(1200, 700), (90, 1800)])
def test_a_picture_of_many_chunks_is_resized_as_a_whole_one(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (600, 350, 3), np.uint8)
    whole = imresize(pixels, size=size)
    monkeypatch.setattr("widesr.pixels.resize._CHUNK", 2**14)
    passed = resize_rows(in_bands(pixels, [7, 130, 131, 400]), size=size).whole()
    assert np.array_equal(passed, whole)


def test_flat_pictures_stay_flat() -> None:
    for level in (0, 7, 255):
        flat = np.full((9, 11, 1), level, np.uint8)
        assert (imresize(flat, size=(31, 40)) == level).all()


@given(pixels=pictures(), cuts=cuts, margin=st.integers(1, 9), chunk=st.sampled_from([1, 2**22]))
def test_mirrored_margins_are_those_of_numpy(
    pixels: np.ndarray, cuts: list[int], margin: int, chunk: int
) -> None:
    sides = ((margin, margin), (margin, margin), (0, 0))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("widesr.pixels.rows._CHUNK", chunk)
        passed = in_bands(pixels, cuts).pad_symmetric(margin)
        assert passed.shape == (
            pixels.shape[0] + 2 * margin,
            pixels.shape[1] + 2 * margin,
            pixels.shape[2],
        )
        assert np.array_equal(passed.whole(), np.pad(pixels, sides, mode="symmetric"))
