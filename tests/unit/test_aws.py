"""JSON that services of AWS write, and their lines as they are beside other formats."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from producers.log_lines import reader
from shardlake.produce.lines import Line

pytestmark = pytest.mark.unit

NINE = datetime(2026, 11, 29, 9, 0, 0, tzinfo=UTC)

JSON_LINES: list[tuple[str, str, dict[str, Any]]] = [
    ("API Gateway, a time in words",
     '{"requestId":"r1","ip":"192.0.2.16","requestTime":"29/Nov/2026:09:00:24 +0000","httpMethod":"GET",'
     '"resourcePath":"/pets","status":"500","responseLength":"123"}',
     {"event_time": NINE + timedelta(seconds=24), "client_address": "192.0.2.16", "method": "GET", "path": "/pets",
      "status": 500, "response_bytes": 123, "message": '{"requestId":"r1"}', "service": "file"}),
    ("API Gateway, a time since 1970",
     '{"ip":"192.0.2.16","requestTimeEpoch":"1795942825","httpMethod":"GET","path":"/pets","status":"200",'
     '"responseLatency":"41"}',
     {"event_time": NINE + timedelta(seconds=25), "client_address": "192.0.2.16", "method": "GET", "path": "/pets",
      "status": 200, "latency_ms": 41.0, "service": "file"}),
    ("WAF",
     '{"timestamp":1795942826771,"action":"BLOCK","httpRequest":{"clientIp":"192.0.2.17","country":"AU",'
     '"uri":"/login","httpMethod":"POST"}}',
     {"event_time": NINE + timedelta(seconds=26, milliseconds=771), "client_address": "192.0.2.17", "method": "POST",
      "path": "/login", "message": '{"action":"BLOCK","httpRequest":{"country":"AU"}}', "service": "file"}),
    ("Lambda",
     '{"timestamp":"2026-11-29T09:00:21Z","level":"WARN","message":"hello","logger":"root","requestId":"10df"}',
     {"event_time": NINE + timedelta(seconds=21), "level": "WARN",
      "message": 'hello {"logger":"root","requestId":"10df"}', "service": "file"}),
    ("CloudTrail, one event",
     '{"eventTime":"2026-11-29T09:00:17Z","eventSource":"ec2.amazonaws.com","eventName":"StartInstances",'
     '"sourceIPAddress":"192.0.2.14","userAgent":"aws-cli/2.13"}',
     {"event_time": NINE + timedelta(seconds=17), "service": "ec2.amazonaws.com", "client_address": "192.0.2.14",
      "user_agent": "aws-cli/2.13", "message": '{"eventName":"StartInstances"}'}),
]  # fmt: skip


@pytest.mark.parametrize(("line", "fields"), [row[1:] for row in JSON_LINES], ids=[row[0] for row in JSON_LINES])
def test_json_of_aws_has_these_fields_and_no_other(line: str, fields: dict[str, Any]) -> None:
    event = reader()(Line("a.log", 0, 1, line), line, "file")
    assert {name: value for name, value in event.items() if value is not None and name != "event_id"} == fields


@pytest.mark.parametrize(
    ("line", "format"),
    [
        ('2026-11-29T09:00:13.945958Z lb-a 192.0.2.11:2817 10.0.0.1:80 0.1 0.2 0.3 200 200 0 29 "GET / HTTP/1.1"',
         "aws_elb"),
        ("2 111122223333 eni-0a1b 192.0.2.18 10.0.0.1 1 22 6 20 42 1795942830 1795942890 REJECT OK", "aws_vpc_flow"),
        ("2026-11-29T09:00:13.945Z\tundefined\tINFO\tstarted", "aws_lambda"),
    ],
)  # fmt: skip
def test_a_line_of_aws_is_of_its_own_format_and_names_no_service(line: str, format: str) -> None:
    read = reader()
    event = read(Line("a.log", 0, 1, line), line, "file")
    assert read.lines() == {format: 1}
    assert event["service"] == "file"
