"""A line of a log as an event: the format that takes the line fills the fields; a line that none takes is kept whole.

`shardlake produce` calls `reader` with its options, and the function that it returns with each line. The formats are
the files of `producers/formats`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Any

from producers import access_log, fields, json_lines, log_format, logfmt, syslog, wrappers
from producers.app_log import event_fields, fitted
from producers.guard import Unforeseen
from shardlake.errors import BadInput
from shardlake.formats import format_file, growth, layouts
from shardlake.formats.clock import Clock
from shardlake.formats.format_file import Format
from shardlake.formats.recogniser import Recogniser
from shardlake.produce.lines import Line

Parser = Callable[[str], dict[str, Any] | None]
FOLDER = Path(__file__).parent / "formats"
AUTO = "auto"
BYTE_ORDER_MARK = "\ufeff"
"""Windows begins files so; it is part of a line's bytes, and so of its id, and of no field."""
DEEPEST = 2
"""A line stands in so many wrappers at most: Compose's name before the time of `docker logs`."""
MANY_UNPARSED = 0.1
"""A larger share of lines that no format took is warned of."""


@dataclass(slots=True)
class Reader:
    """From a line, its text and a service to the line's event."""

    formats: tuple[tuple[Format, Parser], ...]
    forced: dict[str, str]
    clock: Clock
    unforeseen: Unforeseen = field(default_factory=Unforeseen)
    recogniser: Recogniser = field(init=False)

    def __post_init__(self) -> None:
        self.recogniser = Recogniser(self.formats, self.clock, self.unforeseen.add)

    def __call__(self, line: Line, text: str, fallback: str) -> dict[str, Any]:
        """The event of a line; `fallback` is its service where neither the line nor an option says one."""
        parsed = self.recogniser.read(line.source, line.number, text.removeprefix(BYTE_ORDER_MARK))
        event = {"event_id": id_of(line, text), "service": fallback}
        container = wrappers.container_of(fallback)
        if container is not None:
            event["service"], of_pod = container
            if parsed is not None:
                parsed = parsed | {"attributes": of_pod | parsed.get("attributes", {})}
        event.update({"raw": text} if parsed is None else event_fields(parsed))
        event.update(self.forced)
        return event

    def afresh(self) -> Reader:
        """A reader that has read nothing yet."""
        return Reader(self.formats, self.forced, self.clock)

    def lines(self) -> dict[str, int]:
        """Lines by the format that took them."""
        return self.recogniser.formats()

    def read_lines(self) -> dict[str, int]:
        """Lines by the format that took them, for a metric: `none` are those of no format."""
        return {"none": self.recogniser.unparsed.lines, **self.lines()}

    def notes(self) -> list[str]:
        """Sentences for the summary, of what was read so far."""
        return [*self.clock.notes(), *self.unforeseen.notes(), *self._of_unparsed()]

    def _of_unparsed(self) -> list[str]:
        unparsed, parsed = self.recogniser.unparsed, sum(self.lines().values())
        found = []
        for place, text in unparsed.samples:
            near = self.recogniser.nearest(text)
            # Without the line's text, which may be personal: a summary ends up in logs.
            found.append(f"{place} is of no format: {near.where if near else 'no format takes any of it'}")
        if unparsed.lines > MANY_UNPARSED * (unparsed.lines + parsed):
            share = unparsed.lines / (unparsed.lines + parsed)
            found.append(
                f"warning: {share:.0%} of the lines, {unparsed.lines:,}, are of no format: they have no time and no "
                "level. `shardlake formats explain FILE` says why; --layout, --pattern or a file in producers/formats "
                "reads them"
            )
        return found


def reader(
    format: str = AUTO,
    log_format_string: str | None = None,
    mapping: Sequence[str] = (),
    service: str | None = None,
    timezone: str | None = None,
    year: int | None = None,
    layout: str | None = None,
    pattern: str | None = None,
) -> Reader:
    """Return the function that makes an event of a line.

    `service` wins over what the line says. `timezone`, an IANA name or an offset, is that of times that name none, and
    `year` that of times that have none. `layout` is the string that the application's logging is configured with, and
    `pattern` a regular expression with named groups. Raises BadInput for options that are wrong or do not go together.
    """
    clock = Clock.of(timezone, year)
    if layout is None and pattern is None:
        formats = _chosen(format, log_format_string, mapping, clock)
    else:
        if format != AUTO or log_format_string is not None or mapping or (layout and pattern):
            msg = "--layout, --pattern, --log-format, --field and --format each say the format."
            raise BadInput(msg, "Give one of them.")
        own = _of_pattern(str(pattern)) if layout is None else layouts.format_of(layout, fields.LEVEL_WORDS)
        formats = ((own, parser_of(own, clock)),)
    return Reader(formats, {} if service is None else {"service": service}, clock)


@cache
def all_formats() -> tuple[Format, ...]:
    """The formats of `producers/formats`, in the order in which they are tried."""
    return tuple(format_file.load(FOLDER, fields.LEVEL_WORDS))


def parser_of(format: Format, clock: Clock, depth: int = 0) -> Parser:
    """The parser of a format in so many wrappers. Raises BadInput where the format's file names one that is not
    there."""
    if format.function is not None:
        parsers = _functions(clock, depth)
        if format.function not in parsers:
            msg = f"The format {format.name} names the parser {format.function!r}."
            raise BadInput(msg, f"There is: {', '.join(parsers)}.")
        return parsers[format.function]
    return fitting(format.parser(clock, fields.level))


def fitting(parse: Parser) -> Parser:
    """A pattern's parser, with what its groups hold as the schema's fields take it."""

    def parsed(line: str) -> dict[str, Any] | None:
        named = parse(line)
        return None if named is None else fitted(named)

    return parsed


def _inside(clock: Clock, depth: int) -> wrappers.Inside:
    """The reader of lines in so many wrappers."""

    def formats() -> list[tuple[Format, Parser]]:
        return [
            (one, parser_of(one, clock, depth))
            for one in all_formats()
            if depth < DEEPEST or one.function not in wrappers.PARSERS
        ]

    return wrappers.Inside(formats, clock)


def _functions(clock: Clock, depth: int) -> dict[str, Parser]:
    """Parsers that are more than a pattern, by the names that formats' files give them."""
    return {
        **{name: parser(_inside(clock, depth + 1)) for name, parser in wrappers.PARSERS.items()},
        "access_log": access_log.parse_line,
        "syslog_5424": syslog.parse_5424,
        "syslog_3164": syslog.parser_3164(clock),
        "logfmt": logfmt.parser(clock),
        "json_lines": json_lines.parser(clock=clock),
    }


def _of_pattern(pattern: str) -> Format:
    """The format of lines that fit a regular expression with named groups. Raises BadInput where its time may grow
    faster than a line."""
    growth.check(pattern)
    if not re.compile(pattern).groupindex:
        msg = f"The pattern {pattern!r} has no named group."
        raise BadInput(msg, "Name its parts, as (?P<time>…), (?P<level>…) and (?P<message>…).")
    return Format("pattern", pattern, (pattern,), (pattern,), fields.IN_WORDS)


FAMILIES = {"access": ("access",), "syslog": ("syslog_5424", "syslog_3164"), "json": ("docker_json", "json")}
"""Names that --format takes for several formats."""


def _chosen(
    name: str, log_format_string: str | None, mapping: Sequence[str], clock: Clock
) -> tuple[tuple[Format, Parser], ...]:
    formats = {one.name: one for one in all_formats()}
    if name not in (AUTO, *FAMILIES, *formats):
        msg = f"There is no format {name!r}."
        raise BadInput(msg, f"There is: {', '.join(dict.fromkeys([AUTO, *FAMILIES, *formats]))}.")
    if log_format_string is not None:
        if name not in (AUTO, "access"):
            msg = f"--log-format is for access logs, not for {name}."
            raise BadInput(msg, "Leave out --log-format or --format.")
        own = Format("log_format", "the access log's own format, by --log-format")
        return ((own, log_format.parser(log_format_string)),)
    if mapping:
        if name != "json":
            msg = "--field is for JSON lines."
            raise BadInput(msg, "Add --format json.")
        return ((formats["json"], json_lines.parser(mapping, clock)),)
    names = list(formats) if name == AUTO else FAMILIES.get(name, (name,))
    return tuple((formats[one], parser_of(formats[one], clock)) for one in names)


def id_of(line: Line, text: str) -> str:
    """The id of a line's event. It follows from where the line is and what it says: the same line gets it again."""
    place = f"{line.source}\0{line.offset_bytes}\0{text}".encode()
    return blake2b(place, digest_size=16).hexdigest()


def event_id(event: dict[str, Any]) -> str:
    """By this a line is known again among the events of the topic."""
    return str(event["event_id"])


def is_parsed(event: dict[str, Any]) -> bool:
    """Whether a parser took the line."""
    return event.get("raw") is None
