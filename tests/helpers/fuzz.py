"""Damaged and lying pictures into `widesr upscale`: python tests/helpers/fuzz.py --count 10000

Each goes two ways, held whole and row by row. For each the command must end within 10 seconds of
processor time, and either make a whole picture, or say one line on stderr, exit with 1 and leave
nothing behind: no file, no thread, and over the whole run no descriptor. Both ways must make the
same picture, to the byte, or none, and memory must stay below a limit. Files for which this is not
so are kept under the names that are printed; put them into tests/assets/corpus/defects/ when it is
mended. A hang or a crash ends the run, and the file at hand is kept. The seed gives the same files
again.
"""

import argparse
import faulthandler
import json
import logging
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import threading
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import tifffile
from PIL import Image

from damage import damaged, traps
from seeds import CORPUS, DEFECTS
from widesr.cli import run

CPU_SECONDS = 10
WALL_SECONDS = 120
MAX_PIXELS = 4_000_000
MORE_DESCRIPTORS = 20
"""Files that libraries open once and keep open."""
REFUSED = {"image-read", "image-format", "image-too-large"}
REFUSAL = re.compile(r"widesr: error\[([a-z-]+)\]: [^\n]+\n")
SUFFIXES = ("png", "jpg", "tif", "webp", "png", "avif")
PASSING = {
    "widesr.batch.many._UNDER_WAY": 0,
    "widesr.pictures.feed._BAND": 2000,
    "widesr.pictures.turning._BAND": 2000,
    "widesr.pictures.turning._IN_MEMORY": 0,
    "widesr.pictures.feed._STRIP": 1000,
    "widesr.pixels.resize._CHUNK": 4000,
    "widesr.pixels.alpha._CHUNK": 4000,
}
"""Settings by which every picture passes in bands of a few rows, and is turned by way of a file."""


def whole_files() -> list[bytes]:
    """The seeds, and what showed a defect once."""
    found = [path.read_bytes() for path in sorted(CORPUS.iterdir()) if path.is_file()]
    assert found
    return found + past_defects()


def past_defects() -> list[bytes]:
    return [path.read_bytes() for path in sorted(DEFECTS.glob("*"))]


def files(count: int, seed: int) -> Iterator[bytes]:
    """The seeds and the traps first, then `count` damaged pictures."""
    whole = whole_files()
    yield from whole
    yield from traps()
    for n in range(count):
        rng = random.Random(f"{seed}/{n}")  # noqa: S311 (no secret)
        yield damaged(rng, rng.choice(whole), rng.choice(whole))


@contextmanager
def captured() -> Iterator[Path]:
    """Send the descriptor of stderr, which libvips may write to as well, to a file."""
    with tempfile.NamedTemporaryFile() as file:
        saved = os.dup(2)
        os.dup2(file.fileno(), 2)
        try:
            yield Path(file.name)
        finally:
            sys.stderr.flush()
            os.dup2(saved, 2)
            os.close(saved)


@contextmanager
def passing() -> Iterator[None]:
    """Let every picture pass row by row."""
    patches = [patch(name, value) for name, value in PASSING.items()]
    for each in patches:
        each.start()
    try:
        yield
    finally:
        for each in patches:
            each.stop()


def upscale(source: Path, folder: Path, *, suffix: str) -> tuple[str, bytes]:
    """Run the command on one file.

    Returns:
        "made" and the output, or the code of the error and the line that was said.

    Raises:
        AssertionError: It did what it must not.
    """
    made = folder / f"made.{suffix}"
    words = ["upscale", str(source), "-o", str(made), "-n", "bicubic", "--quiet"]
    signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
    faulthandler.dump_traceback_later(WALL_SECONDS, exit=True, file=sys.__stdout__)
    with captured() as stderr:
        code = run([*words, "--max-pixels", str(MAX_PIXELS)])
        said = stderr.read_text()
    faulthandler.cancel_dump_traceback_later()
    signal.setitimer(signal.ITIMER_PROF, 0)
    left = [path.name for path in folder.iterdir()]
    ours = [each.name for each in threading.enumerate() if each.name.startswith("widesr")]
    assert not ours, f"threads are left: {ours}"
    assert not any(Path(tempfile.gettempdir()).iterdir()), "temporary files are left"
    if code == 0:
        assert said == "", said
        assert left == [made.name], left
        height, width = decoded_size(made)
        assert width % 2 == height % 2 == 0, (width, height)
        output = made.read_bytes()
        made.unlink()
        return "made", output
    refusal = REFUSAL.fullmatch(said)
    assert code == 1, (code, said)
    assert refusal, said
    assert refusal[1] in REFUSED, said
    assert left == [], left
    return refusal[1], said.encode()


def decoded_size(made: Path) -> tuple[int, int]:
    """Height and width of an output, all of it decoded by another program."""
    try:
        if made.suffix == ".tif":  # Pillow has no mode for deep grey with alpha
            with tifffile.TiffFile(made) as file:
                return file.pages[0].asarray().shape[:2]
        with Image.open(made) as image:
            image.load()
            return image.height, image.width
    except Exception as error:  # of many kinds: what cannot be decoded is not whole
        raise AssertionError(f"the output is not whole: {error!r}") from error


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def both_ways(source: Path, folder: Path, *, suffix: str) -> str:
    """Upscale a file held whole and row by row.

    Raises:
        AssertionError: One way did what it must not, or the ways differ.
    """
    held, output = upscale(source, folder, suffix=suffix)
    with passing():
        passed, other = upscale(source, folder, suffix=suffix)
    # Of two faults each way meets the one or the other first.
    assert (held == "made") == (passed == "made"), (held, output[:999], passed, other[:999])
    assert held != "made" or output == other, "held and passing give other pictures"
    return held


def peak_mib() -> int:
    """Return the peak since the last `forget_peak`; `ru_maxrss` begins with the parent's."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s*(\d+)", status)[1]) // 1024


def forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def main() -> int:
    """Print what became of the files as one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--most-mib", type=int, default=1024, help="peak memory that is allowed")
    options = parser.parse_args()
    # Kills the process where it hangs, also inside C, and says where.
    faulthandler.register(signal.SIGPROF, file=sys.__stdout__, chain=True)
    Image.MAX_IMAGE_PIXELS = None
    warnings.filterwarnings("ignore", module="PIL")  # damaged EXIF is carried as it is
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)
    folder = Path(tempfile.mkdtemp(prefix="widesr-fuzz-"))
    source, out, temporary = folder / "input", folder / "out", folder / "temporary"
    out.mkdir()
    temporary.mkdir()
    os.environ["TMPDIR"] = tempfile.tempdir = str(temporary)  # libvips' and ours
    sys.stdout.write(f"the file at hand: {source}\n")
    sys.stdout.flush()
    counts: Counter[str] = Counter()
    start, slowest, highest, descriptors = time.perf_counter(), (0.0, 0), 0, open_descriptors()
    for n, data in enumerate(files(options.count, options.seed)):
        source.write_bytes(data)
        forget_peak()
        began, suffix = time.process_time(), SUFFIXES[n % len(SUFFIXES)]
        try:
            counts[both_ways(source, out, suffix=suffix)] += 1
            assert peak_mib() <= options.most_mib, f"{peak_mib()} MiB"
        except AssertionError as error:
            kept = source.rename(folder / f"file-{n}-to-{suffix}")
            counts["defect"] += 1
            sys.stdout.write(f"{kept}: {error}\n")
            sys.stdout.flush()
            for left in (*out.iterdir(), *temporary.iterdir()):
                left.unlink()
        slowest = max(slowest, (round(time.process_time() - began, 2), n))
        highest = max(highest, peak_mib())
    if open_descriptors() > descriptors + MORE_DESCRIPTORS:
        counts["defect"] += 1
        sys.stdout.write(f"{open_descriptors() - descriptors} descriptors are left open\n")
    if not counts["defect"]:
        shutil.rmtree(folder)
    result = {"files": counts.total(), "peak_mib": highest, "slowest_cpu_s": slowest[0]}
    result |= {"slowest_file": slowest[1]}
    result |= {"seconds": round(time.perf_counter() - start), "outcomes": dict(counts)}
    sys.stdout.write(json.dumps(result) + "\n")
    return int(counts["defect"] > 0)


if __name__ == "__main__":
    sys.exit(main())
