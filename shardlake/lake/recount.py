"""Tables that jobs write, counted again from the archive and compared cell by cell.

A job's file tells how: see `counting`. So whatever a window lacks without being listed as late is found here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import duckdb

from shardlake.lake.comparison import number
from shardlake.lake.counting import LATE_EVENTS, Counting, Sources, events_of, make_views, must_fit, sources_of
from shardlake.lake.query import connected
from shardlake.lake.sql import named, quoted
from shardlake.lake.tables import LakeTable
from shardlake.pipeline import Pipeline, Topic

RELATIVE_ERROR = 1e-9
"""Sums of the same numbers in another order differ by less."""

AGAIN, WRITTEN, DUE = named("counted again"), named("written by the job"), named("due by now")
"""Temporary tables. A table of the lake has no space in its name, and so none is called like one of these."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A cell that is not as the archive says. `what` is `missing`, `alien`, `doubled` or a column's name.

    `is_late` is whether events that came late explain it: the cell is as it would be without some of them.
    """

    key: tuple[Any, ...]
    what: str
    in_table: Any
    recounted: Any
    is_late: bool = False


@dataclass(frozen=True, slots=True)
class Recount:
    """One table. `open_windows` are those whose time has not come: nothing is wrong with them.

    `sources` are the topics whose events were counted, `uncounted` the columns that the query does not give.
    """

    table: str
    windows: int
    open_windows: int
    late_events: int
    differences: tuple[Difference, ...]
    sources: tuple[str, ...] = ()
    uncounted: tuple[str, ...] = ()


def recount(
    counting: Counting,
    pipeline: Pipeline,
    tables: list[LakeTable],
    instead: Mapping[str, str] | None = None,
    closed: Mapping[str, int] | None = None,
) -> Recount:
    """Compare a table with what the job's query gives; rows are told apart by their topic's event time and key.

    `instead` has, by topic, a query that stands for the archive, where the archive is not to be relied on. `closed` is,
    by topic, the latest event time in milliseconds that the job had read at a finish: all windows fired then.

    Raises BadInput where the query is wrong.
    """
    name, sources = counting.table, sources_of(pipeline, tables, counting)
    topic = next(topic for topic in pipeline.topics.values() if topic.lake_table == name)
    keys = [str(topic.event_time), *([topic.key] if topic.key else [])]
    archived = [one for one in pipeline.sources if one.lake_table]
    events = {one: events_of(pipeline, one, name, (instead or {}).get(one.name)) for one in archived}
    with connected(tables) as connection:
        make_views(connection, events, sources.in_time)
        connection.execute(f"CREATE TABLE {AGAIN} AS {counting.sql}")
        columns = [row[0] for row in connection.execute(f"DESCRIBE {AGAIN}").fetchall()]
        of_table = [field["name"] for field in pipeline.schema_of(topic)["fields"]]
        must_fit(counting, columns, keys, of_table)
        connection.execute(f"CREATE TABLE {WRITTEN} AS SELECT {', '.join(map(named, columns))} FROM {named(name)}")
        still_open = _still_open(columns, keys[0], sources, closed or {})
        open_windows = number(connection, f"SELECT count(*) FROM ({still_open})")
        connection.execute(f"CREATE TABLE {DUE} AS SELECT * FROM {AGAIN} EXCEPT ALL {still_open}")
        differences = tuple(_differences(connection, keys, columns))
        if differences:
            early = {one: _without_late(query, one) for one, query in events.items()}
            make_views(connection, early, sources.in_time)
            selected = ", ".join(map(named, [*keys, *columns]))
            rows = connection.execute(f"SELECT {selected} FROM ({counting.sql})").fetchall()
            cells = {row[: len(keys)]: dict(zip(columns, row[len(keys) :], strict=True)) for row in rows}
            differences = tuple(replace(one, is_late=is_late(one, cells.get(one.key))) for one in differences)
        listed = 0
        if any(table.name == LATE_EVENTS for table in tables):
            listed = number(connection, f"SELECT count(*) FROM {LATE_EVENTS} WHERE missed_table = {quoted(name)}")
        windows = number(connection, f"SELECT count(*) FROM {WRITTEN}")
    uncounted = tuple(column for column in of_table if column not in columns)
    read = tuple(one.name for one in sources.topics)
    return Recount(name, windows, open_windows, listed, differences, read, uncounted)


def _still_open(columns: list[str], time: str, sources: Sources, closed: Mapping[str, int]) -> str:
    """The rows of AGAIN that need not be there yet: those that end after all that is there, and begin after all that
    a finish has closed. A table whose rows have no end has none."""
    closes = next((named(column) for column in columns if column.endswith("_end")), None)
    if closes is None:
        return f"SELECT * FROM {AGAIN} WHERE false"
    after = f"{closes} > coalesce((SELECT max({closes}) FROM {WRITTEN}), TIMESTAMP '-infinity')"
    if sources.topics and all(topic.name in closed for topic in sources.topics):
        latest_ms = min(closed[topic.name] for topic in sources.topics)
        after += f" AND {named(time)} > make_timestamp_ms({latest_ms})"
    return f"SELECT * FROM {AGAIN} WHERE {after}"


def _differences(connection: duckdb.DuckDBPyConnection, keys: list[str], columns: list[str]) -> Iterator[Difference]:
    listed = ", ".join(map(named, keys))
    for row in connection.execute(
        f"SELECT {listed}, count(*) FROM {WRITTEN} GROUP BY ALL HAVING count(*) > 1"
    ).fetchall():
        yield Difference(row[:-1], "doubled", row[-1], 1)
    same = " AND ".join(f"w.{named(key)} IS NOT DISTINCT FROM d.{named(key)}" for key in keys)
    w, d = (", ".join(f"{side}.{named(column)}" for column in columns) for side in "wd")
    differs = " OR ".join(f"w.{named(column)} IS DISTINCT FROM d.{named(column)}" for column in columns)
    # A field of a schema has no space in its name: so no column of a table is called this.
    there = named("is there")
    w_side, d_side = (f"(SELECT *, true AS {there} FROM {one})" for one in (WRITTEN, DUE))
    rows = connection.execute(
        f"SELECT w.{there} IS NOT NULL, d.{there} IS NOT NULL, {w}, {d} "
        f"FROM {w_side} w FULL JOIN {d_side} d ON {same} WHERE {differs} ORDER BY ALL"
    ).fetchall()
    for is_written, is_due, *values in rows:
        written = dict(zip(columns, values[: len(columns)], strict=True))
        due = dict(zip(columns, values[len(columns) :], strict=True))
        key = tuple((written if is_written else due)[name] for name in keys)
        if not is_written:
            yield Difference(key, "missing", None, due)
        elif not is_due:
            yield Difference(key, "alien", written, None)
        else:
            for name in columns:
                if not _equal(written[name], due[name]):
                    yield Difference(key, name, written[name], due[name])


def _without_late(events: str, topic: Topic) -> str:
    """The events without any that came when the watermark of its partition had passed it.

    Some of these were in time nevertheless: the watermark of all partitions is the lowest of theirs.
    """
    if topic.event_time is None:
        return events
    time = named(topic.event_time)
    before = (
        f'max({time}) OVER (PARTITION BY topic, "partition" ORDER BY "offset" '
        "ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)"
    )
    return (
        f"SELECT * FROM ({events}) "
        f"QUALIFY coalesce({time} >= {before} - INTERVAL {topic.out_of_order_seconds} SECOND, true)"
    )


def is_late(difference: Difference, without_late: dict[str, Any] | None) -> bool:
    """Whether the cell is between what it would be with and without what came late."""
    if difference.what == "missing":
        return without_late is None
    if difference.what == "alien":  # a session that late events would have joined to another
        return without_late is not None
    if without_late is None or difference.what not in without_late:
        return False
    least, found, most = without_late[difference.what], difference.in_table, difference.recounted
    if all(isinstance(one, int) for one in (least, found, most)):
        return bool(least <= found < most)
    return bool(least != most)


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return abs(one - other) <= RELATIVE_ERROR * max(1.0, abs(one), abs(other))
    return bool(one == other)
