"""Pictures for bulk runs, and a thread that kills their workers."""

import io
import os
import signal
import threading
from contextlib import suppress
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image


def picture(number, *, height=24, width=32, kind="png"):
    """Return a picture file with pixels that only this number has."""
    pixels = np.random.default_rng(number).integers(0, 256, (height, width, 3), np.uint8)
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, {"jpg": "jpeg"}.get(kind, kind))
    return data.getvalue()


BROKEN = {"0/cut.png": picture(0)[:200], "1/empty.jpg": b""}


def pictures(count):
    """Return small pictures of two formats in folders, broken ones, and one file of text."""
    kinds = ("png", "jpg")
    names = [f"{number % 3}/p{number:04}.{kinds[number % 2]}" for number in range(count)]
    made = {name: picture(number, kind=name[-3:]) for number, name in enumerate(names)}
    return made | BROKEN | {"notes.txt": b"no picture"}


def fill(store, files):
    for name, data in files.items():
        store.put(name, data, overwrite=False)
    return store


def contents(store):
    """Return all outputs, without the manifest."""
    names = [found.name for found in store.list() if not found.name.startswith("_widesr/")]
    return {name: store.read(name) for name in names}


class Killer(threading.Thread):
    """Kills workers at random moments of their batches, `times` of them."""

    def __init__(self, times, *, seed=0, pause=0.5):
        super().__init__(daemon=True)
        self.killed, self._times, self._pause = [], times, pause
        self._random, self._over = Random(seed), threading.Event()  # noqa: S311 (no secret)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self.join()

    def run(self):
        while len(self.killed) < self._times:
            if self._over.wait(self._random.random() * self._pause):
                return
            while not (at_work := [pid for pid in workers_at("do") if pid not in self.killed]):
                if self._over.wait(0.02):  # look often: a batch may be done within a moment
                    return
            pid = self._random.choice(at_work)
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                self.killed.append(pid)


def workers_at(method, *, below=None):
    """Return the Ray workers below a process, by default this one, that are in a method of theirs.

    Of "" also those that wait for work.
    """
    title = f"ray::Worker.{method}" if method else "ray::Worker"
    folders = [folder for folder in Path("/proc").iterdir() if folder.name.isdigit()]
    named = (f for f in folders if title in _text(f / "cmdline"))
    return [int(f.name) for f in named if (below or os.getpid()) in _ancestors(int(f.name))]


def is_worker(pid):
    """Tell whether a process is a Ray worker that has not ended."""
    return "ray::Worker" in _text(Path(f"/proc/{pid}/cmdline"))  # empty once it has ended


def _ancestors(pid):
    while pid > 1:
        stat = _text(Path(f"/proc/{pid}/stat"))
        pid = int(stat.rpartition(")")[2].split()[1]) if stat else 0
        yield pid


def _text(path):
    try:
        return path.read_text()
    except OSError:
        return ""
