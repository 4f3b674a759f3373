"""Which cells of the lake's windows an archived event counts in.

The job's own recount, run over that one event, gives its cell's key and time; the table's row with that key whose time
contains it is the cell, as a session's does its events'.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import duckdb

from shardlake.lake.counting import LATE_EVENTS, Counting, Sources, events_of, make_views
from shardlake.lake.sql import named, quoted
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
    connection: duckdb.DuckDBPyConnection,
    pipeline: Pipeline,
    counting: Counting,
    sources: Sources,
    place: tuple[str, int, int],
) -> Cell:
    """The cell of the archived event at (topic, partition, offset) in a table, which a job's query counts again.

    `connection` has the lake's tables as views, `sources` are the query's.
    """
    table, sql = counting.table, counting.sql
    topic = next(topic for topic in pipeline.topics.values() if topic.lake_table == table)
    here = '(topic, "partition", "offset") = (?, ?, ?)'
    if any(one.lake_table == LATE_EVENTS for one in pipeline.topics.values()):
        late = _rows(connection, f"FROM {LATE_EVENTS} WHERE missed_table = {quoted(table)} AND {here}", place)
        if late:
            return Cell(table, LATE, late[0])
    source = pipeline.topic(place[0])
    events = {one: events_of(pipeline, one, table) for one in pipeline.sources if one.lake_table}
    connection.execute(f"CREATE OR REPLACE TEMP TABLE traced AS FROM ({events[source]}) WHERE {here}", place)
    make_views(connection, {**events, source: "FROM traced"}, sources.in_time)
    connection.execute(f"CREATE OR REPLACE TEMP TABLE cell AS {sql}")
    columns = [row[0] for row in connection.execute("DESCRIBE cell").fetchall()]
    closes = next((named(column) for column in columns if column.endswith("_end")), None)
    if not _rows(connection, "FROM cell"):
        return Cell(table, NONE)
    time = named(str(topic.event_time))
    same = f"w.{time} <= c.{time} AND w.{closes} >= c.{closes}" if closes else f"w.{time} = c.{time}"
    if topic.key:
        same += f" AND w.{named(topic.key)} IS NOT DISTINCT FROM c.{named(topic.key)}"
    names = ", ".join(f"w.{named(column)}" for column in columns)
    counted = _rows(connection, f"SELECT {names} FROM {named(table)} w, cell c WHERE {same}")
    if counted:
        return Cell(table, COUNTED, counted[0])
    if closes is None:
        return Cell(table, MISSING)
    # A session goes on after the event: whether it has closed is seen of the whole of it alone.
    make_views(connection, events, sources.in_time)
    whole = (
        f"SELECT 1 FROM ({sql}) w, cell c WHERE {same} AND "
        f"w.{closes} <= coalesce((SELECT max({closes}) FROM {named(table)}), TIMESTAMP '-infinity')"
    )
    return Cell(table, MISSING if _rows(connection, whole) else OPEN)


def _rows(connection: duckdb.DuckDBPyConnection, sql: str, values: Any = None) -> list[dict[str, Any]]:
    found = connection.execute(sql, values)
    columns = [column[0] for column in found.description or []]
    return [dict(zip(columns, row, strict=True)) for row in found.fetchall()]
