"""A line of a log as an event: the first parser that takes it fills the fields; a line that none takes is kept
whole.

`shardlake produce` calls `reader` with its options, and the function that it returns with each line.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Any

from producers import access_log, json_lines, log_format, syslog
from shardlake.errors import BadInput
from shardlake.produce.lines import Line

Parser = Callable[[str], dict[str, Any] | None]
Reader = Callable[[Line, str, str], dict[str, Any]]

FORMATS: dict[str, tuple[Parser, ...]] = {
    "access": (access_log.parse_line,),
    "syslog": (syslog.parse_5424, syslog.parse_3164),
    "json": (json_lines.parser(),),
}
FORMATS["auto"] = tuple(parser for parsers in FORMATS.values() for parser in parsers)


def reader(
    format: str = "auto", log_format_string: str | None = None, mapping: Sequence[str] = (), service: str | None = None
) -> Reader:
    """A function from a line, its text and a service to its event.

    `service` wins over what the line says, and that over the function's argument. Raises BadInput for options that
    are wrong or do not go together.
    """
    parsers = _parsers(format, log_format_string, mapping)
    forced = {} if service is None else {"service": service}
    return lambda line, text, fallback: event(line, text, fallback, parsers) | forced


def _parsers(format: str, log_format_string: str | None, mapping: Sequence[str]) -> tuple[Parser, ...]:
    if format not in FORMATS:
        msg = f"There is no format {format!r}."
        raise BadInput(msg, f"There is: {', '.join(FORMATS)}.")
    if log_format_string is not None:
        if format not in ("auto", "access"):
            msg = f"--log-format is for access logs, not for {format}."
            raise BadInput(msg, "Leave out --log-format or --format.")
        return (log_format.parser(log_format_string),)
    if mapping:
        if format != "json":
            msg = "--field is for JSON lines."
            raise BadInput(msg, "Add --format json.")
        return (json_lines.parser(mapping),)
    return FORMATS[format]


def event(line: Line, text: str, service: str, parsers: Sequence[Parser] = FORMATS["auto"]) -> dict[str, Any]:
    """The event of a line. Its id follows from where the line is and what it says: the same line gets it again."""
    place = f"{line.source}\0{line.offset_bytes}\0{text}".encode()
    found: dict[str, Any] = {"event_id": blake2b(place, digest_size=16).hexdigest(), "service": service}
    for parse in parsers:
        fields = parse(text)
        if fields is not None:
            return found | fields
    return found | {"raw": text}


def event_id(event: dict[str, Any]) -> str:
    """By this a line is known again among the events of the topic."""
    return str(event["event_id"])


def is_parsed(event: dict[str, Any]) -> bool:
    """Whether a parser took the line."""
    return event.get("raw") is None
