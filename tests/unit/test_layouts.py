"""Lines against the layouts that applications are configured with."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from producers.log_lines import reader
from shardlake.errors import BadInput
from shardlake.produce.lines import Line

pytestmark = pytest.mark.unit

NOON = datetime(2026, 11, 3, 12, 0, tzinfo=UTC)
HALF_PAST = datetime(2026, 11, 3, 12, 0, 0, 500_000, tzinfo=UTC)

LAYOUTS: list[tuple[str, str, dict[str, Any]]] = [
    ("%d{ISO8601} %-5p [%t] %c: %m%n", "2026-11-03 12:00:00,500 INFO  [main] shop.Pay: paid: 3",
     {"event_time": HALF_PAST, "level": "INFO", "thread": "main", "logger": "shop.Pay", "message": "paid: 3"}),
    ("%d{ISO8601} %-5p [%t] %c: %m%n", "2026-11-03 12:00:00,500 ERROR [a [b] #1] shop.Pay: refused",
     {"event_time": HALF_PAST, "level": "ERROR", "thread": "a [b] #1", "logger": "shop.Pay", "message": "refused"}),
    ("%d{yyyy-MM-dd'T'HH:mm:ss.SSSXXX} %5p ${PID:-} --- [%15.15t] %-40.40logger{39} : %m%n%wEx",
     "2026-11-03T13:00:00.500+01:00  WARN  --- [           main] c.e.shop.Pay                             : slow",
     {"event_time": HALF_PAST, "level": "WARN", "thread": "main", "logger": "c.e.shop.Pay", "message": "slow"}),
    ("%clr(%d{dd/MM/yyyy HH:mm:ss,SSS}){faint} %highlight(%-5level) %X{traceId:-} %c{1.}:%L - %m%n",
     "03/11/2026 12:00:00,500 INFO  7f3a shop.Pay:57 - paid",
     {"event_time": HALF_PAST, "level": "INFO", "trace_id": "7f3a", "logger": "shop.Pay", "message": "paid",
      "attributes": {"code_line": "57"}}),
    ("%d %p %C{1.} [%t] %m%n", "2026-11-03 12:00:00,500 INFO s.Pay [main] paid",
     {"event_time": HALF_PAST, "level": "INFO", "thread": "main", "message": "paid", "attributes": {"class": "s.Pay"}}),
    ("%r %p 100%% %m", "17 INFO 100% done", {"level": "INFO", "message": "done", "attributes": {"elapsed_ms": "17"}}),
    ("%(asctime)s %(levelname)s %(name)s %(message)s", "2026-11-03 12:00:00,500 WARNING shop.pay slow: 3",
     {"event_time": HALF_PAST, "level": "WARN", "logger": "shop.pay", "message": "slow: 3"}),
    ("%(levelname)-8s|%(asctime)s|%(process)d|%(threadName)s|%(funcName)s:%(lineno)d|%(message)s",
     "ERROR   |2026-11-03 12:00:00,500|42|MainThread|charge:57|card|refused",
     {"event_time": HALF_PAST, "level": "ERROR", "thread": "MainThread", "message": "card|refused",
      "attributes": {"pid": "42", "function": "charge", "code_line": "57"}}),
    ("{asctime} [{levelname:<8}] {name}: {message}", "2026-11-03 12:00:00,500 [INFO    ] shop: paid",
     {"event_time": HALF_PAST, "level": "INFO", "logger": "shop", "message": "paid"}),
]  # fmt: skip


@pytest.mark.parametrize(("layout", "line", "fields"), LAYOUTS)
def test_a_line_has_the_fields_of_its_layout(layout: str, line: str, fields: dict[str, Any]) -> None:
    assert reader(layout=layout).recogniser.read("a.log", 1, line) == fields


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"layout": "%d %Q %m"}, "%Q is no conversion"),
        ({"layout": "%(asctime)s %(nothing)s"}, "is no attribute"),
        ({"layout": "nothing"}, "has no directive"),
        ({"layout": "%d{GG} %m"}, "letter that is not known: G"),
        ({"layout": "%m", "format": "json"}, "say the format"),
        ({"layout": "%m", "pattern": "(?P<message>.*)"}, "say the format"),
        ({"pattern": "(?P<message>(a+)+)"}, "in more than one way"),
        ({"pattern": r"(?P<a>\w*)x(?P<b>\w*);"}, "share the same letters"),
        ({"pattern": "(a"}, "is no regular expression"),
        ({"pattern": ".*"}, "no named group"),
    ],
)
def test_what_is_wrong_with_a_layout_or_a_pattern_is_named(options: dict[str, Any], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        reader(**options)


def test_a_pattern_names_fields_and_attributes() -> None:
    read = reader(pattern=r"(?P<time>\S+) (?P<level>\w+) <(?P<shop>\w+)> (?P<status>\d+) (?P<message>.*)")
    line = "03/Nov/2026:12:00:00 warn <b7> 503 slow"
    event = read(Line("a.log", 0, 1, line), line, "file")
    assert event == {
        "event_id": event["event_id"], "service": "file", "event_time": NOON, "level": "WARN", "status": 503,
        "message": 'slow {"shop":"b7"}',
    }  # fmt: skip
    assert "raw" in read(Line("a.log", 0, 2, "else"), "else", "file")
