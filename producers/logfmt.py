"""logfmt: `key=value key="a value"`, as Heroku's router, logrus and Go kit write it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from producers import fields
from producers.members import NAMES, Finder
from shardlake.formats.clock import Clock

KEY = r"[A-Za-z_@][\w.@/-]*+"
MEMBER = rf'{KEY}=(?:"[^"\\]*+(?:\\.[^"\\]*+)*+"|[^\s"]*+)'
LINE = re.compile(rf"{MEMBER}(?:\s++{MEMBER})*+\s*+", re.DOTALL)
PAIR = re.compile(rf'({KEY})=(?:"([^"\\]*+(?:\\.[^"\\]*+)*+)"|([^\s"]*+))', re.DOTALL)
ESCAPED = re.compile(r'\\(["\\nt])')
LETTERS = {"n": "\n", "t": "\t"}
LEAST = 2
"""A line of one pair may be anything."""


def parser(clock: Clock) -> Callable[[str], dict[str, Any] | None]:
    """A parser of logfmt lines; the clock is the log's."""
    finder = Finder({**NAMES, "level": (*NAMES["level"], "at"), "client_address": (*NAMES["client_address"], "fwd"),
                     "logger": (*NAMES["logger"], "component")}, clock)  # fmt: skip

    def parse(line: str) -> dict[str, Any] | None:
        if LINE.fullmatch(line) is None:
            return None
        members: dict[str, Any] = {}
        for key, quoted, bare in PAIR.findall(line):
            members[key] = ESCAPED.sub(_unescaped, quoted) if "\\" in quoted else quoted or bare
        if len(members) < LEAST:
            return None
        return _of_heroku(finder.fields(members))

    return parse


def _unescaped(match: re.Match[str]) -> str:
    return LETTERS.get(match[1], match[1])


def _of_heroku(found: dict[str, Any] | None) -> dict[str, Any] | None:
    """Heroku's router writes how long a dyno took as `service=18ms`."""
    rest = (found or {}).get("attributes", {})
    if found is not None and "dyno" in rest and str(rest.get("service")).endswith("ms"):
        latency = fields.real(rest["service"].removesuffix("ms"))
        if latency is not None:
            found["latency_ms"] = latency
            del rest["service"]
    return found
