"""Patterns whose time grows faster than a line are refused; those of all formats do not."""

from __future__ import annotations

import pytest

from producers import access_log, logfmt, syslog
from producers.log_lines import all_formats
from shardlake.errors import BadInput
from shardlake.formats import growth

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        (r"(a+)+", "in more than one way"),
        (r"(a*)*b", "in more than one way"),
        (r"(\w+\s?)*x", "in more than one way"),
        (r"(?P<m>(?:x|xx)*)y", "in more than one way"),
        (r"\w*x\w*;", "share the same letters"),
        (r".*? - .*? ; x", "share the same letters"),
        (r"\d+\d+x", "share the same letters"),
        (r"(.*)(.*)(.*)x", "share the same letters"),
        (r"é*[^a]*é", "share the same letters"),
        (r"(?:a?){20}b", "may be empty"),
        (r"(a)\1", "no automaton has"),
        (r"(?=.*x)a", "no automaton has"),
        (r"(a", "is no regular expression"),
        (r"((a{1,10}){1,10}){1,10}[a-z]{1,10}" * 5, "too large"),
    ],
)
def test_a_pattern_that_may_grow_is_refused(pattern: str, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        growth.check(pattern)


@pytest.mark.parametrize(
    "pattern",
    [
        r"(?P<time>\S+ \S+) (?P<level>\w+) (?P<message>.*)",
        r".*? - .*",
        r"[^,]*,[^,]*,x",
        r"\[(.*?)\] (\S+): .*",
        r'"[^"\\]*(?:\\.[^"\\]*)*"',
        r"x*+x*y",
        r"(?:ab|ac)*d",
        r"\d{1,3}(?:\.\d{1,3}){3}",
    ],
)
def test_a_pattern_that_grows_with_the_line_alone_is_taken(pattern: str) -> None:
    growth.check(pattern)


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        *((one.name, "".join(one.parts)) for one in all_formats() if one.parts),
        ("access_log.LINE", access_log.LINE.pattern),
        ("access_log.CUT", access_log.CUT.pattern),
        ("logfmt", logfmt.LINE.pattern),
        ("syslog_3164", syslog.RFC3164.pattern),
    ],
)
def test_no_format_grows(name: str, pattern: str) -> None:
    growth.check(pattern)
