"""Studies: the grid that a file means, its runs, what a kill leaves, and the table of it all."""

import csv
import errno
import itertools
import json
import math
import os
import re
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
import torch
from PIL import Image

from facts import names, refusal, refused
from recipes import TINY_RECIPE, rewritten
from widesr.cli import run
from widesr.nets import EDSRConfig, RecurrentWDSRConfig, WDSRConfig, build
from widesr.study import runs
from widesr.study.curves import draw_curves
from widesr.study.design import cells, list_studies, load_study, parse_study, size_of
from widesr.study.findings import markdown, read_outcomes, rows_of, write_findings
from widesr.study.runs import run_study
from widesr.train.checkpoint import load_weights
from widesr.train.loop import train

pytestmark = pytest.mark.train

STUDY = """
name = "tiny"
title = "Two norms"
source = "made for a test"
claim = "None."
seeds = [0, 1]
family = "ablation"
[axes]
"net.norm" = ["weight", "none"]
"optim.learning_rate" = [1e-2, 1e30]
""" + rewritten(
    TINY_RECIPE[TINY_RECIPE.index("[net]") :],
    ("learning_rate = 1e-2\n", ""),
    ("warmup = 2", "warmup = 0"),
    ("ema_decay = 0.9", "ema_decay = 0.0"),
)


def study_of(*changes):
    return parse_study(tomllib.loads(rewritten(STUDY, *changes)), origin="tiny.toml")


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """A folder of four small pictures with edges in them."""
    folder = tmp_path_factory.mktemp("photographs")
    random = np.random.default_rng(0)
    for i in range(4):
        coarse = random.integers(0, 256, (12, 12, 3), np.uint8)
        picture = Image.fromarray(coarse).resize((96, 96), Image.Resampling.BICUBIC)
        picture.save(folder / f"{i}.png")
    return folder


@pytest.fixture(scope="module")
def finished(photographs, tmp_path_factory):
    """The study, the folder that it was run in, and what became of it."""
    out = tmp_path_factory.mktemp("study") / "out"
    study = study_of()
    outcomes = run_study(study, data=photographs, out=out, threads=1)
    write_findings(study, outcomes, out)
    return study, out, outcomes


# ---- what a file means ---------------------------------------------------------------------


def test_every_study_of_the_package_is_named_as_its_file_and_says_what_it_looks_at():
    assert {"normalisation", "width", "upsampler", "tail", "reuse"} <= set(list_studies())
    for name in list_studies():
        study = load_study(name)
        assert study.name == name
        assert study.claim
        assert len(study.seeds) >= 2
        assert len({cell.name for cell in cells(study)}) == len(cells(study))


def test_the_grid_is_every_combination_with_every_seed_once():
    study = study_of(("seeds = [0, 1]", "seeds = [3, 5, 4]"))
    expected = list(itertools.product(("weight", "none"), ("0.01", "1e+30"), (3, 5, 4)))
    assert [(*cell.labels.values(), cell.seed) for cell in cells(study)] == expected
    for cell in cells(study):
        assert cell.recipe.seed == cell.seed
        assert cell.recipe.net["norm"] == cell.labels["norm"]
        assert cell.recipe.optim.learning_rate == float(cell.labels["learning_rate"])


def test_a_value_of_an_axis_may_set_several_keys():
    axis = 'block = { edsr = { "net.expansion" = 1 }, b = { "net.block" = "b", "data.batch" = 7 } }'
    study = study_of(
        ('"net.norm" = ["weight", "none"]', axis), ("n_feats = 4", 'n_feats = 4\nnorm = "none"')
    )
    recipes = {cell.labels["block"]: cell.recipe for cell in cells(study)}
    assert (recipes["edsr"].net["expansion"], recipes["edsr"].data.batch) == (1, 4)
    assert (recipes["b"].net["block"], recipes["b"].data.batch) == ("b", 7)


def test_all_mistakes_of_a_study_are_named_at_once():
    with refused("recipe", "tiny.toml", "7 mistakes") as error:
        study_of(
            ('title = "Two', 'titel = "Two'),
            ("seeds = [0, 1]", 'seeds = ["0"]'),
            ('"none"]', '"spectral"]'),
            ("steps = 12", "stepps = 12"),
            ("batch = 4", "batch = 0"),
        )
    mistakes = str(error.value).split("; ")
    for facts in (
        ["title", "missing"],
        ["titel", "title?"],
        ["seeds.0", "'0'"],
        ["net.norm", "'spectral'", "'weight'", "'batch'"],
        ["optim.stepps", "steps?"],
        ["optim.steps", "missing"],
        ["data.batch", 0],
    ):
        assert sum(names(mistake, *facts) for mistake in mistakes) == 1


EQUAL = '[equal]\nwhat = "parameters"\nby = "net.n_feats"\naxis = "norm"\nto = "none"\n[log]'


@pytest.mark.parametrize(
    ("change", "facts"),
    [
        (("seeds = [0, 1]", "seeds = [1, 1]"), ["seeds", "[1, 1]", "twice"]),
        (("seeds = [0, 1]", "seeds = []"), ["seeds", "one value"]),
        (('["weight", "none"]', "[]"), ["axes", "net.norm", "one value"]),
        (("[1e-2, 1e30]", "[1e-2, 0.01]"), ["optim.learning_rate", "0.01 is", "twice"]),
        (('["weight", "none"]', '"weight"'), ["axes"]),
        (("[log]", EQUAL.replace("norm", "nrom")), ["equal", "'nrom'", "norm?"]),
        (('"net.norm" = ["weight", "none"]', "seed = [5, 6]"), ["axes", "seed"]),
        (('"net.norm" = ["weight", "none"]', 'a.x = {"source" = 1}'), ["axes", "source"]),
        (('"net.norm" = ["weight", "none"]', 'name = [["a"], ["b"]]'), ["axes", "name"]),
        (("[log]", EQUAL.replace('"none"', '"nine"')), ["'nine'", "axis norm", "none?"]),
        (("[log]", EQUAL.replace("n_feats", "features")), ["'net.features'", "[net]"]),
    ],
)
def test_a_study_that_cannot_be_meant_is_refused(change, facts):
    with refused("recipe", *facts):
        study_of(change)


def test_a_study_that_is_not_there_is_refused_with_the_nearest_name(tmp_path):
    with refused("recipe", "normalization", "normalisation?"):
        load_study("normalization")
    (tmp_path / "half.toml").write_text("[axes")
    with refused("recipe", tmp_path / "half.toml", "TOML"):
        load_study(str(tmp_path / "half.toml"))
    (tmp_path / "latin.toml").write_bytes(b'name = "\xe9"')
    with refused("recipe", tmp_path / "latin.toml", "UTF-8"):
        load_study(str(tmp_path / "latin.toml"))


# ---- sizes ---------------------------------------------------------------------------------


def test_a_network_is_counted_as_its_convolutions_say():
    n, blocks, scale = 8, 3, 2
    cfg = EDSRConfig(scale=scale, n_resblocks=blocks, n_feats=n)
    size = size_of(cfg)
    assert size.parameters == sum(p.numel() for p in build(cfg).parameters())
    lr_pixels = 1280 * 720 / scale**2
    lr_weights = 9 * (3 * n + (2 * blocks + 1) * n * n + n * n * scale**2)
    hr_weights = 9 * n * 3 * scale**2
    assert size.gflop == pytest.approx(2 * lr_pixels * (lr_weights + hr_weights) / 1e9)


@pytest.mark.parametrize("what", ["parameters", "gflop"])
def test_networks_are_made_as_equal_as_whole_numbers_of_features_allow(what):
    axis = 'block = { edsr = { "net.expansion" = 1 }, b = { "net.block" = "b" } }'
    equal = EQUAL.replace("norm", "block").replace('"none"', '"edsr"')
    study = study_of(
        ('"net.norm" = ["weight", "none"]', axis),
        ('"optim.learning_rate" = [1e-2, 1e30]', '"net.n_resblocks" = [1, 4]'),
        ("n_feats = 4", 'n_feats = 24\nnorm = "none"'),
        ("[log]", equal.replace("parameters", what)),
        ("[optim]", "[optim]\nlearning_rate = 1e-3"),
    )
    first_seed = cells(study)[::2]
    for edsr, b in zip(first_seed[:2], first_seed[2:], strict=True):
        assert edsr.labels["n_resblocks"] == b.labels["n_resblocks"]
        assert edsr.recipe.net["n_feats"] == 24
        wanted = getattr(size_of(edsr.recipe.network), what)

        def off(n, cell=b, wanted=wanted):
            recipe = cell.recipe.model_copy(update={"net": {**cell.recipe.net, "n_feats": n}})
            return abs(math.log(getattr(size_of(recipe.network), what) / wanted))

        assert b.recipe.net["n_feats"] == min(range(2, 80), key=off)


def test_a_key_that_makes_no_network_larger_is_refused():
    study = study_of(
        ('family = "ablation"', 'family = "wdsr"'),
        ('"net.norm" = ["weight", "none"]', '"net.n_feats" = [4, 8]'),
        ("n_feats = 4", "n_feats = 4\nreuse = 1"),
        (
            "[log]",
            EQUAL.replace("net.n_feats", "net.reuse")
            .replace('"norm"', '"n_feats"')
            .replace('"none"', '"8"'),
        ),
    )
    with refused("recipe", "net.reuse", "parameters"):
        cells(study)


def test_networks_for_clips_and_with_noise_are_counted():
    shape = {"scale": 2, "block": "a", "n_resblocks": 1, "n_feats": 4, "expansion": 2}
    one = size_of(WDSRConfig(**shape))
    lr_pixels = 1280 * 720 / 2**2
    head, skip = 4 * 9, 12 * 25  # weights for each channel of the input; noise goes into the head
    for changed, weights in (({"temporal_size": 3}, 6 * (head + skip)), ({"noise": 2}, 2 * head)):
        more = size_of(WDSRConfig(**shape, **changed)).gflop - one.gflop
        assert more == pytest.approx(2 * lr_pixels * weights / 1e9)
    assert size_of(RecurrentWDSRConfig(**shape, temporal_size=2)).gflop > one.gflop


def test_the_networks_of_the_width_study_are_equal_within_seven_percent():
    study = load_study("width")
    for n in ("1", "3", "5", "8"):
        sizes = [
            size_of(cell.recipe.network).parameters
            for cell in cells(study)
            if cell.labels["n_resblocks"] == n
        ]
        assert len(set(sizes)) == 3
        assert max(sizes) / min(sizes) < 1.07


def same_weights(one, other):
    """Tell whether two folders hold the same weights; clocks in their headers differ."""
    (ours, _), (theirs, _) = (load_weights(next(f.glob("*-s?.safetensors"))) for f in (one, other))
    pairs = zip(ours.state_dict().items(), theirs.state_dict().items(), strict=True)
    return all(a[0] == b[0] and torch.equal(a[1], b[1]) for a, b in pairs)


# ---- the runs ------------------------------------------------------------------------------


def test_a_cell_gives_what_training_alone_gives(finished, photographs, tmp_path):
    study, out, outcomes = finished
    cell = cells(study)[1]
    weights = train(cell.recipe, data=photographs, out=tmp_path / "alone", threads=1)
    assert same_weights(weights.parent, out / cell.name)
    last = json.loads((tmp_path / "alone" / "log.jsonl").read_text().splitlines()[-1])
    assert outcomes[1].psnr == last["psnr"]
    assert [point.step for point in outcomes[1].curve] == [4, 8, 12]
    assert (outcomes[1].photographs, outcomes[1].held_out) == (3, 1)


def test_a_run_that_diverges_is_a_result(finished):
    _, _, outcomes = finished
    for outcome in outcomes:
        wild = outcome.labels["learning_rate"] == "1e+30"
        assert (outcome.diverged_at is not None) == wild
        assert (outcome.psnr is None) == wild
        assert outcome.diverged_at is None or 1 <= outcome.diverged_at < 12


def test_finished_cells_are_not_run_again(finished, photographs, monkeypatch):
    study, out, outcomes = finished
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    monkeypatch.setattr(runs, "train", None)
    monkeypatch.setattr(runs, "load_photographs", None)
    told = []
    assert run_study(study, data=photographs, out=out, on_outcome=told.append) == outcomes == told
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before


def test_photographs_are_loaded_once(photographs, tmp_path, monkeypatch):
    loaded, load = [], runs.load_photographs
    monkeypatch.setattr(runs, "load_photographs", lambda *a, **k: loaded.append(a) or load(*a, **k))
    study = study_of(("steps = 12", "steps = 1"), ("1e30", "1e-3"))
    run_study(study, data=photographs, out=tmp_path, threads=1)
    assert len(loaded) == 1


def test_seeds_that_are_added_are_run_and_the_others_kept(finished, photographs, tmp_path):
    _, out, outcomes = finished
    more = study_of(("seeds = [0, 1]", "seeds = [0, 1, 2]"), ("[1e-2, 1e30]", "[1e-2]"))
    copy = tmp_path / "out"
    subprocess.run(["cp", "-a", out, copy], check=True)
    again = run_study(more, data=photographs, out=copy, threads=1)
    assert [outcome.seed for outcome in again] == [0, 1, 2, 0, 1, 2]
    assert again[:2] == outcomes[:2]


def test_cells_of_other_settings_and_damaged_ones_are_refused(finished, photographs, tmp_path):
    study, out, _ = finished
    copy = tmp_path / "out"
    subprocess.run(["cp", "-a", out, copy], check=True)
    with refused("checkpoint", "settings (optim)", "out"):
        run_study(study_of(("steps = 12", "steps = 13")), data=photographs, out=copy)
    outcome = copy / cells(study)[0].name / "outcome.json"
    outcome.write_text(outcome.read_text()[:-9])
    with refused("checkpoint", outcome, "damaged"):
        run_study(study, data=photographs, out=copy)


def test_a_missing_device_is_an_error_and_no_result(photographs, tmp_path, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with refused("training", "device cuda"):
        run_study(study_of(), data=photographs, out=tmp_path / "out", device="cuda")
    assert not (tmp_path / "out").exists()


def start(study_file, photographs, out):
    command = [sys.executable, "-m", "widesr", "study", study_file, "--data", photographs]
    return subprocess.Popen(
        [*command, "--out", out, "--threads", "1", "--device", "cpu"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def wait_for(condition, process):
    end = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGINT])
def test_a_stopped_study_goes_on_where_it_was(photographs, tmp_path, stop):
    changes = (
        ("steps = 12", "steps = 200"),
        ("validate_every = 4", "validate_every = 10"),
        ("[1e-2, 1e30]", "[1e-3]"),
        ("[0, 1]", "[7]"),
    )
    study = study_of(*changes)
    (tmp_path / "tiny.toml").write_text(rewritten(STUDY, *changes))
    out, second = tmp_path / "out", cells(study)[1]
    process = start(tmp_path / "tiny.toml", photographs, out)
    wait_for(lambda: len(list((out / second.name).glob("state-*"))) > 1, process)
    process.send_signal(stop)
    said, problems = process.communicate(timeout=250)
    assert process.returncode == (130 if stop == signal.SIGINT else -signal.SIGKILL)
    assert "Traceback" not in problems
    assert said.count("dB") == 1
    assert names((out / "table.md").read_text(), "1 runs")
    assert not (out / second.name / "outcome.json").exists()
    begun = len((out / second.name / "log.jsonl").read_text().splitlines())
    assert 1 <= begun < 20

    steps = []
    again = run_study(
        study,
        data=photographs,
        out=out,
        threads=1,
        on_progress=lambda _, now: steps.append(now.step),
    )
    assert min(steps) > 10 * (begun - 1)
    whole = run_study(study, data=photographs, out=tmp_path / "whole", threads=1)
    for one, other in zip(again, whole, strict=True):
        assert [(p.step, p.psnr) for p in one.curve] == [(p.step, p.psnr) for p in other.curve]
        assert not list((out / cells(study)[0].name).glob("state-*"))
    assert same_weights(*(f / second.name for f in (out, tmp_path / "whole")))


# ---- what it found -------------------------------------------------------------------------


def test_seeds_are_put_together_as_mean_and_half_of_the_range(finished):
    _, _, outcomes = finished
    first, second = outcomes[0].psnr, outcomes[1].psnr
    row = rows_of(outcomes)[0]
    assert row.psnr == (first, second)
    assert row.mean == pytest.approx((first + second) / 2)
    assert row.spread == pytest.approx(abs(first - second) / 2)
    assert row.text == f"{row.mean:.2f} ± {row.spread:.2f}"
    one = rows_of(outcomes[:1])[0]
    assert (one.spread, one.text) == (None, f"{first:.2f}")


def test_the_table_names_the_budget_and_every_cell(finished):
    study, out, outcomes = finished
    text = (out / "table.md").read_text()
    assert text == markdown(study, outcomes)
    for fact in (
        "12 steps of 4 patches of 12x12",
        "fp32, 3 photographs; seeds 0, 1; 8 runs",
        "middles of 1 others",
        "benchmark-y",
        outcomes[0].machine,
        outcomes[0].commit,
        "| norm \\ learning_rate | 0.01 | 1e+30 |",
    ):
        assert fact in text
    assert text.count("diverged at") == 4  # two rows, in both tables
    for line in text.splitlines():
        if line.startswith("|"):
            assert line.endswith("|")


def test_the_csv_and_the_log_have_the_same_figures(finished):
    _, out, outcomes = finished
    with (out / "table.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["diverged"] for row in rows] == ["0", "2", "0", "2"]
    assert float(rows[0]["psnr_min"]) == min(outcomes[0].psnr, outcomes[1].psnr)
    assert rows[1]["psnr_mean"] == ""
    assert read_outcomes(out / "cells.jsonl") == outcomes


def test_the_curves_are_drawn_the_same_each_time(finished, tmp_path):
    study, _, outcomes = finished
    draw_curves(study, outcomes, tmp_path / "a.svg")
    draw_curves(study, outcomes, tmp_path / "b.svg")
    drawn = (tmp_path / "a.svg").read_bytes()
    assert drawn == (tmp_path / "b.svg").read_bytes()
    assert ET.fromstring(drawn).tag.endswith("svg")  # noqa: S314 (our own)
    with refused("checkpoint", tmp_path / "no" / "a.svg", os.strerror(errno.ENOENT)):
        draw_curves(study, outcomes, tmp_path / "no" / "a.svg")


# ---- the command ---------------------------------------------------------------------------


@pytest.fixture
def study_file(tmp_path, monkeypatch):
    file = tmp_path / "tiny.toml"
    file.write_text(STUDY)
    monkeypatch.chdir(tmp_path)
    return file


def test_a_dry_run_names_the_cells_and_writes_nothing(study_file, photographs, capsys):
    assert run(["study", str(study_file), "--data", str(photographs), "--dry-run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["cell", "parameters", "GFLOP", "time"]
    assert lines[1].startswith("weight 0.01 s0")
    assert len(lines) == 1 + 8 + 1
    assert list(study_file.parent.iterdir()) == [study_file]
    words = ["--dry-run", "--json"]
    assert run(["study", str(study_file), "--data", str(photographs), *words]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["cell"] for row in rows] == [cell.name for cell in cells(study_of())]
    assert all(row["seconds"] > 0 for row in rows)


def test_a_study_is_run_by_one_command(study_file, photographs, capsys, monkeypatch):
    study_file.write_text(STUDY.replace("[1e-2, 1e30]", "[1e-2]").replace("[0, 1]", "[0]"))
    command = ["study", str(study_file), "--data", str(photographs), "--threads", "1"]
    assert run(command) == 0
    said = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"1/2  weight 0.01 s0  \d+\.\d\d dB PSNR-Y, benchmark-y  \d+ s", said[0])
    assert said[-1] == "studies/tiny/table.md, studies/tiny/curves.svg"
    files = {path.name for path in Path("studies/tiny").iterdir() if path.is_file()}
    assert files == {"table.md", "table.csv", "cells.jsonl", "curves.svg"}
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, "widesr.study.curves", raising=False)
    assert run(command) == 0
    assert names(capsys.readouterr().out, "'widesr[plots]'")


@pytest.mark.parametrize(
    ("words", "code", "facts"),
    [
        ([], "usage", ["STUDY", "normalisation"]),
        (["width"], "usage", ["--data"]),
        (["widht", "--data", "."], "recipe", ["widht", "width?"]),
        (["width", "--data", "nowhere"], "data", ["nowhere"]),
    ],
)
def test_what_is_missing_is_said(words, code, facts, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status = run(["study", *words, *(["--device", "cpu"] if words else [])])
    assert status == (2 if code == "usage" else 1)
    refusal(capsys.readouterr().err, code, *facts)
    assert not list(tmp_path.iterdir())


def test_the_studies_of_the_package_are_listed(capsys):
    assert run(["study", "--list"]) == 0
    said = capsys.readouterr().out
    for name in list_studies():
        assert f"\n{name}: " in f"\n{said}"
    assert run(["study", "--list", "--json"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line)["name"] for line in lines] == list_studies()


# ---- what is published ---------------------------------------------------------------------

PUBLISHED = Path(__file__).parents[2] / "docs" / "studies"
LOGS = sorted((PUBLISHED / "raw").glob("*.jsonl"))


def test_the_headline_studies_are_published():
    assert {"normalisation", "width"} <= {log.stem for log in LOGS}


@pytest.mark.parametrize("log", LOGS, ids=lambda log: log.stem)
def test_a_published_page_has_the_tables_of_its_log_and_the_log_is_of_the_package_s_study(log):
    study, outcomes = load_study(log.stem), read_outcomes(log)
    planned = [cell.recipe for cell in cells(study)]
    assert [outcome.recipe for outcome in outcomes] == planned[: len(outcomes)]
    assert len(outcomes) > 0.9 * len(planned)  # the table says how many, where not all were run
    page = (PUBLISHED / f"{log.stem}.md").read_text()
    assert markdown(study, outcomes) in page
    for outcome in outcomes:
        size = size_of(outcome.recipe.network)
        assert (outcome.parameters, outcome.gflop) == (size.parameters, pytest.approx(size.gflop))
        assert re.fullmatch(r"[0-9a-f]{12}(-dirty)?", outcome.commit)
