"""JSON lines: an object a line, as structured loggers write them.

A field of the event is taken from the first member that is there and fits (`producers/members.py`). What fits no field
stays in `attributes`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from producers import members
from shardlake.formats.clock import Clock

Parser = Callable[[str], dict[str, Any] | None]


def parser(mapping: Sequence[str] = (), clock: Clock | None = None) -> Parser:
    """A parser that looks for the fields of `mapping` (each `field=member`) there and nowhere else; `clock` is the
    log's.

    Raises BadInput where one is no field of the event.
    """
    found = members.Finder(members.mapped(mapping), clock or Clock())

    def parse(line: str) -> dict[str, Any] | None:
        if not line.lstrip().startswith("{"):
            return None
        try:
            rest = json.loads(line)
        except (ValueError, RecursionError):
            return None
        return found.fields(rest)

    return parse
