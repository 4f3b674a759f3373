"""JSON lines: an object a line, as structured loggers write them.

A field of the event is taken from the first member that is there and fits (`producers/members.py`). What fits no field
stays in `attributes`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Any

from producers import wrappers
from producers.members import Finder, mapped
from shardlake.formats.clock import Clock

NO_ESCAPE = re.compile(r"(?<!\\)((?:\\\\)*+)\\x")
Parser = Callable[[str], dict[str, Any] | None]


def parser(mapping: Sequence[str] = (), clock: Clock | None = None) -> Parser:
    """A parser that looks for the fields of `mapping` (each `field=member`) there and nowhere else; `clock` is the
    log's.

    Raises BadInput where one is no field of the event.
    """
    finder = Finder(mapped(mapping), clock or Clock())

    def parse(line: str) -> dict[str, Any] | None:
        if not line.lstrip().startswith("{"):
            return None
        try:
            members = json.loads(line)
        except RecursionError:
            return None
        except ValueError:
            members = _with_odd_bytes(line)
        if members is None or (not mapping and wrappers.is_docker_json(members)):
            return None
        return finder.fields(members)

    return parse


def _with_odd_bytes(line: str) -> dict[str, Any] | None:
    """The object of a line with `\\xNN`, which JSON does not have: nginx writes quotes so, and the reader of lines
    bytes that are no UTF-8."""
    if "\\x" not in line:
        return None
    try:
        members: dict[str, Any] = json.loads(NO_ESCAPE.sub(r"\1\\\\x", line))
    except (ValueError, RecursionError):
        return None
    return members
