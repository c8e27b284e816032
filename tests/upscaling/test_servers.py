"""The servers of other people that docs/how-to/embed.md shows, run as it shows them."""

import io
import os
import re
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import httpx2
import numpy as np
import pytest
from PIL import Image

import widesr
from samples import smooth
from waiting import until

PAGE = (Path(__file__).parents[2] / "docs/how-to/embed.md").read_text()
BLOCKS = re.findall(r"```py\n(.*?)```", PAGE, re.DOTALL)
PIXELS = smooth(40, 60)

ASK = """
import numpy as np
import ray
from ray import serve
from shop import app

ray.init(num_cpus=4, include_dashboard=False)
serve.start(proxy_location="Disabled")  # no port is opened
np.save("larger.npy", serve.run(app).remote(np.load("photo.npy")).result())
serve.shutdown()
"""

SHOP = """
import io
import numpy as np
from PIL import Image
import widesr

before = widesr.Upscaler.load(scale=2, threads=1)  # loaded and used, and then forked
before(np.zeros((8, 8, 3), np.uint8))

class Shop:
    upscaler = None

    def __call__(self, environ, start_response):
        size = int(environ["CONTENT_LENGTH"])
        pixels = np.asarray(Image.open(io.BytesIO(environ["wsgi.input"].read(size))))
        results = [each(pixels) for each in (self.upscaler, before)]
        file = io.BytesIO()
        np.save(file, np.stack(results))
        start_response("200 OK", [("Content-Type", "application/octet-stream")])
        return [file.getvalue()]

app = Shop()
"""


def example(of):
    (found,) = (block for block in BLOCKS if of in block)
    return found


def encoded():
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, "PNG")
    return file.getvalue()


@contextmanager
def running(folder, *words):
    with (folder / "log").open("w") as log:
        program = [sys.executable, "-m", *words]
        process = subprocess.Popen(program, cwd=folder, stdout=log, stderr=log)
        try:
            yield
        finally:
            process.terminate()
            process.wait(250)


@pytest.mark.slow
def test_gunicorn_forks_workers_that_load_their_own(tmp_path):
    pytest.importorskip("gunicorn", reason="needs gunicorn")
    (tmp_path / "gunicorn.conf.py").write_text(example("gunicorn.conf.py"))
    (tmp_path / "shop.py").write_text(SHOP)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"

    def answer():
        try:
            return httpx2.post(f"http://{address}/", content=encoded(), timeout=250)
        except httpx2.ConnectError:
            return None

    words = ["gunicorn", "--config", "gunicorn.conf.py", "--preload", "--bind", address, "shop:app"]
    with running(tmp_path, *words):
        until(answer)
        made = np.load(io.BytesIO(answer().content))
    larger = widesr.Upscaler.load(scale=2, threads=1)(PIXELS)
    for each in made:
        np.testing.assert_array_equal(each, larger)


@pytest.mark.slow
def test_celery_loads_in_its_children(tmp_path):
    pytest.importorskip("celery", reason="needs celery")
    program = example("from celery import Celery")
    assert "redis://localhost" in program
    folders = {name: str(tmp_path / "queue") for name in ("data_folder_in", "data_folder_out")}
    (tmp_path / "queue").mkdir()
    (tmp_path / "shop.py").write_text(
        program.replace("redis://localhost", "filesystem://")
        + f"\napp.conf.broker_transport_options = {folders!r}\n"
    )
    (tmp_path / "photo.png").write_bytes(encoded())
    send = "import shop; shop.enlarge.delay('photo.png', 'larger.png')"
    subprocess.run([sys.executable, "-c", send], cwd=tmp_path, check=True)
    with running(tmp_path, "celery", "-A", "shop", "worker", "--pool", "prefork", "-c", "1"):
        until((tmp_path / "larger.png").exists)
    with Image.open(tmp_path / "larger.png") as made:
        np.testing.assert_array_equal(made, widesr.upscale(tmp_path / "photo.png", scale=2).pixels)


@pytest.mark.slow
def test_ray_serve_loads_in_its_replicas(tmp_path):
    pytest.importorskip("ray.serve", reason="needs ray[serve]", exc_type=ImportError)
    (tmp_path / "shop.py").write_text(example("from ray import serve"))
    np.save(tmp_path / "photo.npy", PIXELS)
    paths = filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")])  # of the replicas too
    variables = {"RAY_USAGE_STATS_ENABLED": "0", "PYTHONPATH": os.pathsep.join(paths)}
    ask = [sys.executable, "-c", ASK]
    subprocess.run(ask, cwd=tmp_path, env=os.environ | variables, check=True, timeout=300)
    larger = widesr.Upscaler.load(scale=2, threads=1)(PIXELS)
    np.testing.assert_array_equal(np.load(tmp_path / "larger.npy"), larger)
