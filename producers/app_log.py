"""Named parts of a line as the fields of an `app_log` event.

A parser yields fields of the schema, with values as the schema has them, and besides: `logger`, `thread`, `trace_id`,
`span_id`, `exception`, and in `attributes` whatever else the line says. The schema has no field for these; they follow
the message as JSON, so that nothing of the line is lost.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from producers import access_log, fields

SCHEMA = frozenset(
    {
        "event_id", "event_time", "service", "host", "level", "message", "method", "path", "status", "response_bytes",
        "latency_ms", "client_address", "user_agent", "referrer", "raw",
    }
)  # fmt: skip
BESIDES = ("logger", "thread", "trace_id", "span_id", "exception")
"""Named by parsers, and no fields of the schema."""
OUTSIDE = frozenset({*BESIDES, "attributes"})

MILLISECONDS_PER = {"latency_seconds": 1000.0, "latency_us": 0.001, "latency_ns": 0.000_001}
Fits = Callable[[str], Any]
FITS: dict[str, Fits] = {
    "status": lambda text: fields.integer(text, 2**31 - 1),
    "response_bytes": lambda text: fields.integer(text, 2**63 - 1),
    "latency_ms": fields.real,
}


def fitted(named: dict[str, Any]) -> dict[str, Any]:
    """A parser's fields, made of what a pattern's groups hold: texts as the schema's fields take them, a request's
    parts, a latency in milliseconds. What fits no field is in `attributes` under the group's name."""
    found: dict[str, Any] = {}
    attributes: dict[str, Any] = {}
    for name, value in named.items():
        if name in FITS:
            fitting = FITS[name](value)
            if fitting is None:
                attributes[name] = value
            else:
                found[name] = fitting
        elif name in SCHEMA or name in BESIDES:
            found[name] = value
        elif name == "request":
            found |= access_log.request(value)
        elif name in MILLISECONDS_PER and (latency := fields.real(value)) is not None and latency >= 0:
            found["latency_ms"] = latency * MILLISECONDS_PER[name]
        else:
            attributes[name] = value
    if attributes:
        found["attributes"] = attributes
    return found


def event_fields(parsed: dict[str, Any]) -> dict[str, Any]:
    """The fields of the schema, with all else as JSON behind the message."""
    if parsed.keys().isdisjoint(OUTSIDE):
        return parsed
    rest = {name: parsed[name] for name in BESIDES if name in parsed} | parsed.get("attributes", {})
    event = {name: value for name, value in parsed.items() if name in SCHEMA}
    message = fields.with_rest(event.get("message"), rest)
    return event if message is None else event | {"message": message}
