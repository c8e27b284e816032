"""The TIFF structure: what is packed is read again, and no bytes do harm."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from widesr.pictures.tiff import EXIF_POINTER, GPS_POINTER, INTEROP_POINTER, SIZES, Tiff, packed

POINTERS = {EXIF_POINTER, GPS_POINTER, INTEROP_POINTER}
VALUES = st.sampled_from([t for t in SIZES if t < 16]).flatmap(
    lambda type_: st.integers(1, 9).flatmap(
        lambda n: st.tuples(
            st.just(type_), st.binary(min_size=n * SIZES[type_], max_size=n * SIZES[type_])
        )
    )
)
PLAIN = st.dictionaries(st.integers(1, 0xFFFF).filter(lambda tag: tag not in POINTERS), VALUES)
TREES = st.tuples(PLAIN, PLAIN, st.booleans()).map(
    lambda made: made[0] | ({EXIF_POINTER: made[1]} if made[2] else {})
)


def whole(tree, *, big=False):
    head = b"II+\0\x08\0\0\0" + (16).to_bytes(8, "little") if big else b"II*\0\x08\0\0\0"
    return head + packed(tree, len(head), big=big)


@given(TREES, st.booleans())
def test_what_is_packed_is_read_again(tree, big):
    tiff = Tiff.open(whole(tree, big=big))
    assert tiff.big == big
    assert tiff.tree(tiff.first) == tree


@given(TREES, st.data())
def test_damaged_bytes_give_fields_inside_the_data_or_a_value_error(tree, data):
    block = bytearray(whole(tree, big=data.draw(st.booleans())))
    for _ in range(data.draw(st.integers(1, 5))):
        block[data.draw(st.integers(4, len(block) - 1))] = data.draw(st.integers(0, 255))
    block = bytes(block[: data.draw(st.integers(4, len(block)))])
    tiff = Tiff.open(block)
    try:
        fields = tiff.directory(tiff.first)
        found = tiff.tree(tiff.first)
    except ValueError:
        return
    assert set(found) <= set(fields)
    assert sum(field.n_values * SIZES[field.type] for field in fields.values()) <= len(block)
    assert all(f.at + f.n_values * SIZES[f.type] <= len(block) for f in fields.values())


def test_a_directory_that_points_to_itself_ends():
    loop = {EXIF_POINTER: (4, (8).to_bytes(4, "little"))}
    tiff = Tiff.open(whole(loop))
    assert tiff.tree(tiff.first) == {EXIF_POINTER: {EXIF_POINTER: {}}}


def test_other_bytes_are_no_tiff():
    for data in (b"", b"II", b"MM*\0", b"\xff\xd8\xff\xe0"):
        with pytest.raises(ValueError, match="TIFF"):
            Tiff.open(data)
