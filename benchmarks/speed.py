"""Time our engine and its peers in turn, against the measured peak of this machine.

    python benchmarks/speed.py            # what is published: half an hour of a quiet machine
    python benchmarks/speed.py --quick    # a small picture, few rounds; writes nothing, prints only
    python benchmarks/speed.py --files    # "file to file" alone, in place of what is published

Each contender is a process of its own that waits while the others run; they take turns, round by
round, and every ratio is of two runs of the same round. Writes `benchmarks/results/speed.json` and
`docs/benchmarks/speed.svg` (needs the groups `train` and `plots`, and both runtimes).

"peak" is the best GEMM of the same precision in the same run (torch, sides 1024 to 4096). A
network's work is 2 operations per fused parameter and LR pixel; halos count for nothing. Peers: the
same network in eager PyTorch, both runtimes as they come, with all defaults, OpenCV's dnn_superres
(--dnn, files from its authors), and Pillow's and libvips' interpolation as the floor. A recipe that
no model in the package was trained by runs with random weights, which take as long.

"file to file" is `widesr upscale` of a picture of 16 megapixels, from JPEG, as a process, and next
to it the same tiles through the runtime alone, in a process of its own, started and loaded.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
RESULT = HERE / "results" / "speed.json"
PLOT = HERE.parent / "docs" / "benchmarks" / "speed.svg"
MODELS = (
    "wdsr-a8-x2",
    "wdsr-a12w16-x2",
    "wdsr-b8w24-x2",
    "wdsr-b16-x2",
    "wdsr-a16e4-x2",
    "wdsr-a8-x3",
    "wdsr-a8-x4",
)
"""The ladder, and the networks of the paper's kinds beside it."""
GEMM_SIDES = (1024, 2048, 4096)
PACKAGES = ("widesr", "onnxruntime", "openvino", "torch", "numpy", "pillow", "pyvips",
            "opencv-contrib-python-headless")  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--models", nargs="+", help="names, paths or recipes; default: see MODELS")
    parser.add_argument("--size", help="of the LR picture; default: 1920x1080")
    parser.add_argument("--tiles", nargs="*", type=int, default=[256, 1024])
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--dnn", nargs="*", default=[], help="e.g. FSRCNN_x2.pb ESPCN_x2.pb")
    parser.add_argument("--files", action="store_true")
    options = parser.parse_args()
    if options.files:
        result = json.loads(RESULT.read_text(encoding="utf-8"))
        result["file_to_file"] = {**file_to_file(5), "load_average": round(os.getloadavg()[0], 2)}
        RESULT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        print(result["file_to_file"])
        return
    if options.worker:
        spec = json.loads(options.worker)
        if "network_of" in spec:
            network_alone(*spec["network_of"])
        else:
            work(**spec)
        return
    models = options.models or (MODELS[:1] if options.quick else MODELS)
    size = options.size or ("480x270" if options.quick else "1920x1080")
    rounds = options.rounds or (3 if options.quick else 9)
    width, height = map(int, size.split("x"))
    tiles = [] if options.quick else options.tiles
    with tempfile.TemporaryDirectory() as folder:
        paths = [path_of(model, Path(folder)) for model in models]
        runs = [
            measure(
                path, contenders(path, tiles, options.dnn), height, width, options.threads, rounds
            )
            for path in paths
        ]
    result = {
        "command": " ".join(["python", *sys.argv]),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine_now(),
        "versions": versions(),
        "threads": options.threads,
        "picture": size,
        "rounds": rounds,
        "start_up": start_up(3 if options.quick else 9),
        "file_to_file": file_to_file(1 if options.quick else 5),
        "models": runs,
    }
    show(result)
    if not options.quick:
        RESULT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        draw(result)


def path_of(model, folder):
    """A name or path that `find_model` takes; a recipe's network, untrained, is put into a file."""
    from widesr.models.catalog import list_models
    from widesr.train.recipe import list_recipes

    if model not in list_recipes() or model in {each.card.name for each in list_models()}:
        return model
    import torch

    from widesr.exchange.export import export_onnx
    from widesr.nets import build
    from widesr.train.checkpoint import save_weights
    from widesr.train.recipe import load_recipe

    torch.manual_seed(0)
    weights, path = folder / f"{model}.safetensors", folder / f"{model}.onnx"
    network = build(load_recipe(model).network)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter /= 4  # or the guard would find its pictures bad, and make all of them twice
    save_weights(weights, network, None)
    export_onnx(weights, path, licence="CC0-1.0")
    return str(path)


def contenders(model, tiles, dnn):
    """Name and specification of all that run in turn, the reference first."""
    yield "widesr", {"kind": "widesr", "model": model}
    yield "widesr fp32", {"kind": "widesr", "model": model, "precision": "fp32"}
    if is_installed("openvino"):
        ours = {"kind": "widesr", "model": model, "backend": "openvino"}
        yield "widesr openvino fp32", {**ours, "precision": "fp32"}
    for tile in tiles:
        yield f"widesr -t {tile}", {"kind": "widesr", "model": model, "tile": tile}
    yield "widesr whole", {"kind": "widesr", "model": model, "tile": None}
    yield "onnxruntime defaults", {"kind": "onnxruntime", "model": model}
    if is_installed("openvino"):
        yield "openvino defaults", {"kind": "openvino", "model": model}
    yield "pytorch eager", {"kind": "torch", "model": model}
    for path in dnn:
        yield f"opencv {Path(path).stem}", {"kind": "opencv", "path": path, "model": model}
    for kind in ("pillow", "libvips"):
        for kernel in ("bicubic", "lanczos3"):
            yield f"{kind} {kernel}", {"kind": kind, "kernel": kernel, "model": model}
    yield "gemm fp32", {"kind": "gemm", "dtype": "float32"}
    yield "gemm bf16", {"kind": "gemm", "dtype": "bfloat16"}


def is_installed(package):
    try:
        return bool(version(package))
    except PackageNotFoundError:
        return False


def measure(model, specs, height, width, threads, rounds):
    """All contenders in turn; seconds of each round, and what follows from them."""
    from widesr.engine import find_model

    card = find_model(model, scale=None).card
    workers = {name: Worker(spec, height, width, threads) for name, spec in specs}
    seconds = {name: [] for name in workers}
    for _ in range(rounds):
        for name, worker in workers.items():
            seconds[name].append(worker.run())
    ends = {name: worker.end() for name, worker in workers.items()}
    flops = 2 * card.parameters_fused * height * width
    peaks = {
        end["precision"]: end["gflop_per_second"]
        for name, end in ends.items()
        if name.startswith("gemm")
    }
    rows = {}
    for name, times in seconds.items():
        if name.startswith("gemm"):
            continue
        ratios = [t / ours for t, ours in zip(times, seconds["widesr"], strict=True)]
        row = {
            "seconds": [round(t, 4) for t in times],
            "megapixels_per_second": round(
                card.scale**2 * height * width / 1e6 / statistics.median(times), 2
            ),
            "times_widesr": [
                round(f, 2) for f in (statistics.median(ratios), min(ratios), max(ratios))
            ],
            **ends[name],
        }
        if row["precision"] in peaks:
            gflops = flops / min(times) / 1e9
            row["gflop_per_second"] = round(gflops)
            row["share_of_peak"] = round(gflops / peaks[row["precision"]], 3)
        rows[name] = row
    return {
        "model": card.name,
        "parameters": card.parameters_fused,
        "scale": card.scale,
        "gflop": round(flops / 1e9),
        "peak_gflop_per_second": {name: round(peak) for name, peak in peaks.items()},
        "contenders": rows,
    }


class Worker:
    """A contender in a process of its own, which waits to be told to run."""

    def __init__(self, spec, height, width, threads):
        spec = {**spec, "height": height, "width": width, "threads": threads}
        command = [sys.executable, __file__, "--worker", json.dumps(spec)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._answer()  # it has run once

    def run(self):
        time.sleep(0.2)  # threads of the one before may still wait for more, and not idly
        self._say("run")
        return self._answer()["seconds"]

    def end(self):
        self._say("end")
        answer = self._answer()
        self._process.wait()
        return answer

    def _say(self, word):
        print(word, file=self._process.stdin, flush=True)

    def _answer(self):
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"a contender ended: {self._process.args[-1]}")
        return json.loads(line)


def work(kind, height, width, threads, **spec):
    """Be a contender: make ready, run once, then as often as told."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer

    def answer(**values):
        print(json.dumps(values), file=answers, flush=True)

    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    run, precision = KINDS[kind](pixels, threads, **spec)
    began = time.perf_counter()
    run()
    answer(seconds=time.perf_counter() - began)
    for word in sys.stdin:
        if word.strip() == "end":
            break
        began = time.perf_counter()
        run()
        answer(seconds=time.perf_counter() - began)
    answer(precision=precision, peak_mib=peak_mib(), **getattr(run, "found", {}))


def peak_mib():
    """Return this process's own peak; that of getrusage begins with the parent's."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s*(\d+)", status)[1]) >> 10


def widesr(pixels, threads, *, model, backend="auto", precision="auto", tile="auto"):
    """Go from 8-bit pixels to 8-bit pixels, as `widesr upscale` does between the files."""
    from widesr.engine import find_model, load_engine
    from widesr.upscaling.upscaler import Upscaler

    found = find_model(model, scale=None)
    streams = 1 if tile is None else "auto"
    engine = load_engine(
        found, backend=backend, precision=precision, threads=threads, streams=streams
    )
    upscaler = Upscaler(engine, tile=tile, card=found.card)
    return lambda: upscaler(pixels), engine.precision


def network_input(pixels):
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)[np.newaxis], np.float32) / 255


def onnxruntime(pixels, threads, *, model):  # noqa: ARG001 - with all defaults
    import onnxruntime as ort

    from widesr.engine import find_model

    lr = network_input(pixels)
    session = ort.InferenceSession(find_model(model, scale=None).path)
    return lambda: session.run(None, {session.get_inputs()[0].name: lr}), "fp32"


def openvino(pixels, threads, *, model):  # noqa: ARG001 - with all defaults
    import openvino as ov

    from widesr.engine import find_model

    lr = network_input(pixels)
    compiled = ov.Core().compile_model(find_model(model, scale=None).path, "CPU")
    hint = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
    return lambda: compiled(lr), {"f32": "fp32", "f16": "fp16"}.get(hint, hint)


def eager(pixels, threads, *, model):
    """The same network, with random weights, which take as long."""
    import torch

    from widesr.engine import find_model
    from widesr.nets import build
    from widesr.train.recipe import load_recipe

    torch.set_num_threads(threads)
    card = find_model(model, scale=None).card
    network = build(load_recipe(card.recipe or card.name).network).fused().eval()
    lr = torch.from_numpy(network_input(pixels))

    @torch.inference_mode()
    def run():
        network(lr)

    return run, "fp32"


def opencv(pixels, threads, *, path, model):  # noqa: ARG001
    import cv2

    cv2.setNumThreads(threads)
    name, scale = Path(path).stem.split("_x")
    net = cv2.dnn_superres.DnnSuperResImpl_create()  # type: ignore[attr-defined]  # in contrib
    net.readModel(path)
    net.setModel(name.lower(), int(scale))
    return lambda: net.upsample(pixels), "other"


def pillow(pixels, threads, *, kernel, model):  # noqa: ARG001 - it has one thread
    from PIL import Image

    from widesr.engine import find_model

    scale = find_model(model, scale=None).card.scale
    image = Image.fromarray(pixels)
    size = (image.width * scale, image.height * scale)
    method = {"bicubic": Image.Resampling.BICUBIC, "lanczos3": Image.Resampling.LANCZOS}[kernel]
    return lambda: image.resize(size, method), "other"


def libvips(pixels, threads, *, kernel, model):
    os.environ["VIPS_CONCURRENCY"] = str(threads)
    import pyvips

    from widesr.engine import find_model

    scale = find_model(model, scale=None).card.scale
    image = pyvips.Image.new_from_array(pixels)
    name = {"bicubic": "cubic", "lanczos3": "lanczos3"}[kernel]
    return lambda: image.resize(scale, kernel=name).write_to_memory(), "other"


def gemm(pixels, threads, *, dtype):  # noqa: ARG001
    """Matrix products of several sizes; the best of them all is the peak."""
    import torch

    torch.set_num_threads(threads)
    found = {"gflop_per_second": 0.0}
    squares = [torch.rand(side, side).to(getattr(torch, dtype)) for side in GEMM_SIDES]

    def run():
        for square in squares:
            began = time.perf_counter()
            torch.matmul(square, square)
            speed = 2 * len(square) ** 3 / (time.perf_counter() - began) / 1e9
            found["gflop_per_second"] = max(found["gflop_per_second"], speed)

    run.found = found  # type: ignore[attr-defined]  # read where answers are printed
    return run, {"float32": "fp32", "bfloat16": "bf16"}[dtype]


KINDS = {
    "widesr": widesr,
    "onnxruntime": onnxruntime,
    "openvino": openvino,
    "torch": eager,
    "opencv": opencv,
    "pillow": pillow,
    "libvips": libvips,
    "gemm": gemm,
}


def start_up(times):
    """Seconds of `widesr upscale` on a picture of 64x64, from nothing to the file on disk."""
    from PIL import Image

    with tempfile.TemporaryDirectory() as folder:
        lr, sr = Path(folder) / "lr.png", Path(folder) / "sr.png"
        pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
        Image.fromarray(pixels).save(lr)
        seconds = []
        for _ in range(times):
            began = time.perf_counter()
            command = [sys.executable, "-m", "widesr", "upscale", lr, "-o", sr, "--overwrite"]
            subprocess.run(command, check=True, capture_output=True)
            seconds.append(round(time.perf_counter() - began, 3))
    return {"command": "widesr upscale, 64x64", "seconds": seconds}


def file_to_file(times):
    """Seconds of `widesr upscale` on 16 megapixels, and of its network alone, in turn."""
    import pyvips

    height, width = 3266, 4900
    network = [sys.executable, __file__, "--worker", json.dumps({"network_of": [height, width]})]
    upscale = [sys.executable, "-m", "widesr", "upscale"]
    with tempfile.TemporaryDirectory() as folder:
        lr = Path(folder) / "lr.jpg"
        photograph = pyvips.Image.new_from_file(HERE.parent / "examples" / "spices.jpg")
        across, down = width // photograph.width + 1, height // photograph.height + 1
        photograph.replicate(across, down).crop(0, 0, width, height).jpegsave(lr, Q=92)
        commands = {"network": network} | {
            suffix: [*upscale, lr, "-o", Path(folder) / f"sr.{suffix}", "--overwrite"]
            for suffix in ("jpg", "png", "tif")
        }
        seconds = {name: [] for name in commands}
        for _ in range(times):
            for name, command in commands.items():
                began = time.perf_counter()
                subprocess.run(command, check=True, capture_output=True)
                seconds[name].append(round(time.perf_counter() - began, 3))
    ratios = {
        name: [round(t / alone, 2) for t, alone in zip(each, seconds["network"], strict=True)]
        for name, each in seconds.items()
        if name != "network"
    }
    return {
        "picture": f"{width}x{height} x2, default model",
        "seconds": seconds,
        "times_network": {name: round(statistics.median(each), 2) for name, each in ratios.items()},
    }


def network_alone(height, width):
    """The tiles of a picture through the runtime, and nothing else."""
    from widesr.engine import find_model, load_engine
    from widesr.pixels.rows import Rows
    from widesr.system.threads import in_threads
    from widesr.upscaling.upscaler import Upscaler

    model = find_model("default", scale=2)
    engine = load_engine(model, streams="auto")
    picture = Rows.of(np.empty((height, width, 3), np.uint8))
    tiles = Upscaler(engine, card=model.card).plan(picture)
    sizes = ([side.stop - side.start for side in (tile.read_y, tile.read_x)] for tile in tiles)
    inputs = (np.full((1, 3, *size), 0.5, np.float32) for size in sizes)
    for _ in in_threads(inputs, engine.run, threads=engine.streams):
        pass


def machine_now():
    from widesr.system.machine import this_machine

    here = this_machine()
    return {
        "cpu": here.cpu,
        "cpus": here.cores,
        "system": here.system,
        "load_average": round(os.getloadavg()[0], 2),
    }


def versions():
    return {name: version(name) for name in PACKAGES if is_installed(name)}


def show(result):
    machine = result["machine"]
    print(f"{machine['cpu']}, {machine['cpus']} CPUs, load {machine['load_average']}")
    print(f"start-up {min(result['start_up']['seconds']):.2f} s")
    ratios = result["file_to_file"]["times_network"]
    print("file to file, times the network:", *(f"{k} {v}" for k, v in ratios.items()))
    for run in result["models"]:
        peaks = ", ".join(f"{k} {v}" for k, v in run["peak_gflop_per_second"].items())
        print(f"\n{run['model']}, {result['picture']}, GEMM peak in GFLOP/s: {peaks}")
        print(f"{'':24}{'MP/s':>8}{'x widesr (spread)':>24}{'GFLOP/s':>9}{'of peak':>9}{'MiB':>7}")
        for name, row in run["contenders"].items():
            middle, least, most = row["times_widesr"]
            share = f"{row['share_of_peak']:.0%}" if "share_of_peak" in row else ""
            print(
                f"{name:24}{row['megapixels_per_second']:8.2f}"
                f"{f'{middle:.2f} ({least:.2f}..{most:.2f})':>24}"
                f"{row.get('gflop_per_second', ''):>9}{share:>9}{row['peak_mib']:7}"
            )


def draw(result):
    """Megapixels of output per second, a panel for each model."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams |= {"svg.hashsalt": "widesr", "svg.fonttype": "path", "font.size": 9}
    from matplotlib import pyplot as plt

    runs = result["models"]
    figure, panels = plt.subplots(
        1,
        len(runs),
        figsize=(4.2 * len(runs), 4.4),
        layout="constrained",
        sharey=True,
        squeeze=False,
    )
    for run, ax in zip(runs, panels[0], strict=True):
        rows = list(run["contenders"].items())[::-1]
        speeds = [row["megapixels_per_second"] for _, row in rows]
        ours = [name.startswith("widesr") for name, _ in rows]
        bars = ax.barh(
            [name for name, _ in rows], speeds, color=["#0b7a75" if o else "#8a8f98" for o in ours]
        )
        ax.bar_label(bars, fmt="%.3g", padding=3, fontsize=8)
        ax.set(xscale="log", xlabel="megapixels of output per second", title=run["model"])
        ax.margins(x=0.2)
    PLOT.parent.mkdir(exist_ok=True)
    figure.savefig(PLOT, metadata={"Date": None})


if __name__ == "__main__":
    main()
