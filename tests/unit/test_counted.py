"""Numbers with their nouns."""

from __future__ import annotations

import re

import pytest

from shardlake.counted import counted
from tests.support import ROOT

pytestmark = pytest.mark.unit

NOUNS = "dead letters|members|records|windows|files|offsets|letters|notes"
"""What is counted on the terminal."""


@pytest.mark.parametrize(
    ("number", "nouns", "words"),
    [
        (0, ("dead letter",), "0 dead letters"),
        (1, ("dead letter",), "1 dead letter"),
        (2, ("dead letter",), "2 dead letters"),
        (1_000, ("entry", "entries"), "1,000 entries"),
        (1, ("record waits", "records wait"), "1 record waits"),
    ],
)
def test_one_is_singular_and_all_else_is_plural(number: int, nouns: tuple[str, ...], words: str) -> None:
    assert counted(number, *nouns) == words


def test_messages_leave_the_noun_to_the_one_function() -> None:
    """A rate may be written out; so may a number that is never one."""
    literal = re.compile(rf"\{{(?!counted)[^{{}}\"']*:,\}} (?:{NOUNS})\b")
    found = {
        f"{file.relative_to(ROOT)}: {match[0]}"
        for file in (ROOT / "shardlake").rglob("*.py")
        for match in literal.finditer(file.read_text())
    }
    assert found == set()
