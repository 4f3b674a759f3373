"""What each client does until it is silent for a while.

A session is emitted once, when the watermark passes its last event by the gap (`gap_minutes`, 30). An event behind the
watermark is late: it is in `late_events` and in the archive. It may be less than the gap after a session that has been
emitted, and would begin a second one where there was one.
"""

from __future__ import annotations

from collections.abc import Mapping

from flink_jobs.service_health import ERROR, NAMED
from shardlake.flink.job import Insert, Tables, whole_number
from shardlake.flink.tables import interval

GAP_MINUTES = 30
START = "`event_time`"


def build(tables: Tables) -> list[Insert]:
    """`app_logs` with a client → `lake.sessions` and `lake.late_events`."""
    gap = interval(60 * whole_number(tables.options, "gap_minutes", GAP_MINUTES))
    end = f"{START} + {gap}"
    in_time = tables.in_time("app_logs", "event_time", end, needed_until=START)
    of_clients = f"SELECT * FROM ({in_time}) WHERE `client_address` IS NOT NULL"
    sessions = tables.query(f"""
        SELECT {tables.masked("sessions")} FROM (
            SELECT
                MIN(CAST(`event_time` AS TIMESTAMP_LTZ(3))) AS session_start,
                MAX(CAST(`event_time` AS TIMESTAMP_LTZ(3))) AS session_end,
                `client_address`,
                COUNT(*) AS events,
                COUNT(*) FILTER (WHERE {ERROR}) AS errors,
                COUNT(DISTINCT `service`) AS services,
                SUM(`response_bytes`) AS response_bytes
            FROM TABLE(SESSION(({of_clients}) PARTITION BY `client_address`, DESCRIPTOR(`event_time`), {gap}))
            GROUP BY window_start, window_end, `client_address`)
    """)
    late = tables.late("app_logs", "event_time", START, end, fields=NAMED, missed_table="sessions", needed_until=START)
    return [Insert("lake.sessions", sessions), Insert("lake.late_events", late)]


def recount(options: Mapping[str, str]) -> dict[str, str]:
    """The same sessions over the archive: a client's event more than the gap after its last one begins a session.

    Events are first put together by minutes, which are never longer than the gap: so there is little left to sort.
    """
    gap = f"INTERVAL {whole_number(options, 'gap_minutes', GAP_MINUTES)} MINUTE"
    return {
        "sessions": f"""
            WITH minutes AS (
                SELECT
                    client_address, time_bucket(INTERVAL 1 MINUTE, event_time) AS minute,
                    min(event_time) AS first, max(event_time) AS last, count(*) AS events,
                    count(*) FILTER (status >= 500 OR level IN ('ERROR', 'FATAL')) AS errors,
                    list(DISTINCT service) AS services, sum(response_bytes) AS response_bytes
                FROM in_time WHERE client_address IS NOT NULL GROUP BY ALL
            ), gaps AS (
                SELECT *, first - lag(last) OVER (PARTITION BY client_address ORDER BY minute) > {gap} AS begins
                FROM minutes
            ), numbered AS (
                SELECT *, count(*) FILTER (begins) OVER (PARTITION BY client_address ORDER BY minute) AS number
                FROM gaps
            )
            SELECT
                min(first) AS session_start,
                max(last) AS session_end,
                client_address,
                sum(events)::BIGINT AS events,
                sum(errors)::BIGINT AS errors,
                len(list_distinct(flatten(list(services)))) AS services,
                sum(response_bytes)::BIGINT AS response_bytes
            FROM numbered GROUP BY client_address, number
        """
    }
