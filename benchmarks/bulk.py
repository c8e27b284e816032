"""Measure `widesr bulk` and its forecast, and plan what many pictures would take.

    python benchmarks/bulk.py speed                 # one worker against two, on this machine
    python benchmarks/bulk.py nodes                 # two Ray nodes against the forecast for them
    python benchmarks/bulk.py nodes --lose          # one of them is killed in the middle
    python benchmarks/bulk.py plan                  # 100 million pictures on 10 to 1,000 workers

The pictures are pieces of the example photographs. Two nodes are two Ray nodes of one CPU on this
machine, each in a network namespace of its own, joined by a cable that is virtual; this needs Linux
and root. `speed` and `nodes` keep what they found in benchmarks/results/bulk.json, with the load of
the machine before they began. `plan` measures one worker in this process, in processor seconds, so
that other work on the machine does not count; what a store and a start take is given to it.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import ray
from PIL import Image

from widesr.batch.settings import UpscaleSettings
from widesr.bulk.crew import joined
from widesr.bulk.forecast import Costs, Weather, plan
from widesr.bulk.listing import Listing
from widesr.bulk.manifest import Keys, Manifest
from widesr.bulk.run import upscale_bulk
from widesr.bulk.store import Store
from widesr.bulk.worker import Work, Worker
from widesr.engine import EngineOptions
from widesr.system.machine import this_machine
from widesr.upscaling.target import Target

HERE = Path(__file__).parent
RESULT = HERE / "results" / "bulk.json"
EXAMPLES = sorted((HERE.parent / "examples").glob("*.jpg"))
BATCH = 4
HEAD, SECOND = "10.77.0.1", "10.77.0.2"
PORT = 6390
IP = shutil.which("ip") or "ip"
WEATHERS = {
    "nothing goes wrong": Weather(),
    "a worker lost every 24 hours": Weather(losses_per_hour=1 / 24),
    "and 5 % of them at half the speed": Weather(losses_per_hour=1 / 24, slow=0.05),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["speed", "nodes", "plan", "measure"])
    parser.add_argument("--pictures", type=int, default=64)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--model", default="default")
    parser.add_argument("--millions", type=int, default=100, help="pictures to plan for")
    parser.add_argument("--io", type=float, default=0.1, help="seconds to read and write one")
    parser.add_argument("--start", type=float, default=20.0, help="seconds to start a worker")
    parser.add_argument("--lose", action="store_true")
    parser.add_argument("--address", help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    parser.add_argument("--workers", type=int, default=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.what == "plan":
        return show_plan(args)
    if args.what == "measure":  # what `nodes` runs within the first namespace
        found = measured(Path(args.folder), args, workers=args.workers, address=args.address)
        print(json.dumps(found))
        return 0
    before = {"machine": this_machine().model_dump(), "load_before": os.getloadavg()[0]}
    before |= {"pictures": args.pictures, "side": args.side, "model": args.model}
    with tempfile.TemporaryDirectory() as folder:
        cut(Path(folder) / "in", args.pictures, args.side)
        one = measured(Path(folder), args, workers=1)
        tell("one worker", one)
        if args.what == "speed":
            other, name = measured(Path(folder), args, workers=2), "speed"
            tell("two workers", other)
        else:
            other, name = on_two_nodes(folder, args), "nodes, one lost" if args.lose else "nodes"
            tell("two nodes", other)
    made = plan(args.pictures, workers=2, costs=costs_of(one), batch=BATCH)
    predicted = made.hours * 3600
    print(f"two are {one['wall'] / other['wall']:.2f} times as fast as one")
    print(f"forecast for two {predicted:.1f} s, measured {other['wall']:.1f} s")
    results = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    results[name] = before | {"one": one, "two": other, "forecast": predicted}
    RESULT.write_text(json.dumps(results, indent=1) + "\n")
    return 0


def cut(folder, count, side):
    folder.mkdir()
    for number in range(count):
        with Image.open(EXAMPLES[number % len(EXAMPLES)]) as photograph:
            left, top = (
                (number * 37) % (photograph.width - side),
                (number * 53) % (photograph.height - side),
            )
            piece = photograph.crop((left, top, left + side, top + side))
            piece.save(folder / f"{number:05}.jpg", quality=95)


def work_in(folder, outputs, args):
    engine = EngineOptions(threads=1)
    settings = UpscaleSettings(target=Target(scale=2), model=args.model, engine=engine)
    return Work(inputs=Store(str(folder / "in")), outputs=Store(outputs), settings=settings)


def measured(folder, args, *, workers, address=None):
    """Do all pictures; seconds from asking for workers to the last picture."""
    with tempfile.TemporaryDirectory(dir=folder) as out, joined(address, workers=workers):
        while ray.cluster_resources().get("CPU", 0) < workers:  # a node may be still to come
            time.sleep(0.5)
        work = work_in(folder, f"{out}/out", args)
        start = time.perf_counter()
        tally = upscale_bulk(work, workers=workers, batch=BATCH)
        wall = time.perf_counter() - start
        rows = list(Manifest(work.outputs).rows())
    assert tally.done == len(rows) == args.pictures, tally
    return {
        "wall": round(wall, 2),
        "batches": tally.batches,
        "workers_lost": tally.workers_lost,
        "megapixels": round(tally.pixels / 1e6, 3),
        "seconds": {name: round(s, 3) for name, s in tally.seconds._asdict().items()},
        "pictures": [row.seconds for row in rows],
    }


def costs_of(one):
    """Return what one worker took, in the forecast's terms."""
    seconds = one["seconds"]
    beside = max(one["wall"] - seconds["wall"], 0.0)
    return Costs(
        pictures=tuple(one["pictures"]),
        batch=seconds["write"] / one["batches"],
        start=beside + seconds["load"],
    )


def tell(what, found):
    print(
        f"{what}: {found['wall']:.1f} s, {len(found['pictures']) / found['wall']:.2f} pictures a "
        f"second, {found['workers_lost']} workers lost",
        flush=True,
    )


def on_two_nodes(folder, args):
    with ExitStack() as stack:
        stack.enter_context(namespaces())
        common = ["--num-cpus=1", "--object-store-memory=100000000", "--block"]
        ray = str(Path(sys.executable).with_name("ray"))
        head = [ray, "start", "--head", f"--node-ip-address={HEAD}", f"--port={PORT}"]
        second = [ray, "start", f"--address={HEAD}:{PORT}", f"--node-ip-address={SECOND}"]
        stack.enter_context(running("first", [*head, "--include-dashboard=false", *common]))
        wait_for_head()
        stack.enter_context(running("second", [*second, *common]))
        words = ["--pictures", str(args.pictures), "--model", args.model, "--folder", folder]
        program = [sys.executable, __file__, "measure", "--address", f"{HEAD}:{PORT}", *words]
        driver = subprocess.Popen([IP, "netns", "exec", "first", *program], stdout=subprocess.PIPE)
        if args.lose:
            while driver.poll() is None and not list(Path(folder).rglob("parts/*.parquet")):
                time.sleep(0.2)
            end_node("second")
            print("the second node was killed", flush=True)
        said, _ = driver.communicate()
    return json.loads(said.splitlines()[-1])


def wait_for_head():
    """Wait until the first node takes others in."""
    ask = f"import socket; socket.create_connection(({HEAD!r}, {PORT}), 1)"
    program = [IP, "netns", "exec", "first", sys.executable, "-c", ask]
    while subprocess.run(program, check=False, stderr=subprocess.DEVNULL).returncode:
        time.sleep(1)


@contextmanager
def namespaces():
    """Two networks of their own, with a cable between them."""
    for line in (
        "netns add first",
        "netns add second",
        "link add cable1 netns first type veth peer name cable2 netns second",
        f"-n first addr add {HEAD}/24 dev cable1",
        f"-n second addr add {SECOND}/24 dev cable2",
        *(f"-n {n} link set {dev} up" for n, dev in (("first", "cable1"), ("second", "cable2"))),
        *(f"-n {n} link set lo up" for n in ("first", "second")),
    ):
        subprocess.run([IP, *line.split()], check=True)
    try:
        yield
    finally:
        for name in ("first", "second"):
            subprocess.run([IP, "netns", "del", name], check=False)


@contextmanager
def running(namespace, program):
    process = subprocess.Popen(
        [IP, "netns", "exec", namespace, *program],
        stdout=subprocess.DEVNULL,
        env=os.environ | {"RAY_USAGE_STATS_ENABLED": "0"},
    )
    try:
        yield
    finally:
        end_node(namespace)
        process.wait()


def end_node(namespace):
    """Kill all that runs in a namespace, as a loss of power does."""
    pids = subprocess.run([IP, "netns", "pids", namespace], capture_output=True, check=True).stdout
    for pid in pids.split():
        with suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)


def show_plan(args):
    """Measure one worker here, in processor seconds, which other work does not change."""
    with tempfile.TemporaryDirectory() as folder:
        cut(Path(folder) / "in", args.pictures, args.side)
        worker = Worker(work_in(Path(folder), f"{folder}/out", args))
        seconds = []
        for batch in Listing(Store(f"{folder}/in"), Store(f"{folder}/out")).batches(Keys(), most=1):
            start = time.process_time()
            report = worker.do(batch)
            assert report.done == 1
            seconds.append(time.process_time() - start)
        load = seconds.pop(0)  # with its picture
    megapixels = args.side**2 / 1e6
    mean = sum(seconds) / len(seconds)
    costs = Costs(pictures=tuple(s + args.io for s in seconds), start=args.start)
    machine = this_machine()
    print(
        f"{machine.cpu}, {args.model} x2, {len(seconds)} pictures of {megapixels:.3f} megapixels:"
    )
    print(
        f"{mean:.3f} processor seconds each, {mean / megapixels:.2f} a megapixel, "
        f"{load:.1f} to load"
    )
    print(f"beside: {args.io} s a picture to read and write, {args.start} s to start a worker\n")
    print("| workers | | hours | core-hours | done again | tail, minutes | workers lost |")
    print("|---:|---|---:|---:|---:|---:|---:|")
    for workers in (10, 100, 1_000):
        for name, weather in WEATHERS.items():
            p = plan(args.millions * 10**6, workers=workers, costs=costs, weather=weather)
            print(
                f"| {workers:,} | {name} | {p.hours:,.1f} | {p.core_hours:,.0f} | "
                f"{p.lost / p.core_hours:.2%} | {p.tail * 60:.1f} | {p.losses:,} |",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
