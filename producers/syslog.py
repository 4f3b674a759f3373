"""Syslog lines: RFC 5424, and what RFC 3164 describes, as daemons write both to files.

    [<PRI>]1 TIMESTAMP HOST APP PROCID MSGID STRUCTURED-DATA [MESSAGE]         RFC 5424
    [<PRI>]Mmm dd [yyyy] hh:mm:ss[.fff] [ZONE] HOST TAG[PID]: MESSAGE          RFC 3164, and what daemons add to it
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
TAG = r"[^\s:\[\]]{1,48}"
RFC3164 = re.compile(
    r"(?:<(?P<pri>\d{1,3})>)?"
    r"(?:(?P<month>[A-Z][a-z]{2}) (?P<day>[ 0-3]?\d) (?:(?P<year>(?:19|20)\d\d) )?(?P<clock>\d\d:\d\d:\d\d)"
    rf"(?:[.,](?P<fraction>\d{{1,9}}))?(?: ?(?P<zone>Z|[+-]\d\d:?\d\d|{'|'.join(times.ABBREVIATED)})(?= ))?"
    r"(?: (?P<late_year>(?:19|20)\d\d)(?= ))?|(?P<iso>\d{4}-\d\d-\d\dT\S+)) +"
    r"(?P<host>[\w.:%-]*[\w%]) +"
    # A tag has no spaces but for a version (`syslogd 1.4.1:`) and, behind a PRI, where nothing else can stand.
    rf"(?:(?:(?P<tag>{TAG}(?: \d[\w.]*)?|-- {TAG})|(?P<words>{TAG}(?: {TAG}){{1,3}}))"
    r"(?:\[(?P<pid>[^\]\s]+)\](?: (?=\())?)?(?::|(?<=\] ))(?P<space> ?)(?P<message>.*)|"
    r"(?P<repeated>(?:last )?message repeated \d+ times?.*))",
    re.DOTALL,
)
NO_HOSTS = frozenset(
    {"stdout", "stderr", "last", "trc", "dbg", "inf", "wrn", "ftl", "pnc", "v", "d", "i", "w", "e", "f"}
)
"""What stands behind a time where an application wrote the line, as level words do."""
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
    """The fields of an RFC 3164 line, or None where it is none. `now` decides its year where neither the line nor the
    log's clock has one."""
    match = RFC3164.fullmatch(line)
    if match is None or not _is_priority(match["pri"]) or not _is_from_a_daemon(match):
        return None
    if match["iso"]:
        event_time = fields.time(match["iso"], clock)
    else:
        event_time = _time(match, now or datetime.now(UTC), clock or Clock())
    if event_time is None:
        return None
    rest = {"pid": match["pid"]} if match["pid"] else {}
    tag, message = match["tag"] or match["words"], match["repeated"] or match["message"]
    return _event(event_time, match["pri"], match["host"], tag, message, rest)


def _is_from_a_daemon(match: re.Match[str]) -> bool:
    """Tell a daemon's line from an application's own, as `2026-11-03T12:00:00Z INFO Shop: started`, where no host is
    named INFO, and `TIME 4711 ERROR: started`, where no service is named ERROR."""
    host, tag = match["host"], match["tag"] or match["words"]
    if fields.level(host) or host.lower() in NO_HOSTS or (tag and fields.level(tag)):
        return False
    if match["words"] and match["pri"] is None:
        return False
    return not match["iso"] or not match["message"] or match["space"] == " " or match["pri"] is not None


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


def _time(match: re.Match[str], now: datetime, clock: Clock) -> datetime | None:
    if match["month"] not in times.MONTHS:
        return None
    hour, minute, second = (int(part) for part in match["clock"].split(":"))
    leap_second = second == 60
    microsecond = int((match["fraction"] or "")[:6].ljust(6, "0"))
    year = match["year"] or match["late_year"]
    zone = Clock(times.zone_of(match["zone"]), clock.year) if match["zone"] else clock
    try:
        local = datetime(  # noqa: DTZ001
            int(year or LEAP_YEAR), times.MONTHS[match["month"]], int(match["day"]), hour, minute,
            second - leap_second, microsecond,
        )  # fmt: skip
        found = zone.utc(local) if year else times.in_year(local, now, zone)
        return None if found is None else found + timedelta(seconds=leap_second)
    except (ValueError, OverflowError):  # OverflowError: in UTC it lies after the year 9999
        return None
