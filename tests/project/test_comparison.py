"""The page that compares us with others: no word of it without its evidence."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "comparison.md").read_text()
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.splitlines()
    if line.startswith("| ") and not line.startswith("| |")
]
NOTES = dict(re.findall(r"^\[\^(\w+)\]: (.+(?:\n    .+)*)", PAGE, re.MULTILINE))
LINKS = dict(re.findall(r"^\[([\w-]+)\]: (\S+)$", PAGE, re.MULTILINE))


def test_every_word_on_us_has_a_note():
    assert len(ROWS) > 15
    used = [re.findall(r"\[\^(\w+)\]", ours) for _, ours, *_ in ROWS]
    assert all(len(notes) == 1 for notes in used)
    assert sorted(note for (note,) in used) == sorted(NOTES)


@pytest.mark.parametrize("note", NOTES)
def test_every_note_names_tests_that_there_are(note):
    named = 0
    for path, rest in re.findall(
        r"`(tests/\w+/\w+\.py)`:(.*?)(?=`tests/|$)", NOTES[note], re.DOTALL
    ):
        source = (ROOT / path).read_text()
        for test in re.findall(r"`(test_\w+)`", rest):
            assert f"def {test}(" in source, f"{path}: {test}"
            named += 1
    assert named


def test_every_word_on_others_has_a_link():
    for aspect, _, *others in ROWS:
        assert len(others) == 5, aspect
        for cell in filter(None, others):
            assert re.search(r"\[\[[^\]]+\]\[[\w-]+\]", cell), f"{aspect}: {cell}"


def test_every_link_leads_somewhere_and_each_is_used():
    used = set(re.findall(r"\[(?:code|#\d+)\]\[([\w-]+)\]", PAGE))
    assert used == set(LINKS)
    for name, target in LINKS.items():
        commit_or_thread = r"(blob/[0-9a-f]{40}/\S+|(issues|pull)/\d+)"
        assert re.fullmatch(rf"https://github\.com/[\w-]+/[\w-]+/{commit_or_thread}", target), name


def test_the_number_that_is_shown_is_that_of_the_thread():
    shown = re.findall(r"\[#(\d+)\]\[([\w-]+)\]", PAGE)
    assert shown
    for number, name in shown:
        assert LINKS[name].endswith(f"/{number}")
