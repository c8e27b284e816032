"""Try what else could make the engine faster: each trick against the engine as it is, in turn.

    python benchmarks/tricks.py [NAME ...]     # all; needs both runtimes, AMX and the train extra

NAMES: pixels, skip, uint8, batches, bands, one_size, streams, processes, cache, int8, ranges,
together. A figure is the time with the trick divided by the time without, middle of the rounds,
with the least and the most: below 1 it helps. ONEDNN_MAX_CPU_ISA=AVX512_CORE_VNNI before the
command imitates a lesser CPU. Network and tile are those of `widesr upscale`: the default model at
x2, in bf16. What was found is told in docs/benchmarks/engine.md; nothing is written but
`benchmarks/results/tricks.json`, where those that are not named keep what they have.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from functools import partial
from itertools import pairwise
from math import ceil
from pathlib import Path
from statistics import median

import numpy as np

from widesr.engine import find_model, load_engine
from widesr.engine.graph import start_openvino
from widesr.engine.skip import keep_skip_fp32
from widesr.models.catalog import ModelFile
from widesr.pixels.tiling import plan_tiles
from widesr.system.machine import this_machine

HERE = Path(__file__).parent
RESULT = HERE / "results" / "tricks.json"
MODEL = find_model("wdsr-a8-x2", scale=2)
SIDE = 512
THREADS = len(os.sched_getaffinity(0))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", choices=[*TRICKS, []], default=list(TRICKS))
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--photographs", type=Path, default=HERE.parents[1] / "shared/data/train")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    here = this_machine()
    for name in options.names:
        found = TRICKS[name](options)
        print(f"{name}: {json.dumps(found)}", flush=True)
        results = json.loads(RESULT.read_text(encoding="utf-8")) if RESULT.exists() else {}
        results[name] = {
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": f"{here.cpu}, {here.cores} CPUs",
            "load_average": round(os.getloadavg()[0], 2),
            "found": found,
        }
        RESULT.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def ratio(trick, plain, rounds):
    """Time of `trick` by time of `plain`: middle, least, most."""
    trick(), plain()
    ratios = []
    for _ in range(rounds):
        began = time.perf_counter()
        trick()
        between = time.perf_counter()
        plain()
        ratios.append((between - began) / (time.perf_counter() - between))
    return {
        "times": round(median(ratios), 3),
        "from": round(min(ratios), 3),
        "to": round(max(ratios), 3),
    }


def noise(height=SIDE, width=SIDE, n=1):
    return np.random.default_rng(0).random((n, 3, height, width), np.float32)


def graph(path=MODEL.path):
    model = start_openvino().read_model(path)
    keep_skip_fp32(model)
    return model


def compiled(model, precision="bf16", threads=THREADS, **options):
    hints = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": threads}
    hints |= {"ENABLE_CPU_PINNING": False, **options}
    return start_openvino().compile_model(model, "CPU", hints)


def runner(model, lr, **options):
    request = compiled(model, **options).create_infer_request()
    return lambda: request.infer([lr], share_inputs=True)


def pixels(options):
    """Go from 8 bits to 8 bits instead of floats to floats: what the conversions around cost."""
    from widesr.upscaling.upscaler import Upscaler

    engine = load_engine(MODEL, precision="bf16", threads=THREADS)
    upscaler = Upscaler(engine, tile=None, card=MODEL.card)
    lr = noise()
    eight = np.ascontiguousarray((lr[0] * 255).astype(np.uint8).transpose(1, 2, 0))
    return ratio(lambda: upscaler(eight), lambda: engine.run(lr), options.rounds)


def skip(options):
    """The skip in fp32 and one bias, which is taken, against the graph as it is in the file."""
    plain = start_openvino().read_model(MODEL.path)
    lr = noise()
    return ratio(runner(graph(), lr), runner(plain, lr), options.rounds)


def uint8(options):
    """The conversions inside the graph, against the same in NumPy around it."""
    import openvino as ov

    from widesr.upscaling.upscaler import Upscaler

    eight = np.random.default_rng(0).integers(0, 256, (1, SIDE, SIDE, 3), np.uint8)
    inside = ov.preprocess.PrePostProcessor(graph())
    inside.input().tensor().set_element_type(ov.Type.u8).set_layout(ov.Layout("NHWC"))
    inside.input().model().set_layout(ov.Layout("NCHW"))
    inside.input().preprocess().convert_element_type(ov.Type.f32).scale(255.0)
    inside.output().model().set_layout(ov.Layout("NCHW"))
    inside.output().tensor().set_layout(ov.Layout("NHWC"))
    model = inside.build()
    op = ov.opset13
    result = model.get_results()[0]
    levels = op.multiply(op.clamp(result.input_value(0), 0.0, 1.0), np.float32(255))
    levels = op.floor(op.add(levels, np.float32(0.5)))
    result.input(0).replace_source_output(op.convert(levels, "u8").output(0))
    model.validate_nodes_and_infer_types()
    engine = load_engine(MODEL, precision="bf16", threads=THREADS)
    upscaler = Upscaler(engine, tile=None, card=MODEL.card)
    run = runner(model, eight)
    differ = int((run()[0][0] != upscaler(eight[0])).sum())
    return {**ratio(run, lambda: upscaler(eight[0]), options.rounds), "values_that_differ": differ}


def batches(options):
    """Four tiles of 256 at once, against one after the other."""
    request = compiled(graph()).create_infer_request()
    four, one = noise(256, 256, 4), noise(256, 256)

    def run(lr, times):
        for _ in range(times):
            request.infer([lr], share_inputs=True)

    return ratio(lambda: run(four, 1), lambda: run(one, 4), options.rounds)


def bands(options):
    """The same pixels as bands whose features fit in the caches, against one square."""
    request = compiled(graph()).create_infer_request()
    square = noise()

    def run(lr):
        for _ in range(square.size // lr.size):
            request.infer([lr], share_inputs=True)

    sizes = [(8, 512), (16, 512), (32, 512), (64, 512), (128, 512), (64, 64), (128, 128)]
    return {
        f"{height}x{width}": ratio(
            partial(run, noise(height, width)), partial(run, square), options.rounds
        )
        for height, width in sizes
    }


def one_size(options):
    """The tiles of a picture in one size, against cores of one size, whose halos end at borders."""
    request, halo = compiled(graph()).create_infer_request(), MODEL.card.receptive_radius
    height, width = 1080, 1920
    tiles = plan_tiles(height, width, tile=SIDE, halo=halo)
    taken = [(t.read_y.stop - t.read_y.start, t.read_x.stop - t.read_x.start) for t in tiles]

    def even(length):
        n = ceil(length / SIDE)
        cuts = [length * i // n for i in range(n + 1)]
        return [min(length, b + halo) - max(0, a - halo) for a, b in pairwise(cuts)]

    def run(sizes):
        for lr in [noise(*size) for size in sizes]:
            request.infer([lr], share_inputs=True)

    several = [(rows, columns) for rows in even(height) for columns in even(width)]
    return ratio(partial(run, taken), partial(run, several), options.rounds)


def streams(options):
    """A tile for each half of the threads, against all threads on one; from 8 bits to 8 bits."""
    from widesr.upscaling.upscaler import Upscaler

    pixels = (noise(1080, 1920)[0].transpose(1, 2, 0) * 255).astype(np.uint8)
    two, one = (
        Upscaler(load_engine(MODEL, precision="bf16", threads=THREADS, streams=n), card=MODEL.card)
        for n in ("auto", 1)
    )
    return ratio(lambda: two(pixels), lambda: one(pixels), options.rounds)


def processes(options):
    """One process with one thread for each core, against one with as many threads."""
    command = [sys.executable, __file__, "--worker", "x", "processes"]
    if options.worker:
        run = runner(graph(), noise(), threads=1)
        run()
        print("ready", flush=True)
        for _ in sys.stdin:
            run()
            print("done", flush=True)
        sys.exit()
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    workers = [subprocess.Popen(command, **pipes) for _ in range(THREADS)]
    for each in workers:
        each.stdout.readline()

    def all_of_them():
        for each in workers:
            print("run", file=each.stdin, flush=True)
        for each in workers:
            each.stdout.readline()

    one = runner(graph(), noise())
    found = ratio(all_of_them, lambda: [one() for _ in workers], options.rounds)
    for each in workers:
        each.stdin.close()
        each.wait()
    return found


def cache(options):
    """A compiled model read from the disk, against compiling it; the import is in neither."""
    with tempfile.TemporaryDirectory() as folder:
        compiled(graph(), CACHE_DIR=folder)
        return ratio(
            lambda: compiled(graph(), CACHE_DIR=folder), lambda: compiled(graph()), options.rounds
        )


def int8(options):
    """Use the ranges on the card, which also says what int8 loses; against bf16 and fp32."""
    lr = noise()
    fast, exact = (
        load_engine(MODEL, backend="openvino", precision=precision, threads=THREADS)
        for precision in ("int8", "fp32")
    )
    in_fp32 = ratio(lambda: fast.run(lr), lambda: exact.run(lr), options.rounds)
    loss = MODEL.card.loss_in("int8")
    return {
        **ratio(lambda: fast.run(lr), runner(graph(), lr), options.rounds),
        "against_fp32": in_fp32,
        "lost_db": loss.mean,
        "most_db": loss.worst,
    }


def ranges(options):
    """Choose int8's ranges on training photographs: what these lose, and what stripes do.

    Stripes in pure colours reach farther than photographs: levels of 255 that they are off at most.
    """
    from widesr.engine import int8 as module
    from widesr.tune.calibration import calibrate, split_photographs
    from widesr.upscaling.upscaler import Upscaler

    y, x = np.mgrid[:96, :96]
    stripes = np.stack([x // 9 % 2, y // 7 % 2, (x + y) // 11 % 2], axis=2).astype(np.uint8) * 255
    model = find_model("fast", scale=4)
    held_out = HERE.parent / "training" / "held_out.txt"
    seen, _ = split_photographs(options.photographs, listed=held_out)
    found = {}
    for room, smooth in ((1, 0), (1.75, 0), (2, 0), (1.75, 0.5), (2, 0.5), (1.75, 1)):
        module._ROOM, module._SMOOTH = room, smooth  # noqa: SLF001
        card = calibrate(model, photographs=seen[::4], held_out=seen[3::20], threads=THREADS)
        loss = card.loss_in("int8")
        file = ModelFile(model.path, card.model_copy(update={"losses": ()}))
        exact, fast = (
            Upscaler(load_engine(file, precision=precision))(stripes)
            for precision in ("fp32", "int8")
        )
        off = int(np.abs(fast.astype(int) - exact).max())
        found[f"room {room}, smooth {smooth}"] = [loss.mean, loss.worst, off]
    return found


def together(options):
    """Four `widesr upscale` at once, against one after another: seconds on the wall."""
    pixels = (noise()[0].transpose(1, 2, 0) * 255).astype(np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "in.ppm"
        path.write_bytes(b"P6 %d %d 255\n" % (SIDE, SIDE) + pixels.tobytes())

        def start(i):
            command = [sys.executable, "-m", "widesr", "upscale", path, "--quiet", "--overwrite"]
            return subprocess.Popen([*command, "-o", f"{folder}/{i}.png"])

        def at_once():
            for process in [start(i) for i in range(4)]:
                process.wait()

        def in_turn():
            for i in range(4):
                start(i).wait()

        return ratio(at_once, in_turn, options.rounds)


TRICKS = {
    "pixels": pixels,
    "skip": skip,
    "uint8": uint8,
    "batches": batches,
    "bands": bands,
    "one_size": one_size,
    "streams": streams,
    "processes": processes,
    "cache": cache,
    "int8": int8,
    "ranges": ranges,
    "together": together,
}


if __name__ == "__main__":
    main()
