"""A line of a log as an event: the first parser that takes it fills the fields; a line that none takes is kept
whole.

`shardlake produce` calls `reader` with its options, and the function that it returns with each line.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b
from typing import Any

from producers import access_log, json_lines, log_format, syslog
from producers.clock import Clock
from producers.guard import Unforeseen
from shardlake.errors import BadInput
from shardlake.produce.lines import Line

Parser = Callable[[str], dict[str, Any] | None]


@dataclass(frozen=True, slots=True)
class Reader:
    """From a line, its text and a service to the line's event."""

    parsers: tuple[Parser, ...]
    forced: dict[str, str]
    clock: Clock
    unforeseen: Unforeseen = field(default_factory=Unforeseen)

    def __call__(self, line: Line, text: str, fallback: str) -> dict[str, Any]:
        """The event of a line; `fallback` is its service where neither the line nor an option says one."""
        return event(line, text, fallback, self.parsers, self.unforeseen) | self.forced

    def notes(self) -> list[str]:
        """Sentences for the summary, of what was read so far."""
        return [*self.clock.notes(), *self.unforeseen.notes()]


def reader(
    format: str = "auto",
    log_format_string: str | None = None,
    mapping: Sequence[str] = (),
    service: str | None = None,
    timezone: str | None = None,
    year: int | None = None,
) -> Reader:
    """Return the function that makes an event of a line.

    `service` wins over what the line says. `timezone`, an IANA name or an offset, is that of times that name none, and
    `year` that of times that have none. Raises BadInput for options that are wrong or do not go together.
    """
    clock = Clock.of(timezone, year)
    parsers = _parsers(format, log_format_string, mapping, clock)
    return Reader(parsers, {} if service is None else {"service": service}, clock)


def _formats(clock: Clock) -> dict[str, tuple[Parser, ...]]:
    """The parsers of each format; `auto` is all of them, in this order."""
    formats: dict[str, tuple[Parser, ...]] = {
        "access": (access_log.parse_line,),
        "syslog": (syslog.parse_5424, partial(syslog.parse_3164, clock=clock)),
        "json": (json_lines.parser(clock=clock),),
    }
    return formats | {"auto": tuple(parser for parsers in formats.values() for parser in parsers)}


def _parsers(format: str, log_format_string: str | None, mapping: Sequence[str], clock: Clock) -> tuple[Parser, ...]:
    formats = _formats(clock)
    if format not in formats:
        msg = f"There is no format {format!r}."
        raise BadInput(msg, f"There is: {', '.join(formats)}.")
    if log_format_string is not None:
        if format not in ("auto", "access"):
            msg = f"--log-format is for access logs, not for {format}."
            raise BadInput(msg, "Leave out --log-format or --format.")
        return (log_format.parser(log_format_string),)
    if mapping:
        if format != "json":
            msg = "--field is for JSON lines."
            raise BadInput(msg, "Add --format json.")
        return (json_lines.parser(mapping, clock),)
    return formats[format]


AUTO = _formats(Clock())["auto"]


def event(
    line: Line, text: str, service: str, parsers: Sequence[Parser] = AUTO, unforeseen: Unforeseen | None = None
) -> dict[str, Any]:
    """The event of a line. Its id follows from where the line is and what it says: the same line gets it again.

    A parser that fails goes into `unforeseen`, and its exception to the caller only where that is None.
    """
    place = f"{line.source}\0{line.offset_bytes}\0{text}".encode()
    found: dict[str, Any] = {"event_id": blake2b(place, digest_size=16).hexdigest(), "service": service}
    for parse in parsers:
        try:
            fields = parse(text)
        except Exception as error:
            if unforeseen is None:
                raise
            unforeseen.add(error, f"{line.source}:{line.number}")
            continue
        if fields is not None:
            return found | fields
    return found | {"raw": text}


def event_id(event: dict[str, Any]) -> str:
    """By this a line is known again among the events of the topic."""
    return str(event["event_id"])


def is_parsed(event: dict[str, Any]) -> bool:
    """Whether a parser took the line."""
    return event.get("raw") is None
