"""`widesr bench`: what is fastest here is found, told, kept, and what "auto" goes by."""

import json
from pathlib import Path

import numpy as np
import pytest

from facts import names, refusal, refused
from widesr.cli import run
from widesr.engine import (
    Choice,
    choice,
    find_model,
    find_ranges,
    is_lossless,
    load_engine,
    measure_peak,
    tuned,
)
from widesr.engine.protocol import Port
from widesr.engine.tuned import Best, best_path, keep_best, recall_best
from widesr.models.catalog import ModelFile, read_card
from widesr.system.machine import Cpu, cpu
from widesr.tune import speed as bench_module
from widesr.tune.speed import bench
from widesr.upscaling.upscaler import Upscaler

TINY = find_model(str(Path(__file__).parents[1] / "assets" / "tiny-x2.onnx"), scale=2)
SHA = TINY.card.weights_sha256


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("WIDESR_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def quick(monkeypatch):
    """Few small tiles, one round."""
    monkeypatch.setattr(bench_module, "_TILES", (32, 48))
    monkeypatch.setattr(bench_module, "_SIDE", 32)
    monkeypatch.setattr(bench_module, "_ROUNDS", 1)
    monkeypatch.setattr(bench_module, "measure_peak", lambda _, threads: 1e12)


def test_what_is_kept_is_recalled_beside_what_was_kept_before(cache):
    one = Best(backend="openvino", precision="bf16", tile=192)
    two = Best(backend="onnxruntime", precision="fp32", tile=64)
    assert recall_best("a") is None
    assert keep_best("a", one) == keep_best("b", two) == cache / "bench.json"
    assert (recall_best("a"), recall_best("b"), recall_best("c")) == (one, two, None)
    keep_best("a", two)
    assert recall_best("a") == two


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"machine": {}, "models": {}}', b"\xff"])
def test_a_damaged_file_is_as_none_and_is_replaced(cache, damage):
    best = Best(backend="onnxruntime", precision="fp32", tile=64)
    cache.mkdir()
    best_path().write_bytes(damage)
    assert recall_best("a") is None
    keep_best("a", best)
    assert recall_best("a") == best


def test_findings_of_another_machine_or_runtime_do_not_count(monkeypatch):
    keep_best("a", Best(backend="openvino", precision="bf16", tile=192))
    this = tuned._machine()
    for other in ({**this, "cpu": "abacus"}, {**this, "cpus": "99"}, {**this, "openvino": "0"}):
        monkeypatch.setattr(tuned, "_machine", lambda other=other: other)
        assert recall_best("a") is None


@pytest.mark.parametrize(
    ("platform", "variables", "end"),
    [
        ("linux", {"XDG_CACHE_HOME": "/some/where"}, "/some/where/widesr/bench.json"),
        ("linux", {"XDG_CACHE_HOME": ""}, "/home/me/.cache/widesr/bench.json"),
        ("darwin", {}, "/home/me/Library/Caches/widesr/bench.json"),
        ("win32", {"LOCALAPPDATA": "/app/data"}, "/app/data/widesr/bench.json"),
    ],
)
def test_the_file_is_where_the_system_keeps_such_things(monkeypatch, platform, variables, end):
    monkeypatch.delenv("WIDESR_CACHE")
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setattr("sys.platform", platform)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert best_path().as_posix() == end


def test_auto_goes_by_what_was_found_and_words_of_ones_own_go_first(monkeypatch):
    monkeypatch.setattr(choice, "cpu", lambda: Cpu("", frozenset()))
    keep_best(SHA, Best(backend="onnxruntime", precision="fp32", tile=100))

    def loaded(**settings):
        return Upscaler.load(str(TINY.path), scale=2, **settings)

    assert loaded().tile == 100
    assert loaded(tile=64).tile == 64
    pytest.importorskip("openvino")
    keep_best(SHA, Best(backend="openvino", precision="fp32", tile=100))
    assert loaded().engine.name == "openvino"
    assert loaded(backend="onnxruntime").engine.name == "onnxruntime"
    assert loaded(precision="fp32").engine.name == "onnxruntime"
    assert load_engine(TINY).name == "onnxruntime"  # the file is read by `Upscaler.load` alone


def test_all_that_this_machine_can_compute_by_is_compared(quick):
    told = []
    found = bench(TINY, threads=1, on_notice=told.append)
    assert (found.model, found.scale, found.threads) == ("tiny-x2", 2, 1)
    assert len(told) == 3
    ways = {(speed.backend, speed.precision) for speed in found.backends}
    assert ("onnxruntime", "fp32") in ways
    assert len(ways) == len(found.backends) == len(bench_module._all_choices(TINY))
    for speeds in (found.backends, found.tiles):
        seconds = [speed.seconds_per_megapixel for speed in speeds]
        assert seconds == sorted(seconds)
        assert min(seconds) > 0
    first = next(s for s in found.backends if is_lossless(TINY.card, s.precision))
    assert {(s.backend, s.precision) for s in found.tiles} == {(first.backend, first.precision)}
    assert found.best.tile == found.tiles[0].tile


@pytest.mark.train
def test_networks_for_clips_are_measured_with_all_their_inputs(quick, tmp_path):
    from widesr.exchange.export import write_onnx
    from widesr.nets import RecurrentWDSRConfig, build

    cfg = RecurrentWDSRConfig(
        scale=2, block="a", n_resblocks=1, n_feats=4, expansion=2, temporal_size=3
    )
    path = tmp_path / "clips.onnx"
    card = write_onnx(build(cfg), path, facts={"licence": "MIT", "degradation": "bicubic"})
    found = bench(ModelFile(path, card), precision="fp32", threads=1)
    assert {speed.backend for speed in found.backends} == {"onnxruntime", "openvino"}
    assert [speed.tile for speed in sorted(found.tiles, key=lambda each: each.tile)] == [32, 48]


def test_int8_is_shown_and_never_what_auto_becomes(quick, monkeypatch):
    pytest.importorskip("openvino")
    if not cpu().flags & {"amx_int8", "avx512_vnni", "avx_vnni"}:
        pytest.skip("needs a CPU with VNNI")
    monkeypatch.setattr(bench_module, "_in_turn", lambda ways: [_slow(way) for way in ways])
    lr = np.random.default_rng(0).random((1, 3, 20, 20), np.float32)
    card = TINY.card.model_copy(update={"ranges": find_ranges(TINY, [lr], threads=1)})
    found = bench(ModelFile(TINY.path, card), threads=1)
    assert found.backends[0].precision == "int8"
    assert found.best.precision == found.tiles[0].precision == found.backends[1].precision


def _slow(way):
    return 1.0 if way.choice.precision == "int8" else 2.0 + way.tile / 1000


def test_a_speed_is_of_the_core_alone():
    class Stub:
        receptive_radius = 10
        inputs = (Port("lr", 3),)

    contender = bench_module._Contender(Choice("onnxruntime", "fp32"), Stub(), 100)
    speed = bench_module._speed(contender, 2.0, TINY, peak=1e6)
    assert [each.shape for each in bench_module._noise(contender)] == [(1, 3, 120, 120)]
    assert speed.seconds_per_megapixel == pytest.approx(2.0 / 0.04)  # 200x200 of output
    count = TINY.card.parameters_fused or TINY.card.parameters
    assert speed.share_of_peak == pytest.approx(2 * count * 100**2 / 2.0 / 1e6)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8"])
def test_the_peak_is_above_what_a_network_reaches(precision, monkeypatch):
    if precision != "fp32":
        pytest.importorskip("openvino")
    monkeypatch.setattr("widesr.engine.peak._ROUNDS", 1)
    assert 1e9 < measure_peak(precision, threads=1) < 1e14


def test_the_command_tells_and_keeps_what_it_found(quick, capsys):
    assert run(["bench", "-n", str(TINY.path), "--threads", "1"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    best = recall_best(SHA)
    options = f"--backend {best.backend}", f"--precision {best.precision}", f"-t {best.tile}"
    assert names(out, "best", *options)
    assert names(out.splitlines()[-1], best_path())


def test_the_command_gives_json(quick, capsys):
    assert run(["bench", "-n", str(TINY.path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["model"] == "tiny-x2"
    assert {"cpu", "threads", "backends", "tiles"} <= set(found)


def test_a_folder_that_takes_no_file_spoils_nothing(quick, monkeypatch, capsys, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("WIDESR_CACHE", str(tmp_path / "file"))
    assert run(["bench", "-n", str(TINY.path)]) == 0
    assert names(capsys.readouterr().out.splitlines()[-1], "not kept")


def test_bicubic_and_what_is_no_model_are_refused(capsys, tmp_path):
    assert run(["bench", "-n", "bicubic"]) == 2
    refusal(capsys.readouterr().err, "usage", "bicubic")
    path = tmp_path / "bad.onnx"
    path.write_bytes(TINY.path.read_bytes().replace(b"DepthToSpace", b"DepthToSpade"))
    with refused("model-file"):
        bench(ModelFile(path, read_card(TINY.path)), threads=1)


def test_only_the_runtime_and_precision_that_are_asked_for_are_measured(quick):
    found = bench(TINY, threads=1, backend="onnxruntime")
    assert [(each.backend, each.precision) for each in found.backends] == [("onnxruntime", "fp32")]
    with refused("usage"):
        bench(TINY, threads=1, backend="onnxruntime", precision="int8")
