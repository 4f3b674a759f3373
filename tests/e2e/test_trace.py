"""`shardlake trace`: a record is followed from its line to its window, or to the reason why it is in none."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from shardlake.lake.query import database
from shardlake.testing.stack import RunningStack, running_stack
from tests.e2e.test_jobs import rows
from tests.support import Topic, copy_pipeline, event, wait_for

pytestmark = pytest.mark.e2e

SECRET = "203.0.113.211"
LINES = [
    f'{SECRET} - - [01/Mar/2026:12:00:0{n} +0000] "GET /a?secret={SECRET} HTTP/1.1" 200 1{n} "-" "-"' for n in (5, 7)
]
NULL, CUT, YEAR_9999, FIRST, LATE = 2, 3, 4, 5, 725
"""Offsets of the one partition: two lines, then these, and from FIRST on an event a second for twelve minutes."""
SET = ("--set", "sessions.gap_minutes=3")


def at(second: int, event_id: str) -> dict[str, Any]:
    client = "visitor" if second < 120 else "regular"
    return event(second, event_id=event_id, service="api", client_address=client)


@dataclass
class Ran:
    stack: RunningStack
    topic: Topic
    run: Path

    def trace(self, record: str, *more: str, exit_code: int = 0) -> list[dict[str, Any]]:
        said = self.stack.shardlake("trace", record, "--json", *SET, *more, exit_code=exit_code)
        assert SECRET not in said
        found: list[dict[str, Any]] = json.loads(said[: said.rindex("\n}") + 2])["traces"]
        return found

    def id_at(self, offset: int) -> str:
        return str(rows(self.stack, f'SELECT event_id FROM app_logs WHERE "offset" = {offset}')[0][0])


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ran]:
    """Jobs that run: nine minutes of windows have closed, two have not, and one event came late."""
    folder, run = copy_pipeline(tmp_path_factory.mktemp("pipeline"), partitions=1), tmp_path_factory.mktemp("run")
    with running_stack(folder, tmp_path_factory.mktemp("state"), parallelism=1) as stack:
        topic = Topic(stack)
        log = run / "web.log"
        log.write_text("\n".join([*LINES, ""]))
        stack.shardlake("produce", str(log), "--ledger", str(run / "ledgers"))
        whole = topic.encode(at(0, "cut-off"))
        topic.send(
            [None, whole[:-1], topic.encode(event(0, event_id="far", event_time=datetime(9999, 1, 1, tzinfo=UTC)))]
        )
        stack.shardlake("jobs", "run", *SET)
        topic.send_events([at(second, f"e-{second}") for second in range(12 * 60)])
        wait_for(lambda: rows(stack, "SELECT count(*) FROM service_health")[0][0] >= 10, 120, "closed windows")
        topic.send_events([at(30, "late")])
        wait_for(lambda: len(rows(stack, "FROM late_events")) == 2, 90, "the late event, for two tables")
        wait_for(lambda: rows(stack, "SELECT count(*) FROM app_logs") == [(723,)], 90, "the archive")
        yield Ran(stack, topic, run)


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
    (found,) = ran.trace("e-700")
    assert [(cell["table"], cell["state"]) for cell in found["cells"]] == [
        ("service_health", "open"), ("sessions", "open"),
    ]  # fmt: skip
    # The session of "regular" began long before the last one that has closed.
    (found,) = ran.trace("e-130")
    assert [cell["state"] for cell in found["cells"]] == ["counted", "open"]
    (found,) = ran.trace("late")
    assert found["offset"] == LATE
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
    assert "service api, events 60, errors 6, " in health
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
    ran.stack.shardlake("jobs", "stop")
    ran.topic.send_events([at(800, "waits")])
    ran.topic.send([ran.topic.encode(at(801, "cut"))[:-1]])
    (found,) = ran.trace("waits")
    assert (found["offset"], found["state"]) == (LATE + 1, "waiting")
    assert ran.trace(f"app-logs/0/{LATE + 1}") == [found]
    assert ran.trace(f"app-logs/0/{LATE + 2}")[0]["state"] == "waiting, no event"


def test_without_a_broker_the_lake_is_told_and_the_rest_could_not_be_asked(ran: Ran) -> None:
    ran.stack.stack.servers["kafka"].kill()
    assert ran.trace("e-0")[0]["state"] == "archived"
    said = ran.stack.shardlake("trace", "far", exit_code=3)
    assert "the rest could not be asked: Kafka at" in " ".join(said.split())
