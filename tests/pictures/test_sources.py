"""Pictures pass through bytes and file objects as they do through files."""

import io
import os
import threading

import numpy as np
import pytest

import widesr
from facts import refused
from samples import PIXELS, PNG_DATA, noise
from seeds import CORPUS
from widesr.pictures.picture import Picture
from widesr.pictures.reading import open_picture, read_header, read_picture
from widesr.pictures.several import open_several, write_pictures
from widesr.pictures.sniff import KINDS
from widesr.pictures.writing import write_picture

PICTURE = Picture(pixels=noise())


def corpus_of_every_kind():
    """One still picture of each kind that is read without an extra, and its name."""
    kinds = {name.split("-")[0] for name in KINDS} - {"heic"}
    return [next(p for p in sorted(CORPUS.iterdir()) if p.name.startswith(kind)) for kind in kinds]


@pytest.mark.parametrize("path", corpus_of_every_kind(), ids=lambda path: path.name)
def test_bytes_and_file_objects_give_what_the_file_gives(path):
    data, expected = path.read_bytes(), read_picture(path)
    with path.open("rb") as file:
        for source in (data, bytearray(data), memoryview(data), io.BytesIO(data), file, str(path)):
            found = read_picture(source)
            assert np.array_equal(found.pixels, expected.pixels)
            assert found.about == expected.about
    assert read_header(data) == read_header(path)


def test_a_pipe_is_read_to_its_end():
    reading, writing = os.pipe()

    def fill():
        with os.fdopen(writing, "wb") as file:
            file.write(PNG_DATA)

    thread = threading.Thread(target=fill)
    thread.start()
    with os.fdopen(reading, "rb", buffering=0) as pipe:
        assert not pipe.seekable()
        assert np.array_equal(read_picture(pipe).pixels, PIXELS["png rgb"][1])
    thread.join()


def test_a_file_object_is_read_from_where_it_stands():
    source = io.BytesIO(b"head" + PNG_DATA)
    source.seek(4)
    assert np.array_equal(read_picture(source).pixels, PIXELS["png rgb"][1])
    with refused("image-read"):  # it is at its end now
        read_picture(source)


def test_what_is_no_picture_and_what_is_no_source_are_told_apart(tmp_path):
    for source in (b"", b"text", io.BytesIO(b"text")):
        with refused("image-read", f"<{type(source).__name__}>"):
            read_picture(source)
    closed = io.BytesIO(PNG_DATA)
    closed.close()
    with (tmp_path / "a").open("wb") as for_writing:
        with_gaps = memoryview(PNG_DATA)[::2]
        for source in (closed, for_writing, with_gaps):
            with refused("image-read"):
                read_picture(source)
    for source in (io.StringIO("text"), 7, None):
        with refused("usage"):
            read_picture(source)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif", ".avif"])
def test_a_file_object_gets_what_a_file_gets(tmp_path, suffix):
    write_picture(tmp_path / f"a{suffix}", PICTURE)
    target = io.BytesIO()
    target.write(b"head")
    write_picture(target, PICTURE, format=suffix)
    assert target.getvalue() == b"head" + (tmp_path / f"a{suffix}").read_bytes()


class Slow(io.RawIOBase):
    """Takes a few bytes at a time, as a socket may."""

    def __init__(self, most=1000):
        self.data, self.most = b"", most

    def writable(self):
        return True

    def write(self, data):
        taken = bytes(data[: self.most])
        self.data += taken
        return len(taken) or None


def test_short_writes_are_gone_on_with_and_none_at_all_is_an_error():
    target, whole = Slow(), io.BytesIO()
    write_picture(target, PICTURE, format="png")
    write_picture(whole, PICTURE, format="png")
    assert target.data == whole.getvalue()
    with refused("image-write"):
        write_picture(Slow(most=0), PICTURE, format="png")


def test_nothing_is_written_of_a_picture_that_cannot_be_whole():
    half = Picture(pixels=noise(), alpha=noise(channels=1)[..., 0])
    cut = io.BytesIO(PNG_DATA[: len(PNG_DATA) * 2 // 3])
    target = io.BytesIO()
    with refused("image-format"):  # found while rows pass: JPEG holds no transparency
        write_picture(target, half, format="jpg")
    with refused("image-read"), open_picture(cut) as stream:
        write_pictures(target, stream, format="tif")
    assert target.getvalue() == b""


def test_only_a_picture_is_written_and_only_to_a_name(tmp_path):
    with refused("usage", "ndarray", "Picture"):
        write_picture(tmp_path / "a.png", PICTURE.pixels)
    with refused("image-write"):
        write_picture(f"{tmp_path}/a\0.png", PICTURE)
    assert not list(tmp_path.iterdir())


def test_a_target_that_cannot_take_a_picture_is_refused(tmp_path):
    with refused("usage") as error:
        write_picture(io.BytesIO(), PICTURE)
    assert error.value.options == ('format="png"',)
    for target in (io.StringIO(), 7):
        with refused("usage"):
            write_picture(target, PICTURE, format="png")
    closed = io.BytesIO()
    closed.close()
    (tmp_path / "a").write_bytes(b"mine")
    with (tmp_path / "a").open("rb") as for_reading:
        for target in (closed, for_reading):
            with refused("image-write"):
                write_picture(target, PICTURE, format="png")


@pytest.mark.parametrize(
    ("name", "format_"), [("gif-animated", "webp"), ("png-animated", "gif"), ("tiff-pages", "tif")]
)
def test_several_pictures_pass_from_bytes_to_a_file_object(tmp_path, name, format_):
    path, target = CORPUS / name, io.BytesIO()
    with open_several(path) as pictures:
        write_pictures(tmp_path / f"a.{format_}", pictures)
    with open_several(path.read_bytes()) as pictures:
        write_pictures(target, pictures, format=format_)
    assert target.getvalue() == (tmp_path / f"a.{format_}").read_bytes()


def test_upscale_takes_a_file_object_and_gives_a_picture(tmp_path):
    larger = widesr.upscale(io.BytesIO(PNG_DATA), scale=2, model="fast")
    (tmp_path / "a.png").write_bytes(PNG_DATA)
    same = widesr.upscale(tmp_path / "a.png", scale=2, model="fast")
    assert np.array_equal(larger.pixels, same.pixels)
