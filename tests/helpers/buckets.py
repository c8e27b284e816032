"""Pictures for a bulk run, and what kills its workers."""

import io
import os
import signal
import threading
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image


def picture(number, *, height=24, width=32, kind="png"):
    """A picture that no other number has, as a file."""
    pixels = np.random.default_rng(number).integers(0, 256, (height, width, 3), np.uint8)
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, {"jpg": "jpeg"}.get(kind, kind))
    return data.getvalue()


BROKEN = {"0/cut.png": picture(0)[:200], "1/empty.jpg": b""}


def pictures(count):
    """Small pictures in folders, of two formats, with some that are broken, and no picture."""
    kinds = ("png", "jpg")
    names = [f"{number % 3}/p{number:04}.{kinds[number % 2]}" for number in range(count)]
    made = {name: picture(number, kind=name[-3:]) for number, name in enumerate(names)}
    return made | BROKEN | {"notes.txt": b"no picture"}


def fill(store, files):
    for name, data in files.items():
        store.put(name, data, overwrite=False)
    return store


def contents(store):
    """All outputs, without the manifest."""
    names = [found.name for found in store.list() if not found.name.startswith("_widesr/")]
    return {name: store.read(name) for name in names}


class Killer(threading.Thread):
    """Kills workers that are at a batch, at random, some times."""

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
            at_work = [pid for pid in workers_at("do") if pid not in self.killed]
            if at_work:
                self.killed.append(self._random.choice(at_work))
                os.kill(self.killed[-1], signal.SIGKILL)


def workers_at(method, *, below=None):
    """The processes below one, by default this, that Ray says are at a method of a worker."""
    folders = [folder for folder in Path("/proc").iterdir() if folder.name.isdigit()]
    named = (f for f in folders if f"ray::Worker.{method}" in _text(f / "cmdline"))
    return [int(f.name) for f in named if (below or os.getpid()) in _ancestors(int(f.name))]


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
