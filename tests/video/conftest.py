"""Fixtures for the tests of video, which are skipped where the extra is not installed."""

from importlib.util import find_spec
from pathlib import Path

import pytest

if find_spec("av") is None:
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture
def upscaled(tmp_path):
    """Upscale a clip x2 by repeating pixels, or as is said, and give the output's path."""
    from widesr import upscale_video

    def call(clip, out=None, **options):
        options = {"scale": 2, "model": "nearest"} | options
        return upscale_video(clip, out or clip.with_name(f"out{clip.suffix}"), **options).target

    return call


@pytest.fixture(scope="session")
def shared_video():
    """The folder of original video frames; skips the test where it is absent."""
    folder = Path(__file__).parents[3] / "shared" / "video"
    if not folder.is_dir():
        pytest.skip("needs the frames in ../shared/video")
    return folder
