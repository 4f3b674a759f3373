"""docs/metrics.md, made of what the code says of each metric: `make metrics-page`."""

from __future__ import annotations

from collections.abc import Iterable
from types import ModuleType

from shardlake.flink import metrics as jobs
from shardlake.lag import background
from shardlake.lag import metrics as lag
from shardlake.lake import freshness
from shardlake.metric import Metric
from shardlake.produce import metrics as producers
from shardlake.shards import metrics as consumers

INTRODUCTION = """# Metrics

Made from the code by `make metrics-page`. What is not known has no series: nothing is 0 that is unknown. Counters
end with `_total`.
"""
FLINK = """## Flink's own

Flink's Prometheus reporter is on: the job manager's and each task manager's metrics, under the names that
Flink's documentation gives them, for example `flink_jobmanager_job_lastCheckpointDuration` and
`flink_taskmanager_job_task_operator_pendingRecords`. [Settings](settings.md#the-local-stack) has the ports.
"""


def metrics_of(*modules: ModuleType) -> list[Metric]:
    """Those that modules define, in their order."""
    return [value for module in modules for value in vars(module).values() if isinstance(value, Metric)]


def exported() -> list[Metric]:
    """All there are but Flink's own."""
    beside = [background.up("flink"), background.up("lake")]
    return [*metrics_of(lag), *beside, *metrics_of(jobs, freshness, consumers, producers)]


def page() -> str:
    """The whole page."""
    of_lag = metrics_of(lag)
    families = {
        "MSK's, and danielqsj's kafka_exporter's": [
            one for one in of_lag if one.name.startswith("kafka_") and "_group_" not in one.name
        ],
        "kafka-lag-exporter's": [one for one in of_lag if one.name.startswith("kafka_") and "_group_" in one.name],
        "Of our own": [one for one in of_lag if one.name.startswith("shardlake_")],
        "Of the jobs": [background.up("flink"), *metrics_of(jobs)],
        "Of the lake": [background.up("lake"), *metrics_of(freshness)],
    }
    parts = [INTRODUCTION, "## The lag exporter\n\n`shardlake lag --serve`.\n"]
    parts += [f"### {title}\n\n{table(found)}" for title, found in families.items()]
    parts += [f"## Consumers\n\n`shardlake consume --metrics-port N`.\n\n{table(metrics_of(consumers))}"]
    parts += [f"## Producers\n\n`shardlake produce --metrics-port N`.\n\n{table(metrics_of(producers))}", FLINK]
    return "\n".join(parts)


def table(metrics: Iterable[Metric]) -> str:
    """A row a metric."""
    rows = [f"| `{one.name}` | {', '.join(one.labels)} | {one.help} |\n" for one in metrics]
    return f"| metric | labels | what it says |\n|---|---|---|\n{''.join(rows)}"


if __name__ == "__main__":
    print(page(), end="")  # noqa: T201
