"""Any folder of pictures through `widesr upscale`, judged: python tests/helpers/corpus.py DIR

Each file is upscaled by the command itself, in a process of its own, and what comes out is compared
with what Pillow and tifffile see in both files: size, pixels against their bicubic enlargement,
alpha, frames and their times, profile, orientation, resolution and depth. A line says what became
of each:

    right      a picture that others see as it must be
    refused    an error with a code, and no file
    no oracle  made, but no other program reads the input, or not rightly
    WRONG      anything else: other pixels, a lost frame, a traceback, a hang, a file left behind

The exit code is 1 if anything is wrong.
"""

import argparse
import json
import os
import re
import resource
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import widesr.batch.many
import widesr.cli.upscale
import widesr.upscaling.resize_to  # noqa: F401 (with those before it: once, and not in each process)
from judge import Limits, faults
from oracle import see
from seen import DamagedError, NoOracleError, Seen
from widesr.cli import run

_CPU_SECONDS = 60
_SECONDS = 900
"""On a machine that others use."""
_REFUSAL = re.compile(r"^widesr: error\[([a-z-]+)\]: [^\n]+$", re.MULTILINE)
_FALSE_REFUSALS = {"internal", "usage"}


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The outcome for one file."""

    path: Path
    said: str
    """"right", "refused", "no oracle" or "WRONG"."""
    why: str = ""
    read_by_others: bool | None = None
    """True if others read the file that was refused; None where that was not asked."""

    def __str__(self) -> str:
        return f"{self.said:10} {self.path}{': ' if self.why else ''}{self.why}"


def pictures_below(folder: Path) -> list[Path]:
    """List every file, whatever it is called."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


def judged(
    paths: Iterable[Path], *, model: str = "default", scale: int = 2, max_pixels: int = 2_000_000
) -> Iterator[Verdict]:
    """Upscale each file on its own, and judge what comes out."""
    for path in paths:
        with tempfile.TemporaryDirectory(prefix="widesr-corpus-") as folder:
            yield _judged(path, Path(folder), model=model, scale=scale, max_pixels=max_pixels)


def _judged(path: Path, folder: Path, *, model: str, scale: int, max_pixels: int) -> Verdict:
    out, log = folder / "out", folder / "log"
    out.mkdir()
    words = ["upscale", str(path), "-o", str(out), "-n", model, "-s", str(scale), "--quiet"]
    code = ran([*words, "--max-pixels", str(max_pixels)], log=log)
    if code is None:
        return Verdict(path=path, said="WRONG", why=f"nothing after {_SECONDS} s")
    stderr, left = log.read_text(errors="replace"), list(out.iterdir())
    if code != 0:
        return _judged_refusal(path, code, stderr, left)
    if len(left) != 1:
        return Verdict(path=path, said="WRONG", why=f"exit code 0 and {len(left)} files")
    return _judged_output(path, left[0], stderr, scale=scale)


def ran(words: list[str], *, log: Path) -> int | None:
    """Run the command in a process of its own; give its exit code, None if it does not end.

    It is forked, so that a crash or a hang stays there and nothing is imported twice.
    """
    child = os.fork()
    if child == 0:
        code = 70
        try:
            resource.setrlimit(resource.RLIMIT_CPU, (_CPU_SECONDS, _CPU_SECONDS))
            with log.open("wb") as file:
                os.dup2(file.fileno(), 1)
                os.dup2(file.fileno(), 2)
            code = run(words)
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(code)
    end = time.monotonic() + _SECONDS
    while time.monotonic() < end:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def _judged_refusal(path: Path, code: int, stderr: str, left: list[Path]) -> Verdict:
    refusal = _REFUSAL.search(stderr)
    if left:
        return Verdict(path=path, said="WRONG", why=f"refused, and {left[0].name} is left")
    if code != 1 or not refusal or refusal[1] in _FALSE_REFUSALS or "Traceback" in stderr:
        last = stderr.strip().splitlines()[-1:] or ["nothing"]
        return Verdict(path=path, said="WRONG", why=f"exit code {code}: {last[0]}")
    try:
        read = bool(seen_in_time(path).frames)
    except (NoOracleError, DamagedError):
        read = False
    why = refusal[0].partition("]: ")[2].replace(f"{path}: ", "")
    return Verdict(path=path, said="refused", why=f"({refusal[1]}) {why}", read_by_others=read)


def _judged_output(path: Path, made: Path, stderr: str, *, scale: int) -> Verdict:
    try:
        lr = seen_in_time(path)
    except NoOracleError as error:
        return Verdict(path=path, said="no oracle", why=str(error))
    except DamagedError as error:
        return Verdict(path=path, said="WRONG", why=f"made of a file that is damaged ({error})")
    try:
        sr = seen_in_time(made)
    except (NoOracleError, DamagedError) as error:
        return Verdict(path=path, said="WRONG", why=f"no one else reads the output: {error}")
    found = faults(lr, sr, scale=scale, suffix=made.suffix.lower(), limits=Limits())
    if lr.geo and not sr.geo and path.name not in stderr:
        found.append("the size of a pixel on the ground is dropped without a word")
    return Verdict(path=path, said="WRONG" if found else "right", why="; ".join(found))


def seen_in_time(path: Path) -> Seen:
    """See a file, as `see`, unless others take too long for it."""

    def stop(*_) -> None:
        raise NoOracleError("others take too long")

    signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, _CPU_SECONDS)
    try:
        return see(path)
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


def main() -> int:
    """Print a line for each file, and how many of each there are."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("-n", "--model", default="default")
    parser.add_argument("-s", "--scale", type=int, default=2)
    parser.add_argument("--max-pixels", type=int, default=2_000_000)
    parser.add_argument("--only-wrong", action="store_true", help="print no other lines")
    parser.add_argument("--json", action="store_true", help="a JSON object a line")
    options = parser.parse_args()
    counts: Counter[str] = Counter()
    missed = 0
    paths = pictures_below(options.folder)
    for verdict in judged(
        paths, model=options.model, scale=options.scale, max_pixels=options.max_pixels
    ):
        counts[verdict.said] += 1
        missed += bool(verdict.read_by_others)
        if options.json:
            _print(json.dumps(vars(verdict), default=str))
        elif verdict.said == "WRONG" or not options.only_wrong:
            _print(f"{verdict}{'  (others read it)' if verdict.read_by_others else ''}")
    if not options.json:
        summary = ", ".join(f"{n} {said}" for said, n in sorted(counts.items()))
        _print(f"{len(paths)} files: {summary}; {missed} of the refused are read by others")
    return int(counts["WRONG"] > 0 or not paths)


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
