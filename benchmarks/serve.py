"""`widesr serve` under load: many clients at once, and a kill in the middle.

    python benchmarks/serve.py                       # 200 clients, two minutes, kill -9 after one
    python benchmarks/serve.py --clients 20 --seconds 20
    python benchmarks/serve.py --throughput          # the same pictures by `widesr upscale`

Each client sends pictures of several sizes and asks for several formats, waits for some and comes
back for others, and sends the same key again where it got no answer. The exit code is 1 if there
was a 5xx other than 503 with Retry-After, if memory went beyond --max-memory, or if an accepted job
did not end, or ended twice. Needs the extra `web` and httpx2.
"""

import argparse
import asyncio
import json
import os
import random
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import httpx2
import pyvips

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.jpg"))
MIB = 2**20
OVER = ("done", "failed", "cancelled")
ASKED = (
    {"scale": 2, "model": "fast"},
    {"scale": 2, "model": "fast", "format": "webp"},
    {"scale": 1.5, "model": "fast", "format": "png"},
    {"scale": 2, "model": "bicubic", "format": "avif"},
    {"scale": 4, "model": "bicubic", "format": "tiff"},
)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--max-memory", type=int, default=2048, help="MiB")
    parser.add_argument("--throughput", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="widesr-load-") as folder:
        if options.throughput:
            return throughput(Path(folder))
        return asyncio.run(load(options, Path(folder)))


def started(folder, *flags):
    """Start a server; return its process and its address."""
    words = [sys.executable, "-m", "widesr", "serve", "--port", "0", "--data", str(folder), *flags]
    log = (folder.parent / "log").open("a")
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=log, text=True)
    address = re.search(r"http://\S+[0-9]", process.stdout.readline())[0]
    until = time.monotonic() + 120
    while httpx2.get(f"{address}/readyz", timeout=60).status_code != 200:
        assert time.monotonic() < until
        time.sleep(0.1)
    return process, address


def pictures(folder, *, n, sides):
    """Cut pieces out of the examples, as JPEG."""
    dice, made = random.Random(0), []  # noqa: S311 - no secret
    for number in range(n):
        image = pyvips.Image.new_from_file(str(EXAMPLES[number % len(EXAMPLES)]))
        width, height = (min(dice.choice(sides), most) for most in (image.width, image.height))
        x, y = dice.randrange(image.width - width + 1), dice.randrange(image.height - height + 1)
        path = folder / f"{number}.jpg"
        image.crop(x, y, width, height).write_to_file(str(path), Q=92, keep="icc")
        made.append(path)
    return made


class Load:
    """Facts and counts that all clients share."""

    def __init__(self, address, bodies):
        self.address, self.bodies = address, bodies
        self.until = 0.0
        self.statuses, self.faults = Counter(), []
        self.accepted = {}
        self.waited = []

    async def client(self, number):
        dice = random.Random(number)  # noqa: S311 - no secret
        async with httpx2.AsyncClient(timeout=150, verify=False) as http:  # certificates take long
            sent = 0
            while time.monotonic() < self.until:
                key = f"{number}-{sent}"
                sent += 1
                await self.ask(http, dice, key)

    async def ask(self, http, dice, key):
        """Send one picture until there is an answer to it."""
        body, query = dice.choice(self.bodies), dict(dice.choice(ASKED))
        headers = {"Idempotency-Key": key}
        if dice.random() < 0.5:
            headers["Prefer"] = "respond-async"
        began = time.monotonic()
        while True:
            try:
                url = f"{self.address}/v1/upscale"
                answer = await http.post(url, content=body, params=query, headers=headers)
            except httpx2.HTTPError:  # it was killed; the same key again is the same job
                await asyncio.sleep(0.5)
                continue
            self.statuses[answer.status_code] += 1
            if answer.status_code in (429, 503):
                if "retry-after" not in answer.headers:
                    self.faults.append(f"{answer.status_code} without Retry-After")
                if time.monotonic() > self.until:
                    return
                await asyncio.sleep(
                    float(answer.headers.get("retry-after", 1)) * dice.uniform(0.5, 1)
                )
                continue
            break
        if answer.status_code == 200:
            self.accepted[answer.headers["content-location"].split("/")[3]] = key
            self.waited.append(time.monotonic() - began)
        elif answer.status_code == 202:
            self.accepted[answer.json()["id"]] = key
            await asyncio.sleep(dice.uniform(0, 2))
        else:
            self.faults.append(f"{answer.status_code}: {answer.text[:200]}")


async def load(options, folder):
    data = folder / "data"
    flags = ("--max-memory", f"{options.max_memory}M")
    process, address = await asyncio.to_thread(started, data, *flags)
    bodies = [path.read_bytes() for path in pictures(folder, n=24, sides=(64, 100, 160, 400))]
    run = Load(address, bodies)
    run.until = time.monotonic() + options.seconds
    clients = [asyncio.ensure_future(run.client(number)) for number in range(options.clients)]
    await asyncio.sleep(options.seconds / 2)
    peaks = [peak_of(process)]
    process.send_signal(signal.SIGKILL)
    await asyncio.to_thread(process.wait)
    port = address.rpartition(":")[2]
    process, run.address = await asyncio.to_thread(started, data, *flags, "--port", port)
    print(f"killed and started again after {options.seconds / 2:.0f} s", flush=True)
    await asyncio.gather(*clients)
    ended = await asyncio.to_thread(ends_of, run, process)
    peaks.append(peak_of(process))
    process.send_signal(signal.SIGTERM)
    if await asyncio.to_thread(process.wait) != 0:
        run.faults.append(f"the stop ended with {process.returncode}")
    run.faults += [f"{max(peaks):.0f} MiB"] if max(peaks) > options.max_memory else []
    waited = sorted(run.waited) or [0.0]
    facts = {
        "clients": options.clients,
        "seconds": options.seconds,
        "answers": {str(status): n for status, n in sorted(run.statuses.items())},
        "accepted": len(run.accepted),
        "ended": dict(ended),
        "median_wait_s": round(waited[len(waited) // 2], 2),
        "peak_mib": [round(peak) for peak in peaks],
        "max_memory_mib": options.max_memory,
        "load_average": round(os.getloadavg()[0], 1),
    }
    print(json.dumps(facts, indent=1))
    print(*run.faults[:20], sep="\n")
    return int(bool(run.faults))


def ends_of(run, process):
    """Count how the accepted jobs ended; each must have ended once."""
    ended = Counter()
    with httpx2.Client(base_url=run.address, timeout=60) as http:
        for name in run.accepted:
            until = time.monotonic() + 600
            while (job := http.get(f"/v1/jobs/{name}").json()).get("state") not in OVER:
                if "state" not in job or time.monotonic() > until or process.poll() is not None:
                    run.faults.append(f"{name}: {job}")
                    break
                time.sleep(0.1)
            ended[job.get("state", "lost")] += 1
            kinds = re.findall(r"^event: (\w+)$", http.get(f"/v1/jobs/{name}/events").text, re.M)
            if sum(kind in OVER for kind in kinds) != 1:
                run.faults.append(f"{name}: {kinds}")
    if set(ended) - {"done"}:
        run.faults.append(f"not all were done: {dict(ended)}")
    return ended


def peak_of(process):
    """Return the MiB that a process held at its peak."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024


def throughput(folder):
    """Seconds of the same pictures by the command and by the server, which is loaded in both."""
    source = folder / "in"
    source.mkdir()
    files = pictures(source, n=24, sides=(300, 400))
    words = [sys.executable, "-m", "widesr", "upscale", str(source), "-s", "2", "--quiet"]
    process, address = started(folder / "data")
    rows = []
    for turn in range(3):  # in turn, as the machine may have other work
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        began = time.perf_counter()
        subprocess.run([*words, "-o", str(folder / f"out{turn}")], check=True)
        by_command = time.perf_counter() - began
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu_command = sum(after[:2]) - sum(before[:2])
        cpu = cpu_of(process)
        began = time.perf_counter()
        asyncio.run(send_all(address, [path.read_bytes() for path in files]))
        rows.append((by_command, time.perf_counter() - began, cpu_command, cpu_of(process) - cpu))
        print("upscale {:.1f} s, serve {:.1f} s; processor {:.1f} s and {:.1f} s".format(*rows[-1]))
    process.terminate()
    process.wait()
    command, served, cpu_command, cpu_served = (min(column) for column in zip(*rows, strict=True))
    print(f"serve takes {served / command:.2f} of the time, {cpu_served / cpu_command:.2f} of the "
          "processor's")  # fmt: skip
    return int(served / command > 1.1)


async def send_all(address, bodies):
    limit = asyncio.Semaphore(6)

    async def one(http, body):
        async with limit:
            answer = await http.post(f"{address}/v1/upscale?scale=2&wait=120", content=body)
            assert answer.status_code == 200, answer.text
            assert answer.content

    async with httpx2.AsyncClient(timeout=150) as http:
        await asyncio.gather(*(one(http, body) for body in bodies))


def cpu_of(process):
    """Return the processor seconds that a process has used."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    sys.exit(main())
