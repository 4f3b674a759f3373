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
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from producers import access_log, fields
from shardlake.formats import times
from shardlake.formats.clock import Clock

SEVERITIES = ("FATAL", "FATAL", "FATAL", "ERROR", "WARN", "INFO", "INFO", "DEBUG")
PRIORITY_MAXIMUM = 191
Parser = Callable[[str], dict[str, Any] | None]

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
LAYOUTS = ("%b %d %H:%M:%S%f%z", "%b %d %H:%M:%S%f%z %Y", "%b %d %Y %H:%M:%S%f%z")
ZONE = rf" ?(?:Z|[+-]\d\d:?\d\d|{'|'.join(times.ABBREVIATED)})(?= )"
RFC3164 = re.compile(
    r"(?:<(?P<pri>\d{1,3})>)?"
    r"(?:(?P<stamp>[A-Z][a-z]{2} [ 0-3]?\d (?:(?:19|20)\d\d )?\d\d:\d\d:\d\d(?:[.,]\d{1,9})?"
    rf"(?:{ZONE})?(?: (?:19|20)\d\d(?= ))?)|(?P<iso>\d{{4}}-\d\d-\d\dT\S+)) +"
    r"(?P<host>[\w.:%-]*[\w%]) +"
    # A tag has no spaces but for a version (`syslogd 1.4.1:`) and, behind a PRI, where nothing else can stand.
    rf"(?:(?:(?P<tag>{TAG}(?: \d[\w.]*)?|-- {TAG})|(?P<words>{TAG}(?: {TAG}){{1,3}}))"
    r"(?:\[(?P<pid>[^\]\s]+)\](?: (?=\())?)?(?::|(?<=\] ))(?P<space> ?)(?P<message>.*)|"
    r"(?P<repeated>(?:last )?message repeated \d+ times?.*))",
    re.DOTALL,
)
NO_HOSTS = frozenset(
    {*fields.LEVEL_OF, "stdout", "stderr", "last", "trc", "dbg", "inf", "wrn", "ftl", "pnc", *"vdiwef"}
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


def parser_3164(clock: Clock, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> Parser:
    """A parser of RFC 3164 lines by the log's clock. `now` decides their year where neither they nor the clock have
    one."""
    read_stamp, read_iso = times.reads(LAYOUTS, clock, now), times.reads((times.ISO,), clock)

    def parse(line: str) -> dict[str, Any] | None:
        match = RFC3164.fullmatch(line)
        if match is None:
            return None
        pri, stamp, iso, host, tag, words, pid, space, message, repeated = match.groups()
        service = tag or words
        if not _is_priority(pri) or not _is_from_a_daemon(host, service):
            return None
        if pri is None and (words or (iso and message and not space)):
            return None
        event_time = read_stamp(stamp) if stamp else read_iso(iso)
        if not isinstance(event_time, datetime):
            return None
        return _event(event_time, pri, host, service, repeated or message, {"pid": pid} if pid else {})

    return parse


def _is_from_a_daemon(host: str, service: str | None) -> bool:
    """Tell a daemon's line from an application's own, as `2026-11-03T12:00:00Z INFO Shop: started`, where no host is
    named INFO, and `TIME 4711 ERROR: started`, where no service is named ERROR."""
    return host.lower() not in NO_HOSTS and (service is None or service.lower() not in fields.LEVEL_OF)


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
    given = {name: value for name, value in event.items() if value is not None}
    if message and '] "' in message and (request := access_log.parse_line(message)) is not None:
        return _of_a_web_server(given, request)
    return given


def _of_a_web_server(header: dict[str, Any], request: dict[str, Any]) -> dict[str, Any]:
    """The fields of an access line, and what its header knows besides. The header's message was the access line."""
    found = {name: value for name, value in request.items() if value is not None}
    rest = header.pop("attributes", {}) | found.pop("attributes", {})
    del header["message"]
    return header | found | ({"attributes": rest} if rest else {})


def _is_priority(pri: str | None) -> bool:
    return pri is None or int(pri) <= PRIORITY_MAXIMUM


def _parameters(text: str) -> dict[str, Any]:
    """An element's parameters. A name that comes again, which is allowed, has a list."""
    found: dict[str, list[str]] = {}
    for name, escaped in PARAMETER.findall(text):
        value = ESCAPED.sub(r"\1", escaped) if "\\" in escaped else escaped
        found.setdefault(name, []).append(value)
    return {name: values[0] if len(values) == 1 else values for name, values in found.items()}
