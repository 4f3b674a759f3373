"""A parser from an Apache `LogFormat` string, as `%h %l %u %t "%r" %>s %b "%{User-Agent}i" %D`.

    %h %a   client_address       %t %{sec|msec|usec}t   event_time      %D %T %{ms|us|s}T          latency_ms
    %r      method, path, or message                    %>s %s  status  %{User-Agent}i             user_agent
    %m      method               %v %V (or %v:%p)  host %b %B   bytes   %{Referer}i, %{Referrer}i  referrer
    %U %q   path                 all other directives of Apache are matched and not kept

`-` is null. Source: the Apache HTTP Server's mod_log_config and mod_logio.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from producers import access_log, fields
from producers.template import BARE, BRACKETED, NUMBER, QUOTED, SPACED, WORDS, Shape, Template
from shardlake.errors import BadInput

DIRECTIVE = re.compile(r"%[!\d,]*[<>]?(?:\{(?P<name>[^}]*)\})?(?P<letter>\^t[io]|[a-zA-Z%])")
HOST_AND_PORT = re.compile(r"%[vV]:%p")
NOT_KEPT = frozenset("ACefHIikKlLnoOpPRSuX") | {"^ti", "^to"}
MICROSECONDS_PER = {"us": 1, "ms": 1_000, "s": 1_000_000}
SHOWN = '%h %l %u %t "%r" %>s %b'

Parts = tuple[str | Shape, ...]
Fields = Callable[[str], dict[str, Any] | None]
"""The fields of what a directive wrote; None where it cannot have been written by it."""


def parser(log_format: str) -> Callable[[str], dict[str, Any] | None]:
    """A parser of the lines that Apache writes with this format. Raises BadInput naming a directive that is none."""
    rest = HOST_AND_PORT.sub("%v", log_format.replace('\\"', '"').replace("\\t", "\t"))
    parts: list[str | Shape] = []
    readers, end = [], 0
    for match in DIRECTIVE.finditer(rest):
        literal = rest[end : match.start()]
        if "%" in literal:
            break
        parts, end = [*parts, literal], match.end()
        if match["letter"] == "%":
            parts.append("%")
            continue
        read, shapes = _directive(match[0], match["letter"], match["name"] or "")
        quoted = rest[match.start() - 1 : match.start()] == rest[end : end + 1] == '"'
        parts += (QUOTED,) if quoted else shapes
        readers.append(read)
    if "%" in rest[end:]:
        at = rest.index("%", end)
        raise _unknown(rest[at : at + 2])
    if not readers:
        msg = f"The log format {log_format!r} has no directive."
        raise BadInput(msg, f"Give the string of Apache's LogFormat, as {SHOWN!r}.")
    template = Template([*parts, rest[end:]])
    return lambda line: _parse(line, template, readers)


def _parse(line: str, template: Template, readers: list[Fields]) -> dict[str, Any] | None:
    groups = template.groups(line)
    if groups is None:
        return None
    event: dict[str, Any] = {}
    for read, written in zip(readers, groups, strict=True):
        found = {} if written in ("", "-") else read(written)
        if found is None:
            return None
        if "query" in found:
            event["path"] = f"{event.get('path', '')}{found['query']}"
        else:
            event |= found
    return event


def _directive(whole: str, letter: str, name: str) -> tuple[Fields, Parts]:
    """What reads a directive, and what it looks like where it does not stand in quotes."""
    if letter in "ha":
        return _text("client_address"), (BARE,)
    if letter in "vV":
        return _text("host"), (BARE,)
    if letter == "m":
        return _text("method"), (BARE,)
    if letter == "U":
        return _text("path"), (BARE,)
    if letter == "q":
        return _text("query"), (BARE,)
    if letter == "r":
        return access_log.request, (SPACED,)
    if letter == "s":
        return lambda text: {"status": int(text)} if re.fullmatch("[0-9]{3}", text) else None, (BARE,)
    if letter in "bB":
        return lambda text: _or_none("response_bytes", fields.integer(text, 2**63 - 1)), (BARE,)
    if letter in "DT":
        per = 1 if letter == "D" else MICROSECONDS_PER.get(name or "s")
        if per is None:
            raise _unknown(whole)
        return lambda text: {"latency_ms": int(text) * per / 1000} if re.fullmatch("[0-9]{1,15}", text) else None, (
            BARE,
        )
    if letter == "t":
        return _time(whole, name)
    if letter == "i" and name.lower() in ("user-agent", "referer", "referrer"):
        return _text("user_agent" if name.lower() == "user-agent" else "referrer"), (SPACED,)
    if letter in NOT_KEPT:
        # A user may be of several words, and so may a header without quotes.
        return lambda _: {}, (WORDS if letter == "u" else SPACED if letter in "iCeno" else BARE,)
    raise _unknown(whole)


def _time(whole: str, name: str) -> tuple[Fields, Parts]:
    name = name.removeprefix("begin:").removeprefix("end:")
    if not name:
        return lambda text: _or_none("event_time", access_log.time(text)), ("[", BRACKETED, "]")
    if name in ("sec", "msec", "usec"):
        return lambda text: _or_none("event_time", fields.time(text)), (NUMBER,)
    raise _unknown(whole)


def _text(field: str) -> Fields:
    return lambda text: {field: access_log.unescaped(text)}


def _or_none(field: str, value: Any) -> dict[str, Any] | None:
    return None if value is None else {field: value}


def _unknown(directive: str) -> BadInput:
    msg = f"The log format's directive {directive} is not known."
    return BadInput(msg, f"Leave it out, or give the string of Apache's LogFormat, as {SHOWN!r}.")
