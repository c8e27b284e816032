"""Labels that can be read, and windows that hold what is sought."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from widesr.pixels.drawing import GAP, densest, enlarged, framed, joined, label, titled

PRINTABLE = "".join(map(chr, range(33, 127)))
texts = st.text(max_size=60)


def lit(text: str, *, width: int = 480) -> np.ndarray:
    return label(text, width=width) > 0


def test_every_printable_letter_is_drawn_and_no_two_are_alike():
    drawn = [label(letter, width=60).tobytes() for letter in PRINTABLE]
    assert len(set(drawn)) == 94
    assert label(" ", width=60).tobytes() not in drawn


@given(texts, st.integers(30, 500))
def test_any_text_becomes_a_strip_of_the_width(text, width):
    strip = label(text, width=width)
    assert strip.shape == (32, width, 3)
    assert set(np.unique(strip)) <= {0, 255}


def test_letters_lose_their_accents_and_others_become_question_marks():
    assert (lit("café Ünder") == lit("cafe Under")).all()
    assert (lit("写 a\nb") == lit("? a?b")).all()


def test_a_text_that_is_too_long_loses_its_middle():
    width = 2 * GAP + 12 * 12
    assert (lit("photograph_of_a_cat.png", width=width) == lit("photo..t.png", width=width)).all()


@given(st.integers(1, 5), hnp.arrays(np.uint8, (3, 4, 3)))
def test_enlarging_repeats_every_pixel(zoom, pixels):
    large = enlarged(pixels, zoom=zoom)
    assert large.shape == (3 * zoom, 4 * zoom, 3)
    y, x = np.mgrid[: 3 * zoom, : 4 * zoom]
    assert (large == pixels[y // zoom, x // zoom]).all()


def test_parts_are_joined_with_a_gap_and_padded_with_black():
    one, other = np.full((4, 3, 3), 10, np.uint8), np.full((2, 5, 3), 20, np.uint8)
    beside = joined([one, other], axis=1)
    assert beside.shape == (4, 3 + GAP + 5, 3)
    assert (beside[:, :3] == 10).all()
    assert (beside[:2, 3 + GAP :] == 20).all()
    assert beside.sum() == one.sum() + other.sum()
    assert joined([one, other], axis=0).shape == (4 + GAP + 2, 5, 3)


def test_a_title_stands_above_its_picture_and_widens_it():
    pixels = np.full((4, 3, 3), 10, np.uint8)
    panel = titled("A", pixels, width=50)
    assert (panel[:32] == label("A", width=50)).all()
    assert (panel[32:, :3] == 10).all()
    assert panel.shape == (36, 50, 3)
    assert titled("A", np.zeros((4, 70, 3), np.uint8), width=50).shape == (36, 70, 3)


def test_a_frame_lies_around_its_window_and_leaves_the_argument_as_it_was():
    pixels = np.zeros((20, 20, 3), np.uint8)
    drawn = framed(pixels, slice(1, 11), slice(5, 9))
    assert not pixels.any()
    assert not drawn[1:11, 5:9].any()
    marked = drawn.any(axis=2)
    assert marked.sum() == (1 + 10 + 2) * (4 + 4) - 10 * 4  # cut off at the top
    assert marked[0, 3]
    assert marked[12, 10]


@given(
    hnp.arrays(np.int64, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9),
               elements=st.integers(0, 50)),
    st.data(),
)  # fmt: skip
def test_no_other_window_holds_more(values, data):
    height = data.draw(st.integers(1, values.shape[0]))
    width = data.draw(st.integers(1, values.shape[1]))

    def held(top, left):
        return values[top : top + height, left : left + width].sum()

    top, left = densest(values, height=height, width=width)
    places = np.ndindex(values.shape[0] - height + 1, values.shape[1] - width + 1)
    assert held(top, left) == max(held(*place) for place in places)


@pytest.mark.parametrize("at", [(50, 40), (0, 0), (99, 79)])
def test_what_stands_alone_is_centred_where_there_is_room(at):
    values = np.zeros((100, 80))
    values[at] = 1
    top, left = densest(values, height=21, width=11)
    assert (top, left) == (np.clip(at[0] - 10, 0, 79), np.clip(at[1] - 5, 0, 69))
