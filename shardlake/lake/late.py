"""The events that `late_events` lists, held against the topic: each is there, has its time, and is listed once.

A recount leaves out what is listed, so that a row which lists no event would pass it. Needs tables `k`, the topic's
records, `kept`, the rows of the lake, `bounds`, and `late_events`.
"""

from __future__ import annotations

import duckdb

from shardlake.lake.comparison import number
from shardlake.lake.counting import LATE_EVENTS
from shardlake.lake.sql import named, quoted
from shardlake.lake.verdict import Anomaly, Findings
from shardlake.pipeline import Topic


def check_late(connection: duckdb.DuckDBPyConnection, topic: Topic) -> Findings:
    """Hold the rows of `late_events` that name the topic against the topic.

    Rows at or after the end of what was read are left out: jobs that run may have listed them since.
    """
    found = Findings("late events, against the topic", unit="rows")
    time = f"date_trunc('milliseconds', {named(topic.event_time)})" if topic.event_time else "NULL::TIMESTAMP"
    connection.execute(f"""
        CREATE TEMP TABLE listed AS
        SELECT "partition", "offset", missed_table, window_start, event_time
        FROM {LATE_EVENTS} JOIN bounds USING ("partition") WHERE topic = {quoted(topic.name)} AND "offset" < last
    """)
    found.checked = number(connection, "SELECT count(*) FROM listed")
    if not found.checked:
        return found
    connection.execute(f"""
        CREATE TEMP TABLE events_there AS
        SELECT "partition", "offset", {time} AS time FROM k SEMI JOIN listed USING ("partition", "offset")
        WHERE state = 'event'
        UNION ALL
        SELECT "partition", "offset", {time} AS time FROM kept SEMI JOIN listed USING ("partition", "offset")
        JOIN bounds USING ("partition") WHERE "offset" < first
    """)
    for partition, offset, table, times, is_there, time_listed, time_there in connection.execute("""
        SELECT "partition", "offset", missed_table, count(*), bool_and(is_there IS NOT NULL), max(event_time), max(time)
        FROM listed LEFT JOIN (SELECT DISTINCT *, true AS is_there FROM events_there) USING ("partition", "offset")
        GROUP BY "partition", "offset", missed_table, window_start
        HAVING count(*) > 1 OR NOT bool_and(is_there IS NOT NULL) OR bool_or(event_time <> time) ORDER BY ALL
    """).fetchall():
        where, listed = f"{topic.name}/{partition}/{offset}", f"is listed in {LATE_EVENTS} for {table}"
        if not is_there:
            found.add(Anomaly("unexpected", where, f"{listed}, and is no event of the topic"))
            continue
        if times > 1:
            found.add(Anomaly("duplicate", where, f"{listed} {times} times"))
        if time_there not in (None, time_listed):
            words = f"{listed} with the event time {time_listed}; the topic has {time_there}"
            found.add(Anomaly("wrong-value", where, words))
    return found
