"""How each service does, minute by minute of event time.

A window is emitted once, when the watermark passes its end; events that come later are in the archive only.
Exactly once into the lake and the topic: visible there with the checkpoint that follows.
"""

from __future__ import annotations

from shardlake.flink.job import Insert, Tables

ERROR = "(`status` >= 500 OR `level` IN ('ERROR', 'FATAL'))"


def build(tables: Tables) -> list[Insert]:
    """`app_logs` → `lake.service_health` and the topic `service-health`."""
    # One PERCENTILE of three shares is one state of latencies; three of one each are three.
    health = tables.query(f"""
        SELECT
            CAST(window_start AS TIMESTAMP_LTZ(3)) AS window_start,
            CAST(window_end AS TIMESTAMP_LTZ(3)) AS window_end,
            `service`, events, errors,
            CAST(errors AS DOUBLE) / events AS error_ratio,
            response_bytes, latency_mean_ms,
            latency_ms[1] AS latency_p50_ms, latency_ms[2] AS latency_p95_ms, latency_ms[3] AS latency_p99_ms
        FROM (
            SELECT
                window_start, window_end, `service`,
                COUNT(*) AS events,
                COUNT(*) FILTER (WHERE {ERROR}) AS errors,
                SUM(`response_bytes`) AS response_bytes,
                AVG(`latency_ms`) AS latency_mean_ms,
                PERCENTILE(`latency_ms`, ARRAY[0.50, 0.95, 0.99]) AS latency_ms
            FROM TABLE(TUMBLE(
                (SELECT * FROM app_logs WHERE `event_time` IS NOT NULL), DESCRIPTOR(`event_time`), INTERVAL '1' MINUTE))
            GROUP BY window_start, window_end, `service`)
    """)
    return [Insert("lake.service_health", health), Insert("topics.`service-health`", health)]
