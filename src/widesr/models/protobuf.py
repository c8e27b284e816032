"""Parses as much of protobuf as a card in an ONNX file needs."""

from collections.abc import Iterator
from typing import NamedTuple


class NotProtobufError(Exception):
    """The bytes are not a message, or end before it does."""


class Field(NamedTuple):
    """A length-delimited field: text, bytes, or a message."""

    number: int
    content: memoryview
    start: int
    """The byte of the message at which the field's tag starts."""
    stop: int


class _Integer(NamedTuple):
    """A varint field."""

    number: int
    value: int


def fields(message: memoryview) -> Iterator[Field]:
    """Yield each length-delimited field, and pass over the others.

    Raises:
        NotProtobufError: The bytes are not a message; this is raised only where parsing fails.
    """
    return (each for each in _walk(message) if isinstance(each, Field))


def _walk(message: memoryview) -> Iterator[Field | _Integer]:
    """Yield each field that is length-delimited or a varint, and pass over the others."""
    at = 0
    while at < len(message):
        start = at
        tag, at = _varint(message, at)
        match tag & 7:
            case 0:
                value, at = _varint(message, at)
                yield _Integer(tag >> 3, value)
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


# Two fields of ONNX's ModelProto matter: 7 is the graph, and 14 is metadata_props, whose entries
# have the key in field 1 and the value in field 2.


def graph(model: memoryview) -> memoryview:
    """Return the graph of an ONNX file, structure and weights; empty if the file has none."""
    return next((field.content for field in fields(model) if field.number == 7), memoryview(b""))


def metadata(model: memoryview, key: str) -> bytes | None:
    """Return the value of a key in the metadata of an ONNX file; None if the key is missing."""
    entries = (_entry(field.content) for field in fields(model) if field.number == 14)
    return {bytes(e.get(1, b"")): bytes(e.get(2, b"")) for e in entries}.get(key.encode())


def with_metadata(model: memoryview, key: str, value: str) -> Iterator[bytes | memoryview]:
    """Yield an ONNX file piece by piece, with a new value for a key in its metadata."""
    at = 0
    for field in fields(model):
        if field.number == 14 and _entry(field.content).get(1, b"") == key.encode():
            yield model[at : field.start]
            at = field.stop
    yield model[at:]
    yield as_field(14, as_field(1, key.encode()) + as_field(2, value.encode()))


def _entry(message: memoryview) -> dict[int, memoryview]:
    return {field.number: field.content for field in fields(message)}


def as_field(number: int, content: bytes) -> bytes:
    """Encode a length-delimited field."""
    return _as_varint(number << 3 | 2) + _as_varint(len(content)) + content


def _as_varint(value: int) -> bytes:
    more = value >> 7
    return bytes([value & 0x7F | 0x80]) + _as_varint(more) if more else bytes([value])


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """Read the number that starts at byte `at`; return it and the offset after it."""
    value = 0
    for i in range(10):
        if at + i >= len(message):
            break
        byte = message[at + i]
        value |= (byte & 0x7F) << 7 * i
        if byte < 0x80:
            return value, at + i + 1
    raise NotProtobufError


class Weights(NamedTuple):
    """The place of an initializer's values in an ONNX file."""

    data_type: int
    """ONNX's number of the type: 1 is float32, 10 is float16."""
    start: int
    stop: int


def initializers(model: memoryview) -> dict[str, Weights]:
    """Find the raw values of each initializer of an ONNX file, by its name.

    Raises:
        NotProtobufError: The bytes are not a message.
    """
    at = next((field for field in fields(model) if field.number == 7), None)
    found: dict[str, Weights] = {}
    if at is None:
        return found
    begin = at.stop - len(at.content)
    for field in fields(at.content):
        if field.number != 5:
            continue
        # a TensorProto: 2 is its type, 8 its name, 9 its values
        parts = list(_walk(field.content))
        types = {each.number: each.value for each in parts if isinstance(each, _Integer)}
        blocks = {each.number: each for each in parts if isinstance(each, Field)}
        if 8 not in blocks or 9 not in blocks:
            continue
        stop = begin + field.stop - len(field.content) + blocks[9].stop
        name = bytes(blocks[8].content).decode(errors="replace")
        found[name] = Weights(types.get(2, 0), stop - len(blocks[9].content), stop)
    return found
