"""The access log parser, by a table of lines as servers write them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from producers.access_log import parse_line
from producers.log_lines import is_parsed, reader
from shardlake.produce.lines import Line
from tests.support import ROOT

pytestmark = pytest.mark.unit

NOON = datetime(2026, 11, 3, 12, 0, 0, tzinfo=UTC)
TIME = "[03/Nov/2026:12:00:00 +0000]"

LINES: list[tuple[str, str, dict[str, Any]]] = [
    (
        "Common Log Format, from the documentation",
        '127.0.0.1 - frank [10/Oct/2000:13:55:36 -0700] "GET /apache_pb.gif HTTP/1.0" 200 2326',
        {"event_time": datetime(2000, 10, 10, 20, 55, 36, tzinfo=UTC), "client_address": "127.0.0.1", "method": "GET",
         "path": "/apache_pb.gif", "status": 200, "response_bytes": 2326, "referrer": None, "user_agent": None,
         "latency_ms": None, "host": None},
    ),
    (
        "Combined, with %D in microseconds after the user agent",
        f'::1 - - {TIME} "POST /cart HTTP/1.1" 201 88 "https://a.example/" "Mozilla/5.0 (X11)" 12345',
        {"client_address": "::1", "latency_ms": 12.345, "referrer": "https://a.example/",
         "user_agent": "Mozilla/5.0 (X11)"},
    ),
    ("nginx's request_time in seconds",
     f'1.1.1.1 - - {TIME} "GET / HTTP/2.0" 200 1 "-" "-" 0.123', {"latency_ms": 123.0}),
    ("rt= before it", f'1.1.1.1 - - {TIME} "GET / HTTP/2.0" 200 1 "-" "-" rt=2.5', {"latency_ms": 2500.0}),
    ("a virtual host in front", f'a.example:443 1.1.1.1 - - {TIME} "GET / HTTP/1.1" 200 1',
     {"host": "a.example:443", "client_address": "1.1.1.1"}),
    ("what is - is null", f'- - - {TIME} "GET / HTTP/1.1" 304 - "-" "-"',
     {"client_address": None, "response_bytes": None, "referrer": None, "user_agent": None}),
    ("a user of two words",
     f'1.1.1.1 - jo doe {TIME} "GET / HTTP/1.1" 200 1', {"client_address": "1.1.1.1", "host": None}),
    ("no request came", f'1.1.1.1 - - {TIME} "-" 408 -', {"status": 408, "message": None}),
    ("TLS to a plain port", f'1.1.1.1 - - {TIME} "\\x16\\x03" 400 226 "-" "-"', {"message": "\\x16\\x03"}),
    ("quotes within quotes", f'1.1.1.1 - - {TIME} "GET /?q=\\"a\\" HTTP/1.1" 200 1 "-" "say \\"hi\\""',
     {"path": '/?q="a"', "user_agent": 'say "hi"'}),
    ("no protocol, as HTTP/0.9", f'1.1.1.1 - - {TIME} "GET /old" 200 1', {"method": "GET", "path": "/old"}),
    ("nginx's packaged format", f'1.1.1.1 - - {TIME} "GET / HTTP/1.1" 200 1 "-" "-" "198.51.100.4, 10.0.0.2"',
     {"client_address": "1.1.1.1", "attributes": {"forwarded_for": "198.51.100.4, 10.0.0.2"}}),
    ("nothing forwarded", f'1.1.1.1 - - {TIME} "GET / HTTP/1.1" 200 1 "-" "-" "-"', {"attributes": None}),
    ("two forwarded addresses for a client", f'198.51.100.4, 10.0.0.2 - - {TIME} "GET / HTTP/1.1" 200 1',
     {"client_address": "198.51.100.4", "attributes": {"forwarded_for": "198.51.100.4, 10.0.0.2"}}),
    ("a forwarded address in front", f'198.51.100.4 1.1.1.1 - - {TIME} "GET / HTTP/1.1" 200 1',
     {"client_address": "198.51.100.4",
      "attributes": {"forwarded_for": "198.51.100.4", "proxy_address": "1.1.1.1"}}),
    ("a virtual host without a port", f'www.example.com 1.1.1.1 - - {TIME} "GET / HTTP/1.1" 200 1',
     {"host": "www.example.com", "client_address": "1.1.1.1"}),
    ("cut within the request", f'1.1.1.1 - - {TIME} "GET /lon',
     {"client_address": "1.1.1.1", "event_time": NOON, "path": None, "attributes": {"cut": '"GET /lon'}}),
    ("cut behind the status", f'1.1.1.1 - - {TIME} "GET / HTTP/1.1" 503',
     {"client_address": "1.1.1.1", "path": "/", "status": 503, "response_bytes": None}),
    ("cut within the agent", f'1.1.1.1 - - {TIME} "GET / HTTP/1.1" 503 12 "https://a.example/" "Mozi',
     {"status": 503, "response_bytes": 12, "referrer": "https://a.example/", "user_agent": None,
      "attributes": {"cut": '"Mozi'}}),
    ("a leap second", '1.1.1.1 - - [31/Dec/2016:23:59:60 +0000] "GET / HTTP/1.1" 200 1',
     {"event_time": datetime(2017, 1, 1, tzinfo=UTC)}),
    ("half an hour east", '1.1.1.1 - - [03/Nov/2026:17:30:00 +0530] "GET / HTTP/1.1" 200 1', {"event_time": NOON}),
]  # fmt: skip


@pytest.mark.parametrize(("line", "fields"), [row[1:] for row in LINES], ids=[row[0] for row in LINES])
def test_a_line_has_these_fields(line: str, fields: dict[str, Any]) -> None:
    found = parse_line(line)
    assert found is not None
    assert {name: found.get(name) for name in fields} == fields


@pytest.mark.parametrize(
    "line",
    [
        "",
        "   at com.example.Shop.checkout(Shop.java:42)",
        '1.1.1.1 - - [31/Feb/2026:12:00:00 +0000] "GET / HTTP/1.1" 200 1',
        '1.1.1.1 - - [03/Nov/2026:25:00:00 +0000] "GET / HTTP/1.1" 200 1',
        '1.1.1.1 - - [yesterday] "GET / HTTP/1.1" 200 1',
        f'1.1.1.1 - - {TIME} "GET / HTTP/1.1" OK 1',
        'Nov  3 12:00:00 h1 nginx: 1.1.1.1 - - [03/Nov/2026:12:00:00 +0000] "GET / HTTP/1.1" 200 1',
        '<190>Nov 29 12:00:00 h1 nginx: 1.1.1.1 - - [03/Nov/2026:12:00:00 +0000] "GET / HTTP/1.1" 200 1',
        '2026-11-03T12:00:00.4Z stdout F 1.1.1.1 - - [03/Nov/2026:12:00:00 +0000] "GET / HTTP/1.1" 200 1',
        '2026-11-03T12:00:00.4Z 1.1.1.1 - - [03/Nov/2026:12:00:00 +0000] "GET / HTTP/1.1" 200 1',
        'web-1 | 1.1.1.1 - - [03/Nov/2026:12:00:00 +0000] "GET / HTTP/1.1" 200 1',
        f'1.1.1.1 - - {TIME} "GET / HTTP/1.1" 200 99999999999999999999',
        f'1.1.1.1 - - {TIME} "GET / HTTP/1.1" 200 1 "-" "-" {"9" * 400}',
        f'1.1.1.1 - - {TIME} "GET / HTTP/1.1" ²²² 1',
    ],
)
def test_what_is_no_access_log_line_is_left_to_others(line: str) -> None:
    assert parse_line(line) is None


def test_a_line_that_no_parser_takes_is_kept_whole() -> None:
    line = Line("app.log", 17, 2, "something else")
    found = reader()(line, "something else", "app")
    assert found == {"event_id": found["event_id"], "service": "app", "raw": "something else"}
    assert not is_parsed(found)


def test_the_same_line_at_the_same_place_has_the_same_id_and_another_place_another() -> None:
    here, there = Line("a.log", 0, 1, "x"), Line("a.log", 2, 2, "x")
    read = reader()
    assert read(here, "x", "s")["event_id"] == read(here, "x", "other")["event_id"]
    assert read(here, "x", "s")["event_id"] != read(there, "x", "s")["event_id"]


def test_every_line_of_a_real_log_is_parsed() -> None:
    log = ROOT.parent / "shared" / "data" / "apache_access.log"
    if not log.exists():
        pytest.skip(f"the real log is not beside this checkout: {log}")
    events = [parse_line(line) for line in log.read_text(errors="backslashreplace").splitlines()]
    assert len(events) == 5_000
    assert all(one is not None and one["event_time"] and one["client_address"] for one in events)
    first = events[0]
    assert first is not None
    assert (first["status"], first["response_bytes"], first["client_address"]) == (200, 203_023, "83.149.9.216")
