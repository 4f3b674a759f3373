"""Every valid event, late or not, into the lake once: with where it came from, PII masked."""

from __future__ import annotations

from shardlake.flink.job import Insert, Tables


def build(tables: Tables) -> list[Insert]:
    """`app_logs` → `lake.app_logs`, in the hour of the event time, or of the arrival where it has none."""
    events = tables.query(
        f"SELECT {tables.masked('app-logs')}, topic, `partition`, `offset`, arrival_time FROM app_logs"
    )
    return [Insert("lake.app_logs", events)]
