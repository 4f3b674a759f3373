"""Which cells of the lake's windows an archived event counts in.

The job's own recount, run over that one event, gives its cell's key and time; the table's row with that key whose time
contains it is the cell, as a session's does its events'.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import duckdb

from shardlake.lake.recount import in_time
from shardlake.lake.sql import named
from shardlake.pipeline import Pipeline

COUNTED, LATE, OPEN, NONE, MISSING = "counted", "late", "open", "none", "missing"


@dataclass(frozen=True, slots=True)
class Cell:
    """What became of an event in a table of windows.

    counted   `row` is the window's row in the lake
    late      `row` is the event's in `late_events`, with the window that it missed
    open      its window has not closed yet
    none      the table counts no such event: it has no time, or no key
    missing   its window should be there and is not
    """

    table: str
    state: str
    row: dict[str, Any] | None = None


def cell_of(
    connection: duckdb.DuckDBPyConnection, pipeline: Pipeline, table: str, sql: str, place: tuple[str, int, int]
) -> Cell:
    """The cell in `table`, recounted by `sql`, of the archived event at (topic, partition, offset).

    `connection` has the lake's tables as views.
    """
    topic = next(topic for topic in pipeline.topics.values() if topic.lake_table == table)
    here = '(topic, "partition", "offset") = (?, ?, ?)'
    late = _rows(connection, f"FROM late_events WHERE missed_table = '{table}' AND {here}", place)
    if late:
        return Cell(table, LATE, late[0])
    archive, time = pipeline.events_topic.lake_table, pipeline.events_topic.event_time
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE traced AS FROM {named(str(archive))} WHERE {time} IS NOT NULL AND {here}", place
    )
    connection.execute("CREATE OR REPLACE TEMP VIEW in_time AS FROM traced")
    connection.execute(f"CREATE OR REPLACE TEMP TABLE cell AS {sql}")
    columns = [row[0] for row in connection.execute("DESCRIBE cell").fetchall()]
    closes = next(column for column in columns if column.endswith("_end"))
    if not _rows(connection, "FROM cell"):
        return Cell(table, NONE)
    same = f"w.{topic.event_time} <= c.{topic.event_time} AND w.{closes} >= c.{closes}" + (
        f" AND w.{topic.key} IS NOT DISTINCT FROM c.{topic.key}" if topic.key else ""
    )
    names = ", ".join(f"w.{column}" for column in columns)
    counted = _rows(connection, f"SELECT {names} FROM {named(table)} w, cell c WHERE {same}")
    if counted:
        return Cell(table, COUNTED, counted[0])
    # A session goes on after the event: whether it has closed is seen of the whole of it alone.
    connection.execute(f"CREATE OR REPLACE TEMP VIEW in_time AS {in_time(pipeline, table)}")
    whole = (
        f"SELECT 1 FROM ({sql}) w, cell c WHERE {same} AND "
        f"w.{closes} <= coalesce((SELECT max({closes}) FROM {named(table)}), TIMESTAMP '-infinity')"
    )
    return Cell(table, MISSING if _rows(connection, whole) else OPEN)


def _rows(connection: duckdb.DuckDBPyConnection, sql: str, values: Any = None) -> list[dict[str, Any]]:
    found = connection.execute(sql, values)
    columns = [column[0] for column in found.description or []]
    return [dict(zip(columns, row, strict=True)) for row in found.fetchall()]
