"""The lines for curl in docs/how-to/serve.md, run as they are printed there."""

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from clips import INTERLACED, make_clip
from samples import smooth
from serving import process_of

PAGE = (Path(__file__).parents[2] / "docs/how-to/serve.md").read_text()
LINES = re.findall(r"^curl .*$", PAGE, re.MULTILINE)


def curl(line, address, folder):
    words = shlex.split(line.replace("http://127.0.0.1:8765", address))
    words[1:1] = ["--fail-with-body", "--silent", "--show-error"]
    done = subprocess.run(words, cwd=folder, capture_output=True, check=False, timeout=250)
    assert done.returncode == 0, (line, done.stdout, done.stderr)
    return done.stdout


@pytest.mark.slow
def test_each_line_for_curl_does_what_it_says(tmp_path):
    if shutil.which("curl") is None:
        pytest.skip("needs curl")
    av = pytest.importorskip("av", reason="needs the extra video")
    Image.fromarray(smooth(180, 240)).save(tmp_path / "photo.jpg")
    make_clip(tmp_path / "clip.mp4", frames=3)
    make_clip(tmp_path / "tv.ts", frames=3, options=INTERLACED).rename(tmp_path / "tv.mpg")
    with process_of(tmp_path / "data", WIDESR_ANSWER_WITHIN="100") as (_, address):
        said = [curl(line, address, tmp_path) for line in LINES]
        head = curl(f"curl --head {address}/healthz", address, tmp_path)
    assert len(LINES) == 5
    sizes = {"larger.jpg": (480, 360), "crisp.jpg": (480, 360), "larger.webp": (1920, 1440)}
    for name, size in sizes.items():
        with Image.open(tmp_path / name) as made:
            assert made.size == size
    assert json.loads(said[3])["state"] in ("queued", "running")
    with av.open(str(tmp_path / "tv.mp4")) as made:
        assert made.streams.video[0].codec_context.name == "hevc"
    assert head.startswith(b"HTTP/1.1 200")
