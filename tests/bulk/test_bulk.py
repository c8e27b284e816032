"""Bulk runs on Ray: whatever is killed, the outputs are those of an undisturbed run."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace

import pytest

from buckets import BROKEN, Killer, contents, fill, is_worker, picture, pictures, workers_at
from facts import names, refused
from waiting import until
from widesr.batch.settings import UpscaleSettings
from widesr.bulk.crew import joined
from widesr.bulk.listing import Listing
from widesr.bulk.manifest import Keys, Manifest
from widesr.bulk.run import upscale_bulk
from widesr.bulk.store import Store
from widesr.bulk.worker import Work, Worker
from widesr.cli import run
from widesr.upscaling.target import Target

# Ray leaves its pipes and log files to the garbage collector, and warns of its own changes to come.
pytestmark = [
    pytest.mark.timeout(900),  # starting processes takes long on a busy machine
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore:.*Ray:FutureWarning"),
]


@pytest.fixture(scope="module")
def ray_here(s3):
    """A Ray of two workers on this machine, which knows of the bucket; shut down at the end."""
    with joined(None, workers=2):
        yield


def work_in(url, *, model="bicubic"):
    settings = UpscaleSettings(target=Target(scale=2), model=model)
    return Work(inputs=Store(f"{url}/in"), outputs=Store(f"{url}/out"), settings=settings)


def undisturbed(work, tmp_path):
    """Return what one worker makes of all pictures, in this process."""
    alone = Work(inputs=work.inputs, outputs=Store(f"memory://{tmp_path}"), settings=work.settings)
    for batch in Listing(alone.inputs, alone.outputs).batches(Keys()):
        Worker(alone).do(batch)
    return contents(alone.outputs)


def check(work, tmp_path, *, count):
    """Hold outputs and manifest to those of an undisturbed run: each picture is there, once."""
    made, rows = contents(work.outputs), list(Manifest(work.outputs).rows())
    assert len(made) == count
    assert made == undisturbed(work, tmp_path)
    assert sorted(row.number for row in rows) == list(range(count + len(BROKEN)))
    assert sorted(row.output for row in rows if row.output) == sorted(made)
    assert {row.source for row in rows if row.status == "failed"} == set(BROKEN)
    assert Manifest(work.outputs).claims() == []


def kill_and_check(work, tmp_path, *, count, kills):
    fill(work.inputs, pictures(count))
    with Killer(kills) as killer:
        tally = upscale_bulk(work, workers=2, batch=4)
    assert len(killer.killed) == kills
    assert (tally.done, tally.failed.total()) == (count, len(BROKEN))
    check(work, tmp_path, count=count)


def test_workers_are_killed_and_the_outputs_are_those_of_an_undisturbed_run(
    ray_here, bucket, tmp_path
):
    work = work_in(bucket)
    kill_and_check(work, tmp_path, count=40, kills=3)
    before = {found.name: found for found in work.outputs.list()}
    with refused("output-exists"):
        upscale_bulk(work, workers=2)
    again = upscale_bulk(work, workers=2, resume=True)
    assert (again.done, again.passed) == (0, 40 + len(BROKEN))
    assert {found.name: found for found in work.outputs.list()} == before


def test_the_command_says_what_became_of_them(ray_here, bucket, capsys):
    fill(Store(f"{bucket}/in"), pictures(3))
    command = ["bulk", f"{bucket}/in", f"{bucket}/out", "-n", "bicubic", "-s", "3"]
    assert run([*command, "--json", "--workers", "1"]) == 3
    said, errors = capsys.readouterr()
    tally = json.loads(said)
    assert (tally["done"], tally["failed"], tally["others"]) == (3, {"image-read": 2}, 1)
    assert sorted(line.split(":")[1] for line in errors.splitlines() if "error" in line) == [
        " error[image-read]"
    ] * len(BROKEN)
    assert run(command) == 1
    assert "--resume" in capsys.readouterr().err
    Store(f"{bucket}/in").put("new.png", picture(99), overwrite=False)
    assert run([*command, "--resume", "--workers", "1"]) == 0
    assert names(capsys.readouterr().out, "1 done")


def test_a_model_that_is_not_there_is_refused_before_anything_is_written(ray_here, tmp_path):
    work = work_in(str(tmp_path), model="no-such-model")
    fill(work.inputs, pictures(1))
    with refused("model-not-found"):
        upscale_bulk(work, workers=1)
    assert not (tmp_path / "out").exists()


def test_the_memory_of_one_process_is_no_place_for_many(tmp_path):
    with refused("usage"):
        upscale_bulk(work_in(f"memory://{tmp_path}"), workers=1)


def test_a_link_to_the_inputs_is_no_place_for_outputs(tmp_path):
    work = work_in(str(tmp_path))
    fill(work.inputs, pictures(1))
    before = contents(work.inputs)
    (tmp_path / "out").symlink_to("in")
    with refused("usage"):
        upscale_bulk(replace(work_in(str(tmp_path)), overwrite=True), workers=1)
    assert contents(work.inputs) == before


def test_a_dry_run_forecasts_and_writes_nothing(tmp_path, capsys):
    fill(Store(str(tmp_path / "in")), pictures(6))
    command = ["bulk", str(tmp_path / "in"), str(tmp_path / "out"), "-n", "bicubic", "--dry-run"]
    assert run([*command, "--json", "--price", "0.1", "--pictures", "1000000"]) == 0
    trial = json.loads(capsys.readouterr().out)
    assert trial["pictures"] == 1_000_000
    assert trial["failed"] == {"image-read": len(BROKEN)}
    one, ten = trial["plans"][:2]
    assert one["hours"] == pytest.approx(10 * ten["hours"], rel=0.2)
    assert run(command) == 0
    assert names(capsys.readouterr().out, "workers", "core-hours", "million")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_ten_kills_in_500_pictures(ray_here, bucket, tmp_path):
    kill_and_check(work_in(bucket, model="fast"), tmp_path, count=500, kills=10)


@pytest.mark.slow
def test_a_picture_that_ends_its_workers_is_set_aside(ray_here, tmp_path):
    work = work_in(str(tmp_path), model="best")
    fill(work.inputs, {"long.png": picture(1, height=1200, width=1600)})
    with Killer(3):
        tally = upscale_bulk(work, workers=1)
    (row,) = Manifest(work.outputs).rows()
    assert dict(tally.failed) == {"worker-lost": 1}
    assert (row.status, row.error_code) == ("failed", "worker-lost")


@pytest.mark.slow
def test_the_driver_is_killed_and_another_goes_on(tmp_path):
    work = work_in(str(tmp_path))
    fill(work.inputs, pictures(60))
    words = ["bulk", work.inputs.url, work.outputs.url, "-n", "bicubic", "--batch", "4"]
    program = [sys.executable, "-m", "widesr", *words, "--workers", "1"]
    driver = subprocess.Popen(program, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until(lambda: driver.poll() is not None or len(list(tmp_path.rglob("parts/*.parquet"))) >= 3)
    os.kill(driver.pid, signal.SIGSTOP)  # hands out no more batches while its workers are looked up
    assert driver.poll() is None
    started = workers_at("", below=driver.pid)
    assert started
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    until(lambda: not any(map(is_worker, started)))
    done = contents(work.outputs)
    assert 0 < len(done) < 60
    times = {name: (tmp_path / "out" / name).stat().st_mtime_ns for name in done}
    finished = subprocess.run([*program, "--resume"], capture_output=True, text=True, check=False)
    assert finished.returncode == 3, finished.stderr
    check(work, tmp_path, count=60)
    assert times == {name: (tmp_path / "out" / name).stat().st_mtime_ns for name in done}
