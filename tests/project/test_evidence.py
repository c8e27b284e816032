"""Pictures and figures of pages can be made again, and pages have no other figures than those."""

import hashlib
import json
import math
import re
import subprocess
import sys
from pathlib import Path

import pytest

from widesr.models.catalog import ALIASES, list_shipped
from widesr.pictures.reading import read_picture

ROOT = Path(__file__).parents[2]
SHOWN = 1.05
"""Ratio within which a page may be of another machine, whose last bits differ."""


def printed(script, *arguments):
    """The cells of the table that a script prints, by the first of each row."""
    words = [sys.executable, ROOT / "scripts" / script, *arguments]
    said = subprocess.run(words, capture_output=True, text=True, check=True, timeout=280).stdout
    return cells(said)


def cells(table):
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in table.splitlines()
        if line.startswith("|")
    ]
    return {first: rest for first, *rest in rows[2:]}


def between(page, name):
    text = (ROOT / page).read_text()
    return text.split(f"<!-- {name}:start -->\n")[1].split(f"<!-- {name}:end -->")[0]


def check_page(page, found):
    told = cells(between(page, "figures"))
    assert told.keys() == found.keys()
    assert told
    for what, figures in found.items():
        for ours, theirs in zip(map(number, told[what]), map(number, figures), strict=True):
            assert ours <= theirs * SHOWN + 0.1, what
            assert theirs <= ours * SHOWN + 0.1, what


def number(cell):
    return float(re.sub("[,%]", "", cell))


def check_pictures(folder, pattern):
    made = sorted(path.name for path in folder.iterdir())
    assert made == sorted(path.name for path in (ROOT / "docs/assets").glob(pattern))
    for name in made:
        assert read_picture(folder / name).height > 200
        assert (folder / name).stat().st_size < 300 * 1024


def test_the_evidence_shows_each_loss_and_that_widesr_has_none(tmp_path):
    found = printed("evidence.py", ROOT / "examples", tmp_path)
    colour, alpha, depth = (tuple(map(float, figures)) for figures in found.values())
    assert colour[1] < 1 < 5 < colour[0]
    assert alpha[1] == 0 < alpha[0]
    assert depth[0] < 16
    assert depth[1] > 1000
    check_page("docs/why/fidelity.md", found)
    check_pictures(tmp_path, "fidelity_*")


def test_the_page_on_limits_says_what_networks_do_to_text_and_pixel_art(tmp_path):
    pytest.importorskip("PIL")
    found = printed("limits.py", tmp_path)
    halo = {model: number(figures[0]) for model, figures in found.items()}
    colours = {model: number(figures[1]) for model, figures in found.items()}
    assert halo["nearest"] == halo["drawn so large"] == 0
    assert colours["nearest"] == colours["drawn so large"] == 5 < colours["default"]
    check_page("docs/why/limits.md", found)
    check_pictures(tmp_path, "limits_*")


@pytest.mark.slow
def test_the_page_on_decibels_says_how_far_protocols_are_apart():
    found = printed("protocols.py")
    told = cells(between("docs/why/decibels.md", "figures"))
    assert told.keys() == found.keys()
    for way, figures in found.items():
        ours, theirs = (list(map(float, row)) for row in (told[way], figures))
        assert ours == pytest.approx(theirs, abs=0.02), way
    against = {way: float(figures[-1]) for way, figures in found.items()}
    assert against["`benchmark-y`"] == 0 > against["`div2k-rgb`"] + 1
    full_range = 20 * math.log10(219 / 255)  # luma of 0 to 255 is so much wider
    assert against["`benchmark-y`, luma from 0 to 255"] == pytest.approx(full_range, abs=0.01)


def test_the_readme_begins_with_what_the_demo_gives(tmp_path):
    words = [sys.executable, ROOT / "scripts" / "comparison.py", tmp_path / "comparison.jpg"]
    said = subprocess.run(words, capture_output=True, text=True, check=True, timeout=280).stdout
    told = between("README.md", "comparison")
    figure = r"\d+\.\d\d(?= dB)"
    assert re.sub(figure, "", told) == re.sub(figure, "", said)
    ours, theirs = (list(map(float, re.findall(figure, text))) for text in (told, said))
    assert ours == pytest.approx(theirs, abs=0.02)
    assert len(ours) == 2
    assert ours[1] > ours[0] + 1
    made, shown = (read_picture(f / "comparison.jpg") for f in (tmp_path, ROOT / "docs/assets"))
    assert made.pixels.shape == shown.pixels.shape


def test_scores_are_of_the_models_that_are_shipped():
    result = json.loads((ROOT / "benchmarks/results/quality.json").read_text())
    cards = {m.card.name: m.card for m in list_shipped() if m.card.frames == 1}
    files = {model.card.name: model.path.read_bytes() for model in list_shipped()}
    reports = {name: each for name, each in result["reports"].items() if name in cards}
    assert reports.keys() == cards.keys(), "python benchmarks/quality.py: see CONTRIBUTING.md"
    for name, card in cards.items():
        assert card.scores
        for report in reports[name]:
            assert report["model"]["sha256"] == hashlib.sha256(files[name]).hexdigest(), name
        for score in card.scores:
            of = [each for each in reports[name] if f"/{score.dataset}/" in each["folder"]]
            means = [each["mean"][score.protocol] for each in of]
            assert [round(mean["psnr"], 4) for mean in means] == pytest.approx(
                [score.psnr], abs=0.01
            )
            assert [round(mean["ssim"], 4) for mean in means] == pytest.approx(
                [score.ssim], abs=1e-3
            )


@pytest.mark.parametrize("scale", [2, 4])
def test_scores_on_clips_are_of_the_models_that_are_shipped(scale):
    result = json.loads((ROOT / f"benchmarks/results/clips_x{scale}.json").read_text())["models"]
    files = {model.card.name: model for model in list_shipped()}
    page = (ROOT / "docs/benchmarks/video.md").read_text()
    for alias, found in result.items():
        if alias != "bicubic":
            model = files[ALIASES[alias][scale]]
            assert found["sha256"] == hashlib.sha256(model.path.read_bytes()).hexdigest(), alias
            for score in model.card.scores if model.card.frames > 1 else ():
                assert (score.psnr, score.ssim) == (found["psnr"], found["ssim"])
        assert f"| `{alias}` | {found['psnr']:.2f} | {found['ssim']:.4f} |" in page
    assert result.keys() >= {"fast", "default", "best", "video"}


def test_what_a_detector_finds_is_of_the_models_that_are_shipped():
    kept = json.loads((ROOT / "benchmarks/results/detection.json").read_text())
    assert kept.keys() == {"coco", "faces"}
    files = {model.card.name: model.path.read_bytes() for model in list_shipped()}
    for reports in kept.values():
        assert reports.keys() >= {"fast", "default", "best", "realistic", "crisp"}
        for alias in reports.keys() & ALIASES.keys():  # beside them are networks that did not ship
            report = reports[alias]
            name = ALIASES[alias][report["scale"]]
            assert report["model"]["sha256"] == hashlib.sha256(files[name]).hexdigest(), name
            assert [each["name"] for each in report["judged"]] == [
                "original",
                "shrunk",
                "bicubic",
                name,
            ]


def test_the_pages_of_models_are_those_of_the_cards():
    pages = ROOT / "docs" / "models"
    cards = {model.card.name: model.card for model in list_shipped()}
    assert {path.stem for path in pages.glob("*.md")} == {"index", *cards}
    index = (pages / "index.md").read_text()
    for name, card in cards.items():
        page = (pages / f"{name}.md").read_text()
        assert f"`{card.weights_sha256[:16]}`" in page
        for score in card.scores:
            figures = f"{score.psnr:.2f} dB, SSIM {score.ssim:.4f} (`{score.protocol}`)"
            assert f"| {score.dataset} | {figures} |" in page
        assert f"[{name}]({name}.md)" in index
        figures = f"{card.parameters_fused:,} | {card.scores[0].psnr:.2f} dB |"
        if card.frames > 1:
            figures = f"{card.parameters_fused:,} parameters; {card.scores[0].psnr:.2f} dB on"
        assert figures in index
