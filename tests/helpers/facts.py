"""Hold errors and printed lines to what programs rely on: a code, and the facts that are named.

A sentence may be worded anew at any time, and no test should mind. A fact is a path, an option, a
key, a number or a name: it stands in the text as a whole word, anywhere in the sentence.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from widesr.errors import WidesrError

_LINE = re.compile(r"widesr: error\[([a-z-]+)\]: ([^\n]+)\n")


def names(text: str, *facts: object) -> bool:
    """Tell whether one line of a text names all the facts: `13` and `3.5` do not name `3`."""
    whole = [_whole(str(fact)) for fact in facts]
    return any(all(re.search(fact, line) for fact in whole) for line in text.splitlines())


def _whole(fact: str) -> str:
    begin = r"\b(?<!\d[.,])" if re.match(r"\w", fact) else ""
    end = r"\b(?![.,]\d)" if re.search(r"\w$", fact) else ""
    return begin + re.escape(fact) + end


@contextmanager
def refused(code: str, *facts: object) -> Iterator[pytest.ExceptionInfo[WidesrError]]:
    """Expect the error of this code, whose message is one line that names each of the facts."""
    with pytest.raises(WidesrError) as caught:
        yield caught
    _hold(caught.value.code, str(caught.value), code, facts)


def refusal(stderr: str, code: str, *facts: object) -> str:
    """Expect that a command printed one line, its error of this code; give the message."""
    line = _LINE.fullmatch(stderr)
    assert line, stderr
    _hold(line[1], line[2], code, facts)
    return line[2]


def _hold(found: str, message: str, code: str, facts: tuple[object, ...]) -> None:
    assert found == code, message
    assert "\n" not in message
    assert not (missing := [fact for fact in facts if not names(message, fact)]), (missing, message)
