"""The library speaks of Python arguments, and tests hold it to facts, not to sentences."""

import ast
import re
import runpy
from functools import cache
from pathlib import Path

import pytest

from facts import names, refusal, refused
from widesr.errors import UsageError

TESTS = Path(__file__).parents[1]
PACKAGE = TESTS.parent / "src" / "widesr"
FLAG = re.compile(r"(?<![\w`-])(--?[a-z][a-z-]*[a-z]|-[a-zA-Z])(?![\w-])")


@cache
def flags_of_ours():
    """List the flags of all commands, as a user types them."""
    from typer.main import get_command

    from widesr.cli import app

    def options(command):
        for each in getattr(command, "commands", {}).values():
            yield from options(each)
        for param in command.params:
            yield from (*param.opts, *param.secondary_opts)

    return {name for name in options(get_command(app)) if name.startswith("-")}


def texts(node):
    """Give the strings of a module, a format string as one, without what is typed at a shell."""
    match node:
        case ast.Constant(str() as text):
            yield node.lineno, text
        case ast.JoinedStr(values):
            parts = [str(each.value) if isinstance(each, ast.Constant) else "0" for each in values]
            yield node.lineno, "".join(parts)
        case _:
            for child in ast.iter_child_nodes(node):
                yield from texts(child)


def found_in(source):
    ours = flags_of_ours()
    return [
        (line, flag)
        for line, text in texts(ast.parse(source))
        for flag in FLAG.findall(re.sub(r"`[^`]*`", "", text))
        if flag in ours
    ]


def test_no_text_of_the_library_names_a_flag_of_the_command_line():
    modules = [path for path in PACKAGE.rglob("*.py") if "cli" not in path.parts]
    assert len(modules) > 100
    found = {
        f"{path.relative_to(PACKAGE)}:{line}: {flag}"
        for path in modules
        for line, flag in found_in(path.read_text(encoding="utf-8"))
    }
    assert found == set()


def test_a_flag_in_a_message_is_found():
    assert found_in('raise ValueError(f"{x}: exists; say --overwrite")') == [(1, "--overwrite")]
    assert found_in('"""Docs.\n\nWrite elsewhere (-o)."""') == [(1, "-o")]
    assert found_in('fetch(flag="--url")') == [(1, "--url")]
    assert found_in('("git", "-C", folder, "--dirty"), f"{name}-x{scale}"') == []
    assert found_in('"`widesr upscale -o out` makes it"; "a-o, x -- y, -5 and 3-s"') == []


# ---- what tests assert ---------------------------------------------------------------------

SENTENCE = re.compile(r"(?<!\S)(?<!widesr )(?!widesr )[a-z]+(?: [a-z]+){2}(?![\w-])")
CALLS = {"match", "search", "fullmatch", "findall", "startswith", "endswith", "count"}
CALLS |= {"names", "parametrize", "refusal", "refused"}
MOST = 9
"""Three words in a row that tests compare with: names of cases, of rows, of other programs."""


def sentences_in(source):
    """Give the lines of a test that compare with words of a sentence rather than with facts."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.keyword("match", value):
                compared = [value]
            case ast.Compare(left, _, others):
                compared = [left, *others]
            case ast.Call(ast.Name(name) | ast.Attribute(attr=name), args) if name in CALLS:
                compared = args
            case _:
                continue
        for each in (text for part in compared for text in ast.walk(part)):
            match each:
                case ast.Constant(str() as words) if SENTENCE.search(words):
                    yield each.lineno


def test_tests_assert_facts_and_no_sentences():
    files = sorted(TESTS.rglob("*.py"))
    assert len(files) > 100
    places = {
        f"{path.relative_to(TESTS)}:{line}"
        for path in files
        for line in sentences_in(path.read_text(encoding="utf-8"))
    }
    assert len(places) <= MOST, sorted(places)


def test_a_sentence_that_a_test_pins_is_found():
    pins = (
        'raises(UsageError, match=r"x: is no mirror")',
        'assert "exists already and" in str(error)',
        'refused("usage", path, "name another file")',
        'parametrize(("a", "b"), [(1, "tile of at least 16")])',
    )
    assert [list(sentences_in(pin)) for pin in pins] == [[1]] * len(pins)
    facts = 'refused("usage", "tile=128", "4 pages", "no such", "widesr models pull x")'
    assert list(sentences_in(facts)) == []


def test_a_fact_stands_as_a_whole_word_and_all_of_them_in_one_line():
    said = "a.png: 12x10 of 1,300 pixels (tile=16), not 3.5\nb.png: 7"
    for facts in (["a.png", "12x10"], ["1,300", 3.5], ["tile=16"], [".png", 7]):
        assert names(said, *facts)
    for facts in (["a.pn"], [10], [300], [3], ["tile=1"], ["a.png", 7]):
        assert not names(said, *facts)


def test_what_is_refused_is_held_to_its_code_and_its_facts():
    def check(code, *facts):
        with refused(code, *facts):
            raise UsageError("scale 9 is not valid")

    check("usage", "scale", 9)
    for code, fact in (("data", 9), ("usage", 8)):
        with pytest.raises(AssertionError):
            check(code, fact)
    with pytest.raises(AssertionError):
        refusal("widesr: error[usage]: one\nline more\n", "usage")


# ---- what docstrings and notes begin with --------------------------------------------------

SCRIPT = runpy.run_path(str(TESTS.parent / "scripts" / "words.py"))


def test_a_note_on_an_argument_begins_with_a_noun():
    note = 'def f(a, *b):\n    """Do it.\n\n    Args:\n        a: {}\n        *b: {}\n    """\n'
    lines = [line for line, _ in SCRIPT["refused"](note.format("Of the bands.", "As for `g`."))]
    assert lines == [5, 6]
    assert not list(SCRIPT["refused"](note.format("The bands.", "Offsets, (n,).")))


def test_what_is_returned_or_raised_begins_with_a_noun():
    said = '"""Do it.\n\n{}:\n    {}\n"""\n'
    for section, text, lines in (
        ("Returns", "How many failed.", [4]),
        ("Raises", "Error: As `load`.", [4]),
        ("Raises", "As `load`.", [4]),
        ("Returns", "The errors: What is that?", []),
        ("Yields", "Each item.", []),
    ):
        assert [line for line, _ in SCRIPT["refused"](said.format(section, text))] == lines
