"""How a job counts a table again, and the events that the job's query counts.

`recount(options)` in a job's file gives a query of DuckDB by table. The query reads the views of events in time: the
archived events of a topic without those that `late_events` lists for the table.

    in_time_VIEW    the events of one topic: VIEW is the name that `build` has for them, as in_time_app_logs
    in_time         the same, where the query's columns are of one topic alone
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb

from shardlake.errors import BadInput
from shardlake.lake.query import empty
from shardlake.lake.sql import named, quoted
from shardlake.lake.tables import LakeTable
from shardlake.pipeline import Pipeline, Topic

IN_TIME = "in_time"
LATE_EVENTS = "late_events"
HINT = "The job's `recount` gives the query: see docs/use.md, late events and the recount."


@dataclass(frozen=True, slots=True)
class Counting:
    """The query of a job that counts a table of the lake again."""

    job: str
    table: str
    sql: str


@dataclass(frozen=True, slots=True)
class Sources:
    """The topics whose events a query counts, in the pipeline's order; `in_time` is the topic that it calls so."""

    topics: tuple[Topic, ...]
    in_time: Topic | None = None


def view_of(topic: Topic) -> str:
    """The view of a topic's events in time."""
    return f"{IN_TIME}_{topic.view}"


def events_of(pipeline: Pipeline, topic: Topic, table: str, instead: str | None = None) -> str:
    """The events of a topic that a table should count, as a query. `instead` is a query that stands for the archive."""
    archived = f"({instead})" if instead else named(str(topic.lake_table))
    timed = f"WHERE {named(topic.event_time)} IS NOT NULL" if topic.event_time else ""
    if all(one.lake_table != LATE_EVENTS for one in pipeline.topics.values()):
        return f"SELECT * FROM {archived} {timed}"
    late = f'SELECT topic, "partition", "offset" FROM {LATE_EVENTS} WHERE missed_table = {quoted(table)}'
    return f'SELECT * FROM {archived} e ANTI JOIN ({late}) l USING (topic, "partition", "offset") {timed}'


def make_views(connection: duckdb.DuckDBPyConnection, events: Mapping[Topic, str], in_time: Topic | None) -> None:
    """Make the views of the events of each topic, given as queries, and `in_time` as that of one of them."""
    for topic, query in events.items():
        connection.execute(f"CREATE OR REPLACE TEMP VIEW {named(view_of(topic))} AS {query}")
    if in_time is not None:
        connection.execute(f"CREATE OR REPLACE TEMP VIEW {IN_TIME} AS {events[in_time]}")


def sources_of(pipeline: Pipeline, tables: list[LakeTable], counting: Counting) -> Sources:
    """Tell the topics whose events the query counts.

    Raises BadInput where the query is wrong, or `in_time` may be of several topics.
    """
    if counting.table not in {table.name for table in tables}:
        msg = f"The job {counting.job} counts the table {counting.table} again, which the lake does not have."
        raise BadInput(msg, f"The lake's tables are: {', '.join(table.name for table in tables)}.")
    archived = [topic for topic in pipeline.sources if topic.lake_table]
    with empty(tables) as connection:
        events = {topic: events_of(pipeline, topic, counting.table) for topic in archived}
        read = {name.lower() for name in _tables_in(connection, counting)}
        in_time = _in_time(connection, events, counting) if IN_TIME in read else None
        make_views(connection, events, in_time)
        if wrong := _why_not(connection, counting.sql):
            raise _is_wrong(counting, wrong)
    named_topics = [topic for topic in archived if topic == in_time or view_of(topic).lower() in read]
    return Sources(tuple(named_topics or (one for one in archived if str(one.lake_table).lower() in read)), in_time)


def must_fit(counting: Counting, given: Sequence[str], keys: Iterable[str], of_table: Sequence[str]) -> None:
    """Raise BadInput where the query gives a column that the table lacks, or lacks one that tells rows apart."""
    if alien := [column for column in given if column not in of_table]:
        raise _is_wrong(counting, f"the table has no column {alien[0]}: it has {', '.join(of_table)}")
    if lacking := [key for key in keys if key not in given]:
        raise _is_wrong(counting, f"it gives no column {lacking[0]}, by which rows are told apart")


def _in_time(connection: duckdb.DuckDBPyConnection, events: Mapping[Topic, str], counting: Counting) -> Topic:
    """The one topic whose events the query can read as `in_time`."""
    why: dict[Topic, str] = {}
    for topic in events:
        make_views(connection, events, topic)
        why[topic] = _why_not(connection, counting.sql)
    fitting = [topic for topic, words in why.items() if not words]
    if len(fitting) == 1:
        return fitting[0]
    if not fitting:
        raise _is_wrong(counting, next(iter(why.values()), "no topic of events has a table in the lake"))
    names = ", ".join(topic.name for topic in fitting)
    msg = f"The recount of {counting.table}, in the job {counting.job}, reads in_time, which may be of {names}."
    raise BadInput(msg, f"Name the topic's own view: {' or '.join(map(view_of, fitting))}.")


def _why_not(connection: duckdb.DuckDBPyConnection, sql: str) -> str:
    """DuckDB's words on what is wrong with a query; "" where nothing is."""
    try:
        connection.execute(f"EXPLAIN {sql}").fetchall()
    except duckdb.Error as error:
        return " ".join(str(error).split("\n\n")[0].split())
    return ""


def _is_wrong(counting: Counting, words: str) -> BadInput:
    return BadInput(f"The recount of {counting.table}, in the job {counting.job}, is wrong: {words}", HINT)


def _tables_in(connection: duckdb.DuckDBPyConnection, counting: Counting) -> Iterator[str]:
    """The names of tables and views in a query."""
    ((told,),) = connection.execute("SELECT json_serialize_sql(?::VARCHAR)", [counting.sql]).fetchall()
    tree: dict[str, Any] = json.loads(told)
    if tree["error"]:
        raise _is_wrong(counting, str(tree["error_message"]))
    left: list[Any] = [tree["statements"]]
    while left:
        one = left.pop()
        if isinstance(one, dict):
            if one.get("type") == "BASE_TABLE":
                yield str(one["table_name"])
            left += one.values()
        elif isinstance(one, list):
            left += one
