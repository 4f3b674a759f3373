"""The fields of an event among the named members of a line: a JSON object's, or those of logfmt.

Loggers agree on no names, and so each field has several: a field is taken from the first member that is there and whose
value fits. Names with dots are also looked up in objects within (`http.response.status_code`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from producers import access_log, fields
from shardlake.errors import BadInput
from shardlake.formats.clock import Clock

Names = dict[str, tuple[str, ...]]
Fits = Callable[[Any], Any]

NAMES: Names = {
    "event_time": (
        "event_time", "@timestamp", "timestamp", "time", "ts", "datetime", "asctime", "@t", "instant", "timeMillis",
        "t.$date", "__REALTIME_TIMESTAMP", "timeUnixNano", "observedTimeUnixNano", "eventTime", "requestTime",
        "requestTimeEpoch", "record.time.timestamp", "Timestamp", "date", "time_local", "time_iso8601", "msec",
    ),
    "service": (
        "service", "service.name", "service_name", "app", "application", "SYSLOG_IDENTIFIER", "serviceName",
        "resource.service.name", "eventSource",
    ),
    "host": ("host", "hostname", "host.name", "host.hostname", "_HOSTNAME", "MachineName"),
    "level": (
        "level", "severity", "log.level", "loglevel", "levelname", "lvl", "@l", "severityText", "severity_text",
        "SeverityText", "log_level", "logLevel", "level_name", "error_severity", "Level", "record.level.name",
    ),
    "message": (
        "message", "msg", "MESSAGE", "short_message", "@m", "@mt", "body.stringValue", "body", "Body", "event",
        "record.message", "textPayload", "text",
    ),
    "logger": (
        "logger", "logger_name", "loggerName", "log.logger", "SourceContext", "Properties.SourceContext", "name",
        "logging.logger", "record.name",
    ),
    "thread": ("thread", "thread_name", "threadName", "process.thread.name", "thread.name"),
    "trace_id": ("trace_id", "traceId", "trace.id", "@tr", "TraceId", "otelTraceID", "dd.trace_id", "traceID"),
    "span_id": ("span_id", "spanId", "span.id", "@sp", "SpanId", "otelSpanID", "dd.span_id", "spanID"),
    "exception": (
        "exception", "stack_trace", "stackTrace", "stacktrace", "error.stack_trace", "exc_info", "@x", "err.stack",
        "error.stack", "exception.stacktrace", "thrown.extendedStackTrace", "traceback",
    ),
    "method": (
        "method", "http_method", "request_method", "http.request.method", "http.method", "httpMethod", "request.method",
        "httpRequest.httpMethod",
    ),
    "path": (
        "path", "uri", "request_uri", "url.original", "url.path", "url", "resourcePath", "request.uri", "request.path",
        "request.url", "httpRequest.uri",
    ),
    "status": (
        "status", "status_code", "http_status", "http.response.status_code", "http.status_code", "statusCode",
        "res.statusCode", "response.status",
    ),
    "response_bytes": (
        "response_bytes", "bytes", "bytes_sent", "body_bytes_sent", "http.response.body.bytes", "responseLength",
    ),
    "latency_ms": (
        "latency_ms", "duration_ms", "elapsed_ms", "response_time_ms", "durationMs", "elapsedMs", "responseLatency",
    ),
    "client_address": (
        "client_address", "client_ip", "remote_addr", "remote_ip", "client.ip", "source.ip", "ip", "request.remote_ip",
        "request.client_ip", "sourceIPAddress", "clientIp", "httpRequest.clientIp",
    ),
    "user_agent": (
        "user_agent", "http_user_agent", "user_agent.original", "userAgent", "request.headers.User-Agent",
    ),
    "referrer": ("referrer", "referer", "http_referer", "http.request.referrer", "request.headers.Referer"),
}  # fmt: skip
"""The members in which a field is looked for, in this order. A duration without a unit in its name is in none."""

LETTERS = {"T": "TRACE", "V": "TRACE", "D": "DEBUG", "I": "INFO", "W": "WARN", "E": "ERROR", "F": "FATAL"}
OF_PINO = {10: "TRACE", 20: "DEBUG", 30: "INFO", 40: "WARN", 50: "ERROR", 60: "FATAL"}
"""Bunyan's numbers too. Python's are others, and so they count only where pino's or bunyan's members are."""
OF_SYSLOG = ("FATAL", "FATAL", "FATAL", "ERROR", "WARN", "INFO", "INFO", "DEBUG")
OF_OPENTELEMETRY = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")
"""Each is of four numbers, from 1."""
STATUS_AND_REASON = re.compile(r"(\d{3}) [A-Za-z].*")
DURATION = re.compile(r"\d+(?:\.\d+)?(?:ms|s|us|µs|ns)")


def mapped(mapping: Sequence[str]) -> Names:
    """The members of each field, as they are usual or as `mapping` says (each `field=member`).

    Raises BadInput where one is no field of the event.
    """
    names = dict(NAMES)
    for one in mapping:
        field, equals, member = one.partition("=")
        if field not in NAMES or not equals or not member:
            msg = f"{one!r} maps no field."
            raise BadInput(msg, f"Give --field FIELD=MEMBER, with one of: {', '.join(NAMES)}.")
        names[field] = (member,)
    return names


class Finder:
    """Finds the fields of an event among members."""

    def __init__(self, names: Names, clock: Clock) -> None:
        """The clock is the log's."""
        fits: dict[str, Fits] = {
            **dict.fromkeys(names, _text),
            "event_time": fields.time_reader(clock),
            "service": lambda value: None if isinstance(value, str) and DURATION.fullmatch(value) else _text(value),
            "level": _level,
            "status": _status,
            "response_bytes": lambda value: fields.integer(value, 2**63 - 1),
            "latency_ms": fields.real,
        }
        self._fields = [(field, fits[field], members) for field, members in names.items()]

    def fields(self, members: dict[str, Any]) -> dict[str, Any] | None:
        """The fields, and in `attributes` the members that fit none; None where there is no field. Members that are
        taken are removed."""
        event: dict[str, Any] = {}
        has_objects = any(type(value) is dict for value in members.values())
        for field, fits, names in self._fields:
            for name in names:
                if name in members:
                    fitting = fits(members[name])
                    if fitting is not None:
                        del members[name]
                        event[field] = fitting
                        break
                elif has_objects and "." in name:
                    fitting = fits(_find(members, name))
                    if fitting is not None:
                        _take(members, name)
                        event[field] = fitting
                        break
        _of_a_known_logger(event, members)
        if not event:
            return None
        return event | {"attributes": members} if members else event


def _of_a_known_logger(event: dict[str, Any], members: dict[str, Any]) -> None:
    """Members that mean something only beside others."""
    if "level" not in event:
        _level_by_number(event, members)
    request = members.get("request")
    if isinstance(request, str) and "method" not in event and (parts := access_log.request(request)).get("method"):
        event |= parts
        del members["request"]
    seconds = members.get("request_time")  # nginx's $request_time, which has a point
    if "latency_ms" not in event and "." in str(seconds) and (latency := fields.real(seconds)) is not None:
        event["latency_ms"] = latency * 1000
        del members["request_time"]
    if isinstance(request, dict) and "duration" in members and "size" in members:  # Caddy
        if (latency := fields.real(members["duration"])) is not None:
            event["latency_ms"] = latency * 1000
            del members["duration"]
        if (size := fields.integer(members["size"], 2**63 - 1)) is not None:
            event["response_bytes"] = size
            del members["size"]


def _level_by_number(event: dict[str, Any], members: dict[str, Any]) -> None:
    """Take a level that is a number, or a letter, where other members show whose it is."""
    number = members.get("level")
    if type(number) is int:
        is_pino = "pid" in members and "host" in event
        if number in OF_PINO and is_pino:
            event["level"] = OF_PINO[members.pop("level")]
        elif 0 <= number < len(OF_SYSLOG) and "version" in members:  # GELF
            event["level"] = OF_SYSLOG[members.pop("level")]
    elif (priority := fields.integer(members.get("PRIORITY"), len(OF_SYSLOG) - 1)) is not None:  # journald
        event["level"] = OF_SYSLOG[priority]
        del members["PRIORITY"]
    elif severity := fields.integer(members.get("severityNumber"), 4 * len(OF_OPENTELEMETRY)):
        event["level"] = OF_OPENTELEMETRY[(severity - 1) // 4]
    elif "c" in members and "ctx" in members and (level := LETTERS.get(str(members.get("s"))[:1])):  # MongoDB
        event["level"] = level
        event["logger"], event["thread"] = str(members.pop("c")), str(members.pop("ctx"))
        del members["s"]


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


def _text(value: Any) -> str | None:
    """A text, or the only one of a list, as headers are written."""
    return fields.text(value[0] if type(value) is list and len(value) == 1 else value)


def _level(value: Any) -> str | None:
    return fields.level(value) or (LETTERS.get(value) if isinstance(value, str) else None)


def _status(value: Any) -> int | None:
    """A status code, also with its reason behind it, or with a decimal point."""
    if isinstance(value, str) and (match := STATUS_AND_REASON.fullmatch(value)):
        return int(match[1])
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return fields.integer(value, 2**31 - 1)
