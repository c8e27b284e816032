"""Pictures among the files of a folder."""

from pathlib import Path

import pytest

from widesr.pictures.writing import FORMATS
from widesr.system.folders import PICTURE_SUFFIXES, count_others, pictures_in, web_address


@pytest.fixture
def folder(tmp_path) -> Path:
    for name in (
        "b.PNG",
        "a.jpg",
        "c.heic",
        "n.txt",
        ".d.png",
        "Thumbs.db",
        "y/notes.md",
        "e",
        "x/f.png",
        "y/g.gif",
        ".git/h.png",
    ):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    return tmp_path


def names(pictures: list[Path], folder: Path) -> list[str]:
    return [str(path.relative_to(folder)) for path in pictures]


def test_pictures_come_in_order_and_nothing_else_does(folder):
    assert names(pictures_in(folder), folder) == ["a.jpg", "b.PNG", "c.heic"]


def test_folders_in_a_folder_are_looked_into_when_asked(folder):
    found = pictures_in(folder, recursive=True)
    assert names(found, folder) == ["a.jpg", "b.PNG", "c.heic", "x/f.png", "y/g.gif"]


def test_what_is_passed_over_is_counted(folder):
    assert count_others(folder) == 3
    assert count_others(folder, recursive=True) == 4
    assert count_others(folder, recursive=True, but=folder / "y") == 3


@pytest.mark.parametrize("suffix", [".jfif", ".jpe", ".mpo", ".dib", ".pam", ".heif", ".hif"])
def test_pictures_by_rarer_names_are_found_too(tmp_path, suffix):
    (tmp_path / f"a{suffix}").touch()
    assert len(pictures_in(tmp_path)) == 1


def test_one_folder_can_be_left_out_by_any_of_its_names(folder):
    found = pictures_in(folder, recursive=True, but=folder / "y" / ".." / "x")
    assert names(found, folder) == ["a.jpg", "b.PNG", "c.heic", "y/g.gif"]


def test_a_link_that_leads_back_up_is_not_followed_for_ever(folder):
    (folder / "x" / "up").symlink_to(folder)
    assert len(pictures_in(folder, recursive=True)) == 5


def test_all_that_is_written_is_a_picture():
    assert set(FORMATS) <= PICTURE_SUFFIXES


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("https://x.org/a.png", "https://x.org/a.png"),
        ("HTTP://x.org", "HTTP://x.org"),
        ("file:///tmp/a.png", "file://tmp/a.png"),
        ("photo.jpg", None),
        ("a/b:c.png", None),
        ("c:/a.png", None),  # a drive, elsewhere
        ("https:", None),
    ],
)
def test_a_web_address_is_told_from_a_path(text, address):
    assert web_address(Path(text)) == address


def test_a_file_of_such_a_name_is_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "https:" / "x").mkdir(parents=True)
    assert web_address(Path("https://x")) is None
