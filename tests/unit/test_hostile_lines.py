"""Lines that would end a producer: each is an event or kept whole, and the one behind it is read."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from producers import syslog
from producers.guard import Unforeseen
from producers.log_lines import Reader, is_parsed, reader
from shardlake.formats.format_file import Format
from shardlake.produce.events import Read, from_file
from shardlake.produce.lines import Line

pytestmark = pytest.mark.unit

HERE = Line("a.log", 0, 7, "")


@pytest.mark.parametrize(
    ("line", "options"),
    [
        ('::1 - - [01/Jan/0001:00:00:00 +0100] "GET / HTTP/1.1" 200 1', {}),
        ('::1 - - [31/Dec/9999:23:59:60 +0000] "GET / HTTP/1.1" 200 1', {}),
        ('::1 - - [31/Dec/9999:23:59:59 -0100] "GET / HTTP/1.1" 200 1', {}),
        ('::1 - - [a] "GET / HTTP/1.1" 200 1', {}),
        ("Dec 31 23:59:60 h a: x", {"year": 9999}),
        ("Dec 31 23:00:00 h a: x", {"year": 9999, "timezone": "-05:00"}),
        ("9999-12-31T23:59:59-01:00 h a: x", {}),
        ('{"time":"0001-01-01T00:00:00+01:00"}', {}),
    ],
)
def test_a_time_that_utc_does_not_have_leaves_the_line_whole(line: str, options: dict[str, Any]) -> None:
    assert reader(**options)(HERE, line, "file")["raw"] == line


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40), st.integers(0, 9999), st.integers(-9999, 9999))
def test_whatever_stands_for_a_time_no_parser_fails(text: str, year: int, zone: int) -> None:
    for time in (text, f"31/Dec/{year:04}:23:59:60 {zone:+05}", f"01/Jan/{year:04}:00:00:00 {zone:+05}"):
        read = reader()
        read(HERE, f'::1 - - [{time}] "GET / HTTP/1.1" 200 1', "file")
        assert not read.unforeseen.lines


SAMPLES = [
    'a.example:443 ::1 - jo [17/May/2015:10:05:03 +0000] "GET /a HTTP/1.1" 200 12 "-" "curl/8" rt=0.123',
    '<165>1 2026-11-03T12:00:00Z h app 8 ID47 [ex@32473 ip="1" ip="2" q="a\\"b"][p@1] An event',
    "<34>Oct 11 22:14:15 mymachine su[12]: 'su root' failed",
    "2026-11-03T13:00:00.500000+01:00 web1 systemd[1]: Started cron.service.",
    '{"time":1793707200.5,"level":"warn","http":{"response":{"status_code":503}},"latency_ms":1.5,"msg":"\\ud83d","n":[1]}',
]
READERS = [
    reader(timezone="America/New_York", year=9999),
    reader(log_format_string='%v:%p %h %l %u %t "%r" %>s %b "%{Referer}i" %{X-Forwarded-For}i %D'),
    reader(log_format_string="%{msec}t %U%q %T %{x}C"),
]


@settings(max_examples=300)
@given(st.sampled_from(SAMPLES), st.integers(0, 120), st.integers(0, 120), st.text(max_size=8))
def test_whatever_stands_within_a_line_no_parser_fails(line: str, start: int, end: int, other: str) -> None:
    text = (line[:start] + other + line[end:]).encode(errors="backslashreplace").decode()
    for read in [reader(), *READERS]:
        read(HERE, text, "file")
        assert not read.unforeseen.lines


def test_a_parser_that_fails_costs_no_line_and_is_named(tmp_path: Path, unforeseen: list[Exception]) -> None:
    def fails(line: str) -> dict[str, Any] | None:
        return {"status": int(line)}

    formats = ((Format("failing", "fails"), fails), (Format("syslog_5424", "RFC 5424"), syslog.parse_5424))
    read = Reader(formats, {}, reader().clock)
    log = tmp_path / "shop.log"
    log.write_text("oops\n200\n<13>1 - h - - - - x\noops\n")
    count = Read()
    found = [event for _, event in from_file(str(log), read, is_parsed, "event_time", False, count, pytest.fail)]
    assert [(event.get("raw"), event.get("status"), event.get("host")) for event in found] == [
        ("oops", None, None), (None, 200, None), (None, None, "h"), ("oops", None, None),
    ]  # fmt: skip
    assert (count.lines, count.unparsed, count.unparsed_places) == (4, 2, ("shop.log:1", "shop.log:4"))
    (note,) = read.unforeseen.notes()
    assert note.startswith("3 lines are not events of a parser that failed: ValueError in test_hostile_lines.py:")
    assert "first at shop.log:1" in note
    assert len(unforeseen) == 3
    unforeseen.clear()


def test_an_exception_s_text_is_cut_short(unforeseen: list[Exception]) -> None:
    found = Unforeseen()
    try:
        raise ValueError(1000 * "x")
    except ValueError as error:
        found.add(error, "a.log:1")
    assert len(found.notes()[0]) < 400
    unforeseen.clear()


def test_a_parameter_that_comes_a_hundred_thousand_times_has_them_all() -> None:
    found = syslog.parse_5424("<13>1 - h a - - [e" + ' a="1" b="2" a="\\"3"' * 50_000 + "]")
    assert found is not None
    expected = {"a": ["1", '"3'] * 50_000, "b": ["2"] * 50_000}
    assert found["attributes"]["e"] == expected


def test_as_now_leaves_a_time_where_moving_it_would_end_the_calendar(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_text('{"time":"1971-01-01T00:00:00Z"}\n{"time":"9999-12-31T00:00:00Z"}\n')
    count = Read()
    events = from_file(str(log), reader(), is_parsed, "event_time", True, count, lambda _: None)
    first, last = (event["event_time"] for _, event in events)
    assert first == datetime(1971, 1, 1, tzinfo=UTC)
    assert abs((last - datetime.now(UTC)).total_seconds()) < 3600
