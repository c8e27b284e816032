"""A bucket on this machine, pictures in it, and a Ray that is shut down at the end."""

import io
import os
import signal
import threading
from pathlib import Path
from random import Random

import numpy as np
import pytest
from PIL import Image

BUCKET = "widesr-bulk"


@pytest.fixture(scope="session")
def s3():
    """The end point of an S3 server, which this process and its children go to for their buckets."""
    server_of = pytest.importorskip("moto.server", reason="needs moto[s3,server]")
    pytest.importorskip("s3fs", reason="needs the `bulk` extra")
    server = server_of.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    settings = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    with pytest.MonkeyPatch.context() as environment:
        for name, value in settings.items():
            environment.setenv(name, value)
        yield settings["AWS_ENDPOINT_URL"]
    server.stop()


@pytest.fixture
def bucket(s3):
    """An empty bucket; its name."""
    import s3fs

    files = s3fs.S3FileSystem(skip_instance_cache=True)
    files.mkdir(BUCKET)
    yield BUCKET
    files.invalidate_cache()
    files.rm(BUCKET, recursive=True)


def picture(number, *, height=24, width=32, kind="png"):
    """A picture that no other number has."""
    pixels = np.random.default_rng(number).integers(0, 256, (height, width, 3), np.uint8)
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, {"jpg": "jpeg"}.get(kind, kind))
    return data.getvalue()


def pictures(count):
    """Small pictures in folders, of two formats, with what is no picture among them."""
    kinds = ("png", "jpg")
    names = (f"{number % 3}/p{number:04}.{kinds[number % 2]}" for number in range(count))
    made = {name: picture(number, kind=name[-3:]) for number, name in enumerate(names)}
    return made | {"notes.txt": b"no picture", "0/cut.png": picture(0)[:200], "1/empty.jpg": b""}


class Killer(threading.Thread):
    """Kills workers that are at a batch, at random, some times."""

    def __init__(self, times, *, seed=0, pause=0.5):
        super().__init__(daemon=True)
        self.killed, self._times, self._pause = [], times, pause
        self._random, self._over = Random(seed), threading.Event()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self.join()

    def run(self):
        while len(self.killed) < self._times and not self._over.wait(
            self._random.random() * self._pause
        ):
            at_work = [pid for pid in workers_at("do") if pid not in self.killed]
            if at_work:
                self.killed.append(self._random.choice(at_work))
                os.kill(self.killed[-1], signal.SIGKILL)


def workers_at(method):
    """The processes below this one that Ray says are at a method of a worker."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and f"ray::Worker.{method}" in _text(folder / "cmdline"):
            pid = folder.name
            while pid not in ("0", "1", str(os.getpid()), ""):
                stat = _text(Path("/proc") / pid / "stat")
                pid = stat.rpartition(")")[2].split()[1] if stat else ""
            if pid == str(os.getpid()):
                found.append(int(folder.name))
    return found


def _text(path):
    try:
        return path.read_text()
    except OSError:
        return ""
