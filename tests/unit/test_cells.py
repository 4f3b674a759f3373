"""Which window counts an event, told from those that have not closed, and from those that should be there."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from shardlake.cli.lake import countings
from shardlake.lake.cells import Cell, cell_of
from shardlake.lake.counting import Sources
from shardlake.lake.query import connect
from shardlake.lake.tables import lake_tables
from shardlake.pipeline import Pipeline
from tests.support import ROOT

pytestmark = pytest.mark.unit

PIPELINE = Pipeline.load(ROOT)
NOON = datetime(2026, 3, 1, 12)  # noqa: DTZ001 - as the lake has it


def minute(number: float) -> datetime:
    return NOON + timedelta(minutes=number)


EVENTS = [
    # offset, time, service, client
    (0, minute(0.5), "web", "a"),
    (1, minute(1.5), "web", "a"),
    (2, minute(1.5), "api", "b"),
    (3, minute(2.5), "web", "a"),
    (4, None, "web", "a"),
    (5, minute(0.7), "web", None),
    (6, minute(0.5), "web", "c"),
    (7, minute(3.5), "web", "a"),
]


@pytest.fixture
def lake(tmp_path: Path) -> duckdb.DuckDBPyConnection:
    """Windows of minutes 0 and 1 are written, but for one of the api; the session of c, and the first of a."""
    connection = connect(lake_tables(tmp_path, PIPELINE))

    def insert(table: str, **row: Any) -> None:
        names = ", ".join(f'"{name}"' for name in row)
        connection.execute(f"INSERT INTO {table} ({names}) VALUES ({', '.join('?' * len(row))})", [*row.values()])

    for offset, time, service, client in EVENTS:
        place = {"topic": "app-logs", "partition": 0, "offset": offset}
        insert("app_logs", **place, event_id=f"e{offset}", event_time=time, service=service, client_address=client)
        insert("app_logs", **{**place, "partition": 1}, event_id="other", event_time=minute(90), service="other")
    for start, events in ((0, 2), (1, 1)):
        insert("service_health", window_start=minute(start), window_end=minute(start + 1), service="web", events=events)
    insert("sessions", session_start=minute(0.5), session_end=minute(1.5), client_address="a", events=2)
    insert("sessions", session_start=minute(2), session_end=minute(3), client_address="c", events=1)
    late = {"event_time": minute(0.5), "event_id": "e6", "service": "web", "closed_until": minute(2)}
    insert(
        "late_events", **late, missed_table="service_health", window_start=NOON, window_end=minute(1),
        topic="app-logs", partition=0, offset=6,
    )  # fmt: skip
    return connection


def cell(lake: duckdb.DuckDBPyConnection, table: str, offset: int) -> Cell:
    (counting,) = [one for one in countings(PIPELINE, ["sessions.gap_minutes=1"]) if one.table == table]
    source = PIPELINE.topic("app-logs")
    return cell_of(lake, PIPELINE, counting, Sources((source,), source), ("app-logs", 0, offset))


@pytest.mark.parametrize(
    ("offset", "state"),
    [
        (0, "counted"),
        (1, "counted"),
        (2, "missing"),
        (3, "open"),
        (4, "none"),
        (5, "counted"),
        (6, "late"),
        (7, "open"),
    ],
)
def test_minutes(lake: duckdb.DuckDBPyConnection, offset: int, state: str) -> None:
    found = cell(lake, "service_health", offset)
    assert (found.table, found.state) == ("service_health", state)
    if state == "counted":
        assert found.row is not None
        assert found.row["window_start"] == (minute(1) if offset == 1 else NOON)
        assert (found.row["service"], found.row["events"]) == ("web", 1 if offset == 1 else 2)
    if state == "late":
        assert found.row is not None
        assert (found.row["window_start"], found.row["closed_until"]) == (NOON, minute(2))


@pytest.mark.parametrize(
    ("offset", "state"),
    [
        (0, "counted"),
        (1, "counted"),
        (2, "missing"),
        # It is before the end of c's session, which is written; its own goes on until the next event.
        (3, "open"),
        (4, "none"),
        (5, "none"),
        (6, "missing"),
        (7, "open"),
    ],
)
def test_sessions(lake: duckdb.DuckDBPyConnection, offset: int, state: str) -> None:
    found = cell(lake, "sessions", offset)
    assert found.state == state
    if state == "counted":
        assert found.row is not None
        assert (found.row["session_end"], found.row["client_address"]) == (minute(1.5), "a")
