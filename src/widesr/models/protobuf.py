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


def fields(message: memoryview) -> Iterator[Field]:
    """Yield each length-delimited field, and pass over the others.

    Raises:
        NotProtobufError: The bytes are not a message; this is raised only where parsing fails.
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
        if field.number == 5:  # a TensorProto: 2 is its type, 8 its name, 9 its values
            tensor = _entry(field.content)
            if 8 not in tensor or 9 not in tensor:
                continue
            raw = next(each for each in fields(field.content) if each.number == 9)
            stop = begin + field.stop - len(field.content) + raw.stop
            name = bytes(tensor[8]).decode(errors="replace")
            kind = _number(field.content, 2)
            found[name] = Weights(kind, stop - len(raw.content), stop)
    return found


def _number(message: memoryview, number: int) -> int:
    """Read the last varint field with this number; return 0 if there is none."""
    at = value = 0
    while at < len(message):
        tag, at = _varint(message, at)
        match tag & 7:
            case 0:
                read, at = _varint(message, at)
                value = read if tag >> 3 == number else value
            case 1:
                at += 8
            case 2:
                size, at = _varint(message, at)
                at += size
            case 5:
                at += 4
            case _:
                raise NotProtobufError
    return value
