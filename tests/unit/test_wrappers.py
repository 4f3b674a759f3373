"""Lines in wrappers of containers and of syslog: what is inside is parsed, and the wrapper fills what is missing."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from producers.log_lines import id_of, is_parsed, reader
from shardlake.produce.lines import Line

pytestmark = pytest.mark.unit

ACCESS = '{0} - - [29/Nov/2026:09:01:02 +0000] "GET /p HTTP/1.1" 500 12 "-" "curl"'


def event_of(text: str, **options: Any) -> dict[str, Any]:
    event = reader(year=2026, **options)(Line("a.log", 0, 1, text), text, "file")
    return {name: value for name, value in event.items() if value is not None}


@pytest.mark.parametrize(
    ("prefix", "client", "beside"),
    [
        ("", "203.0.113.59", {"service": "file"}),
        ("Nov 29 09:01:00 h1 nginx: ", "203.0.113.60", {"service": "nginx", "host": "h1"}),
        ("<190>Nov 29 09:01:01 h1 nginx: ", "203.0.113.61", {"service": "nginx", "host": "h1", "level": "INFO"}),
        ("<190>1 2026-11-29T09:01:01Z h1 nginx - - - ", "203.0.113.61",
         {"service": "nginx", "host": "h1", "level": "INFO"}),
        ("2026-11-29T09:01:02.400000000Z stdout F ", "203.0.113.62",
         {"service": "file", "message": '{"stream":"stdout"}'}),
        ("2026-11-29T09:01:02.400000000Z ", "203.0.113.63", {"service": "file"}),
        ("web-1 | ", "203.0.113.64", {"service": "web", "message": '{"container":"web-1"}'}),
        ("[pod/shop-5d4f/nginx] ", "203.0.113.65",
         {"service": "nginx", "message": '{"pod":"shop-5d4f","container":"nginx"}'}),
    ],
)  # fmt: skip
def test_an_access_line_behind_a_prefix_has_its_own_client(prefix: str, client: str, beside: dict[str, Any]) -> None:
    text = prefix + ACCESS.format(client)
    event = event_of(text)
    second = datetime(2026, 11, 29, 9, 1, 2, 400_000 if ".4000" in prefix else 0, tzinfo=UTC)
    assert event == {
        "event_id": id_of(Line("a.log", 0, 1, text), text), "event_time": second, "client_address": client,
        "method": "GET", "path": "/p", "status": 500, "response_bytes": 12, "user_agent": "curl", **beside,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "time", "level", "message"),
    [
        ("2026-11-29T09:00:31.126256358Z stderr F java.lang.IllegalStateException: boom", "09:00:31.126256+00:00", None,
         'java.lang.IllegalStateException: boom {"stream":"stderr"}'),
        ("2026-11-29T09:00:31.126256359Z stderr F \tat a.b.C(D.java:1)", "09:00:31.126256+00:00", None,
         '\tat a.b.C(D.java:1) {"stream":"stderr"}'),
        ("2026-11-29T09:00:31.200000001+01:00 stdout F part-two", "08:00:31.200000+00:00", None,
         'part-two {"stream":"stdout"}'),
        ('2026-11-29T09:00:31.3Z stdout F {"level":"error","msg":"inner json"}', "09:00:31.300000+00:00", "ERROR",
         'inner json {"stream":"stdout"}'),
        ("2026-11-29T09:00:31.3Z stdout F ", "09:00:31.300000+00:00", None, '{"stream":"stdout"}'),
        ('{"log":"2026-11-29 09:00:30,001 ERROR [main] shop.Pay: no\\n","stream":"stderr",'
         '"time":"2026-11-29T09:00:30.033756256Z"}', "09:00:30.001000+00:00", "ERROR",
         'no {"logger":"shop.Pay","thread":"main","stream":"stderr"}'),
    ],
)  # fmt: skip
def test_a_container_s_line_is_what_is_inside(text: str, time: str, level: str | None, message: str) -> None:
    event = event_of(text)
    assert event["event_time"].isoformat() == f"2026-11-29T{time}"
    assert (event.get("level"), event.get("message")) == (level, message)
    assert is_parsed(event)
    assert "host" not in event
    assert "client_address" not in event


def test_a_time_of_day_in_a_wrapper_is_of_the_wrapper_s_day() -> None:
    read = reader()
    for day in (27, 29):
        text = f"2026-11-{day}T00:00:00.100000000Z stdout F 23:59:59.900 [main] INFO shop.Pay - paid"
        event = read(Line("a.log", day, day, text), text, "file")
        assert event["event_time"] == datetime(2026, 11, day - 1, 23, 59, 59, 900_000, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-29T09:00:31.500000000Z stdout F: not a cri tag",
        "2026-13-29T09:00:31.500000000Z stdout F no such month",
        "a |",
        "| a",
        "[pod/shop-5d4f] started",
        "",
    ],
)
def test_what_is_no_wrapper_stays_unparsed(text: str) -> None:
    assert event_of(text)["raw"] == text


@pytest.mark.parametrize("members", ['"log":1,"stream":"stdout"', '"log":"x","stream":"stdout","shop":"b7"'])
def test_an_application_s_own_member_log_is_no_wrapper(members: str) -> None:
    event = event_of(f'{{{members},"time":"2026-11-29T09:00:30Z"}}')
    assert event["event_time"] == datetime(2026, 11, 29, 9, 0, 30, tzinfo=UTC)
    assert event["message"] == f"{{{members}}}"


def test_docker_s_lines_are_read_also_where_json_is_named_or_mapped() -> None:
    text = '{"log":"{\\"level\\":\\"warn\\"}\\n","stream":"stdout","time":"2026-11-29T09:00:30Z"}'
    assert event_of(text, format="json")["level"] == "WARN"
    assert event_of(text, format="json", mapping=["message=log"])["message"].startswith('{"level":"warn"}\n')


def test_wrappers_within_wrappers_end() -> None:
    event = event_of("a | " * 10_000)
    assert event["service"] == "a"
    assert event["message"].count("a | ") == 9_998


def test_a_file_of_kubernetes_names_pod_and_container() -> None:
    file = f"shop-5d4f-x_prod_web-app-{'0a' * 32}"
    text = "2026-11-29T09:00:31.3Z stdout F started"
    line = Line("a.log", 0, 1, text)
    event = reader()(line, text, file)
    assert event["service"] == "web-app"
    assert event["message"] == 'started {"namespace":"prod","pod":"shop-5d4f-x","stream":"stdout"}'
    assert reader()(line, "of no format", file)["service"] == "web-app"
    assert reader(service="mine")(line, text, file)["service"] == "mine"
    assert reader()(line, text, "shop_prod_web")["service"] == "shop_prod_web"
