"""How far each consumer group is behind, by shard, and what its workers do."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard

from grafana_dashboards.board import board, variable
from grafana_dashboards.panels import Series, figure, graph, states, table

SHARD = "{{group}} {{topic}}/{{partition}}"
IN_GROUP = '{group=~"$group",topic=~"$topic"}'
IN_CONSUMERGROUP = '{consumergroup=~"$group",topic=~"$topic"}'
STATUSES = {
    0: ("OK", "green"),
    1: ("NOT_STARTED", "blue"),
    2: ("AHEAD", "text"),
    3: ("WARN", "yellow"),
    4: ("REWIND", "purple"),
    5: ("STALL", "orange"),
    6: ("STOP", "red"),
    7: ("LOST", "dark-red"),
}


def lag() -> Dashboard:
    """The dashboard `shardlake: lag`."""
    made = board("shardlake-lag", "shardlake: lag")
    made.with_variable(variable("group", "label_values(kafka_consumergroup_group_lag, group)"))
    made.with_variable(variable("topic", "label_values(kafka_topic_partition_current_offset, topic)"))
    _behind(made)
    _shards(made)
    _workers(made)
    return made


def _behind(made: Dashboard) -> None:
    made.with_panel(
        figure("Alarms", "none", Series('count(ALERTS{alertstate="firing"}) or vector(0)', "firing"), "docs/alarms.md")
    )
    made.with_panel(table("Alarms that fire", Series('ALERTS{alertstate="firing"}', "{{alertname}}"), width=12))
    made.with_panel(
        graph(
            "Members and groups' state",
            "none",
            Series('kafka_consumergroup_members{consumergroup=~"$group"}', "{{consumergroup}} members"),
            Series('kafka_consumergroup_group_state{group=~"$group"}', "{{group}} {{state}}"),
        )
    )
    made.with_panel(
        graph(
            "Records behind, by group",
            "short",
            Series(f"kafka_consumergroup_lag_sum{IN_CONSUMERGROUP}", "{{consumergroup}} {{topic}}"),
        )
    )
    made.with_panel(
        graph(
            "Iterator age, by group",
            "s",
            Series('kafka_consumergroup_group_max_lag_seconds{group=~"$group"}', "{{group}}"),
            description="How long the oldest record has waited. No line: the group has committed nothing.",
        )
    )
    made.with_panel(
        graph(
            "Trend",
            "short",
            Series(f"deriv(kafka_consumergroup_lag_sum{IN_CONSUMERGROUP}[1m])", "{{consumergroup}} {{topic}}"),
            description="Records a second by which the group falls behind; below 0 it catches up.",
        )
    )


def _shards(made: Dashboard) -> None:
    # One sample holds one status of a shard; the value says which, since a line of states has one value at a time.
    status = " or ".join(
        f'{value} * shardlake_shard_status{{status="{name}",group=~"$group",topic=~"$topic"}}'
        for value, (name, _) in STATUSES.items()
    )
    made.with_panel(states("Status, by shard", Series(f"max by (group, topic, partition) ({status})", SHARD), STATUSES))
    by_shard = "max by (group, topic, partition) "
    for title, unit, expr, about in (
        (
            "Records behind, by shard",
            "short",
            f"{by_shard}(kafka_consumergroup_group_lag{IN_GROUP})",
            "-1: none yet.",
        ),
        ("Iterator age, by shard", "s", f"{by_shard}(kafka_consumergroup_group_lag_seconds{IN_GROUP})", ""),
        ("Time to drain", "s", f"shardlake_time_to_drain_seconds{IN_GROUP} < Inf", "No line: it does not drain."),
        ("Hot shards", "short", f"shardlake_hot_shard_ratio{IN_GROUP}", "Lag beside the other shards' mean."),
        ("Retention risk", "percentunit", f"shardlake_retention_risk_ratio{IN_GROUP}", "Iterator age / retention."),
        ("Held back", "short", f"shardlake_held_back_records{IN_GROUP}", "Offsets behind a transaction that is open."),
        ("Transaction open", "s", f"shardlake_open_transaction_seconds{IN_GROUP}", "Of the one that holds back."),
        ("Interpolated less measured age", "s", f"shardlake_iterator_age_difference_seconds{IN_GROUP}", ""),
    ):
        made.with_panel(graph(title, unit, Series(expr, SHARD), description=about))
    made.with_panel(
        graph(
            "Iterator age, measured and interpolated",
            "s",
            Series(f"shardlake_iterator_age_measured_seconds{IN_GROUP}", f"{SHARD} measured"),
            Series(f"shardlake_iterator_age_interpolated_seconds{IN_GROUP}", f"{SHARD} interpolated"),
        )
    )
    made.with_panel(
        graph(
            "How old these ages are",
            "s",
            Series(f"shardlake_iterator_age_measured_age_seconds{IN_GROUP}", f"{SHARD} measured"),
            Series(f"shardlake_iterator_age_interpolated_age_seconds{IN_GROUP}", f"{SHARD} interpolated"),
        )
    )
    made.with_panel(
        graph(
            "Records committed a second",
            "short",
            Series(
                "sum by (consumergroup, topic) "
                f"(rate(kafka_consumergroup_current_offset{IN_CONSUMERGROUP}[$__rate_interval]))",
                "{{consumergroup}} {{topic}}",
            ),
        )
    )


def _workers(made: Dashboard) -> None:
    for title, unit, expr, legend in (
        (
            "Records done a second",
            "short",
            f"sum by (group, outcome) (rate(shardlake_consumer_records_total{IN_GROUP}[$__rate_interval]))",
            "{{group}} {{outcome}}",
        ),
        ("In flight", "short", f"shardlake_consumer_in_flight_records{IN_GROUP}", SHARD),
        ("Behind the latest", "s", f"shardlake_consumer_behind_latest_seconds{IN_GROUP}", SHARD),
        (
            "Retries a second",
            "short",
            f"sum by (group) (rate(shardlake_consumer_retries_total{IN_GROUP}[$__rate_interval]))",
            "{{group}}",
        ),
        (
            "Rebalances a minute",
            "short",
            '60 * sum by (group) (rate(shardlake_consumer_rebalances_total{group=~"$group"}[$__rate_interval]))',
            "{{group}}",
        ),
    ):
        made.with_panel(graph(title, unit, Series(expr, legend)))
