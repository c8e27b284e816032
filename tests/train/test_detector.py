"""A detector in the loss: its sight is ONNX Runtime's, its objects are those of the photographs."""

import json

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from facts import refused
from widesr.data.opening import open_source
from widesr.data.patches import Pair
from widesr.data.photographs import read_rgb
from widesr.engine import find_model
from widesr.evaluation.detection.boxes import read_boxes
from widesr.train.detector import Detector, Places, Predictions
from widesr.train.labels import labelled
from widesr.train.regions import RegionLoss, region_losses, targets_of
from widesr.train.tables import DetectorTable
from yolox import N_CLASSES, tiny_yolox

pytestmark = pytest.mark.train
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return tiny_yolox(tmp_path_factory.mktemp("detector") / "yolox.onnx")


def table(weights, **keys):
    return DetectorTable.model_validate({"weights": str(weights), "side": 64} | keys)


def in_the_runtime(path, rgb):
    """Return the outputs of ONNX Runtime for each picture, joined."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    each = [session.run(None, {name: (one.flip(0) * 255).numpy()[None]})[0] for one in rgb]
    return torch.from_numpy(np.concatenate(each))


def random_pictures(n, height, width):
    return torch.rand((n, 3, height, width), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("size", [(64, 64), (32, 96)])
def test_a_detector_sees_what_it_sees_in_the_runtime(weights, size):
    rgb = random_pictures(2, *size)
    theirs = in_the_runtime(weights, rgb)
    predicted = Detector(weights)(rgb)
    assert len(theirs[0]) == len(Places.of(*size).at) == size[0] * size[1] * 21 // 1024
    torch.testing.assert_close(predicted.offsets, theirs[..., :4])
    torch.testing.assert_close(predicted.scores, theirs[..., 4:5] * theirs[..., 5:])
    assert predicted.scores.std() > 1e-3


def test_the_published_nano_sees_what_it_sees_in_the_runtime(detection_files):
    file = detection_files / "yolox_nano_416.onnx"
    pixels = read_rgb(detection_files / "coco/images/000000000139.jpg")[:416, :416]
    rgb = torch.tensor(pixels).permute(2, 0, 1)[None] / 255
    theirs, predicted = in_the_runtime(file, rgb), Detector(file)(rgb)
    torch.testing.assert_close(predicted.offsets, theirs[..., :4], atol=1e-3, rtol=1e-3)
    scores = theirs[..., 4:5] * theirs[..., 5:]
    torch.testing.assert_close(predicted.scores, scores, atol=1e-4, rtol=0)
    assert predicted.scores.max() > 0.5


def test_boxes_are_where_the_grids_say(weights):
    places = Places.of(64, 96)
    boxes = places.decode(torch.zeros(len(places.at), 4))
    first = places.stride.flatten() == 16
    # The third place of the second row on the grid of 16 pixels, its box of one stride.
    assert boxes[first][6 + 2].tolist() == [24, 8, 40, 24]
    offsets = random_pictures(1, len(boxes), 4)[0, 0]
    torch.testing.assert_close(places.encode(places.decode(offsets)), offsets, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("content", [None, b"no network", b"", "fast"])
def test_what_is_no_yolox_is_refused(tmp_path, content):
    path = tmp_path / "d.onnx"
    if content == "fast":
        path = find_model("fast", scale=2).path
    elif content is not None:
        path.write_bytes(content)
    with refused("checkpoint", path.name):
        Detector(path)


def test_weights_that_are_elsewhere_or_no_numbers_are_refused(tmp_path):
    elsewhere = onnx.numpy_helper.from_array(np.zeros(4, np.float32), "w")
    onnx.external_data_helper.set_external_data(elsewhere, "nowhere.bin")
    words = onnx.helper.make_tensor("w", onnx.TensorProto.STRING, [1], [b"word"])
    path = tmp_path / "d.onnx"
    for weight, output in ((elsewhere, ["y"]), (words, ["y"]), (words, [])):
        node = onnx.helper.make_node("Add", ["x", "w"], output)
        graph = onnx.helper.make_graph([node], "g", [], [], [weight])
        path.write_bytes(onnx.helper.make_model(graph).SerializeToString())
        with refused("checkpoint", path, "no YOLOX"):
            Detector(path)


# ---- what is learned of it -----------------------------------------------------------------------


def test_the_surest_region_of_an_object_is_to_be_sure():
    places = Places.of(32, 32)
    n = len(places.at)
    predicted = Predictions(torch.zeros(1), torch.zeros(1, n, 4), torch.full((1, n, 2), 0.1))
    first, *others = torch.nonzero(places.stride.flatten() == 16).flatten().tolist()
    largest = n - 1  # a box of 32 pixels about the corner
    predicted.offsets[0, [first, *others], 2:] = torch.log(torch.tensor(2.0))  # now of 32, too
    predicted.scores[0, [first, *others], 1] = torch.tensor([0.4, 0.1, 0.2, 0.1])
    box = torch.tensor([[-12.0, -12.0, 14.0, 14.0, 1.0]])
    targets = targets_of(predicted, [box], places)
    assert torch.nonzero(targets.shares[0]).flatten().tolist() == [first, largest]
    assert targets.shares[0, [first, largest]].tolist() == pytest.approx([0.8, 0.2])
    assert targets.counts[0, [first, largest]].tolist() == pytest.approx([1 / 1.25] * 2)
    assert float(targets.counts.sum()) == pytest.approx(n - 2 + 2 / 1.25)
    assert targets.scores[0, [first, *others], 1].tolist() == pytest.approx([1, 0.1, 0.2, 0.1])
    assert float(targets.scores[0, largest, 1]) == pytest.approx(0.1 / 0.4)
    assert (targets.scores[..., 0] == predicted.scores[..., 0]).all()
    for place in (first, largest):
        torch.testing.assert_close(places.decode(targets.offsets)[0, place], box[0, :4])
    as_it_is = targets_of(predicted, [torch.zeros(0, 5)], places)
    terms = region_losses(predicted, as_it_is)
    assert [float(each) for each in terms.values()] == [0, 0]
    assert all(float(each) > 0 for each in region_losses(predicted, targets).values())


def test_a_picture_that_follows_the_terms_is_seen_more_as_it_should(weights):
    region_loss = RegionLoss(table(weights), device=CPU)
    hr = random_pictures(2, 48, 48)
    objects = [torch.tensor([[4.0, 4.0, 40.0, 40.0, 1.0]]), torch.zeros(0, 5)]
    sr = hr.mean(dim=(2, 3), keepdim=True).expand_as(hr).clone().requires_grad_()

    def total(pictures):
        terms = region_loss.compare(pictures, hr, objects).terms
        return terms["classification"] + terms["regression"]

    before = total(sr)
    before.backward()
    after = total((sr - 1e-2 * sr.grad / sr.grad.abs().max()).detach())
    assert after < before
    same = region_loss.compare(hr, hr, []).terms
    assert float(same["classification"]) == pytest.approx(0, abs=1e-4)
    buffers = list(region_loss.detector.buffers())
    assert buffers
    assert all(buffer.grad is None for buffer in buffers)


# ---- the objects of photographs ------------------------------------------------------------------


@pytest.fixture
def pairs(photographs):
    source = open_source(photographs, scale=2, degradation="bicubic", exclude=["left-out.png"])
    return source.load(source.names)


def test_what_a_detector_finds_is_kept_and_made_again_where_it_is_damaged(pairs, weights, tmp_path):
    detector = Detector(weights)
    found = labelled(pairs, detector, table(weights, score=0.05), folder=tmp_path)
    assert sum(len(pair.objects) for pair in found) > len(pairs)
    for pair in found:
        height, width = pair.hr.shape[:2]
        left, top, right, bottom, kind = pair.objects.T
        assert ((left >= 0) & (left < right) & (right <= width)).all()
        assert ((top >= 0) & (top < bottom) & (bottom <= height)).all()
        assert (kind < N_CLASSES).all()
    kept = sorted(tmp_path.rglob("*.npy"))
    assert len(kept) == len(pairs)
    times = [file.stat().st_mtime_ns for file in kept]
    kept[0].write_bytes(kept[0].read_bytes()[:-3])
    np.save(kept[1], found[1].objects[:, :4])
    again = labelled(pairs, detector, table(weights, score=0.05), folder=tmp_path)
    assert all(np.array_equal(a.objects, b.objects) for a, b in zip(found, again, strict=True))
    assert [file.stat().st_mtime_ns == at for file, at in zip(kept, times, strict=True)] == [
        n > 1 for n in range(len(kept))
    ]


def test_a_detector_finds_in_photographs_what_people_see(detection_files, tmp_path):
    true = read_boxes(detection_files / "coco" / "boxes.json")
    name = "000000000139.jpg"
    hr = read_rgb(detection_files / "coco" / "images" / name)
    pair = Pair(name, hr[::4, ::4], hr)
    weights = detection_files / "yolox_nano_416.onnx"
    detector = Detector(weights)
    (found,) = labelled([pair], detector, table(weights), folder=tmp_path)
    stated_by = table(weights, boxes=str(detection_files / "coco" / "boxes.json"))
    (stated,) = labelled([pair], detector, stated_by, folder=tmp_path)
    (image,) = (each for each in true.images if each.file_name == name)
    assert len(stated.objects) == sum(
        box.image_id == image.id and not box.iscrowd for box in true.annotations
    )
    assert len(found.objects) >= 3
    near = [
        max(_overlap(box, other) for other in stated.objects if other[4] == box[4])
        for box in found.objects
        if box[4] in stated.objects[:, 4]
    ]
    assert np.median(near) > 0.6


def _overlap(one, other):
    low, high = np.maximum(one[:2], other[:2]), np.minimum(one[2:4], other[2:4])
    shared = (high - low).clip(0).prod()
    areas = [(box[2:4] - box[:2]).prod() for box in (one, other)]
    return shared / (sum(areas) - shared)


def coco_of(pairs, path, **changes):
    """Write a COCO file of two boxes in the first picture and a crowd, ids in no order."""
    height, width = pairs[0].hr.shape[:2]
    boxes = [(9, [4, 6, 20, 30], 0), (2, [-5, 0, 15, 10], 0), (5, [0, 0, 9, 9], 1)]
    content = {
        "images": [{"id": 7, "file_name": pairs[0].name, "width": width + 1, "height": height}],
        "annotations": [
            {"image_id": 7, "category_id": kind, "bbox": box, "area": 1, "iscrowd": crowd}
            for kind, box, crowd in boxes
        ],
        "categories": [{"id": each, "name": str(each)} for each in (9, 2, 5)],
    }
    path.write_text(json.dumps(content | changes))
    return path


def test_true_boxes_come_from_a_file(pairs, weights, tmp_path):
    file = coco_of(pairs, tmp_path / "boxes.json")
    by_file = table(weights, boxes=str(file))
    found = labelled(pairs, Detector(weights), by_file, folder=tmp_path / "none")
    assert found[0].objects.tolist() == [[4, 6, 24, 36, 2], [0, 0, 10, 10, 0]]
    assert all(pair.objects.shape == (0, 5) for pair in found[1:])
    assert not (tmp_path / "none").exists()


def test_boxes_of_other_photographs_or_classes_are_refused(pairs, weights, tmp_path):
    detector, file = Detector(weights), tmp_path / "boxes.json"

    def read(**changes):
        coco_of(pairs, file, **changes)
        return labelled(pairs, detector, table(weights, boxes=str(file)), folder=tmp_path)

    height, width = pairs[0].hr.shape[:2]
    image = {"id": 7, "file_name": pairs[0].name, "width": width, "height": height}
    read(images=[image])
    with refused("data", file, pairs[0].name):
        read(images=[image | {"file_name": "another.png"}])
    with refused("data", file, f"{width}x{height}", f"{width + 2}x{height}"):
        read(images=[image | {"width": width + 2}])
    with refused("data", file, 4, N_CLASSES):
        read(categories=[{"id": n, "name": str(n)} for n in (9, 2, 5, 1)])
