"""The parsers of JSON lines, syslog and custom access logs, by tables of lines as programs write them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from producers import json_lines, log_format, syslog
from producers.app_log import event_fields
from producers.log_lines import is_parsed, reader
from shardlake.errors import BadInput
from shardlake.formats.clock import Clock
from shardlake.produce.lines import Line

pytestmark = pytest.mark.unit

NOON = datetime(2026, 11, 3, 12, 0, 0, tzinfo=UTC)
HALF_PAST = datetime(2026, 11, 3, 12, 0, 0, 500_000, tzinfo=UTC)
HERE = Line("a.log", 0, 1, "")
AT_NOON = syslog.parser_3164(Clock(), lambda: NOON)

JSON_LINES: list[tuple[str, str, dict[str, Any]]] = [
    ("zap, seconds with a fraction", '{"level":"warn","ts":1793707200.5,"msg":"slow"}',
     {"event_time": HALF_PAST, "level": "WARN", "message": "slow"}),
    ("milliseconds", '{"time":1793707200500,"msg":"slow"}', {"event_time": HALF_PAST, "message": "slow"}),
    ("nanoseconds, as digits", '{"time":"1793707200500000000","msg":"a"}', {"event_time": HALF_PAST, "message": "a"}),
    ("ISO 8601 with an offset", '{"timestamp":"2026-11-03T13:00:00.5+01:00","message":"a"}',
     {"event_time": HALF_PAST, "message": "a"}),
    ("ISO 8601 without a zone is UTC", '{"@timestamp":"2026-11-03 12:00:00,500","message":"a"}',
     {"event_time": HALF_PAST, "message": "a"}),
    ("Elastic Common Schema, nested and dotted",
     '{"@timestamp":"2026-11-03T12:00:00Z","log.level":"ERROR","service":{"name":"shop"},"http":{"request":{"method":'
     '"GET"},"response":{"status_code":503}},"url":{"path":"/cart"},"source":{"ip":"10.0.0.1"}}',
     {"event_time": NOON, "level": "ERROR", "service": "shop", "method": "GET", "status": 503, "path": "/cart",
      "client_address": "10.0.0.1"}),
    ("nginx with escape=json, all strings",
     '{"time":"2026-11-03T12:00:00+00:00","remote_addr":"::1","request_method":"POST","request_uri":"/a?b=1",'
     '"status":"201","body_bytes_sent":"88","http_referer":"","http_user_agent":"curl/8"}',
     {"event_time": NOON, "client_address": "::1", "method": "POST", "path": "/a?b=1", "status": 201,
      "response_bytes": 88, "user_agent": "curl/8", "message": '{"http_referer":""}'}),
    ("what fits no field follows the message", '{"msg":"paid","level":"INFO","trace":"f00","n":1.5}',
     {"message": 'paid {"trace":"f00","n":1.5}', "level": "INFO"}),
    ("and so does a value that does not fit", '{"msg":"a","status":"OK","level":30,"time":"yesterday"}',
     {"message": 'a {"status":"OK","level":30,"time":"yesterday"}'}),
    ("a duration without a unit is no latency", '{"msg":"a","duration":12}', {"message": 'a {"duration":12}'}),
    ("milliseconds by name are", '{"msg":"a","duration_ms":12}', {"message": "a", "latency_ms": 12.0}),
    ("half a surrogate pair", r'{"msg":"\ud83d"}', {"message": "\\ud83d"}),
    ("numbers that no column holds", '{"msg":"a","status":2147483648,"latency_ms":1e999,"bytes":-1}',
     {"message": 'a {"status":2147483648,"latency_ms":"inf","bytes":-1}'}),
    ("a year that no clock shows", '{"msg":"a","ts":99999999999}', {"message": "a", "event_time": datetime(
        5138, 11, 16, 9, 46, 39, tzinfo=UTC)}),
]  # fmt: skip


@pytest.mark.parametrize(("line", "fields"), [row[1:] for row in JSON_LINES], ids=[row[0] for row in JSON_LINES])
def test_a_json_line_has_these_fields_and_no_other(line: str, fields: dict[str, Any]) -> None:
    found = json_lines.parser()(line)
    assert found is not None
    assert event_fields(found) == fields


def test_a_mapping_says_where_a_field_is_and_its_other_names_stay_unread() -> None:
    parse = json_lines.parser(["event_time=when", "level=meta.severity", "latency_ms=took"])
    found = parse('{"when":1793707200,"time":5,"meta":{"severity":"crit","n":1},"took":7,"msg":"a"}')
    assert found is not None
    assert event_fields(found) == {
        "event_time": NOON,
        "level": "FATAL",
        "latency_ms": 7.0,
        "message": 'a {"time":5,"meta":{"n":1}}',
    }


@pytest.mark.parametrize(
    "line",
    ["", "{", '["msg"]', '{"a":1}', '{"msg":""}', '{"msg":"a"} trailing', '{"a":' + "[" * 100_000,
     '{"msg":' + "1" * 5_000 + "}"],
)  # fmt: skip
def test_what_is_no_json_event_is_left_to_others(line: str) -> None:
    assert json_lines.parser()(line) is None


SYSLOG: list[tuple[str, str, dict[str, Any]]] = [
    ("RFC 3164's own example", "<34>Oct 11 22:14:15 mymachine su: 'su root' failed for lonvick on /dev/pts/8",
     {"event_time": datetime(2026, 10, 11, 22, 14, 15, tzinfo=UTC), "level": "FATAL", "host": "mymachine",
      "service": "su", "message": "'su root' failed for lonvick on /dev/pts/8"}),
    ("a file's, without PRI, a day of one digit", "Nov  3 12:00:00 web1 sshd[812]: Accepted publickey for jo",
     {"event_time": NOON, "host": "web1", "service": "sshd", "message": 'Accepted publickey for jo {"pid":"812"}'}),
    ("Debian's, ISO 8601", "2026-11-03T13:00:00.500000+01:00 web1 systemd[1]: Started cron.service.",
     {"event_time": HALF_PAST, "host": "web1", "service": "systemd", "message": 'Started cron.service. {"pid":"1"}'}),
    ("no message", "Nov  3 12:00:00 web1 app:", {"event_time": NOON, "host": "web1", "service": "app"}),
    ("a tag with a path", "Nov  3 12:00:00 web1 postfix/smtpd[7]: connect",
     {"event_time": NOON, "host": "web1", "service": "postfix/smtpd", "message": 'connect {"pid":"7"}'}),
    ("a day ahead at most", "Nov  4 11:59:59 h a: x",
     {"event_time": datetime(2026, 11, 4, 11, 59, 59, tzinfo=UTC), "host": "h", "service": "a", "message": "x"}),
    ("else of last year", "Nov  4 12:00:01 h a: x",
     {"event_time": datetime(2025, 11, 4, 12, 0, 1, tzinfo=UTC), "host": "h", "service": "a", "message": "x"}),
    ("a 29th of February", "Feb 29 00:00:00 h a: x",
     {"event_time": datetime(2024, 2, 29, tzinfo=UTC), "host": "h", "service": "a", "message": "x"}),
    ("a leap second", "Nov  3 11:59:60 h a: x", {"event_time": NOON, "host": "h", "service": "a", "message": "x"}),
    ("RFC 5424's own example, with a byte order mark",
     "<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - \ufeff'su root' failed for lonvick",
     {"event_time": datetime(2003, 10, 11, 22, 14, 15, 3_000, tzinfo=UTC), "level": "FATAL",
      "host": "mymachine.example.com", "service": "su",
      "message": "'su root' failed for lonvick {\"msgid\":\"ID47\"}"}),
    ("structured data, escaped and repeated",
     r'<165>1 2026-11-03T12:00:00Z h evntslog 8 - [ex@32473 ip="1" ip="2" q="a\"b\]"][p@1] An event',
     {"event_time": NOON, "level": "INFO", "host": "h", "service": "evntslog",
      "message": r'An event {"procid":"8","ex@32473":{"ip":["1","2"],"q":"a\"b]"},"p@1":{}}'}),
    ("structured data alone", '<13>1 2026-11-03T12:00:00Z - - - - [a b="c"]',
     {"event_time": NOON, "level": "INFO", "message": '{"a":{"b":"c"}}'}),
    ("nothing but nil", "<0>1 - - - - - -", {"level": "FATAL"}),
]  # fmt: skip


@pytest.mark.parametrize(("line", "fields"), [row[1:] for row in SYSLOG], ids=[row[0] for row in SYSLOG])
def test_a_syslog_line_has_these_fields_and_no_other(line: str, fields: dict[str, Any]) -> None:
    found = syslog.parse_5424(line) or AT_NOON(line)
    assert found is not None
    assert event_fields(found) == fields


def test_on_new_year_s_eve_tomorrow_is_of_next_year() -> None:
    found = syslog.parser_3164(Clock(), lambda: datetime(2026, 12, 31, 23, 59, 50, tzinfo=UTC))(
        "Jan  1 00:00:10 h a: x"
    )
    assert found is not None
    assert found["event_time"] == datetime(2027, 1, 1, 0, 0, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    "line",
    [
        "2026-11-03T12:00:00Z INFO com.example.Shop: started",
        "<192>Nov  3 12:00:00 h a: x",
        "<192>1 - - - - - -",
        "Foo  3 12:00:00 h a: x",
        "Nov 31 12:00:00 h a: x",
        "Nov  3 25:00:00 h a: x",
        "<13>1 yesterday h a - - -",
        "<13>1 2026-13-03T12:00:00Z h a - - - x",
        '<13>1 2026-11-03T12:00:00Z h a - - [a b="c] x',
        "Nov  3 12:00:00 last message repeated 2 times",
    ],
)
def test_what_is_no_syslog_line_is_left_to_others(line: str) -> None:
    assert syslog.parse_5424(line) is None
    assert AT_NOON(line) is None


CLF = '10.0.0.1 - - [03/Nov/2026:12:00:00 +0000] "GET /a HTTP/1.1" 200 12'
COMMON_FIELDS = {"client_address": "10.0.0.1", "event_time": NOON, "method": "GET", "path": "/a", "status": 200,
                 "response_bytes": 12}  # fmt: skip
CUSTOM: list[tuple[str, str, str, dict[str, Any]]] = [
    ("Common", '%h %l %u %t \\"%r\\" %>s %b', CLF, COMMON_FIELDS),
    ("Combined with %D", '%h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-Agent}i" %D',
     CLF + ' "-" "say \\"hi\\"" 1500', COMMON_FIELDS | {"user_agent": 'say "hi"', "latency_ms": 1.5}),
    ("a virtual host and its port", '%v:%p %h %l %u %t "%r" %>s %O', "a.example:443 " + CLF,
     {**COMMON_FIELDS, "host": "a.example:443", "response_bytes": None}),
    ("parts of the request, by themselves", "%a %m %U%q %H %s %B %T", "::1 GET /a?b=1 HTTP/2 404 0 2",
     {"client_address": "::1", "method": "GET", "path": "/a?b=1", "status": 404, "response_bytes": 0,
      "latency_ms": 2000.0}),
    ("epoch milliseconds, latency in ms", "%{msec}t %{ms}T %>s", "1793707200500 17 200",
     {"event_time": HALF_PAST, "latency_ms": 17.0, "status": 200}),
    ("what is not kept is passed over", '%h %{X-Forwarded-For}i %{sid}C "%{Accept}i" 100%% %X %!200,304{Via}i %t',
     '10.0.0.1 1.1.1.1, 2.2.2.2 - "text/html, */*" 100% + - [03/Nov/2026:12:00:00 +0000]',
     {"client_address": "10.0.0.1", "event_time": NOON}),
    ("a user of two words, no request", '%h %u %t "%r" %>s', '::1 jo doe [03/Nov/2026:12:00:00 +0000] "-" 408',
     {"client_address": "::1", "event_time": NOON, "status": 408}),
]  # fmt: skip


@pytest.mark.parametrize(("format", "line", "fields"), [row[1:] for row in CUSTOM], ids=[row[0] for row in CUSTOM])
def test_a_line_of_a_custom_access_log_has_these_fields(format: str, line: str, fields: dict[str, Any]) -> None:
    found = log_format.parser(format)(line)
    assert found is not None
    assert found == {name: value for name, value in fields.items() if value is not None}


@pytest.mark.parametrize("line", ["", CLF + " more", CLF.replace("200", "OK"), CLF.replace("Nov", "Foo")])
def test_a_line_of_another_format_is_left_to_others(line: str) -> None:
    assert log_format.parser('%h %l %u %t "%r" %>s %b')(line) is None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"log_format_string": "%h %Y"}, "directive %Y is not known"),
        ({"log_format_string": "%h %{%d/%b}t"}, "%{%d/%b}t is not known"),
        ({"log_format_string": "%h %"}, "directive % is not known"),
        ({"log_format_string": "none"}, "no directive"),
        ({"log_format_string": "%h", "format": "json"}, "for access logs"),
        ({"format": "xml"}, "no format 'xml'"),
        ({"mapping": ["level=severity"]}, "for JSON lines"),
        ({"mapping": ["event_id=id"], "format": "json"}, "'event_id=id' maps no field"),
        ({"mapping": ["level"], "format": "json"}, "'level' maps no field"),
    ],
)
def test_options_that_are_wrong_are_named(options: dict[str, Any], words: str) -> None:
    with pytest.raises(BadInput, match=words.replace("{", r"\{")):
        reader(**options)


@pytest.mark.parametrize(
    ("line", "service"),
    [
        (CLF, "file"),
        (SYSLOG[0][1], "su"),
        (SYSLOG[9][1], "su"),
        (JSON_LINES[5][1], "shop"),
        ("   at Shop.java", "file"),
    ],
)
def test_each_line_is_tried_by_each_parser_and_may_name_its_service(line: str, service: str) -> None:
    assert reader()(HERE, line, "file")["service"] == service
    assert reader(service="given")(HERE, line, "file")["service"] == "given"
    assert is_parsed(reader()(HERE, line, "file")) == (line != "   at Shop.java")


def test_a_format_that_is_named_keeps_lines_of_others_whole() -> None:
    assert reader(format="syslog")(HERE, CLF, "file")["raw"] == CLF
    assert reader(format="json")(HERE, CLF, "file")["raw"] == CLF


IN_BERLIN = [
    ("RFC 3164 in winter", "Nov  3 13:00:00 h a: x", NOON),
    ("RFC 3164 in summer", "Jul  3 14:00:00 h a: x", datetime(2026, 7, 3, 12, 0, tzinfo=UTC)),
    ("JSON without a zone", '{"time":"2026-11-03 13:00:00","msg":"x"}', NOON),
    ("JSON with a zone of its own", '{"time":"2026-11-03T12:00:00Z","msg":"x"}', NOON),
    ("a number since 1970", '{"ts":1793707200,"msg":"x"}', NOON),
    ("an access log, which says its zone", '1.1.1.1 - - [03/Nov/2026:12:00:00 +0000] "GET / HTTP/1.1" 200 1', NOON),
    ("an hour that comes twice is the first", "Oct 25 02:30:00 h a: x", datetime(2026, 10, 25, 0, 30, tzinfo=UTC)),
    ("the hour after it", "Oct 25 03:30:00 h a: x", datetime(2026, 10, 25, 2, 30, tzinfo=UTC)),
]


@pytest.mark.parametrize(("line", "time"), [row[1:] for row in IN_BERLIN], ids=[row[0] for row in IN_BERLIN])
def test_a_time_without_a_zone_is_of_the_clock_that_is_given(line: str, time: datetime) -> None:
    read = reader(timezone="Europe/Berlin", year=2026)
    assert read(HERE, line, "file")["event_time"] == time
    assert len(read.notes()) == ("02:30" in line)


@pytest.mark.parametrize(
    ("timezone", "time"),
    [
        ("+03:00", datetime(2026, 11, 3, 9, 0, tzinfo=UTC)),
        ("-0330", datetime(2026, 11, 3, 15, 30, tzinfo=UTC)),
        ("UTC+9:00", None),
        ("UTC+09:00", datetime(2026, 11, 3, 3, 0, tzinfo=UTC)),
        ("Z", NOON),
        ("Asia/Tokyo", datetime(2026, 11, 3, 3, 0, tzinfo=UTC)),
        ("Mars/Olympus", None),
        ("../../etc/passwd", None),
        ("/etc/localtime", None),
        ("Europe", None),
        ("", None),
        ("+24:00", None),
        ("+03:60", None),
    ],
)
def test_a_clock_is_named_or_refused(timezone: str, time: datetime | None) -> None:
    if time is None:
        with pytest.raises(BadInput, match="There is no time zone"):
            reader(timezone=timezone)
        return
    assert reader(timezone=timezone, year=2026)(HERE, "Nov  3 12:00:00 h a: x", "f")["event_time"] == time


def test_a_year_that_is_given_is_taken_also_where_the_day_is_not_in_it() -> None:
    assert reader(year=2019)(HERE, "Nov  3 12:00:00 h a: x", "f")["event_time"] == NOON.replace(year=2019)
    assert reader(year=2024)(HERE, "Feb 29 12:00:00 h a: x", "f")["event_time"].year == 2024
    assert not is_parsed(reader(year=2023)(HERE, "Feb 29 12:00:00 h a: x", "f"))
    with pytest.raises(BadInput, match="no year"):
        reader(year=1969)


def test_without_a_year_a_line_of_a_clock_ahead_of_utc_is_of_this_year() -> None:
    tokyo = Clock.of("Asia/Tokyo")
    now = datetime(2026, 12, 31, 16, 0, tzinfo=UTC)
    found = syslog.parser_3164(tokyo, lambda: now)("Jan  1 01:00:00 h a: x")
    assert found is not None
    assert found["event_time"] == now
