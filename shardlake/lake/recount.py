"""Windows counted again from the archive, and compared with those that the jobs wrote, cell by cell.

A job's file tells how: `recount(options)` gives, by table, a query over `in_time`, the archived events without those
that `late_events` lists for that table. So whatever a window lacks without being listed is found here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import duckdb

from shardlake.lake.comparison import number
from shardlake.lake.query import connect
from shardlake.lake.sql import named
from shardlake.lake.tables import LakeTable
from shardlake.pipeline import Pipeline

RELATIVE_ERROR = 1e-9
"""Sums of the same numbers in another order differ by less."""


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
    """One table. `open_windows` are those whose time has not come: nothing is wrong with them."""

    table: str
    windows: int
    open_windows: int
    late_events: int
    differences: tuple[Difference, ...]


def recount(sql: str, name: str, pipeline: Pipeline, tables: list[LakeTable], archive: str | None = None) -> Recount:
    """Compare the lake table `name` with what `sql` gives; rows are told apart by their topic's event time and key.

    `archive` is a query that stands for the table of events, where that is not to be relied on.
    """
    topic = next(topic for topic in pipeline.topics.values() if topic.lake_table == name)
    keys = [str(topic.event_time), *([topic.key] if topic.key else [])]
    connection = connect(tables)
    events = in_time(pipeline, name, archive)
    connection.execute(f"CREATE VIEW in_time AS {events}")
    connection.execute(f"CREATE TABLE again AS {sql}")
    columns = [row[0] for row in connection.execute("DESCRIBE again").fetchall()]
    closes = next(column for column in columns if column.endswith("_end"))
    connection.execute(f"CREATE TABLE written AS SELECT {', '.join(columns)} FROM {named(name)}")
    still_open = (
        f"SELECT * FROM again WHERE {closes} > coalesce((SELECT max({closes}) FROM written), TIMESTAMP '-infinity')"
    )
    open_windows = number(connection, f"SELECT count(*) FROM ({still_open})")
    connection.execute(f"CREATE TABLE due AS SELECT * FROM again EXCEPT ALL {still_open}")
    differences = tuple(_differences(connection, keys, columns))
    if differences:
        early = _without_late(events, str(pipeline.events_topic.event_time), pipeline.events_topic.out_of_order_seconds)
        connection.execute(f"CREATE OR REPLACE VIEW in_time AS {early}")
        rows = connection.execute(f"SELECT {', '.join([*keys, *columns])} FROM ({sql})").fetchall()
        cells = {row[: len(keys)]: dict(zip(columns, row[len(keys) :], strict=True)) for row in rows}
        differences = tuple(replace(one, is_late=is_late(one, cells.get(one.key))) for one in differences)
    listed = number(connection, f"SELECT count(*) FROM late_events WHERE missed_table = '{name}'")
    windows = number(connection, "SELECT count(*) FROM written")
    return Recount(name, windows, open_windows, listed, differences)


def in_time(pipeline: Pipeline, table: str, archive: str | None = None) -> str:
    """The archived events that a table's windows should count, as a query; `archive` as in `recount`."""
    time = pipeline.events_topic.event_time
    archived = f"({archive})" if archive else named(str(pipeline.events_topic.lake_table))
    return (
        f"SELECT * FROM {archived} e ANTI JOIN "
        f"""(SELECT topic, "partition", "offset" FROM late_events WHERE missed_table = '{table}') l """
        f'USING (topic, "partition", "offset") WHERE {time} IS NOT NULL'
    )


def _differences(connection: duckdb.DuckDBPyConnection, keys: list[str], columns: list[str]) -> Iterator[Difference]:
    listed = ", ".join(keys)
    for row in connection.execute(
        f"SELECT {listed}, count(*) FROM written GROUP BY ALL HAVING count(*) > 1"
    ).fetchall():
        yield Difference(row[:-1], "doubled", row[-1], 1)
    same = " AND ".join(f"w.{key} IS NOT DISTINCT FROM d.{key}" for key in keys)
    w, d = (", ".join(f"{side}.{column}" for column in columns) for side in "wd")
    differs = " OR ".join(f"w.{column} IS DISTINCT FROM d.{column}" for column in columns)
    rows = connection.execute(
        f"SELECT w.{keys[0]} IS NOT NULL, d.{keys[0]} IS NOT NULL, {w}, {d} "
        f"FROM written w FULL JOIN due d ON {same} WHERE {differs} ORDER BY ALL"
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


def _without_late(events: str, time: str, out_of_order_seconds: int) -> str:
    """The events without any that came when the watermark of its partition had passed it.

    Some of these were in time nevertheless: the watermark of all partitions is the lowest of theirs.
    """
    before = (
        f'max({time}) OVER (PARTITION BY topic, "partition" ORDER BY "offset" '
        "ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)"
    )
    return (
        f"SELECT * EXCLUDE (highest) FROM (SELECT *, {before} AS highest FROM ({events})) "
        f"WHERE coalesce({time} >= highest - INTERVAL {out_of_order_seconds} SECOND, true)"
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
