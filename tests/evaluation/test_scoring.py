"""Scores that equal published ones, and reports that say all that moves a number."""

import hashlib
import importlib.metadata
import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio

import widesr
from disk import decoded
from facts import refused
from widesr.degrade.bicubic import degrade
from widesr.evaluation.report import Report, check_report_path, versions, write_report
from widesr.evaluation.scoring import compare_files, evaluate_folder, find_protocols
from widesr.pixels.metrics import PROTOCOLS
from widesr.pixels.resize import imresize

TINY = Path(__file__).parents[1] / "assets" / "tiny-x2.onnx"


def save(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def noise(height: int, width: int, *channels: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, *channels), np.uint8)


@pytest.fixture
def hr_dir(tmp_path) -> Path:
    folder = tmp_path / "hr"
    save(folder / "a.png", noise(41, 50, 3))
    save(folder / "b.png", noise(44, 44, 3, seed=1))
    return folder


def scored(hr_dir: Path, **options) -> Report:
    defaults = {"model": "bicubic", "scale": 2, "protocol": "benchmark-y"}
    return evaluate_folder(hr_dir, **{**defaults, **options})


# Golden: bicubic of Set5's published LR, computed by a script independent of this project; the
# matlab-y row is the "Bicubic" row of the tables in EDSR, RCAN and others.
GOLDEN = {
    ("matlab-y", 2): (33.6396, 0.9292),
    ("matlab-y", 3): (30.3850, 0.8678),
    ("matlab-y", 4): (28.4165, 0.8101),
    ("benchmark-y", 2): (33.6734, 0.9303),
    ("benchmark-y", 3): (30.4033, 0.8689),
    ("benchmark-y", 4): (28.4290, 0.8111),
}


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("made", [False, True])
def test_bicubic_on_set5_scores_as_published(bench, scale, made):
    report = evaluate_folder(
        bench / "Set5/HR",
        model="bicubic",
        scale=scale,
        protocol=["matlab-y", "benchmark-y"],
        lr_dir=None if made else bench / f"Set5/LR_bicubic/X{scale}",
    )
    assert len(report.images) == 5
    for name in ("matlab-y", "benchmark-y"):
        psnr, ssim = GOLDEN[name, scale]
        assert report.mean[name].psnr == pytest.approx(psnr, abs=5e-4)
        assert report.mean[name].ssim == pytest.approx(ssim, abs=5e-4)


@pytest.mark.slow
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_set14_pairs_by_its_own_names_and_scores_grey_as_grey(bench, scale):
    report = evaluate_folder(
        bench / f"Set14/HR_x{scale}",
        model="bicubic",
        scale=scale,
        protocol="matlab-y",
        lr_dir=bench / f"Set14/LR_x{scale}",
    )
    assert len(report.images) == 14
    grey = report.images[2]
    assert grey.lr == f"img_003_SRF_{scale}_LR.png"
    # Oracle: scikit-image's PSNR of the grey levels themselves, inside the border.
    hr = decoded(bench / f"Set14/HR_x{scale}" / grey.name)
    sr = imresize(decoded(bench / f"Set14/LR_x{scale}" / grey.lr), scale=scale)
    inside = np.s_[scale:-scale, scale:-scale]
    expected = peak_signal_noise_ratio(hr[inside], sr[inside], data_range=255)
    assert grey.scores["matlab-y"].psnr == pytest.approx(expected, abs=1e-6)


# ---- the report ----------------------------------------------------------------------------


def test_the_runtime_may_be_from_a_package_of_another_name(monkeypatch):
    def version(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    assert versions()["onnxruntime"] == onnxruntime.__version__


def test_a_report_says_all_that_moves_a_number(hr_dir):
    report = scored(hr_dir, model=str(TINY), protocol=["benchmark-y", "div2k-rgb"])
    assert [image.name for image in report.images] == ["a.png", "b.png"]
    assert [(image.width, image.height) for image in report.images] == [(50, 40), (44, 44)]
    assert report.model.name == "tiny-x2"
    assert report.model.engine == "onnxruntime"
    assert report.model.sha256 == hashlib.sha256(TINY.read_bytes()).hexdigest()
    assert [(each.name, each.shave) for each in report.protocols] == [
        ("benchmark-y", 2),
        ("div2k-rgb", 8),
    ]
    assert "imresize" in report.degradation
    assert report.versions["widesr"] == widesr.__version__
    assert {"numpy", "onnxruntime", "pyvips", "libvips", "python"} <= set(report.versions)
    assert report.machine.cores >= 1
    assert report.seconds == pytest.approx(sum(image.seconds for image in report.images))
    assert 0 < report.seconds < 60


def test_the_mean_is_that_of_the_pictures(hr_dir):
    report = scored(hr_dir)
    scores = [image.scores["benchmark-y"] for image in report.images]
    assert report.mean["benchmark-y"].psnr == pytest.approx(np.mean([s.psnr for s in scores]))
    assert report.mean["benchmark-y"].ssim == pytest.approx(np.mean([s.ssim for s in scores]))


def test_the_model_sees_the_lr_and_nothing_else(hr_dir):
    report = scored(hr_dir)
    hr = decoded(hr_dir / "b.png")
    sr = imresize(imresize(hr, scale=1 / 2), scale=2)
    expected = widesr.psnr(sr, hr, protocol=PROTOCOLS["benchmark-y"], scale=2)
    assert report.images[1].scores["benchmark-y"].psnr == expected


def test_self_ensemble_is_said_in_the_name(hr_dir):
    report = scored(hr_dir, model=str(TINY), self_ensemble=True)
    assert (report.model.name, report.model.self_ensemble) == ("tiny-x2+", True)


def test_a_report_is_read_back_as_it_was_written(hr_dir, tmp_path):
    report = scored(hr_dir)
    path = tmp_path / "report.json"
    path.write_text("older")
    write_report(path, report)
    assert Report.model_validate_json(path.read_text()) == report
    assert {each.name for each in tmp_path.iterdir()} == {"hr", "report.json"}


def test_equal_pictures_score_infinity_which_json_has_as_a_string(tmp_path):
    save(tmp_path / "hr" / "flat.png", np.full((40, 40, 3), 77, np.uint8))
    report = scored(tmp_path / "hr")
    assert report.mean["benchmark-y"].psnr == float("inf")
    write_report(tmp_path / "r.json", report)
    text = (tmp_path / "r.json").read_text()
    plain = json.loads(text, parse_constant=pytest.fail)  # bare Infinity is no JSON
    assert plain["mean"]["benchmark-y"] == {"psnr": "Infinity", "ssim": 1.0}
    assert Report.model_validate_json(text) == report


def test_a_report_that_cannot_be_written_leaves_nothing(hr_dir, tmp_path):
    report = scored(hr_dir)
    (tmp_path / "file").touch()
    for path in (tmp_path / "missing" / "r.json", tmp_path / "file" / "r.json", tmp_path / "hr"):
        with refused("image-write", path):
            check_report_path(path)
        with refused("image-write", path):
            write_report(path, report)
    assert {each.name for each in tmp_path.iterdir()} == {"hr", "file"}


def test_every_picture_is_announced_when_it_is_scored(hr_dir):
    seen = []
    report = scored(hr_dir, on_progress=lambda done, total: seen.append((done, total)))
    n = len(report.images)
    assert n > 0
    assert seen == [(i + 1, n) for i in range(n)]


def test_a_model_is_scored_in_the_precision_that_is_asked_for(hr_dir):
    pytest.importorskip("openvino")
    report = scored(hr_dir, model=str(TINY), backend="openvino", precision="fp32")
    assert (report.model.engine, report.model.precision) == ("openvino", "fp32")


# ---- pairing -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hr", "lr"),
    [
        ("baby.png", "babyx2.png"),
        ("baby.png", "baby.png"),
        ("baby.png", "baby_x2.png"),
        ("baby.png", "baby_LR.png"),
        ("baby_HR.png", "baby_LR.png"),
        ("img_001_SRF_2_HR.png", "img_001_SRF_2_LR.png"),
        ("baby_LRBI.png", "baby_LRBI_x2.png"),
        ("0801.png", "0801x2.png"),
        ("x2.png", "x2.png"),
    ],
)
def test_lr_pictures_are_found_by_the_names_of_the_usual_archives(tmp_path, hr, lr):
    pixels = noise(40, 30, 3)
    save(tmp_path / "hr" / hr, pixels)
    save(tmp_path / "lr" / lr, degrade(pixels, scale=2))
    report = scored(tmp_path / "hr", lr_dir=tmp_path / "lr")
    assert (report.images[0].name, report.images[0].lr) == (hr, lr)
    assert report.mean == scored(tmp_path / "hr").mean


def test_an_hr_picture_without_lr_is_named(hr_dir, tmp_path):
    save(tmp_path / "lr" / "ax2.png", noise(20, 25, 3))
    with refused("data", "hr/b.png", "lr"):
        scored(hr_dir, lr_dir=tmp_path / "lr")


def test_two_lr_pictures_of_one_hr_picture_are_named(hr_dir, tmp_path):
    for name in ("a.png", "ax2.png"):
        save(tmp_path / "lr" / name, noise(20, 25, 3))
    with refused("data", "ax2.png", "a.png"):
        scored(hr_dir, lr_dir=tmp_path / "lr")


@pytest.mark.parametrize(
    ("lr", "facts"),
    [
        (noise(10, 12, 3), ["12x10", 2, "50x40"]),
        (noise(20, 25), ["8-bit grey", "8-bit colour"]),
    ],
)
def test_an_lr_picture_that_does_not_fit_is_named(hr_dir, tmp_path, lr, facts):
    save(tmp_path / "lr" / "a.png", lr)
    save(tmp_path / "lr" / "b.png", noise(22, 22, 3))
    with refused("data", tmp_path / "lr" / "a.png", *facts):
        scored(hr_dir, lr_dir=tmp_path / "lr")


def test_an_lr_picture_of_another_scale_is_not_taken_for_this_one(hr_dir, tmp_path):
    for name in ("a", "b"):
        save(tmp_path / "lr" / f"{name}x4.png", noise(10, 12, 3))
    with refused("data"):
        scored(hr_dir, lr_dir=tmp_path / "lr")


# ---- refusals ------------------------------------------------------------------------------


def test_an_empty_folder_is_refused_rather_than_scored_nan(tmp_path):
    (tmp_path / "notes.txt").touch()
    with refused("data"):
        scored(tmp_path)


def test_what_is_no_folder_is_refused(tmp_path):
    file = save(tmp_path / "a.png", noise(4, 4))
    with refused("data"):
        scored(file)
    with refused("data"):
        scored(tmp_path / "missing")


def test_a_picture_that_cannot_be_read_stops_the_evaluation(hr_dir):
    (hr_dir / "b.png").write_bytes(b"")
    with refused("image-read", "b.png"):
        scored(hr_dir)


def test_a_picture_of_a_kind_that_is_not_read_is_not_left_out_silently(hr_dir):
    (hr_dir / "c.bmp").write_bytes(b"BM" + bytes(60))
    with refused("image-read", "c.bmp"):
        scored(hr_dir)


@pytest.mark.parametrize("side", [1, 12])
def test_a_picture_too_small_to_score_is_named(tmp_path, side):
    save(tmp_path / "hr" / "a.png", noise(side, side, 3))
    with refused("data", "a.png"):
        scored(tmp_path / "hr")


def test_an_unknown_model_or_protocol_is_refused(hr_dir):
    with refused("model-not-found", "bicubik"):
        scored(hr_dir, model="bicubik")
    with refused("usage", "psnr", "benchmark-y", "matlab-y"):
        scored(hr_dir, protocol=["benchmark-y", "psnr"])
    with refused("usage"):
        scored(hr_dir, protocol=[])


def test_a_protocol_that_was_named_twice_counts_once():
    names = [each.name for each in find_protocols(["matlab-y", "krasserm", "matlab-y"])]
    assert names == ["matlab-y", "krasserm"]


# ---- two files -----------------------------------------------------------------------------


def test_comparing_crops_hr_only_where_sr_has_that_size(tmp_path):
    hr = noise(41, 50, 3)
    sr = save(tmp_path / "sr.png", noise(40, 50, 3, seed=2))
    hr_path = save(tmp_path / "hr.png", hr)
    comparison = compare_files(sr, hr_path, scale=2, protocol="krasserm")
    # Oracle: scikit-image, on the whole picture as this protocol has it.
    expected = peak_signal_noise_ratio(hr[:40], decoded(sr))
    assert comparison.scores["krasserm"].psnr == pytest.approx(expected, abs=1e-9)
    with refused("data", sr, hr_path):
        compare_files(sr, hr_path, scale=3, protocol="krasserm")


def test_an_onnx_file_of_others_is_scored_as_the_same_network_with_a_card(bench, tmp_path):
    onnx = pytest.importorskip("onnx")
    ours = widesr.find_model("fast", scale=2).path
    model = onnx.load(ours)
    del model.metadata_props[:]  # the card
    onnx.save(model, tmp_path / "foreign.onnx")

    def scores(path):
        report = evaluate_folder(
            bench / "Set5" / "HR", model=str(path), scale=2, protocol="benchmark-y"
        )
        return [image.scores for image in report.images]

    foreign = scores(tmp_path / "foreign.onnx")
    assert foreign == scores(ours)


@pytest.mark.parametrize(
    ("wrong", "fact"),
    [
        ({"hr_dir": None}, "hr_dir"),
        ({"lr_dir": 3}, "lr_dir"),
        ({"scale": 2.0}, "scale"),
        ({"scale": "2"}, "scale"),
        ({"protocol": None}, "protocol"),
        ({"protocol": [[]]}, "protocol"),
        ({"metrics": 3}, "metrics"),
        ({"max_pixels": "2"}, "max_pixels"),
        ({"max_pixels": float("nan")}, "max_pixels"),
    ],
)
def test_a_value_of_another_type_scores_nothing(hr_dir, wrong, fact):
    given = {"hr_dir": hr_dir, "model": "bicubic", "scale": 2, "protocol": "benchmark-y"} | wrong
    with refused("usage", fact):
        evaluate_folder(**given)


@pytest.mark.parametrize("scale", [0, -2, 2.0, None])
def test_two_pictures_are_compared_at_a_whole_scale(hr_dir, scale):
    with refused("usage", "scale"):
        compare_files(hr_dir / "a.png", hr_dir / "a.png", scale=scale, protocol="benchmark-y")


def test_weights_may_be_named_as_text(hr_dir):
    with refused("model-file", "gone.safetensors"):
        evaluate_folder(
            hr_dir, model="bicubic", scale=2, protocol="benchmark-y", metrics="lpips",
            lpips_weights="gone.safetensors",
        )  # fmt: skip


def test_one_metric_may_be_named_alone(hr_dir):
    report = evaluate_folder(
        hr_dir, model="bicubic", scale=2, protocol="benchmark-y", metrics="lr-psnr"
    )
    assert list(report.mean_measures) == ["lr-psnr"]
