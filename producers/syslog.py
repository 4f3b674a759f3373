"""Syslog lines: RFC 5424, and what RFC 3164 describes, as daemons write both to files.

    [<PRI>]1 TIMESTAMP HOST APP PROCID MSGID STRUCTURED-DATA [MESSAGE]         RFC 5424
    [<PRI>]Mmm dd hh:mm:ss HOST TAG[PID]: MESSAGE                              RFC 3164
    [<PRI>]2026-11-03T12:00:00.123456+01:00 HOST TAG[PID]: MESSAGE             rsyslog's and Debian's form of it

PRI's severity is the level, APP and TAG are the service. The process id, the message id and the structured data are
attributes; the facility is not kept. RFC 3164 names neither year nor zone. The log's clock says both; without
one the year is the latest that does not put the line more than a day ahead, and the time is taken as UTC.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

from producers import fields
from shardlake.formats import times
from shardlake.formats.clock import Clock

SEVERITIES = ("FATAL", "FATAL", "FATAL", "ERROR", "WARN", "INFO", "INFO", "DEBUG")
PRIORITY_MAXIMUM = 191
LEAP_YEAR = 2000

RFC5424 = re.compile(
    r"(?:<(?P<pri>\d{1,3})>)?1 (?P<time>-|\d{4}-\d\d-\d\dT\S+) (?P<host>\S{1,255}) "
    r"(?P<app>\S{1,48}) (?P<procid>\S{1,128}) (?P<msgid>\S{1,32}) "
    r'(?P<data>-|(?:\[[^ =\]"]{1,32}(?: [^ =\]"]{1,32}="(?:[^"\\\]]|\\.)*")*\])+)(?: (?P<message>.*))?',
    re.DOTALL,
)
ELEMENT = re.compile(r'\[([^ =\]"]+)((?: [^ =\]"]+="(?:[^"\\\]]|\\.)*")*)\]')
PARAMETER = re.compile(r' ([^ =\]"]+)="((?:[^"\\\]]|\\.)*)"')
ESCAPED = re.compile(r'\\(["\\\]])')
RFC3164 = re.compile(
    r"(?:<(?P<pri>\d{1,3})>)?"
    r"(?:(?P<month>[A-Z][a-z]{2}) (?P<day>[ 0-3]?\d) (?P<clock>\d\d:\d\d:\d\d)|(?P<iso>\d{4}-\d\d-\d\dT\S+)) "
    r"(?P<host>[\w.:%-]+) (?P<tag>[^\s:\[\]]{1,48})(?:\[(?P<pid>[^\]\s]+)\])?:(?: ?(?P<message>.*))?",
    re.DOTALL,
)
BYTE_ORDER_MARK = "\ufeff"


def parse_5424(line: str) -> dict[str, Any] | None:
    """The fields of an RFC 5424 line, or None where it is none."""
    match = RFC5424.fullmatch(line)
    if match is None or not _is_priority(match["pri"]):
        return None
    event_time = None if match["time"] == "-" else fields.time(match["time"])
    if event_time is None and match["time"] != "-":
        return None
    given = {name: value for name, value in match.groupdict().items() if value not in ("-", None)}
    rest: dict[str, Any] = {name: given[name] for name in ("procid", "msgid") if name in given}
    if "data" in given:
        rest |= {element: _parameters(text) for element, text in ELEMENT.findall(given["data"])}
    message = given.get("message", "").removeprefix(BYTE_ORDER_MARK)
    return _event(event_time, match["pri"], given.get("host"), given.get("app"), message, rest)


def parse_3164(line: str, now: datetime | None = None, clock: Clock | None = None) -> dict[str, Any] | None:
    """The fields of an RFC 3164 line, or None where it is none. `now` decides its year where the log's clock has
    none."""
    match = RFC3164.fullmatch(line)
    # An application's own `2026-11-03T12:00:00Z INFO Shop: started` is not from a host named INFO.
    if match is None or not _is_priority(match["pri"]) or fields.level(match["host"]):
        return None
    if match["iso"]:
        event_time = fields.time(match["iso"], clock)
    else:
        event_time = _in_year(
            match["month"], int(match["day"]), match["clock"], now or datetime.now(UTC), clock or Clock()
        )
    if event_time is None:
        return None
    rest = {"pid": match["pid"]} if match["pid"] else {}
    return _event(event_time, match["pri"], match["host"], match["tag"], match["message"], rest)


def _event(
    event_time: datetime | None, pri: str | None, host: str | None, app: str | None, message: str | None, rest: Any
) -> dict[str, Any]:
    event = {
        "event_time": event_time,
        "service": app,
        "host": host,
        "level": SEVERITIES[int(pri) % 8] if pri else None,
        "message": message or None,
        "attributes": rest or None,
    }
    return {name: value for name, value in event.items() if value is not None}


def _is_priority(pri: str | None) -> bool:
    return pri is None or int(pri) <= PRIORITY_MAXIMUM


def _parameters(text: str) -> dict[str, Any]:
    """An element's parameters. A name that comes again, which is allowed, has a list."""
    found: dict[str, list[str]] = {}
    for name, escaped in PARAMETER.findall(text):
        value = ESCAPED.sub(r"\1", escaped) if "\\" in escaped else escaped
        found.setdefault(name, []).append(value)
    return {name: values[0] if len(values) == 1 else values for name, values in found.items()}


def _in_year(month: str, day: int, time: str, now: datetime, clock: Clock) -> datetime | None:
    if month not in times.MONTHS:
        return None
    hour, minute, second = (int(part) for part in time.split(":"))
    leap_second = second == 60
    try:
        local = datetime(LEAP_YEAR, times.MONTHS[month], day, hour, minute, second - leap_second)  # noqa: DTZ001
        found = times.in_year(local, now, clock)
        return None if found is None else found + timedelta(seconds=leap_second)
    except (ValueError, OverflowError):  # OverflowError: in UTC it lies after the year 9999
        return None
