"""Before a long run starts, people are told how long it takes."""

import struct

import numpy as np
import pytest
from PIL import Image

from facts import names
from widesr.batch.estimates import forecast
from widesr.batch.jobs import plan_jobs
from widesr.batch.settings import FileSettings
from widesr.cli import run
from widesr.upscaling.resize_to import load_upscaler
from widesr.upscaling.target import Target
from widesr.upscaling.upscaler import Upscaler


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for n in range(5):
        pixels = np.random.default_rng(n).integers(0, 256, (1000, 1200, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{n}.png", compress_level=0)
    return folder


class Steady(Upscaler):
    """Bicubic that says it takes a microsecond a pixel."""

    _seconds_per_pixel = 1e-6

    def __init__(self, scale):
        self.scale = scale


def test_time_and_size_grow_with_the_pictures(pictures):
    jobs = plan_jobs([pictures], name_end="_x2")
    told = forecast(jobs, upscaler=Steady(2))
    assert told.pictures == 5
    assert told.seconds == pytest.approx(5 * 1.2)
    assert 5 * 4 * 1.2e6 * 3 <= told.most_bytes <= 5 * 4 * 1.2e6 * 3 * 1.1


def test_what_is_there_already_is_left_out(pictures, tmp_path):
    jobs = plan_jobs([pictures], name_end="_x2")
    jobs[0].target.parent.mkdir()
    for job in jobs[:2]:
        job.target.touch()
    assert forecast(jobs, upscaler=Steady(2)).pictures == 3
    assert forecast(jobs, upscaler=Steady(2), overwrite=True).pictures == 5


def test_of_many_pictures_a_part_tells_for_all(pictures, monkeypatch):
    monkeypatch.setattr("widesr.batch.estimates._SAMPLE", 2)
    told = forecast(plan_jobs([pictures], name_end="_x2"), upscaler=Steady(2))
    assert told.pictures == 5
    assert told.seconds == pytest.approx(5 * 1.2)


def test_steps_one_after_the_other_add_up(pictures):
    upscaler = load_upscaler(target=Target(scale=8))
    upscaler.networks = {4: Steady(4), 2: Steady(2)}
    jobs = plan_jobs([pictures], name_end="_x8")
    assert forecast(jobs, upscaler=upscaler).seconds == pytest.approx(5 * 1.2 * (1 + 16))


def test_small_runs_and_damaged_files_need_no_forecast(tmp_path):
    Image.new("RGB", (60, 40)).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"no picture")
    jobs = plan_jobs([tmp_path], name_end="_x2")
    assert forecast(jobs, upscaler=Steady(2)) is None


def test_the_measured_speed_is_that_of_the_network(pictures):
    told = forecast(plan_jobs([pictures], name_end="_x2"), upscaler=Upscaler.load(scale=2))
    assert told.seconds > 0


def test_a_long_run_is_told_of_on_stderr_alone(pictures, monkeypatch, capfd):
    monkeypatch.setattr("widesr.cli.upscale.WORTH_TELLING", 0)
    assert run(["upscale", str(pictures), "-n", "bicubic"]) == 0
    out, err = capfd.readouterr()
    assert names(err, 5, "1 min")
    assert "min" not in out
    assert run(["upscale", str(pictures), "-n", "bicubic", "--overwrite", "--quiet"]) == 0
    assert capfd.readouterr() == ("", "")


def test_what_will_be_refused_is_not_counted(pictures):
    header = b"BM" + struct.pack("<IHHIIiiHH", 0, 0, 0, 54, 40, 60000, 60000, 1, 24)
    (pictures / "bomb.bmp").write_bytes(header + bytes(24))
    (pictures / "0.gif").write_bytes((pictures / "0.png").read_bytes())  # both to 0.png
    (pictures / "none.png").touch()
    jobs = plan_jobs([pictures], name_end="_x2")
    told = forecast(jobs, upscaler=Steady(2))
    assert told.pictures == 4
    assert told.seconds == pytest.approx(4 * 1.2)
    assert told.most_bytes < 1e9
    larger = forecast(jobs, upscaler=Steady(2), settings=FileSettings(max_pixels=60000**2))
    assert larger.seconds > 3600


def test_a_header_that_claims_too_much_stops_no_other_picture(pictures):
    header = b"BM" + struct.pack("<IHHIIiiHH", 0, 0, 0, 54, 40, 2**31 - 1, 2**31 - 1, 1, 24)
    (pictures / "bomb.bmp").write_bytes(header + bytes(24))
    assert run(["upscale", str(pictures), "-n", "bicubic"]) == 3
    assert len(list(pictures.with_name("in_x2_bicubic").glob("*.png"))) == 5
