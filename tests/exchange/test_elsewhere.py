"""Our models in other programs, by the very code of the page that tells how."""

import errno
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from functools import cache
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import yaml
from PIL import Image

import widesr
from facts import refused
from others import program
from samples import smooth
from widesr.cli import run
from widesr.engine import find_model
from widesr.exchange import hub
from widesr.exchange.hub import export_hub
from widesr.models.catalog import ModelCard, TrainingData, read_card
from widesr.nets import WDSRConfig, build, parse_config
from widesr.train.checkpoint import load_weights, save_weights

pytestmark = pytest.mark.train

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/how-to/elsewhere.md").read_text()
ORT_WEB = ROOT / "node_modules" / "onnxruntime-web"
MODEL, SCALE = "wdsr-a8-x4", 4
WHOLE = (29, 37)


def block(section, language):
    """The one block of code in a section of the page."""
    text = PAGE.split(f"\n## {section}\n")[1].split("\n## ")[0]
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder for a hub, of a model of the package."""
    folder = tmp_path_factory.mktemp("hub") / "my-model"
    assert run(["export", MODEL, "--hub", str(folder)]) == 0
    return folder


@pytest.fixture
def work(folder, tmp_path, monkeypatch):
    """A folder with what the page's programs read."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(folder / f"{MODEL}.onnx", "elsewhere.onnx")
    shutil.copy(find_model(MODEL, scale=SCALE).path, f"{MODEL}.onnx")
    Image.fromarray(bright()).save("photo.png")
    return tmp_path


def bright():
    """A picture to whose border darkness shows."""
    return np.clip(smooth(*WHOLE).astype(int) + 120, 0, 255).astype(np.uint8)


def by_widesr(lr, model=MODEL, *, backend="onnxruntime", tile=None):
    settings = {"backend": backend, "precision": "fp32", "tile": tile, "threads": 1}
    return widesr.Upscaler.load(str(model), scale=SCALE, **settings)(lr).astype(int)


ours = cache(lambda height, width: by_widesr(bright()[:height, :width]))
"""Our own picture of a part of the bright one."""


def read(path):
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def by_onnxruntime(path, lr):
    x = lr.astype(np.float32).transpose(2, 0, 1)[None] / 255
    (sr,) = onnxruntime.InferenceSession(path).run(None, {"lr": x})
    return np.floor(sr[0].transpose(1, 2, 0).clip(0, 1) * 255 + 0.5).astype(int)


@pytest.mark.parametrize("size", [(1, 1), (3, 2), WHOLE])
def test_a_graph_with_the_margin_gives_our_picture_at_any_size(folder, size):
    sr = by_onnxruntime(folder / f"{MODEL}.onnx", bright()[: size[0], : size[1]])
    assert np.abs(sr - ours(*size)).max() <= 1


def test_without_the_margin_only_the_border_is_another():
    apart = np.abs(by_onnxruntime(find_model(MODEL, scale=SCALE).path, bright()) - ours(*WHOLE))
    assert apart.max() > 8
    inside = slice(10 * SCALE, -10 * SCALE)
    assert apart[inside, inside].max() <= 1


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_widesr_puts_no_second_margin_around_it(folder, backend):
    if backend == "openvino":
        pytest.importorskip("openvino", reason="needs the openvino extra")
    file = folder / f"{MODEL}.onnx"
    assert (read_card(file).margin, read_card(find_model(MODEL, scale=SCALE).path).margin) == (4, 0)
    for size in ((1, 2), WHOLE):
        for tile in (None, 16):
            sr = by_widesr(bright()[: size[0], : size[1]], file, backend=backend, tile=tile)
            assert np.abs(sr - ours(*size)).max() <= 1


def test_onnx_runtime_by_the_page(work):
    exec(compile(block("ONNX Runtime", "py"), "page", "exec"), {})  # noqa: S102 (our own page)
    assert np.abs(read("onnxruntime.png") - ours(*WHOLE)).max() <= 1


def test_opencv_by_the_page(work):
    cv2 = pytest.importorskip("cv2", reason="needs opencv-python-headless")
    if int(cv2.__version__.split(".")[0]) < 5:
        pytest.skip("needs OpenCV 5")
    exec(compile(block("OpenCV", "py"), "page", "exec"), {})  # noqa: S102 (our own page)
    assert np.abs(read("opencv.png") - ours(*WHOLE)).max() <= 1


def test_ncnn_by_the_page(work):
    pytest.importorskip("ncnn", reason="needs the package ncnn")
    pytest.importorskip("pnnx", reason="needs the package pnnx")
    command = block("ncnn", "sh").splitlines()[1].split()
    assert command[0] == "pnnx"
    pnnx = Path(sysconfig.get_path("scripts")) / "pnnx"
    subprocess.run([pnnx, *command[1:]], check=True, capture_output=True, timeout=250)
    # In a process of its own: it has threads and an exit of its own.
    Path("page.py").write_text(block("ncnn", "py"))
    subprocess.run([sys.executable, "page.py"], check=True, timeout=250)
    assert np.abs(read("ncnn.png") - ours(*WHOLE)).max() <= 1


@pytest.mark.slow
def test_a_browser_by_the_page(work):
    if not ORT_WEB.is_dir():
        pytest.skip("needs onnxruntime-web: npm install --no-save onnxruntime-web")
    from playwright.sync_api import sync_playwright

    chromium = program("chromium")
    Path("page.mjs").write_text(block("In a browser", "js"))
    Path("index.html").write_text("<!doctype html><title>page</title>")
    kinds = {".html": "text/html", ".mjs": "text/javascript", ".wasm": "application/wasm"}

    def answer(route):
        name = route.request.url.removeprefix("http://localhost/")
        file = ROOT / name if name.startswith("node_modules/") else work / name
        kind = kinds.get(file.suffix, "application/octet-stream")
        if file.is_file():
            route.fulfill(body=file.read_bytes(), content_type=kind)
        else:
            route.fulfill(status=404)

    lr = bright()
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page()
        page.route("**", answer)
        page.goto("http://localhost/index.html")
        rgba = np.dstack([lr, np.full(lr.shape[:2], 255, np.uint8)])
        larger = page.evaluate(
            """async ({ rgba, width }) => {
                const { load, upscale } = await import("/page.mjs");
                const image = new ImageData(new Uint8ClampedArray(rgba), width);
                const larger = await upscale(await load("/elsewhere.onnx"), image);
                return { width: larger.width, data: Array.from(larger.data) };
            }""",
            {"rgba": rgba.ravel().tolist(), "width": lr.shape[1]},
        )
        browser.close()
    sr = np.array(larger["data"]).reshape(-1, larger["width"], 4)
    assert np.abs(sr[..., :3] - ours(*WHOLE)).max() <= 1
    assert (sr[..., 3] == 255).all()


# ---- the folder for a hub ------------------------------------------------------------------


def front_matter(text):
    return yaml.safe_load(text.split("---\n")[1])


def test_the_folder_holds_the_network_in_each_form(folder):
    names = {"README.md", "config.json", "model.safetensors", f"{MODEL}.onnx"}
    assert {path.name for path in folder.iterdir()} == names
    config = json.loads((folder / "config.json").read_text())
    network, provenance = load_weights(folder)
    assert provenance is None  # of a model file; that of weights goes along, below
    assert parse_config(config["model_type"], config["net"]) == network.cfg
    assert config["architectures"] == ["WDSR"]


def test_widesr_takes_the_folder_back(folder, tmp_path):
    assert np.abs(by_widesr(bright(), f"{folder}/") - ours(*WHOLE)).max() <= 1
    weights = tmp_path / "again.pth"
    assert run(["export", str(folder), "--keys", "edsr-pytorch", "-o", str(weights)]) == 0
    assert run(["import", str(weights)]) == 0
    again, _ = load_weights(weights.with_suffix(".safetensors"))
    assert again.cfg.n_resblocks == load_weights(folder)[0].cfg.n_resblocks


def test_the_readme_has_the_figures_of_the_card_and_runs(folder, work):
    card = find_model(MODEL, scale=SCALE).card
    text = (folder / "README.md").read_text()
    fields = front_matter(text)
    assert (fields["license"], fields["library_name"]) == ("apache-2.0", "widesr")
    assert fields["pipeline_tag"] == "image-to-image"
    (index,) = fields["model-index"]
    found = [
        (each["dataset"]["name"], each["metrics"][0]["value"], each["metrics"][1]["value"])
        for each in index["results"]
    ]
    assert found == [(each.dataset, each.psnr, each.ssim) for each in card.scores]
    for score in card.scores:
        assert f"| {score.dataset} | {score.psnr:.2f} | {score.ssim:.4f} |" in text
    for data in card.training_data:
        assert data.licence in text.replace("\\|", "|")
    (code,) = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    shutil.copy(folder / f"{MODEL}.onnx", work / f"{MODEL}.onnx")
    exec(compile(code, "README", "exec"), {})  # noqa: S102 (what we wrote)
    assert np.abs(read(f"photo_x{SCALE}.png") - ours(*WHOLE)).max() <= 1


def test_the_hubs_own_library_reads_the_readme(folder):
    library = pytest.importorskip("huggingface_hub", reason="needs huggingface_hub")
    data = library.ModelCard.load(folder / "README.md").data
    assert data.license == "apache-2.0"
    card = find_model(MODEL, scale=SCALE).card
    assert len(data.eval_results) == 2 * len(card.scores)
    assert data.eval_results[0].metric_value == card.scores[0].psnr


@pytest.mark.parametrize(
    ("licence", "expected"),
    [
        ("CC-BY-4.0", {"license": "cc-by-4.0"}),
        ("not stated", {"license": "unknown"}),
        ("My own: ask|me", {"license": "other", "license_name": "my-own-ask-me"}),
    ],
)
def test_a_readme_names_teacher_and_licences_whatever_is_in_them(licence, expected):
    card = ModelCard(
        name="m",
        family="edsr",
        scale=2,
        receptive_radius=3,
        parameters=4,
        licence=licence,
        degradation="bicubic",
        teacher="span (Apache-2.0) sha256:12",
        notes='for "scans": | and\nlines',
        training_data=(TrainingData(name="a|b", licence="CC0-1.0", n=3),),
        weights_sha256="0" * 64,
    )
    text = hub._readme(card, "m.onnx")
    fields = front_matter(text)
    assert expected.items() <= fields.items()
    assert "model-index" not in fields
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert "| teacher | span (Apache-2.0) sha256:12 |" in rows
    assert r"| a\|b | 3 | CC0-1.0 |" in rows
    assert r'| made for | for "scans": \| and lines |' in rows


@pytest.mark.parametrize(("changed", "named"), [({"temporal_size": 3}, "clip"), ({"noise": 2}, "")])
def test_the_readme_shows_no_code_that_does_not_fit_the_network(tmp_path, changed, named):
    shape = {"scale": 2, "block": "a", "n_resblocks": 1, "n_feats": 4, "expansion": 2}
    save_weights(tmp_path / "w.safetensors", build(WDSRConfig(**shape, **changed)), None)
    export_hub(tmp_path / "w.safetensors", tmp_path / "hub")
    text = (tmp_path / "hub" / "README.md").read_text(encoding="utf-8")
    assert "import onnxruntime" not in text
    assert f"widesr upscale {named}" in text


def test_nothing_is_replaced_unasked_and_nothing_half_written(folder, tmp_path):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "README.md").write_text("mine")
    with refused("output-exists"):
        export_hub(Path(MODEL), mine)
    with refused("checkpoint"):
        export_hub(tmp_path / "none.safetensors", tmp_path / "new")
    assert run(["export", MODEL, "--hub", str(tmp_path / "no" / "parent")]) == 1
    with refused("export", os.strerror(errno.ENAMETOOLONG)):
        export_hub(Path(MODEL), tmp_path / ("long" * 99))
    assert sorted(tmp_path.rglob("*")) == [mine, mine / "README.md"]
    assert (mine / "README.md").read_text() == "mine"


@pytest.mark.parametrize(
    "words",
    [
        ["--hub", "d", "--keys", "basicsr"],
        ["--hub", "d", "--margin"],
        ["--hub", "d", "-o", "f.onnx"],
        ["--keys", "basicsr", "--licence", "MIT"],
        ["--keys", "basicsr", "--stored", "fp32"],
    ],
)
def test_what_means_nothing_for_a_form_is_refused(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(["export", MODEL, *words]) == 2
    assert list(tmp_path.iterdir()) == []
