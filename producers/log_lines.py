"""A line of a log as an event: the first parser that takes it fills the fields; a line that none takes is kept
whole."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

from producers import access_log
from shardlake.produce.lines import Line

PARSERS = (access_log.parse_line,)


def event(line: Line, text: str, service: str) -> dict[str, Any]:
    """The event of a line. Its id follows from where the line is and what it says: the same line gets it again."""
    place = f"{line.source}\0{line.offset_bytes}\0{text}".encode()
    found: dict[str, Any] = {"event_id": blake2b(place, digest_size=16).hexdigest(), "service": service}
    for parse in PARSERS:
        fields = parse(text)
        if fields is not None:
            return found | fields
    return found | {"raw": text}


def is_parsed(event: dict[str, Any]) -> bool:
    """Whether a parser took the line."""
    return "raw" not in event
