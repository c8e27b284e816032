"""Places of a user's own files: named by a variable, by the platform, or none."""

from pathlib import Path

import pytest

from widesr.system import paths


@pytest.fixture(autouse=True)
def at_home(tmp_path, monkeypatch):
    for name in ("WIDESR_CACHE", "WIDESR_MODELS", "XDG_CACHE_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "AppData"))


@pytest.mark.parametrize(
    ("platform", "cache", "models"),
    [
        ("linux", ".cache/widesr", ".local/share/widesr/models"),
        ("darwin", "Library/Caches/widesr", "Library/Application Support/widesr/models"),
        ("win32", "AppData/widesr", "AppData/widesr/models"),
    ],
)
def test_each_platform_has_its_own_places(tmp_path, monkeypatch, platform, cache, models):
    monkeypatch.setattr("sys.platform", platform)
    assert paths.cache_folder() == tmp_path / cache
    assert paths.models_folder() == tmp_path / models


def test_variables_name_other_places(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert paths.cache_folder() == Path("/caches/widesr")
    assert paths.models_folder() == Path("/data/widesr/models")
    monkeypatch.setenv("WIDESR_CACHE", "/mine")
    monkeypatch.setenv("WIDESR_MODELS", "/team/models")
    assert paths.cache_folder() == Path("/mine")
    assert paths.models_folder() == Path("/team/models")


def test_a_user_without_a_home_has_no_files(monkeypatch):
    def no_home(path):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(paths.Path, "expanduser", no_home)
    assert not paths.cache_folder().exists()
    assert not paths.models_folder().exists()
