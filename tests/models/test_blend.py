"""The dial between two models of one network, held to onnx's own reading of the files."""

import numpy as np
import pytest

from facts import refused
from widesr.engine import find_model
from widesr.models.blend import blend
from widesr.models.catalog import read_card
from widesr.models.protobuf import initializers
from widesr.upscaling.upscaler import Upscaler


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("WIDESR_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def ends():
    return [find_model(name, scale=2) for name in ("default", "realistic")]


def weights(model):
    """All float values of a model file, by their names, as `onnx` reads them."""
    onnx = pytest.importorskip("onnx")
    found = onnx.load(str(model.path)).graph.initializer
    return {i.name: onnx.numpy_helper.to_array(i) for i in found if i.data_type in (1, 10)}


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5])
def test_each_weight_lies_between_those_of_the_ends(ends, share):
    start, end = map(weights, ends)
    for name, values in weights(blend(*ends, share)).items():
        expected = (1 - share) * start[name].astype(float) + share * end[name].astype(float)
        np.testing.assert_allclose(values, expected, rtol=1e-3, atol=1e-6)


def test_a_blend_is_a_model_file_whose_card_says_what_it_is(ends):
    model = blend(*ends, 0.5)
    card = read_card(model.path)  # which holds the file to the hash in the card
    assert card == model.card
    assert not card.scores
    assert not card.losses
    assert blend(*ends, 0.5).path == model.path
    picture = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    made = [Upscaler.load(str(m.path), scale=2)(picture).astype(int) for m in (ends[0], model)]
    assert np.abs(made[0] - made[1]).max() > 0


def test_the_whole_share_is_the_end_itself(ends):
    assert blend(*ends, 1.0) is ends[1]


@pytest.mark.parametrize("share", [-0.1, 1.5, float("nan")])
def test_shares_out_of_range_are_refused(ends, share):
    with refused("usage"):
        blend(*ends, share)


def test_models_of_different_networks_are_refused(ends):
    with refused("usage"):
        blend(find_model("fast", scale=2), ends[1], 0.5)
    with refused("usage"):
        blend(find_model("best", scale=2), ends[1], 0.5)


def test_the_places_of_weights_are_those_that_onnx_reads(ends):
    data = ends[0].path.read_bytes()
    found = weights(ends[0])
    assert len(found) > 2
    for name, values in found.items():
        place = initializers(memoryview(data))[name]
        assert data[place.start : place.stop] == values.tobytes()
