"""The fields of protobuf messages: what was written is read, and what is none is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from widesr.models.protobuf import NotProtobufError, as_field, fields

numbered = st.lists(st.tuples(st.integers(1, 2**29 - 1), st.binary(max_size=300)))


@given(numbered)
def test_fields_come_back_with_their_places(wanted):
    message = b"".join(as_field(number, content) for number, content in wanted)
    found = list(fields(memoryview(message)))
    assert [(field.number, bytes(field.content)) for field in found] == wanted
    assert b"".join(message[field.start : field.stop] for field in found) == message


def test_fields_of_other_kinds_are_passed_over():
    # By hand, after the encoding page of protobuf.dev: a varint 150 in 1, eight bytes in 2,
    # "testing" in 3, four bytes in 4.
    message = b"\x08\x96\x01" + b"\x11" + bytes(8) + b"\x1a\x07testing" + b"\x25" + bytes(4)
    ((number, content, start, stop),) = fields(memoryview(message))
    assert (number, bytes(content), start, stop) == (3, b"testing", 12, 21)


@given(st.binary(max_size=100))
def test_any_bytes_end_in_fields_or_in_a_refusal(data):
    try:
        found = list(fields(memoryview(data)))
    except NotProtobufError:
        return
    assert all(0 <= field.start < field.stop <= len(data) for field in found)


@pytest.mark.parametrize("data", [b"\x0a\x05abc", b"\x0b", b"\xff" * 11, b"\x0a"])
def test_what_is_no_message_is_refused(data):
    with pytest.raises(NotProtobufError):
        list(fields(memoryview(data)))
