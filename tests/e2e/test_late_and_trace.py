"""Late events, sessions, alerts and traces, through a task manager that dies: every event is in a window or listed as
late, and `shardlake trace` follows a record from its line to its window, or to the reason why it is in none."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC

import pytest

from shardlake import topics
from shardlake.avro.codec import Decoder
from shardlake.avro.registry import Registry
from shardlake.lake.query import database
from shardlake.lake.tables import VISIBLE
from shardlake.storage import find
from shardlake.testing.stack import RunningStack
from tests.e2e.lake import rows
from tests.e2e.twelve_minutes import (
    BURST_MINUTE,
    CUT,
    END,
    FIRST,
    FIRST_LATE,
    LATE,
    LINES,
    MINUTES,
    NULL,
    SET,
    YEAR_9999,
    Ran,
    at,
    twelve_minutes,
)
from tests.support import START, wait_for

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def ran(shardlake_stack: RunningStack, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    return twelve_minutes(shardlake_stack, tmp_path_factory.mktemp("twelve"))


def test_late_events_are_listed_with_the_window_that_they_missed(ran: Ran) -> None:
    found = rows(
        ran.stack,
        "SELECT event_id, service, missed_table, window_start, window_end, event_time, closed_until, archived "
        'FROM late_events l JOIN (SELECT event_id AS archived, topic, "partition", "offset" FROM app_logs) '
        'USING (topic, "partition", "offset") ORDER BY missed_table, event_time',
    )
    health = [row for row in found if row[2] == "service_health"]
    assert [row[0] for row in health] == [f"e-{10_000 + second}" for second in LATE]
    for second, (event_id, service, _, start, end, time, closed_until, archived) in zip(LATE, health, strict=True):
        assert service == "api"
        assert archived == event_id
        assert (time - START.replace(tzinfo=None)).total_seconds() == second
        assert (end - start).total_seconds() == 60
        assert start <= time < end <= closed_until
    # For sessions with a gap of three minutes the watermark must be further.
    assert [row[0] for row in found if row[2] == "sessions"] == [f"e-{10_000 + second}" for second in LATE]


def test_each_event_is_in_a_window_or_late_and_the_recount_agrees(ran: Ran) -> None:
    total = len(LINES) + MINUTES * 60 + len(LATE) + 60
    assert rows(ran.stack, "SELECT count(*), count(DISTINCT event_id) FROM app_logs") == [(total, total)]
    windows = rows(ran.stack, "SELECT window_start, events FROM service_health WHERE service = 'api' ORDER BY 1")
    assert [events for _, events in windows] == [60] * (MINUTES + 1)
    found = {one["table"]: one for one in json.loads(recount(ran.stack))}
    assert {name: one["differences"] for name, one in found.items()} == {"service_health": [], "sessions": []}
    assert {name: one["late_events"] for name, one in found.items()} == {"service_health": 3, "sessions": 3}


def test_sessions_end_after_the_gap(ran: Ran) -> None:
    found = rows(
        ran.stack,
        "SELECT session_start, session_end, events, errors, services FROM sessions WHERE events > 2 ORDER BY 1",
    )
    offsets = [
        ((start - START.replace(tzinfo=None)).seconds, (end - START.replace(tzinfo=None)).seconds, *numbers)
        for start, end, *numbers in found
    ]
    assert offsets == [(0, 119, 120, 0, 1), (120, MINUTES * 60 + 59, MINUTES * 60 - 60, 60, 1)]


def test_a_burst_raises_one_alert_in_the_lake_and_in_the_topic(ran: Ran) -> None:
    found = rows(ran.stack, "SELECT window_start, service, events, errors, error_ratio, usual_error_ratio FROM alerts")
    assert [((row[0] - START.replace(tzinfo=None)).seconds, *row[1:]) for row in found] == [
        (BURST_MINUTE * 60, "api", 60, 60, 1.0, 0.0)
    ]
    decoder = Decoder(
        ran.stack.pipeline.schemas["alert"], Registry(ran.stack.settings.schema_registry_url), "alerts-value"
    )
    (message,) = topics.read(ran.stack.settings.kafka_bootstrap_servers, "alerts")
    assert (message.key(), decoder.decode(message.value())["errors"]) == (b"api", 60)


def test_a_window_that_is_not_as_the_archive_says_is_named(ran: Ran) -> None:
    """The recount is checked: one file of the archive taken away, and it names the cell."""
    file = find(ran.stack.settings.lake / "late_events", VISIBLE)[0].path
    kept = file.read_bytes()
    file.unlink()
    try:
        said = recount(ran.stack, exit_code=1)
    finally:
        file.write_bytes(kept)
    found = json.loads(said[: said.rindex("]") + 1])
    what = Counter(cell["what"] for one in found if one["table"] == "service_health" for cell in one["differences"])
    assert what["events"] == len(LATE)


def recount(stack: RunningStack, exit_code: int = 0) -> str:
    return stack.shardlake("lake", "recount", *SET, "--json", exit_code=exit_code)


def test_a_line_is_followed_to_its_row_and_the_windows_that_count_it(ran: Ran) -> None:
    (found,) = ran.trace(ran.id_at(1), "--ledger", str(ran.run / "ledgers"))
    assert (found["topic"], found["partition"], found["offset"], found["state"]) == ("app-logs", 0, 1, "archived")
    assert found["lines"] == ["web.log:2"]
    (row,) = found["rows"]
    table = rows(ran.stack, 'SELECT arrival_time FROM app_logs WHERE "offset" = 1')
    assert found["arrival_time"] == str(table[0][0].replace(tzinfo=UTC))
    archived = (
        database([ran.stack.settings.lake])
        .execute(
            'SELECT "offset" FROM read_parquet(?, file_row_number = true) WHERE file_row_number = ?',
            [str(ran.stack.settings.lake / row["file"]), row["number"]],
        )
        .fetchall()
    )
    assert archived == [(1,)]
    health, session = found["cells"]
    assert (health["table"], health["state"], health["row"]["service"], health["row"]["events"]) == (
        "service_health", "counted", "web", 2,
    )  # fmt: skip
    assert health["row"]["window_start"] == "2026-03-01 12:00:00"
    assert (session["table"], session["state"], session["row"]["events"]) == ("sessions", "counted", 2)
    assert (session["row"]["session_start"], session["row"]["session_end"]) == (
        "2026-03-01 12:00:05", "2026-03-01 12:00:07",
    )  # fmt: skip
    assert ran.trace("app-logs/0/1", "--ledger", str(ran.run / "ledgers")) == [found]


def test_a_window_that_has_not_closed_is_told_from_one_that_was_missed(ran: Ran) -> None:
    (found,) = ran.before["e-700"]
    assert [(cell["table"], cell["state"]) for cell in found["cells"]] == [
        ("service_health", "open"), ("sessions", "open"),
    ]  # fmt: skip
    # The session of "regular" began long before the last one that has closed.
    (found,) = ran.before["e-130"]
    assert [cell["state"] for cell in found["cells"]] == ["counted", "open"]
    (found,) = ran.trace(f"e-{10_000 + LATE[0]}")
    assert found["offset"] == FIRST_LATE
    assert [(cell["table"], cell["state"]) for cell in found["cells"]] == [
        ("service_health", "late"), ("sessions", "late"),
    ]  # fmt: skip
    assert found["cells"][0]["row"]["window_end"] == "2026-03-01 12:01:00"


def test_dead_letters_are_found_by_place_and_by_id_with_the_reason(ran: Ran) -> None:
    (found,) = ran.trace("far")
    (letter,) = found["letters"]
    assert (found["offset"], found["state"], letter["holds_id"]) == (YEAR_9999, "dead letter", "field")
    assert letter["error_class"] == "io.shardlake.flink.EventTimeOutOfRange"
    (found,) = ran.trace("cut-off")
    assert (found["offset"], found["letters"][0]["holds_id"]) == (CUT, "bytes")
    (by_place,) = ran.trace(f"app-logs/0/{CUT}")
    assert by_place["letters"][0]["error_message"]
    assert by_place["letters"][0]["holds_id"] is None
    (null,) = ran.trace(f"app-logs/0/{NULL}")
    assert (null["state"], null["rows"], null["letters"]) == ("null value", [], [])


def test_for_people_a_line_a_step(ran: Ran) -> None:
    said = ran.stack.shardlake("trace", "e-0", *SET)
    first, lake, health, session, _ = said.split("\n")
    assert first.startswith(f"app-logs/0/{FIRST}, arrived 20")
    assert lake.startswith("  lake         app_logs/year=2026/month=03/day=01/hour=12/")
    assert health.startswith("  window       service_health: window_start 2026-03-01 12:00:00.000, ")
    assert "service api, events 60, errors 0, " in health
    assert session.startswith("  window       sessions: session_start 2026-03-01 12:00:00.000, ")
    assert "counts it" not in said
    said = ran.stack.shardlake("trace", "cut-off", "--ledger", str(ran.run / "ledgers"), *SET)
    assert "the ledger does not name it" in said
    assert "its bytes hold the id" in said


def test_what_is_nowhere_is_said_with_where_it_was_looked_for(ran: Ran) -> None:
    said = ran.stack.shardlake("trace", "e-100000", exit_code=1)
    assert "e-100000 is nowhere: looked in " in " ".join(said.split())
    assert "the lake's app_logs, app-logs.dlq, app-logs after what the jobs have committed" in " ".join(said.split())
    assert ran.trace("app-logs/0/1000000", exit_code=1)[0]["state"] == "gone"
    assert ran.trace("app-logs/7/0", exit_code=1)[0]["state"] == "gone"
    for wrong in ("app-logs/0", "app-logs/x/1", "app-logs/0/-1", "nothing/0/1", "service-health/0/1"):
        ran.stack.shardlake("trace", wrong, exit_code=2)
    assert "holds no ledger" in ran.stack.shardlake("trace", "e-0", "--ledger", str(ran.run), exit_code=2)


def test_a_row_twice_a_row_gone_and_a_record_that_waits(ran: Ran) -> None:
    (found,) = ran.trace("e-10")
    file = ran.stack.settings.lake / found["rows"][0]["file"]
    copy, content = file.with_name("copy.parquet"), file.read_bytes()
    copy.write_bytes(content)
    (twice,) = ran.trace("e-10")
    assert sorted(row["file"] for row in twice["rows"]) == sorted(
        str(path).removeprefix(f"{ran.stack.settings.lake}/") for path in (file, copy)
    )
    copy.unlink()
    file.unlink()
    try:
        assert ran.trace(f"app-logs/0/{FIRST + 10}", exit_code=1)[0]["state"] == "lost"
        ran.trace("e-10", exit_code=1)
    finally:
        file.write_bytes(content)
    ran.topic.send_events([at(800, "waits")])
    ran.topic.send([ran.topic.encode(at(801, "cut"))[:-1]])
    (found,) = ran.trace("waits")
    assert (found["offset"], found["state"]) == (END, "waiting")
    assert ran.trace(f"app-logs/0/{END}") == [found]
    assert ran.trace(f"app-logs/0/{END + 1}")[0]["state"] == "waiting, no event"


def test_without_a_broker_the_lake_is_told_and_the_rest_could_not_be_asked(ran: Ran) -> None:
    kafka = ran.stack.stack.servers["kafka"]
    kafka.kill()
    try:
        assert ran.trace("e-0")[0]["state"] == "archived"
        said = ran.stack.shardlake("trace", "far", exit_code=3)
    finally:
        ran.stack.stack.restart("kafka")
        wait_for(kafka.is_ready, "the broker")
    assert "the rest could not be asked: Kafka at" in " ".join(said.split())
