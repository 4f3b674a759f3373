"""Fields that are called as words of SQL, or as the recount's own columns, are counted again as others are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import duckdb
import pytest

from shardlake.flink.job import Tables
from shardlake.lake.recount import DUE, WRITTEN, Difference, _differences, _without_late
from shardlake.pipeline import Pipeline
from tests.shop import TOPICS, check, found_in, plant
from tests.support import ROOT

pytestmark = pytest.mark.unit

COLUMNS = ["end", "order", "user", "group", "is_there", "highest"]


def table(connection: duckdb.DuckDBPyConnection, name: str, *rows: tuple[Any, ...]) -> None:
    columns = ", ".join(f'"{column}" INTEGER' for column in COLUMNS)
    connection.execute(f"CREATE TABLE {name} ({columns})")
    connection.executemany(f"INSERT INTO {name} VALUES ({', '.join('?' * len(COLUMNS))})", rows)


def test_cells_are_compared_by_columns_of_any_name() -> None:
    with duckdb.connect() as connection:
        table(connection, WRITTEN, (1, 1, 10, 5, None, None), (2, 1, 20, 6, None, 8), (4, 1, 40, 7, None, None))
        table(connection, DUE, (1, 1, 10, 5, None, None), (2, 1, 21, 6, None, 9), (3, 1, 30, 7, None, None))
        found = list(_differences(connection, ["end", "order"], COLUMNS))
    third, fourth = (dict(zip(COLUMNS, (n, 1, n * 10, 7, None, None), strict=True)) for n in (3, 4))
    assert sorted(found, key=lambda one: (one.key, one.what)) == [
        Difference((2, 1), "highest", 8, 9),
        Difference((2, 1), "user", 20, 21),
        Difference((3, 1), "missing", None, third),
        Difference((4, 1), "alien", fourth, None),
    ]


@pytest.mark.parametrize("time", ["end", "order", "user", "group", "highest"])
def test_late_events_are_left_out_by_a_time_of_any_name(time: str) -> None:
    topic = replace(Pipeline.load(ROOT).topic("app-logs"), event_time=time, out_of_order_seconds=60)
    minutes = ", ".join(f"({n}, TIMESTAMP '2026-03-01 12:{m:02}:00', {n * 7})" for n, m in enumerate((0, 5, 1, 4, 6)))
    other = "highest" if time != "highest" else "order"
    events = (
        f'SELECT \'app-logs\' AS topic, 0 AS "partition", n AS "offset", t AS "{time}", v AS "{other}" '
        f"FROM (VALUES {minutes}) rows(n, t, v)"
    )
    with duckdb.connect() as connection:
        query = f'SELECT "offset", "{other}" FROM ({_without_late(events, topic)}) ORDER BY 1'
        assert connection.execute(query).fetchall() == [(0, 0), (1, 7), (3, 21), (4, 28)]


def test_a_finish_closes_the_windows_of_a_view_in_backquotes_by_its_own_topic_s_time() -> None:
    closed = {"app-logs": 1_000, "sessions": 9_000}
    tables = Tables(cast(Any, None), Pipeline.load(ROOT), closed=closed)
    plain = tables.in_time("app_logs", "event_time", "event_time")
    assert "TO_TIMESTAMP_LTZ(1000, 3)" in plain
    assert tables.in_time("`app_logs`", "event_time", "event_time") == plain.replace("app_logs", "`app_logs`")


@pytest.mark.parametrize("name", ["again", "written", "due"])
def test_a_table_of_the_lake_may_be_called_as_a_step_of_the_recount(name: str, tmp_path: Path) -> None:
    payments = TOPICS["payments"].replace('lake_table = "payments"', f'lake_table = "{name}"')
    verdict = plant(tmp_path, {**TOPICS, "payments": payments}).verdict()
    assert found_in(verdict) == []
    assert check(verdict, "revenue, counted again").checked == 8
