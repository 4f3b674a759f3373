"""How fresh the lake is, and all that it is fed by: producers, topics, brokers, jobs, dead letters."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard

from grafana_dashboards.board import board, variable
from grafana_dashboards.panels import Series, figure, graph

LATE = "avg_over_time((max(shardlake:lake_late) or vector(0))[28d:10m])"
BUDGET = 0.01


def lake() -> Dashboard:
    """The dashboard `shardlake: lake`."""
    made = board("shardlake-lake", "shardlake: lake")
    made.with_variable(variable("topic", "label_values(kafka_topic_partition_current_offset, topic)"))
    _freshness(made)
    _jobs(made)
    _topics(made)
    return made


def _freshness(made: Dashboard) -> None:
    made.with_panel(
        figure(
            "Budget left",
            "percentunit",
            Series(f"1 - {LATE} / {BUDGET}", "of 28 days"),
            "99 % of 28 days no record waits for the lake longer than 60 s and a checkpoint: docs/alarms.md",
        )
    )
    made.with_panel(
        figure("Late now", "none", Series("shardlake:lake_late", "late"), "1 while the objective is not met")
    )
    made.with_panel(
        graph(
            "Freshness, by table",
            "s",
            Series("shardlake_lake_freshness_seconds", "{{table}}"),
            Series('max(kafka_consumergroup_group_lag_seconds{group="shardlake-jobs"})', "oldest record that waits"),
            description="How old the newest row is. It grows where nothing arrives.",
        )
    )
    made.with_panel(
        graph(
            "Burn rate",
            "short",
            *(Series(f"shardlake:lake_late:avg{span} / {BUDGET}", span) for span in ("5m", "30m", "1h", "6h", "3d")),
            description="1 spends the budget in just 28 days.",
        )
    )


def _jobs(made: Dashboard) -> None:
    for title, unit, metric in (
        ("Checkpoint's age", "s", "shardlake_flink_checkpoint_age_seconds"),
        ("Pending records", "short", "shardlake_flink_pending_records"),
        ("Watermark's lag", "s", "shardlake_flink_watermark_lag_seconds"),
    ):
        made.with_panel(graph(title, unit, Series(metric, title.lower())))
    made.with_panel(
        graph(
            "Jobs and restarts",
            "none",
            Series("shardlake_flink_running_jobs", "running jobs"),
            Series("shardlake_flink_restarts", "restarts"),
        )
    )
    made.with_panel(
        graph(
            "Dead letters a second",
            "short",
            Series(
                'sum by (topic) (rate(kafka_topic_partition_current_offset{topic=~".+\\\\.dlq"}[$__rate_interval]))',
                "{{topic}}",
            ),
        )
    )
    made.with_panel(
        graph(
            "What answers",
            "none",
            Series("shardlake_lag_up", "brokers"),
            Series("shardlake_flink_up", "Flink"),
            Series("shardlake_lake_up", "lake"),
            Series("shardlake_lag_collect_seconds", "seconds to collect"),
        )
    )


def _topics(made: Dashboard) -> None:
    for title, expr, legend in (
        (
            "Records arriving a second",
            'sum by (topic) (rate(kafka_topic_partition_current_offset{topic=~"$topic"}[$__rate_interval]))',
            "{{topic}}",
        ),
        (
            "Events produced a second",
            'sum by (topic, outcome) (rate(shardlake_producer_events_total{topic=~"$topic"}[$__rate_interval]))',
            "{{topic}} {{outcome}}",
        ),
        (
            "Events that wait in producers",
            'sum by (topic) (shardlake_producer_waiting_events{topic=~"$topic"})',
            "{{topic}}",
        ),
        (
            "Lines read a second, by format",
            'sum by (topic, format) (rate(shardlake_producer_lines_total{topic=~"$topic"}[$__rate_interval]))',
            "{{topic}} {{format}}",
        ),
        (
            "Under-replicated partitions",
            'sum by (topic) (kafka_topic_partition_under_replicated_partition{topic=~"$topic"})',
            "{{topic}}",
        ),
        (
            "Records kept",
            "sum by (topic) "
            '(kafka_topic_partition_current_offset{topic=~"$topic"} - kafka_topic_partition_oldest_offset)',
            "{{topic}}",
        ),
        ("Brokers", "kafka_brokers", "brokers"),
    ):
        made.with_panel(graph(title, "short", Series(expr, legend)))
