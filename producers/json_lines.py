"""JSON lines: an object a line, as structured loggers write them.

A field of the event is taken from the first member that is there and fits; names with dots are also looked up in
objects within (`http.response.status_code`). What fits no field stays in `attributes`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from producers import fields
from shardlake.errors import BadInput
from shardlake.formats.clock import Clock

Parser = Callable[[str], dict[str, Any] | None]
Fitting = dict[str, Callable[[Any], Any]]

NAMES: dict[str, tuple[str, ...]] = {
    "event_time": ("event_time", "@timestamp", "timestamp", "time", "ts", "datetime"),
    "service": ("service", "service.name", "service_name", "app", "application"),
    "host": ("host", "hostname", "host.name"),
    "level": ("level", "severity", "log.level", "loglevel", "levelname", "lvl"),
    "message": ("message", "msg"),
    "method": ("method", "http_method", "request_method", "http.request.method", "http.method"),
    "path": ("path", "uri", "request_uri", "url.original", "url.path", "url"),
    "status": ("status", "status_code", "http_status", "http.response.status_code", "http.status_code"),
    "response_bytes": ("response_bytes", "bytes", "bytes_sent", "body_bytes_sent", "http.response.body.bytes"),
    "latency_ms": ("latency_ms", "duration_ms", "elapsed_ms", "response_time_ms"),
    "client_address": ("client_address", "client_ip", "remote_addr", "remote_ip", "client.ip", "source.ip", "ip"),
    "user_agent": ("user_agent", "http_user_agent", "user_agent.original"),
    "referrer": ("referrer", "referer", "http_referer", "http.request.referrer"),
}
"""The members in which a field is looked for, in this order. A duration without a unit in its name is in none."""

FITTING: Fitting = {
    **dict.fromkeys(NAMES, fields.text),  # but for the event's time, which a parser reads by the log's clock
    "level": fields.level,
    "status": lambda value: fields.integer(value, 2**31 - 1),
    "response_bytes": lambda value: fields.integer(value, 2**63 - 1),
    "latency_ms": fields.real,
}


def parser(mapping: Sequence[str] = (), clock: Clock | None = None) -> Parser:
    """A parser that looks for the fields of `mapping` (each `field=member`) there and nowhere else; `clock` is the
    log's.

    Raises BadInput where one is no field of the event.
    """
    names = dict(NAMES)
    for one in mapping:
        field, equals, member = one.partition("=")
        if field not in NAMES or not equals or not member:
            msg = f"{one!r} maps no field."
            raise BadInput(msg, f"Give --field FIELD=MEMBER, with one of: {', '.join(NAMES)}.")
        names[field] = (member,)
    fitting: Fitting = FITTING | {"event_time": partial(fields.time, clock=clock)}
    return lambda line: _parse(line, names, fitting)


def _parse(line: str, names: dict[str, tuple[str, ...]], fits: Fitting) -> dict[str, Any] | None:
    if not line.lstrip().startswith("{"):
        return None
    try:
        rest = json.loads(line)
    except (ValueError, RecursionError):
        return None
    event = {}
    for field, members in names.items():
        for member in members:
            fitting = fits[field](_find(rest, member))
            if fitting is not None:
                _take(rest, member)
                event[field] = fitting
                break
    if not event:
        return None
    return event | {"attributes": rest} if rest else event


def _find(found: Any, member: str) -> Any:
    """The member of that very name, else the one in the object that the part before the first dot names."""
    if not isinstance(found, dict):
        return None
    if member in found:
        return found[member]
    outer, dot, inner = member.partition(".")
    return _find(found.get(outer), inner) if dot else None


def _take(found: dict[str, Any], member: str) -> None:
    """Remove what `_find` finds, and objects that are empty then."""
    if member in found:
        del found[member]
        return
    outer, _, inner = member.partition(".")
    _take(found[outer], inner)
    if not found[outer]:
        del found[outer]
