"""Access logs: Common and Combined Log Format, with the extensions that carry a latency.

    [vhost[:port] ]client ident user [time] "request" status bytes[ "referrer" "user agent"[ "forwarded for"]][ latency]

The latency is Apache's %D, an integer of microseconds, or nginx's $request_time, seconds with a decimal point, bare
or as `rt=0.123`. What a line lacks, or writes as `-`, is null. A request that is not METHOD TARGET PROTOCOL is kept
as the message. A number that no field could hold makes the line none. A client may be a list, as X-Forwarded-For has
one, or stand behind the addresses that were forwarded: the first address is the client. A line that is cut short has
the fields before the cut. Source: the Apache HTTP Server's mod_log_config.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache
from typing import Any

from shardlake.formats.times import MONTHS

QUOTED = r'"([^"\\]*+(?:\\.[^"\\]*+)*+)"'
"""Possessive: nothing that a quoted text has taken is tried again, which is half of the parser's time."""
ADDRESS = r"[0-9A-Fa-f:.]*[0-9A-Fa-f:](?:%\w+)?"
NEXT_ADDRESS = r"[0-9A-Fa-f:.]{2,45}(?:%\w{1,15})?"
CLIENT = r"[\w.:%-]+(?:, ?[\w.:%-]+)*+"
"""An address or a name, or several, as X-Forwarded-For has them."""
WAY = (
    r"(?:(?P<host>[\w.-]++:\d+) |(?P<site>[A-Za-z][\w-]*(?:\.[\w-]+)+) "
    rf"(?={NEXT_ADDRESS} )|(?P<forwarded>{ADDRESS}(?:, ?{ADDRESS})*) (?={NEXT_ADDRESS} ))?(?P<client>{CLIENT}) "
)
USER_AND_TIME = (
    r"(?:- (?P<user>[^\[\"]+?)|(?P<ident>[^\s\[\"]+) (?P<name>[^\s\[\"]+)) "
    r"\[(?P<time>[^\]]+)\]"
)
"""A user of several words stands behind an ident of `-` alone: else a syslog header, a container's time or a prefix of
any kind in front would be taken for the client and the line's first fields for the user."""
TAIL = (
    rf" {QUOTED.replace('(', '(?P<request>', 1)} (?P<status>[0-9]{{3}}|-) (?P<bytes>[0-9]{{1,18}}|-)"
    rf"(?: {QUOTED.replace('(', '(?P<referrer>', 1)} {QUOTED.replace('(', '(?P<agent>', 1)}"
    rf"(?: {QUOTED.replace('(', '(?P<for>', 1)})?)?"
    r"(?: (?:rt=)?(?P<latency>[0-9]{1,15}(?:\.[0-9]{1,15})?|-))?\s*"
)
LINE = re.compile(rf"(?:(?P<host>[\w.-]++:\d+) )?(?P<client>[\w.:%-]+) {USER_AND_TIME}{TAIL}")
FORWARDED = re.compile(WAY + USER_AND_TIME + TAIL)
"""What few lines are: a site without a port, forwarded addresses in front of the client or in its place."""
CUT = re.compile(
    WAY
    + USER_AND_TIME
    + rf"(?: {QUOTED.replace('(', '(?P<request>', 1)}(?: (?P<status>[0-9]{{3}}|-)(?: (?P<bytes>[0-9]{{1,18}}|-)"
    rf"(?: {QUOTED.replace('(', '(?P<referrer>', 1)})?)?)?)?(?P<cut> \"[^\"]*| )?"
)
"""A line that ends too early, as where a disk was full: the fields before the cut are whole."""
NO_ATTRIBUTES: dict[str, Any] = {}
REQUEST = re.compile(r"([A-Z][A-Z-]*) (\S+)(?: HTTP/\d(?:\.\d)?)?")


def parse_line(line: str) -> dict[str, Any] | None:
    """The fields of an access log line, also of one that is cut short, or None where it is none."""
    if "[" not in line:
        return None
    match = LINE.fullmatch(line)
    if match is None:
        return _rare(line)
    host, client, _, _, _, clock, asked, status, size, referrer, agent, forwarded, latency = match.groups()
    event_time = time(clock)
    if event_time is None:
        return None
    event = {
        "event_time": event_time,
        "host": host,
        "client_address": given(client),
        "status": int(status) if status != "-" else None,
        "response_bytes": int(size) if size != "-" else None,
        "referrer": unescaped(referrer),
        "user_agent": unescaped(agent),
        "latency_ms": latency_ms(latency),
    }
    event.update(request(asked))
    if forwarded is not None and (addresses := unescaped(forwarded)):
        event["attributes"] = {"forwarded_for": addresses}
    return event


def _rare(line: str) -> dict[str, Any] | None:
    if '] "' not in line and not line.endswith(("]", "] ")):
        return None
    match = FORWARDED.fullmatch(line)
    if match is None:
        return _cut(line)
    client, host, attributes = _from(match)
    rest = f"{client or '-'} - - {line[match.start('time') - 1 :]}"
    event = parse_line(rest)
    if event is None:
        return None
    event["host"] = host
    if attributes:
        event["attributes"] = attributes | event.get("attributes", {})
    return event


def _cut(line: str) -> dict[str, Any] | None:
    match = CUT.fullmatch(line)
    event_time = None if match is None else time(match["time"])
    if match is None or event_time is None:
        return None
    client, host, attributes = _from(match)
    event: dict[str, Any] = {"event_time": event_time, "host": host, "client_address": client}
    if match["status"] not in (None, "-"):
        event["status"] = int(match["status"])
    if match["bytes"] not in (None, "-"):
        event["response_bytes"] = int(match["bytes"])
    if match["referrer"] is not None:
        event["referrer"] = unescaped(match["referrer"])
    cut = (match["cut"] or "").strip()
    if cut:
        attributes = attributes | {"cut": cut}
    if attributes:
        event["attributes"] = attributes
    return event | (request(match["request"]) if match["request"] is not None else {})


def _from(match: re.Match[str]) -> tuple[str | None, str | None, dict[str, Any]]:
    """The client and the host of a line, and what else the line says of its way."""
    client, host = given(match["client"]), match["host"] or match["site"]
    if match["forwarded"] is None and (client is None or "," not in client):
        return client, host, NO_ATTRIBUTES
    if match["forwarded"] is None:
        assert client is not None
        return client.partition(",")[0], host, {"forwarded_for": client}
    attributes = {"forwarded_for": match["forwarded"], "proxy_address": client}
    return match["forwarded"].partition(",")[0], host, attributes


def request(line: str) -> dict[str, Any]:
    """The fields of a request line: its method and path, or where it has none, the message."""
    match = REQUEST.fullmatch(line)
    return {"method": match[1], "path": unescaped(match[2])} if match else {"message": unescaped(line)}


def time(text: str) -> datetime | None:
    """`17/May/2015:10:05:03 +0000`, as UTC; None where it is no time."""
    try:
        return _minute(text[:17], text[20:]) + timedelta(seconds=_two_digits(text[18:20], 60))
    except (ValueError, LookupError, OverflowError):  # OverflowError: in UTC it lies before year 1 or after 9999
        return None


@lru_cache(1024)
def _minute(text: str, zone: str) -> datetime:
    if text[2] != "/" or text[6] != "/" or text[11] != ":" or text[14] != ":":
        raise ValueError(text)
    if len(zone) != 6 or zone[0] != " " or zone[1] not in "+-":
        raise ValueError(zone)
    offset = timedelta(hours=int(zone[2:4]), minutes=int(zone[4:6])) * (1 if zone[1] == "+" else -1)
    local = datetime(
        int(text[7:11]), MONTHS[text[3:6]], int(text[:2]), int(text[12:14]), int(text[15:17]), tzinfo=timezone(offset)
    )
    return local.astimezone(UTC)


def _two_digits(text: str, maximum: int) -> int:
    if len(text) != 2 or not text.isdigit() or int(text) > maximum:
        raise ValueError(text)
    return int(text)


def latency_ms(text: str | None) -> float | None:
    """Seconds where there is a decimal point, else microseconds."""
    if text is None or text == "-":
        return None
    return float(text) * 1000 if "." in text else int(text) / 1000


def given(text: str | None) -> str | None:
    """None for what the server had not: `-`."""
    return None if text in (None, "-", "") else text


def unescaped(text: str | None) -> str | None:
    """What stood in quotes, before the server escaped it."""
    if text is not None and "\\" in text:
        text = text.replace('\\"', '"').replace("\\\\", "\\")
    return given(text)
