"""Plan which file becomes which, and do it: one picture's failure leaves the others alone."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from disk import decoded, files_under, save
from facts import refused
from widesr.batch.jobs import Job, Outcome, plan_jobs
from widesr.batch.many import transform_many, upscale_many
from widesr.batch.settings import UpscaleSettings
from widesr.errors import (
    ImageReadError,
    ImageWriteError,
    OutputExistsError,
)
from widesr.pixels.resize import imresize


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def targets(inputs: list[Path], **options) -> list[Path]:
    return [job.target for job in plan_jobs(inputs, name_end="_x2", **options)]


def bicubic(jobs: list[Job], *, existing="refuse", **options) -> list[Outcome]:
    settings = UpscaleSettings(model="bicubic", **options)
    return list(upscale_many(jobs, settings=settings, existing=existing))


# ---- planning ------------------------------------------------------------------------------


def test_a_file_goes_beside_itself_with_the_scale_in_its_name(tmp_path):
    assert targets([tmp_path / "a.jpg"]) == [tmp_path / "a_x2.jpg"]


def test_a_file_goes_where_output_says(tmp_path):
    assert targets([tmp_path / "a.jpg"], output=tmp_path / "b.png") == [tmp_path / "b.png"]


def test_a_file_goes_into_an_existing_folder_under_its_own_name(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    assert targets([tmp_path / "a.jpg"], output=out) == [out / "a.jpg"]


def test_several_files_go_into_a_folder_that_is_made(tmp_path):
    jobs = plan_jobs(
        [save(tmp_path / "a.png"), save(tmp_path / "b.webp")],
        name_end="_x2",
        output=tmp_path / "new" / "out",
    )
    assert not (tmp_path / "new").exists()  # planning makes nothing
    assert {outcome.status for outcome in bicubic(jobs)} == {"done"}
    assert files_under(tmp_path / "new") == {"out/a.png", "out/b.webp"}


def test_a_folder_goes_beside_itself_and_its_names_stay(tmp_path):
    folder = touch(tmp_path / "in" / "a.jpg").parent
    assert targets([folder]) == [tmp_path / "in_x2" / "a.jpg"]


def test_the_folder_that_one_is_in_goes_beside_itself_too(tmp_path, monkeypatch):
    monkeypatch.chdir(touch(tmp_path / "in" / "a.jpg").parent)
    assert targets([Path()]) == [tmp_path / "in_x2" / "a.jpg"]
    assert targets([Path("..") / "in"]) == [Path("..") / "in_x2" / "a.jpg"]


def test_a_folder_that_nothing_can_lie_beside_needs_an_output():
    with refused("usage"):
        plan_jobs([Path("/")], name_end="_x2")


def test_a_folder_is_taken_in_order_without_what_is_no_picture(tmp_path):
    names = ["b.PNG", "a.jpeg", "notes.txt", ".hidden.png", "Thumbs.db", ".DS_Store", "c"]
    for name in names:
        touch(tmp_path / "in" / name)
    touch(tmp_path / "in" / "deeper" / "d.png")
    out = tmp_path / "out"
    assert targets([tmp_path / "in"], output=out) == [out / "a.jpeg", out / "b.PNG"]


def test_a_recursive_run_mirrors_the_tree(tmp_path):
    for name in ["a.png", "x/a.png", "x/y/b.png", ".git/c.png"]:
        touch(tmp_path / "in" / name)
    out = tmp_path / "out"
    assert targets([tmp_path / "in"], output=out, recursive=True) == [
        out / "a.png",
        out / "x/a.png",
        out / "x/y/b.png",
    ]


def test_outputs_inside_the_input_folder_are_not_inputs_of_the_next_run(tmp_path):
    touch(tmp_path / "a.png")
    touch(tmp_path / "out" / "a.png")
    jobs = plan_jobs([tmp_path], name_end="_x2", output=tmp_path / "out", recursive=True)
    assert [job.source for job in jobs] == [tmp_path / "a.png"]


@pytest.mark.parametrize(
    ("name", "made"), [("a.gif", "a.png"), ("a.bmp", "a.png"), ("a.TIF", "a.TIF"), ("a", "a.png")]
)
def test_a_format_that_is_not_written_becomes_png(tmp_path, name, made):
    (job,) = plan_jobs([tmp_path / name], name_end="", output=tmp_path)
    assert job.target.name == made
    assert job.becomes_png == (made == "a.png")


@pytest.mark.parametrize(
    ("word", "suffix"), [("png", ".png"), ("JPG", ".jpg"), (".tiff", ".tiff"), ("avif", ".avif")]
)
def test_a_format_can_be_chosen(tmp_path, word, suffix):
    assert targets([tmp_path / "a.gif"], format=word) == [tmp_path / f"a_x2{suffix}"]


def test_a_suffix_ends_every_name(tmp_path):
    folder = touch(tmp_path / "in" / "a.png").parent
    assert targets([tmp_path / "a.png"], suffix="_big") == [tmp_path / "a_big.png"]
    assert targets([tmp_path / "a.png"], suffix="") == [tmp_path / "a.png"]
    assert targets([folder], suffix="_big") == [tmp_path / "in_x2" / "a_big.png"]


def test_a_file_that_was_named_twice_is_one_job(tmp_path):
    assert len(plan_jobs([tmp_path / "a.png"] * 2, name_end="_x2")) == 1


names = st.text("abü界😀 .-_", min_size=1, max_size=6).map(lambda text: f"n{text}.png")


@given(st.lists(names, min_size=1, max_size=8, unique=True))
def test_distinct_names_never_share_an_output(given_names):
    inputs = [Path("/nowhere") / name for name in given_names]
    planned = targets(inputs)
    assert len(set(planned)) == len(inputs)
    assert not set(planned) & set(inputs)
    assert [path.stem for path in planned] == [f"{path.stem}_x2" for path in inputs]


def test_inputs_that_share_an_output_are_refused_and_the_others_done(tmp_path):
    for name in ("in/a.png", "in/a.gif", "in/b.png", "a.png"):
        save(tmp_path / name)
    inputs = [tmp_path / "in", tmp_path / "a.png"]
    outcomes = bicubic(plan_jobs(inputs, name_end="_x2", output=tmp_path / "out"))
    found = {str(each.job.source.relative_to(tmp_path)): each.error for each in outcomes}
    assert {name for name, error in found.items() if error} == {"in/a.png", "in/a.gif", "a.png"}
    assert {error.code for error in found.values() if error} == {"usage"}
    assert "in/a.gif" in str(found["in/a.png"])
    assert "in/a.png" in str(found["in/a.gif"])
    assert files_under(tmp_path / "out") == {"b.png", "manifest.jsonl"}


def test_inputs_that_share_a_format_that_was_chosen_are_refused_too(tmp_path):
    for name in ("a.jpg", "a.png", "b.jpg"):
        save(tmp_path / "in" / name)
    outcomes = bicubic(plan_jobs([tmp_path / "in"], name_end="_x2", format="png"))
    assert [each.status for each in outcomes] == ["failed", "failed", "done"]


@pytest.mark.parametrize("inputs", [["a.png", "b.png"], ["folder"]])
def test_several_pictures_for_one_file_are_refused(tmp_path, inputs):
    touch(tmp_path / "folder" / "c.png")
    with refused("usage", "one.png"):
        targets([tmp_path / name for name in inputs], output=tmp_path / "one.png")


def test_a_format_that_contradicts_the_name_is_refused(tmp_path):
    with refused("usage", "b.png", "jpg"):
        targets([tmp_path / "a.png"], output=tmp_path / "b.png", format="jpg")
    jpeg = tmp_path / "b.jpeg"
    assert targets([tmp_path / "a.png"], output=jpeg, format="jpg") == [jpeg]


def test_an_unknown_format_is_refused(tmp_path):
    with refused("usage", "bmp", "png", "jpg"):
        targets([tmp_path / "a.png"], format="bmp")


def test_a_folder_without_pictures_is_refused_and_the_others_done(tmp_path):
    touch(tmp_path / "in" / "notes.txt")
    save(tmp_path / "good" / "a.png")
    jobs = plan_jobs([tmp_path / "in", tmp_path / "good"], name_end="_x2")
    empty, good = bicubic(jobs)
    assert empty.error.code == "image-read"
    assert empty.error.options == ("recursive=True",)
    assert good.status == "done"


def test_one_file_goes_into_a_folder_that_is_made_where_that_is_said(tmp_path):
    photo = save(tmp_path / "a.png")
    for name in ("new", "new.png", "new/deeper"):
        jobs = plan_jobs([photo], name_end="_x2", output=tmp_path / name, into_folder=True)
        assert [outcome.status for outcome in bicubic(jobs)] == ["done"]
        assert (tmp_path / name / "a.png").is_file()


@pytest.mark.parametrize(
    ("output", "code", "found"),
    [
        ("missing/b.png", "image-write", "missing"),
        ("file.txt/b.png", "image-write", "file.txt"),
        ("b.bmp", "image-format", ".bmp"),
        ("b", "image-write", "b"),
        ("https://x.org/b.png", "image-write", "https://x.org/b.png"),
    ],
)
def test_an_output_that_cannot_be_is_refused_before_the_work(tmp_path, output, code, found):
    touch(tmp_path / "file.txt")
    with refused(code, found):
        targets([tmp_path / "a.png"], output=Path(output) if "://" in output else tmp_path / output)


def test_a_file_where_the_output_folder_should_be_is_refused(tmp_path):
    touch(tmp_path / "in" / "a.png")
    touch(tmp_path / "file")
    for output in (tmp_path / "file", tmp_path / "file" / "deeper"):
        with refused("image-write", tmp_path / "file"):
            targets([tmp_path / "in"], output=output)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_to_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with refused("image-write", tmp_path):
            targets([tmp_path / "a.png"], output=tmp_path / "b.png")
    finally:
        tmp_path.chmod(0o700)


def test_names_that_no_file_system_has_are_refused_and_not_a_defect(tmp_path):
    (tmp_path / "out").mkdir()
    for inputs, output in (
        ([tmp_path / ("x" * 300 + ".png")], None),
        ([save(tmp_path / "a.png")], tmp_path / "out" / ("x" * 300 + ".png")),
        ([save(tmp_path / ("x" * 250 + ".png"))], None),
    ):
        (outcome,) = bicubic(plan_jobs(inputs, name_end="_x2", output=output))
        assert isinstance(outcome.error, ImageReadError | ImageWriteError)
    assert files_under(tmp_path) == {"a.png", "x" * 250 + ".png"}


# ---- doing ---------------------------------------------------------------------------------


def test_the_output_is_what_the_upscaler_makes(tmp_path):
    source = save(tmp_path / "a.png")
    (outcome,) = bicubic(plan_jobs([source], name_end="_x2"))
    assert (outcome.status, outcome.input_size, outcome.output_size) == ("done", (4, 6), (8, 12))
    assert outcome.error is None
    assert outcome.seconds > 0
    assert np.array_equal(decoded(tmp_path / "a_x2.png"), imresize(decoded(source), scale=2))


def test_one_bad_picture_does_not_stop_the_others(tmp_path):
    folder = tmp_path / "in"
    for name in ("a.png", "c.png"):
        save(folder / name)
    (folder / "b.png").write_bytes((folder / "a.png").read_bytes()[:60])
    outcomes = bicubic(plan_jobs([folder], name_end="_x2"))
    assert [outcome.status for outcome in outcomes] == ["done", "failed", "done"]
    assert outcomes[1].error is not None
    assert outcomes[1].error.code == "image-read"
    assert files_under(tmp_path / "in_x2") == {"a.png", "c.png", "manifest.jsonl"}


def test_a_run_in_which_all_fails_leaves_no_folder(tmp_path):
    touch(tmp_path / "in" / "a.png")
    (outcome,) = bicubic(plan_jobs([tmp_path / "in"], name_end="_x2"))
    assert isinstance(outcome.error, ImageReadError)
    assert files_under(tmp_path) == {"in/a.png"}
    assert not (tmp_path / "in_x2").exists()


def test_an_existing_output_is_refused_replaced_or_passed_over(tmp_path):
    source, target = save(tmp_path / "a.png"), tmp_path / "a_x2.png"
    jobs = plan_jobs([source], name_end="_x2")
    target.write_text("mine")
    (refused,) = bicubic(jobs)
    assert isinstance(refused.error, OutputExistsError)
    (skipped,) = bicubic(jobs, existing="skip")
    assert (skipped.status, skipped.error) == ("skipped", None)
    assert target.read_text() == "mine"
    (done,) = bicubic(jobs, existing="overwrite")
    assert done.status == "done"
    assert decoded(target).shape == (8, 12, 3)


@pytest.mark.parametrize("link", [False, True])
def test_an_input_is_never_written_over(tmp_path, link):
    source = save(tmp_path / "a.png")
    before = source.read_bytes()
    output = source
    if link:
        output = tmp_path / "link.png"
        output.symlink_to(source)
    (outcome,) = bicubic(plan_jobs([source], name_end="_x2", output=output), existing="overwrite")
    assert isinstance(outcome.error, OutputExistsError)
    assert source.read_bytes() == before


def test_the_input_of_another_job_is_never_written_over(tmp_path):
    first, second = save(tmp_path / "a.png"), save(tmp_path / "a_x2.png", seed=1)
    before = second.read_bytes()
    outcomes = bicubic(plan_jobs([first, second], name_end="_x2"), existing="overwrite")
    assert [outcome.status for outcome in outcomes] == ["failed", "done"]
    assert second.read_bytes() == before


def test_a_picture_above_the_limit_is_refused(tmp_path):
    (outcome,) = bicubic(plan_jobs([save(tmp_path / "a.png")], name_end="_x2"), max_pixels=23)
    assert outcome.error is not None
    assert outcome.error.code == "image-too-large"


def test_a_defect_on_one_picture_is_named_and_does_not_stop_the_others(tmp_path, monkeypatch):
    monkeypatch.delenv("WIDESR_DEBUG", raising=False)
    jobs = plan_jobs([save(tmp_path / n) for n in ("a.png", "b.png")], name_end="_x2")
    transform = iter([lambda picture: 1 / 0, lambda picture: picture])
    outcomes = list(transform_many(jobs, transform=lambda picture, _: next(transform)(picture)))
    assert [outcome.status for outcome in outcomes] == ["failed", "done"]
    assert outcomes[0].error is not None
    assert outcomes[0].error.code == "internal"
    assert "a.png" in str(outcomes[0].error)
    assert "ZeroDivisionError" in str(outcomes[0].error)


def test_a_defect_is_raised_for_those_who_look_for_it(tmp_path, monkeypatch):
    monkeypatch.setenv("WIDESR_DEBUG", "1")
    jobs = plan_jobs([save(tmp_path / "a.png")], name_end="_x2")
    with pytest.raises(ZeroDivisionError):
        list(transform_many(jobs, transform=lambda picture, job: 1 / 0))


def test_links_in_a_ring_are_refused_as_inputs_and_as_outputs(tmp_path):
    ring = tmp_path / "ring.png"
    ring.symlink_to(tmp_path / "other.png")
    (tmp_path / "other.png").symlink_to(ring)
    good = save(tmp_path / "good.png")
    into = bicubic([Job(source=ring, target=tmp_path / "out.png")])
    onto = bicubic([Job(source=good, target=ring)])
    assert isinstance(into[0].error, ImageReadError)
    assert str(into[0].error).startswith(f"{ring}: ")
    assert isinstance(onto[0].error, OutputExistsError)
    assert bicubic([Job(source=good, target=ring)], existing="overwrite")[0].error is None
    assert decoded(ring).shape == (8, 12, 3)


def test_a_folder_with_links_in_a_ring_costs_no_other_picture(tmp_path):
    save(tmp_path / "in" / "good.png")
    (tmp_path / "in" / "ring.png").symlink_to(tmp_path / "in" / "ring.png")
    jobs = plan_jobs([tmp_path / "in"], name_end="_x2", recursive=True)
    assert [type(outcome.error) for outcome in bicubic(jobs)] == [type(None), ImageReadError]
