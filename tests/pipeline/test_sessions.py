"""`flink_jobs/sessions.py` in process: where one session ends and the next begins, and the recount of both."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import pytest

from flink_jobs.sessions import recount
from shardlake.errors import BadInput
from shardlake.pipeline import Pipeline
from shardlake.testing.jobs import run_job
from tests.support import ROOT

pytestmark = pytest.mark.pipeline

NOON = datetime(2026, 11, 3, 12, 0, tzinfo=UTC)


def at(minutes: float, client: str | None, service: str = "web", **fields: Any) -> dict[str, Any]:
    time = NOON + timedelta(minutes=minutes)
    return {"event_id": f"{minutes}", "event_time": time, "service": service, "client_address": client, **fields}


EVENTS = [
    at(0, "a", response_bytes=10),
    at(1, None),  # nobody's
    at(3, "b"),
    at(5, "b"),
    at(4, "b", response_bytes=1),  # out of order
    at(10, "a", "api", status=500),  # the gap exactly: still the same session
    at(20.001, "a", level="ERROR"),  # a little more: another
]
EXPECTED = [
    # start, end, events, errors, services, response_bytes
    (0, 10, 2, 1, 2, 10),
    (3, 5, 3, 0, 1, 1),
    (20.001, 20.001, 1, 1, 1, None),
]


def minutes(moment: datetime) -> float:
    return round((moment.replace(tzinfo=UTC) - NOON).total_seconds() / 60, 3)


def test_a_session_ends_when_its_client_is_silent_for_longer_than_the_gap() -> None:
    options = {"gap_minutes": "10"}
    found = run_job(Pipeline.load(ROOT), "sessions", {"app-logs": EVENTS}, options)["lake.sessions"]
    rows = sorted(
        (minutes(row["session_start"]), minutes(row["session_end"]), row["events"], row["errors"], row["services"],
         row["response_bytes"])
        for row in found
    )  # fmt: skip
    assert rows == EXPECTED
    assert len({row["client_address"] for row in found}) == 2
    assert not {"a", "b"} & {row["client_address"] for row in found}

    connection = duckdb.connect()
    connection.execute(
        "CREATE TABLE in_time (event_time TIMESTAMP, client_address VARCHAR, service VARCHAR, "
        "status INT, level VARCHAR, response_bytes BIGINT)"
    )
    for row in EVENTS:
        names = ("event_time", "client_address", "service", "status", "level", "response_bytes")
        values = [row.get(name) for name in names]
        values[0] = values[0].replace(tzinfo=None)  # type: ignore[union-attr]
        connection.execute("INSERT INTO in_time VALUES (?, ?, ?, ?, ?, ?)", values)
    again = connection.execute(recount(options)["sessions"]).fetchall()
    assert sorted((minutes(row[0]), minutes(row[1]), *row[3:]) for row in again) == EXPECTED


def test_what_may_continue_a_session_that_a_finish_has_closed_is_late() -> None:
    events = [at(minute, "a") for minute in (9, 15, 20, 20.001, 25)]
    latest_ms = round((NOON.timestamp() + 600) * 1000)
    options, closed = {"gap_minutes": "10"}, {"app-logs": latest_ms}
    found = run_job(Pipeline.load(ROOT), "sessions", {"app-logs": events}, options, closed)
    sessions = [(minutes(row["session_start"]), minutes(row["session_end"])) for row in found["lake.sessions"]]
    assert sessions == [(20.001, 25)]
    assert [row["event_id"] for row in found["lake.late_events"]] == ["9", "15", "20"]


@pytest.mark.parametrize("gap", ["0", "-1", "half"])
def test_a_gap_that_is_no_number_of_minutes_is_refused(gap: str) -> None:
    with pytest.raises(BadInput, match=f"gap_minutes is '{gap}'"):
        recount({"gap_minutes": gap})
