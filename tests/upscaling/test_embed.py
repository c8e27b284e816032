"""Programs that share a loaded model between threads, tasks and processes."""

import asyncio
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import widesr
from samples import smooth

PAGE = (Path(__file__).parents[2] / "docs/how-to/embed.md").read_text()


@pytest.fixture(scope="module")
def upscaler():
    return widesr.Upscaler.load(scale=2, threads=2)


def test_one_model_serves_several_threads(upscaler):
    pictures = [smooth(40 + 8 * n, 60) for n in range(4)] * 3
    alone = [upscaler(pixels) for pixels in pictures]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(upscaler, pictures))
    for ours, theirs in zip(together, alone, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_an_event_loop_goes_on_while_a_thread_upscales(upscaler):
    async def both():
        work = asyncio.create_task(asyncio.to_thread(upscaler, smooth(400, 400)))
        turns = 0
        while not work.done():
            turns += 1
            await asyncio.sleep(0)
        return turns, await work

    turns, larger = asyncio.run(both())
    assert turns > 1
    np.testing.assert_array_equal(larger, upscaler(smooth(400, 400)))


@pytest.mark.slow
def test_the_programs_of_the_page_run(tmp_path):
    Image.fromarray(smooth(40, 60)).save(tmp_path / "photo.jpg")
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) == 3
    (tmp_path / "page.py").write_text("\n".join(blocks))
    words = [sys.executable, "-W", "error", "page.py"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "[(80, 120, 3)]\n"
