"""Small objects in enlarged pictures: pycocotools' numbers, the detectors' own, and the report."""

import json
from contextlib import redirect_stdout
from io import StringIO

import numpy as np
import pytest
from PIL import Image

from facts import refused
from widesr.engine import find_model
from widesr.evaluation.detection import judge
from widesr.evaluation.detection.boxes import Detections, TrueBoxes, read_boxes
from widesr.evaluation.detection.detectors import YuNet, bilinear, load_detector
from widesr.evaluation.detection.judge import DetectionReport, evaluate_detection
from widesr.evaluation.detection.precision import Matches
from widesr.models.catalog import write_card
from widesr.pictures.reading import read_picture

pytest.importorskip("pycocotools")


def coco_file(folder, *, n_pictures=6, n_kinds=4, seed=0):
    """A COCO file of random boxes of all sizes, one of them a crowd, one picture without any."""
    random = np.random.default_rng(seed)
    annotations = []
    for picture in range(1, n_pictures):
        for _ in range(random.integers(1, 7)):
            left, top, width, height = random.uniform((0, 0, 8, 8), (300, 200, 180, 180))
            annotations.append(
                {
                    "id": len(annotations),  # from 0, which pycocotools takes for no match
                    "image_id": picture,
                    "category_id": int(random.integers(n_kinds)) * 3 + 1,
                    "bbox": [left, top, width, height],
                    "area": width * height,
                    "iscrowd": int(len(annotations) == 3),
                }
            )
    path = folder / "boxes.json"
    path.write_text(
        json.dumps(
            {
                "info": {"year": 2017},
                "images": [
                    {"id": n, "file_name": f"{n}.png", "width": 500, "height": 400}
                    for n in range(n_pictures)
                ],
                "annotations": annotations,
                "categories": [{"id": 3 * k + 1, "name": f"k{k}"} for k in range(n_kinds)],
            }
        )
    )
    return path


def guesses(true, *, seed=1):
    """Boxes near the true ones, with some of other kinds and some nowhere."""
    random = np.random.default_rng(seed)
    kinds = sorted(each.id for each in true.categories)
    found = {}
    for image in true.images:
        own = [box for box in true.annotations if box.image_id == image.id]
        boxes = [np.add(box.bbox, random.normal(0, 4, 4)) for box in own for _ in range(2)]
        boxes += list(random.uniform((0, 0, 5, 5), (300, 200, 90, 90), (3, 4)))
        labels = [kinds.index(box.category_id) for box in own for _ in range(2)]
        labels += random.integers(0, len(kinds), 3).tolist()
        found[image.id] = Detections(
            np.array(boxes), random.uniform(0.02, 1, len(boxes)), np.array(labels)
        )
    return found


def coco_stats(path, true, found):
    """COCOeval's own summary of the same boxes, from files as its users have them."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    kinds = sorted(each.id for each in true.categories)
    theirs = json.loads(path.read_text())
    for annotation in theirs["annotations"]:
        annotation["id"] += 1
    path.write_text(json.dumps(theirs))
    with redirect_stdout(StringIO()):
        coco = COCO(str(path))
        results = coco.loadRes(
            [
                {"image_id": n, "category_id": kinds[label], "bbox": list(box), "score": score}
                for n, each in found.items()
                for box, score, label in zip(each.boxes, each.scores, each.labels, strict=True)
            ]
        )
        evaluator = COCOeval(coco, results, "bbox")
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return evaluator.stats


@pytest.mark.parametrize("seed", range(3))
def test_average_precision_is_that_of_pycocotools(tmp_path, seed):
    path = coco_file(tmp_path, seed=seed)
    true = read_boxes(path)
    found = guesses(true, seed=seed)
    ours = Matches(true, found, min_score=0.3).measures()
    theirs = coco_stats(path, true, found)
    np.testing.assert_allclose(ours[:5], [theirs[n] for n in (0, 1, 3, 4, 5)], atol=1e-12)
    assert 0.05 < ours.ap < 0.95


def test_equal_scores_are_ordered_as_in_pycocotools_whatever_the_order_of_the_file(tmp_path):
    path = coco_file(tmp_path)
    listed = json.loads(path.read_text())
    path.write_text(json.dumps({**listed, "images": listed["images"][::-1]}))
    true = read_boxes(path)
    found = {
        n: Detections(each.boxes, np.round(each.scores, 1), each.labels)
        for n, each in guesses(true).items()
    }
    ours = Matches(true, found, min_score=0.3).measures()
    theirs = coco_stats(path, true, found)
    np.testing.assert_allclose(ours[:5], [theirs[n] for n in (0, 1, 3, 4, 5)], atol=1e-12)


def test_a_picture_drawn_twice_counts_as_two(tmp_path):
    true = read_boxes(coco_file(tmp_path))
    found = guesses(true)
    picks = [1, 1, 2, 4]
    drawn = Matches(true, found, min_score=0.3).measures(picks)
    images, annotations, again = [], [], {}
    for n, place in enumerate(picks):
        image = true.images[place]
        images.append(image.model_copy(update={"id": n}))
        again[n] = found[image.id]
        annotations += [
            box.model_copy(update={"image_id": n})
            for box in true.annotations
            if box.image_id == image.id
        ]
    copied = TrueBoxes(images=images, annotations=annotations, categories=true.categories)
    expected = Matches(copied, again, min_score=0.3).measures()
    np.testing.assert_allclose(drawn, expected, atol=1e-12)


def test_boxes_that_are_right_find_all_and_invent_nothing(tmp_path):
    true = read_boxes(coco_file(tmp_path))
    kinds = sorted(each.id for each in true.categories)
    exact = {
        image.id: Detections(
            np.array([b.bbox for b in true.annotations if b.image_id == image.id]).reshape(-1, 4),
            np.ones(sum(b.image_id == image.id for b in true.annotations)),
            np.array(
                [kinds.index(b.category_id) for b in true.annotations if b.image_id == image.id],
                int,
            ),
        )
        for image in true.images
    }
    measures = Matches(true, exact, min_score=0.3).measures()
    assert (measures.ap, measures.ap50, measures.small_recall) == pytest.approx((1, 1, 1))
    assert measures.hallucinated == 0
    unsure = {n: Detections(d.boxes, d.scores * 0.2, d.labels) for n, d in exact.items()}
    assert Matches(true, unsure, min_score=0.3).measures().small_recall == 0
    elsewhere = {n: Detections(d.boxes + 1e4, d.scores, d.labels) for n, d in exact.items()}
    n_boxes = len(true.annotations)
    moved = Matches(true, elsewhere, min_score=0.3).measures()
    assert moved.hallucinated == pytest.approx(n_boxes / len(true.images))


@pytest.mark.parametrize(("area", "small"), [(1023.5, 1), (1024, 1), (1024.5, 0)])
def test_a_box_of_32x32_pixels_is_small_as_in_coco(area, small):
    true = TrueBoxes(
        images=[{"id": 1, "file_name": "a.png", "width": 99, "height": 99}],
        annotations=[{"image_id": 1, "category_id": 1, "bbox": (0, 0, 32, 32), "area": area}],
        categories=[{"id": 1, "name": "k"}],
    )
    found = {1: Detections(np.array([[0, 0, 32, 32.0]]), np.ones(1), np.zeros(1, int))}
    matches = Matches(true, found, min_score=0.3)
    assert matches.small.sum() == matches.small_found.sum() == small
    assert np.isnan(matches.measures().ap_small) == (not small)


@pytest.mark.parametrize(
    "content", ["", "[]", '{"images": []}', '{"images": 3, "annotations": [], "categories": []}']
)
def test_a_file_that_is_no_coco_file_is_refused(tmp_path, content):
    (tmp_path / "b.json").write_text(content)
    with refused("data"):
        read_boxes(tmp_path / "b.json")
    with refused("data"):
        read_boxes(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("part", "key", "value"),
    [
        ("images", "id", 2),
        ("categories", "id", 4),
        ("annotations", "bbox", [0, 0, float("nan"), 9]),
        ("annotations", "bbox", [0, 0, -3, 9]),
        ("annotations", "area", float("inf")),
    ],
)
def test_boxes_that_would_give_wrong_figures_are_refused(tmp_path, part, key, value):
    path = coco_file(tmp_path)
    content = json.loads(path.read_text())
    content[part][0][key] = value
    path.write_text(json.dumps(content))
    with refused("data", path):
        read_boxes(path)


def test_a_box_of_a_picture_that_is_not_listed_is_refused(tmp_path):
    path = coco_file(tmp_path)
    content = json.loads(path.read_text())
    content["annotations"][0]["image_id"] = 99
    path.write_text(json.dumps(content))
    with refused("data"):
        read_boxes(path)


def test_a_model_that_is_no_detector_is_refused(tmp_path):
    with refused("model-file"):
        load_detector(find_model("fast", scale=2).path, threads=1)
    (tmp_path / "d.onnx").write_bytes(b"no network")
    with refused("model-file"):
        load_detector(tmp_path / "d.onnx", threads=1)


@pytest.mark.parametrize("outputs", [["n", 3, 64, 64], ["n", 84], []])
def test_a_network_of_fixed_size_that_is_no_detector_is_refused(tmp_path, outputs):
    onnx = pytest.importorskip("onnx")
    floats, helper = onnx.TensorProto.FLOAT, onnx.helper
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", floats, [1, 3, 64, 64])],
        [helper.make_tensor_value_info("y", floats, outputs)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 8
    onnx.save(model, tmp_path / "d.onnx")
    with refused("model-file", "y"):
        load_detector(tmp_path / "d.onnx", threads=1)


def test_a_yunet_of_one_size_is_refused_before_it_sees_pictures(tmp_path):
    onnx = pytest.importorskip("onnx")
    floats, helper = onnx.TensorProto.FLOAT, onnx.helper
    names = [f"{name}_{stride}" for name in ("cls", "obj", "bbox", "kps") for stride in (8, 16, 32)]
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], [name]) for name in names],
        "g",
        [helper.make_tensor_value_info("x", floats, [1, 3, 640, 640])],
        [helper.make_tensor_value_info(name, floats, None) for name in names],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 8
    onnx.save(model, tmp_path / "d.onnx")
    with refused("model-file", "YuNet", "height"):
        load_detector(tmp_path / "d.onnx", threads=1)


class OneObject:
    """A detector that finds one object in the middle of any picture."""

    kind, sha256, n_classes = "yolox", "0" * 64, 1

    def __call__(self, rgb):
        height, width = rgb.shape[:2]
        box = [[width / 4, height / 4, width / 2, height / 2]]
        return Detections(np.array(box), np.array([rgb.std() / 128]), np.array([0]))


@pytest.fixture
def one_picture(tmp_path, monkeypatch):
    """Settings for one noisy picture with an object in its middle, and a stub of a detector."""
    monkeypatch.setattr(judge, "load_detector", lambda _path, *, threads: OneObject())
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    box = {"image_id": 1, "category_id": 1, "bbox": [16, 16, 32, 32], "area": 1024}
    listed = {
        "images": [{"id": 1, "file_name": "a.png", "width": 64, "height": 64}],
        "annotations": [box],
        "categories": [{"id": 1, "name": "k"}],
    }
    (tmp_path / "boxes.json").write_text(json.dumps(listed))
    files = {"detector": tmp_path / "d.onnx", "boxes": tmp_path / "boxes.json"}
    return {"hr_dir": tmp_path, **files, "scale": 2, "resamples": 2, "threads": 1}


def test_consistent_bicubic_is_judged_beside_plain_bicubic(one_picture):
    report = evaluate_detection(model="bicubic", consistent=True, against="fast", **one_picture)
    names = [each.name for each in report.judged]
    assert names == ["original", "shrunk", "bicubic", report.against, report.model.name]
    assert report.model.consistent
    assert report.model.name != "bicubic"


def test_two_models_of_one_name_are_not_taken_for_one(one_picture, tmp_path):
    fast = find_model("fast", scale=2)
    for stem, changed in (("again", {"notes": "another file"}), ("original", {"name": "original"})):
        card = fast.card.model_copy(update=changed)
        write_card(fast, card, out=tmp_path / f"{stem}.onnx")
    with refused("usage", fast.card.name):
        evaluate_detection(model="fast", against=str(tmp_path / "again.onnx"), **one_picture)
    with refused("usage", "original"):
        evaluate_detection(model=str(tmp_path / "original.onnx"), **one_picture)
    evaluate_detection(model="fast", against="fast", **one_picture)


@pytest.mark.train
@pytest.mark.parametrize("size", [(5, 9), (31, 20), (17, 23)])
def test_resizing_for_a_detector_is_bilinear_without_averaging(size):
    import torch

    pixels = np.random.default_rng(0).integers(0, 256, (17, 23, 3), np.uint8)
    planes = torch.from_numpy(pixels).permute(2, 0, 1)[None].double()
    theirs = torch.nn.functional.interpolate(planes, size=size, mode="bilinear")
    assert np.abs(bilinear(pixels, size) - theirs[0].permute(1, 2, 0).numpy()).max() <= 0.51


# ---- the detectors themselves --------------------------------------------------------------


def test_yunet_finds_the_faces_of_photographs(detection_files):
    true = read_boxes(detection_files / "faces" / "boxes.json")
    yunet = load_detector(detection_files / "yunet_n_dynamic.onnx", threads=1)
    assert isinstance(yunet, YuNet)
    found = {
        each.id: yunet(read_picture(detection_files / "faces" / "images" / each.file_name).pixels)
        for each in true.images
    }
    assert Matches(true, found, min_score=0.6).measures().ap50 > 0.5


def test_a_report_goes_from_the_original_down_to_the_shrunk_picture(detection_files, tmp_path):
    folder = detection_files / "coco"
    some = json.loads((folder / "boxes.json").read_text())
    some["images"] = some["images"][:6]
    ids = {each["id"] for each in some["images"]}
    some["annotations"] = [each for each in some["annotations"] if each["image_id"] in ids]
    (tmp_path / "boxes.json").write_text(json.dumps(some))
    report = evaluate_detection(
        folder / "images",
        detector=detection_files / "yolox_nano_416.onnx",
        boxes=tmp_path / "boxes.json",
        model="bicubic",
        scale=4,
        against="fast",
        resamples=20,
        threads=1,
    )
    assert DetectionReport.model_validate_json(report.model_dump_json()) == report
    judged = {each.name: each for each in report.judged}
    assert list(judged) == ["original", "shrunk", "bicubic", report.against]
    assert report.over_against
    for name, less in report.over_against.items():  # bicubic less fast is fast over bicubic, turned
        more = judged[report.against].over_bicubic[name]
        assert (less.value, less.low, less.high) == pytest.approx(
            (-more.value, -more.high, -more.low), nan_ok=True
        )
    original, bicubic = judged["original"].measures, judged["bicubic"]
    assert original["ap50"].value > 0.3
    for number in ("ap", "ap_small", "small_recall"):
        assert original[number].value > judged["shrunk"].measures[number].value
    assert original["ap"].low <= original["ap"].value <= original["ap"].high
    assert {each.value for each in bicubic.over_bicubic.values()} == {0.0}


def test_boxes_that_do_not_fit_are_refused(detection_files, tmp_path):
    settings = {
        "boxes": detection_files / "faces" / "boxes.json",
        "model": "bicubic",
        "scale": 4,
    }
    images = detection_files / "faces" / "images"
    with refused("data", "80"):
        evaluate_detection(images, detector=detection_files / "yolox_nano_416.onnx", **settings)
    yunet = detection_files / "yunet_n_dynamic.onnx"
    with refused("usage"):
        evaluate_detection(images, detector=yunet, min_score=0, **settings)
    wrong = json.loads(settings["boxes"].read_text())
    wrong["images"][0]["width"] += 1
    (tmp_path / "boxes.json").write_text(json.dumps(wrong))
    with refused("data"):
        evaluate_detection(images, detector=yunet, **{**settings, "boxes": tmp_path / "boxes.json"})
