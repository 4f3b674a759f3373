"""Templates find what `re` with lazy fields finds, and do not try one way after the other."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from producers import log_format, template
from producers.template import BARE, BRACKETED, NUMBER, QUOTED, SPACED, WORDS, Shape, Template, pattern_of

pytestmark = pytest.mark.unit

UNITS: list[list[str | Shape]] = [
    [BARE], [SPACED], [WORDS], ["[", BRACKETED, "]"], [NUMBER, " "], ['"', QUOTED, '"'], ["é"], ['" '], ["aa"], [" "],
]  # fmt: skip


@st.composite
def parts(draw: st.DrawFn) -> list[str | Shape]:
    """Units with a space, or nothing, between them."""
    found: list[str | Shape] = []
    for unit in draw(st.lists(st.sampled_from(UNITS), max_size=6)):
        found += [*unit, draw(st.sampled_from([" ", ""]))]
    return found


@settings(max_examples=1000)
@given(parts(), st.text(st.sampled_from(' a"\\[]1é\u00a0\u2003\x1c'), max_size=16))
@example([SPACED, " ", BARE], "a b  c ")
@example(['"', QUOTED, '"'], '"\\"')
def test_what_each_field_has_is_what_lazy_fields_of_a_regular_expression_have(
    parts: list[str | Shape], line: str
) -> None:
    match = re.fullmatch(pattern_of(part.encode() if isinstance(part, str) else part for part in parts), line)
    assert Template(parts).by_places(line) == (None if match is None else list(match.groups()))


def test_a_line_that_could_be_shared_out_in_many_ways_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    set_of = template._set  # noqa: SLF001 - the step that is counted

    def counted(raw: bytes, ones: bytes) -> int:
        made.append(len(raw))
        return set_of(raw, ones)

    monkeypatch.setattr(template, "_set", counted)
    parse = log_format.parser(" ".join(f"%{{X-{letter}}}i" for letter in "ABCDEFGH") + " %D")
    line = 1_000 * "a " + "12"
    assert parse(line) == {"latency_ms": 0.012}
    assert parse(line + "x") is None
    assert made == 3 * [len(line)] + 3 * [len(line) + 1]


@pytest.mark.parametrize(
    ("parts", "is_one_way"),
    [
        ([BARE, " ", WORDS, " [", BRACKETED, '] "', QUOTED, '" ', BARE], True),
        ([NUMBER], True),
        ([SPACED, " ", BARE], False),
        ([BARE, BARE], False),
        ([SPACED], False),
        ([WORDS, " ", BARE], False),
        ([BARE, "a ", BARE], True),
        ([BARE, "", " "], True),
        ([BARE, " ", BARE, ""], True),
        ([WORDS, " ", "[", BARE], True),
        ([], True),
    ],
)
def test_re_is_asked_only_where_a_line_can_be_shared_out_in_one_way(parts: list[str | Shape], is_one_way: bool) -> None:
    made = Template(parts)
    assert (made._pattern is not None) == is_one_way  # noqa: SLF001 - which of the two ways
    assert made.groups("1") == made.by_places("1")
