"""As much of protobuf as a card in an ONNX file needs: the length-delimited fields of a message."""

from collections.abc import Iterator
from typing import NamedTuple


class NotProtobufError(Exception):
    """Bytes that are no message, or end before it does."""


class Field(NamedTuple):
    """A length-delimited field: text, bytes, or a message."""

    number: int
    content: memoryview
    start: int
    """Where its tag starts in the message."""
    stop: int


def fields(message: memoryview) -> Iterator[Field]:
    """Each length-delimited field; other fields are passed over.

    Raises:
        NotProtobufError: The bytes are no message, which shows where it does.
    """
    at = 0
    while at < len(message):
        start = at
        tag, at = _varint(message, at)
        match tag & 7:
            case 0:
                _, at = _varint(message, at)
            case 1:
                at += 8
            case 2:
                size, at = _varint(message, at)
                if at + size > len(message):
                    raise NotProtobufError
                yield Field(tag >> 3, message[at : at + size], start, at + size)
                at += size
            case 5:
                at += 4
            case _:
                raise NotProtobufError


def as_field(number: int, content: bytes) -> bytes:
    """A length-delimited field as bytes."""
    return _as_varint(number << 3 | 2) + _as_varint(len(content)) + content


def _as_varint(value: int) -> bytes:
    more = value >> 7
    return bytes([value & 0x7F | 0x80]) + _as_varint(more) if more else bytes([value])


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """The number that starts at byte `at`, and where the next thing starts."""
    value = 0
    for i in range(10):
        if at + i >= len(message):
            break
        byte = message[at + i]
        value |= (byte & 0x7F) << 7 * i
        if byte < 0x80:
            return value, at + i + 1
    raise NotProtobufError
