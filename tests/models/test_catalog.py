"""Cards out of model files, and models by name: what is found, and what is said when nothing is."""

import errno
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from facts import refused
from widesr.engine import find_model, lookup, native_scales
from widesr.models import catalog
from widesr.models.catalog import ModelCard, list_models, read_card

TINY = Path(__file__).parents[1] / "assets" / "tiny-x2.onnx"


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """A package that holds the tiny model alone, under two names."""
    folder = tmp_path / "models"
    folder.mkdir()
    for name in ("tiny-x2", "huge-x2"):
        shutil.copyfile(TINY, folder / f"{name}.onnx")
    monkeypatch.setattr(catalog, "MODELS_DIR", folder)
    aliases = {"fast": {}, "default": {2: "tiny-x2", 3: "gone-x3"}, "best": {2: "huge-x2"}}
    for module in (catalog, lookup):
        monkeypatch.setattr(module, "ALIASES", aliases)
    return folder


def _edited(tmp_path: Path, old: bytes, new: bytes) -> Path:
    """The tiny model with a word of its card replaced by one as long."""
    data = TINY.read_bytes()
    assert data.count(old) == 1
    assert len(old) == len(new)
    path = tmp_path / "edited.onnx"
    path.write_bytes(data.replace(old, new))
    return path


def test_a_card_comes_out_of_its_model_file():
    card = read_card(TINY)
    assert (card.name, card.family, card.scale, card.receptive_radius) == ("tiny-x2", "wdsr", 2, 4)
    assert card.licence == "Apache-2.0"


def test_a_card_is_the_text_that_onnx_itself_finds():
    onnx = pytest.importorskip("onnx")
    (prop,) = onnx.load(TINY).metadata_props
    assert prop.key == catalog.CARD_KEY
    assert ModelCard.model_validate_json(prop.value) == read_card(TINY)


def test_a_card_survives_being_written_and_read():
    card = ModelCard(
        name="wdsr-a8-x2",
        family="wdsr",
        scale=2,
        receptive_radius=18,
        parameters=335_000,
        licence="Apache-2.0",
        degradation="bicubic",
        weights_sha256="0" * 64,
        training_data=({"name": "photographs", "licence": "CC0-1.0", "n": 200},),
        scores=({"dataset": "Set5", "protocol": "benchmark-y", "psnr": 37.5, "ssim": 0.95},),
    )
    assert ModelCard.model_validate_json(card.model_dump_json()) == card


def test_a_card_cannot_be_changed_and_takes_no_unknown_field():
    card = read_card(TINY)
    with pytest.raises(ValidationError, match="frozen"):
        card.scale = 3
    with pytest.raises(ValidationError, match="colour"):
        ModelCard.model_validate(card.model_dump() | {"colour": "blue"})


@given(st.integers(100, TINY.read_bytes().index(b'{"name"') - 100), st.integers(0, 7))
def test_a_bit_that_flipped_among_a_models_weights_is_found(tmp_path_factory, at, bit):
    data = bytearray(TINY.read_bytes())
    data[at] ^= 1 << bit
    path = tmp_path_factory.mktemp("flipped") / "flipped.onnx"
    path.write_bytes(data)
    with refused("model-file", path, "damaged"):
        read_card(path)


@settings(deadline=None)
@given(st.integers(0, TINY.stat().st_size - 1))
def test_a_model_file_cut_short_anywhere_is_refused(tmp_path_factory, size):
    path = tmp_path_factory.mktemp("cut") / "cut.onnx"
    path.write_bytes(TINY.read_bytes()[:size])
    with refused("model-file", "cut.onnx"):
        read_card(path)


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_bytes_that_are_no_model_are_refused_whatever_they_are(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("noise") / "noise.onnx"
    path.write_bytes(data)
    with refused("model-file", path):
        read_card(path)


def test_an_onnx_file_without_a_card_is_told_how_to_get_one(tmp_path):
    path = _edited(tmp_path, b"\n\x06widesr\x12", b"\n\x06foreig\x12")
    with refused("model-file", path, "card", "widesr export"):
        read_card(path)


def test_a_card_with_a_mistake_is_refused_by_the_name_of_the_field(tmp_path):
    with refused("model-file", "edited.onnx", "card", "motes"):
        read_card(_edited(tmp_path, b'"notes"', b'"motes"'))
    with refused("model-file", "edited.onnx", "card", "scale"):
        read_card(_edited(tmp_path, b'"scale": 2', b'"scale": 0'))
    with refused("model-file", "edited.onnx", "card", "JSON"):
        read_card(_edited(tmp_path, b'{"name"', b'["name"'))


def test_a_model_file_that_cannot_be_opened_is_refused(tmp_path):
    with refused("model-file", tmp_path, os.strerror(errno.EISDIR)):
        read_card(tmp_path)


def test_models_are_found_by_name_by_default_and_by_path(shelf):
    assert find_model("tiny-x2", scale=2).path == shelf / "tiny-x2.onnx"
    assert find_model("default", scale=2).path == shelf / "tiny-x2.onnx"
    assert find_model(str(TINY), scale=2).path == TINY
    assert find_model(str(TINY), scale=2).card == read_card(TINY)


def test_the_models_in_the_package_are_listed_by_name(shelf):
    assert [model.path.stem for model in list_models()] == ["huge-x2", "tiny-x2"]


def test_an_unknown_model_is_answered_with_the_nearest_name_and_all_there_are(shelf):
    with refused("model-not-found", "'tinny-x2'", "'tiny-x2'", "huge-x2, tiny-x2, bicubic"):
        find_model("tinny-x2", scale=2)
    with refused("model-not-found", "'qqq'", "huge-x2, tiny-x2, bicubic"):
        find_model("qqq", scale=2)


def test_an_alias_means_a_model_at_each_scale(shelf):
    assert find_model("best", scale=2).path == shelf / "huge-x2.onnx"
    assert native_scales("default") == (2, 3)
    assert native_scales("best") == (2,)


@pytest.mark.parametrize(
    ("alias", "scale", "facts"),
    [
        ("default", 8, ["default", "x2, x3", "x8", "bicubic"]),
        ("best", 3, ["best", "x2", "x3", "default, bicubic"]),
        ("fast", 2, ["fast", "x2", "none", "default, best, bicubic"]),
        ("best", None, ["'best'", "each scale", "huge-x2"]),
        ("bets", 2, ["'bets'", "'best'"]),
    ],
)
def test_an_alias_without_a_model_for_the_scale_says_what_there_is(shelf, alias, scale, facts):
    with refused("model-not-found", *facts):
        find_model(alias, scale=scale)


def test_a_model_of_any_scale_is_found_by_its_own_name(shelf):
    assert find_model("tiny-x2", scale=None).path == shelf / "tiny-x2.onnx"


@pytest.mark.skipif(not list_models(), reason="needs the models of the package")
def test_every_alias_names_models_that_are_there_and_of_its_scale():
    assert catalog.ALIASES["default"]
    for alias, models in catalog.ALIASES.items():
        for scale in models:
            assert find_model(alias, scale=scale).card.scale == scale


def test_a_model_of_another_scale_is_refused(shelf):
    with refused("model-not-found", "'tiny-x2'", "x2", "x4", "bicubic"):
        find_model("tiny-x2", scale=4)


def test_a_model_path_that_leads_nowhere_is_refused(tmp_path):
    with refused("model-not-found", tmp_path / "none.onnx", "file"):
        find_model(str(tmp_path / "none.onnx"), scale=2)
    with refused("model-not-found", "file"):
        find_model(str(tmp_path / ("long" * 99)), scale=2)


def test_a_folder_stands_for_the_one_model_in_it(tmp_path):
    folder = tmp_path / "hub"
    folder.mkdir()
    with refused("model-not-found", folder, "0 models"):
        find_model(str(folder), scale=2)
    source = find_model("fast", scale=2).path
    shutil.copy(source, folder / source.name)
    assert find_model(f"{folder}/", scale=2).path == folder / source.name
    shutil.copy(source, folder / "other.onnx")
    with refused("model-not-found", folder, "2 models"):
        find_model(str(folder), scale=2)


def test_bicubic_has_no_file():
    with refused("model-not-found", "'bicubic'", "computed"):
        find_model("bicubic", scale=2)
