"""A worker does a batch, in this process."""

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import widesr
from buckets import BROKEN, contents, fill, picture, pictures
from facts import refused
from samples import GREY, PALETTE, by_pillow, smooth
from widesr.batch.settings import UpscaleSettings
from widesr.bulk.listing import Listing
from widesr.bulk.manifest import Keys, Manifest
from widesr.bulk.run import made_by
from widesr.bulk.store import Store
from widesr.bulk.worker import Work, Worker, output_name
from widesr.upscaling.target import Target


@pytest.fixture
def work(tmp_path):
    settings = UpscaleSettings(target=Target(scale=2), model="bicubic")
    return Work(
        inputs=Store(f"memory://{tmp_path}/in"),
        outputs=Store(f"memory://{tmp_path}/out"),
        settings=settings,
    )


def batch_of(work):
    (batch,) = Listing(work.inputs, work.outputs).batches(Keys(), most=1000)
    return batch


def test_outputs_are_those_of_the_library_under_the_names_of_their_inputs(work):
    files = pictures(4)
    fill(work.inputs, files)
    report = Worker(work).do(batch_of(work))
    made = contents(work.outputs)
    assert sorted(made) == sorted(set(files) - set(BROKEN) - {"notes.txt"})
    for name in (name for name in made if name.endswith("png")):
        lr = np.asarray(Image.open(io.BytesIO(files[name])))
        sr = np.asarray(Image.open(io.BytesIO(made[name])))
        np.testing.assert_array_equal(sr, widesr.upscale(lr, scale=2, model="bicubic"))
    assert (report.done, report.pixels) == (4, 4 * 24 * 32)
    assert report.output_bytes == sum(map(len, made.values()))


def test_pictures_that_cannot_be_read_are_set_aside_with_their_codes(work):
    fill(work.inputs, pictures(2))
    report = Worker(work).do(batch_of(work))
    rows = {row.source: row for row in Manifest(work.outputs).rows()}
    assert len(rows) == 4
    assert {row.source for row in report.failed} == set(BROKEN)
    for name in BROKEN:
        assert (rows[name].status, rows[name].error_code) == ("failed", "image-read")
        assert name in rows[name].error_message
    assert [row.number for row in Manifest(work.outputs).rows()] == [0, 1, 2, 3]


def test_a_file_of_another_is_left_as_it_is(work):
    fill(work.inputs, {"a.png": picture(1), "b.png": picture(2)})
    work.outputs.put("a.png", b"theirs", overwrite=False)
    (failed,) = Worker(work).do(batch_of(work)).failed
    assert (failed.source, failed.error_code) == ("a.png", "output-exists")
    assert work.outputs.read("a.png") == b"theirs"


def test_a_batch_that_two_workers_do_comes_out_as_one(work):
    fill(work.inputs, pictures(3))
    Worker(work).do(batch_of(work))
    before = contents(work.outputs)
    report = Worker(work).do(batch_of(work))
    assert report.done == 3
    assert contents(work.outputs) == before


def test_a_batch_that_was_claimed_and_not_written_leaves_all_to_be_done(work):
    fill(work.inputs, pictures(3))
    batch = batch_of(work)
    Worker(work).do(batch)
    manifest = Manifest(work.outputs)
    rows = list(manifest.rows())
    manifest.claim(batch.id, rows)
    for name in contents(work.outputs):
        work.outputs.remove(name)
    report = Worker(work).settle(batch.id)
    assert report.done == 0
    assert len(report.settled) == len(BROKEN)


def test_where_nothing_can_be_written_the_run_ends_and_no_picture_is_set_aside(tmp_path):
    (tmp_path / "out").write_bytes(b"a file, where a folder is to be")
    work = Work(
        inputs=fill(Store(str(tmp_path / "in")), {"a.png": picture(1)}),
        outputs=Store(str(tmp_path / "out")),
        settings=UpscaleSettings(target=Target(scale=2), model="bicubic"),
    )
    with refused("image-write"):
        Worker(work).do(batch_of(work))


def test_a_format_that_is_not_written_gets_a_second_ending(work):
    bmp, still = by_pillow(Image.fromarray(GREY[..., 0]), "BMP"), by_pillow(PALETTE, "GIF")
    fill(work.inputs, {"scan.bmp": bmp, "scan.png": picture(1), "still.gif": still})
    Worker(work).do(batch_of(work))
    assert sorted(contents(work.outputs)) == ["scan.bmp.png", "scan.png", "still.gif.png"]


def test_a_format_that_was_asked_for_is_that_of_all(work):
    fill(work.inputs, {"a.png": picture(1), "b.jpg": picture(2, kind="jpg")})
    asked = replace(work, settings=replace(work.settings, format="jpeg"))
    Worker(asked).do(batch_of(asked))
    made = contents(work.outputs)
    assert sorted(made) == ["a.png.jpeg", "b.jpg"]
    assert {Image.open(io.BytesIO(data)).format for data in made.values()} == {"JPEG"}
    with refused("image-format"):
        made_by(replace(work, settings=replace(work.settings, format="doc")))


def test_frames_and_pages_are_all_upscaled(work):
    frames = [Image.fromarray(smooth()[:, ::step].copy()) for step in (1, -1)]
    how = {"save_all": True, "append_images": frames[1:]}
    files = {
        "a.gif": by_pillow(frames[0], "GIF", **how),
        "b.tif": by_pillow(frames[0], "TIFF", **how),
    }
    fill(work.inputs, files)
    assert Worker(work).do(batch_of(work)).done == 2
    for name, data in contents(work.outputs).items():
        with Image.open(io.BytesIO(data)) as image:
            assert (name, image.n_frames, image.size) == (name, 2, (112, 80))


@pytest.mark.parametrize(
    ("source", "ending", "output"),
    [
        ("a/b.jpg", ".jpg", "a/b.jpg"),
        ("b.JPG", ".jpg", "b.JPG"),
        ("b.jpg", ".webp", "b.jpg.webp"),
        ("b", ".png", "b.png"),
    ],
)
def test_the_output_has_the_name_of_its_input(source, ending, output):
    assert output_name(source, ending) == output
