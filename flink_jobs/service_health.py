"""How each service does, minute by minute of event time.

A window is emitted once, when the watermark passes its end; an event that comes later is in `late_events` and in the
archive. Exactly once into the lake and the topic: visible there with the checkpoint that follows.
"""

from __future__ import annotations

from collections.abc import Mapping

from shardlake.flink.job import Insert, Tables

ERROR = "(`status` >= 500 OR `level` IN ('ERROR', 'FATAL'))"
WINDOW_START = "FLOOR(`event_time` TO MINUTE)"
WINDOW_END = f"{WINDOW_START} + INTERVAL '1' MINUTE"
NAMED = "event_id, `service`"
"""What late_events keeps of an event, beside its place."""


def windows(tables: Tables) -> str:
    """The minutes as a query, with `window_time`, by which they can be windowed again."""
    # One PERCENTILE of three shares is one state of latencies; three of one each are three.
    return f"""
        SELECT
            window_start, window_end, window_time, `service`,
            COUNT(*) AS events,
            COUNT(*) FILTER (WHERE {ERROR}) AS errors,
            SUM(`response_bytes`) AS response_bytes,
            AVG(`latency_ms`) AS latency_mean_ms,
            PERCENTILE(`latency_ms`, ARRAY[0.50, 0.95, 0.99]) AS latency_ms
        FROM TABLE(TUMBLE(({tables.in_time("app_logs", "event_time", WINDOW_END)}),
            DESCRIPTOR(`event_time`), INTERVAL '1' MINUTE))
        GROUP BY window_start, window_end, window_time, `service`
    """


def build(tables: Tables) -> list[Insert]:
    """`app_logs` → `lake.service_health`, the topic `service-health`, and `lake.late_events`."""
    health = tables.query(f"""
        SELECT
            CAST(window_start AS TIMESTAMP_LTZ(3)) AS window_start,
            CAST(window_end AS TIMESTAMP_LTZ(3)) AS window_end,
            `service`, events, errors,
            CAST(errors AS DOUBLE) / events AS error_ratio,
            response_bytes, latency_mean_ms,
            latency_ms[1] AS latency_p50_ms, latency_ms[2] AS latency_p95_ms, latency_ms[3] AS latency_p99_ms
        FROM ({windows(tables)})
    """)
    late = tables.late("app_logs", "event_time", WINDOW_START, WINDOW_END, fields=NAMED, missed_table="service_health")
    return [
        Insert("lake.service_health", health),
        Insert("topics.`service-health`", health),
        Insert("lake.late_events", late),
    ]


def recount(options: Mapping[str, str]) -> dict[str, str]:
    """The same windows over the archive."""
    return {
        "service_health": """
            SELECT
                time_bucket(INTERVAL 1 MINUTE, event_time) AS window_start,
                time_bucket(INTERVAL 1 MINUTE, event_time) + INTERVAL 1 MINUTE AS window_end,
                service,
                count(*) AS events,
                count(*) FILTER (status >= 500 OR level IN ('ERROR', 'FATAL')) AS errors,
                errors / events AS error_ratio,
                sum(response_bytes)::BIGINT AS response_bytes,
                avg(latency_ms) AS latency_mean_ms,
                quantile_cont(latency_ms, 0.50) AS latency_p50_ms,
                quantile_cont(latency_ms, 0.95) AS latency_p95_ms,
                quantile_cont(latency_ms, 0.99) AS latency_p99_ms
            FROM in_time GROUP BY ALL
        """
    }
