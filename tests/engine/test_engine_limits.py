"""Promises of all engines together: the same picture, its quality, memory, threads."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from widesr.degrade.bicubic import cropped_to_multiple, degrade
from widesr.engine import find_model, load_engine
from widesr.engine.choice import is_openvino_installed
from widesr.models.catalog import FAITHFUL, MODELS_DIR, ModelFile, read_card
from widesr.pictures.reading import read_picture
from widesr.pixels.metrics import PROTOCOLS, psnr
from widesr.system.machine import cpu
from widesr.upscaling.upscaler import Upscaler

ROOT = Path(__file__).parents[2]
PHOTOGRAPHS = sorted((ROOT / "examples").glob("*.jpg"))
"""Cut out of photographs that no model has seen."""
# A model of clips takes no picture; tests/video and `widesr calibrate` judge it.
MODELS = [path for path in sorted(MODELS_DIR.glob("*.onnx")) if read_card(path).frames == 1]
BACKENDS = ["onnxruntime", *(["openvino"] if is_openvino_installed() else [])]
BF16, INT8 = {"amx_bf16", "avx512_bf16"}, {"amx_int8", "avx512_vnni", "avx_vnni"}

every_model = pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
with_openvino = pytest.mark.skipif("openvino" not in BACKENDS, reason="needs OpenVINO")
with_proc = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")


def _upscaler(path, **how):
    model = ModelFile(path, read_card(path))
    return Upscaler(load_engine(model, threads=2, **how), card=model.card)


def _pair(path, scale, side=None):
    """LR and HR of a photograph, or of its middle."""
    hr = read_picture(path).pixels
    if side is not None:
        top, left = (max(0, length - side * scale) // 2 for length in hr.shape[:2])
        hr = hr[top : top + side * scale, left : left + side * scale]
    hr = np.ascontiguousarray(cropped_to_multiple(hr, scale))
    return degrade(hr, scale=scale), hr


def _differ(path, side):
    """Return the share of values in which two back ends differ, and by how many levels at most."""
    one, other = (_upscaler(path, backend=b, precision="fp32") for b in BACKENDS)
    differences = [
        np.abs(one(lr).astype(int) - other(lr)).ravel()
        for lr in (_pair(photograph, one.scale, side)[0] for photograph in PHOTOGRAPHS)
    ]
    found = np.concatenate(differences)
    return (found > 0).mean(), found.max()


@with_openvino
@every_model
def test_both_back_ends_give_the_same_picture_in_fp32(path):
    assert PHOTOGRAPHS
    share, levels = _differ(path, side=100)
    assert share <= 1e-4
    assert levels <= 1


@with_openvino
@pytest.mark.slow
@pytest.mark.parametrize("name", ["wdsr-a12w16-x3", "wdsr-a16-crisp-x2", "wdsr-a8-x4"])
def test_both_back_ends_give_the_same_whole_photographs_in_fp32(name):
    """Every model has the same small pictures above; what large ones add is the same for all."""
    path = MODELS_DIR / f"{name}.onnx"
    share, levels = _differ(path, side=None)
    assert share <= 1e-4
    assert levels <= 1


@every_model
def test_every_card_proves_its_precisions(path):
    card = read_card(path)
    bf16, int8 = card.loss_in("bf16"), card.loss_in("int8")
    assert bf16 is not None
    # Detail that is invented differs from the photograph anyway, and by a little more in bf16.
    assert bf16.worst <= (0.02 if path.stem in FAITHFUL else 0.01)
    assert int8 is not None
    assert int8.worst <= 0.1
    assert min(bf16.n, int8.n) >= 5
    assert card.ranges


@with_openvino
@every_model
@pytest.mark.parametrize(
    ("precision", "flags", "most"), [("bf16", BF16, 0.02), ("int8", INT8, 0.1)]
)
def test_what_a_card_says_is_lost_is_not_more_on_a_photograph(path, precision, flags, most):
    if not cpu().flags & flags:
        pytest.skip(f"needs a CPU that computes in {precision}")
    low, exact = _upscaler(path, precision=precision), _upscaler(path, precision="fp32")
    lr, hr = _pair(ROOT / "examples" / "chapel.jpg", low.scale, 120)
    in_low, in_fp32 = (
        psnr(upscaler(lr), hr, protocol=PROTOCOLS["benchmark-y"], scale=low.scale)
        for upscaler in (low, exact)
    )
    assert in_low != in_fp32
    assert in_fp32 - in_low <= most


PEAK = """
import sys
from pathlib import Path
import numpy as np
import widesr.upscaling.upscaler as module
from widesr.upscaling.tile_policy import MARGIN
from widesr.pixels.rows import Rows

def peak():
    status = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in status if line.startswith("VmHWM"))) / 2**10

backend, precision, scale, shape = sys.argv[1:]
before = peak()
how = {"backend": backend, "precision": precision, "threads": 2}
upscaler = module.Upscaler.load(scale=int(scale), **how)
largest = upscaler.tile + upscaler.card.receptive_radius - MARGIN
size = (60, 9000) if shape == "wide" else (2 * largest, 2 * largest)
lr = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
for band in upscaler.rows(Rows.of(lr)):
    pass
print(peak() - before)
"""


@pytest.mark.slow
@with_proc
@pytest.mark.parametrize(
    ("backend", "precision"), [*((b, "fp32") for b in BACKENDS), ("auto",) * 2]
)
@pytest.mark.parametrize(("scale", "shape"), [(2, "four of the largest tiles"), (2, "wide"),
                                              (4, "four of the largest tiles")])  # fmt: skip
def test_an_engine_takes_less_than_400_mib_whatever_the_picture(backend, precision, scale, shape):
    args = [backend, precision, str(scale), shape]
    ran = subprocess.run([sys.executable, "-c", PEAK, *args], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert 30 < float(ran.stdout) < 400


THREADS = """
import sys
from pathlib import Path
import numpy as np
from widesr.engine import find_model
from widesr.engine import load_engine

def ticks():
    found = {}
    for task in Path("/proc/self/task").iterdir():
        fields = (task / "stat").read_text().rpartition(")")[2].split()
        found[task.name] = int(fields[11]) + int(fields[12])
    return found

backend, threads = sys.argv[1], int(sys.argv[2])
model = find_model("default", scale=2)
engine = load_engine(model, backend=backend, precision="fp32", threads=threads)
lr = np.zeros((1, 3, 160, 160), np.float32)
engine.run(lr)
before, spent = ticks(), []
while sum(spent) < 100:  # hundredths of a second; a twentieth of fewer is a single one
    engine.run(lr)
    spent = [after - before.get(name, 0) for name, after in ticks().items()]
print(sum(each > sum(spent) / 20 for each in spent))
"""


@with_proc
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("threads", [1, 2])
def test_no_more_threads_are_busy_than_were_asked_for(backend, threads):
    if threads > len(os.sched_getaffinity(0)):
        pytest.skip("needs two CPUs")
    ran = subprocess.run(
        [sys.executable, "-c", THREADS, backend, str(threads)], capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    assert 1 <= int(ran.stdout) <= threads


def test_the_default_model_is_among_those_tested():
    assert find_model("default", scale=2).path in MODELS
