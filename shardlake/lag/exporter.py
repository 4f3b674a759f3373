"""Lag for Prometheus, under the names that dashboards already use. Each scrape asks the broker; nothing stale is kept.

kafka_consumergroup_*          danielqsj's exporter and Amazon MSK
kafka_consumergroup_group_*    kafka-lag-exporter: the family that has seconds
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from shardlake.errors import Unavailable
from shardlake.lag.rules import State
from shardlake.lag.sampling import PartitionLag, Sample

PARTITION = ("consumergroup", "topic", "partition")
GROUP_PARTITION = ("cluster_name", "group", "topic", "partition", "client_id")
CLUSTER = "shardlake"


class LagCollector(Collector):
    """Turns a sample into metrics when Prometheus asks."""

    def __init__(self, take: Callable[[], Sample], say: Callable[[str], None] = lambda _: None) -> None:
        self._take = take
        self._say = say
        self._lock = threading.Lock()  # a sampler serves one scrape at a time

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Nothing: registering must not scrape."""
        return []

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Where the broker does not answer: shardlake_lag_up 0, and no other series."""
        up = GaugeMetricFamily("shardlake_lag_up", "Whether the broker answered this scrape.")
        try:
            with self._lock:
                sample = self._take()
        except Unavailable as error:
            self._say(error.message)
            up.add_metric([], 0)
            yield up
            return
        up.add_metric([], 1)
        yield up
        yield from _partitions(sample)
        yield from _danielqsj(sample)
        yield from _seconds(sample)


def _partitions(sample: Sample) -> Iterable[GaugeMetricFamily]:
    for name, help_text, values in (
        ("kafka_topic_partition_current_offset", "One past the last record of a partition.", sample.ends),
        ("kafka_topic_partition_oldest_offset", "The first record still in a partition.", sample.firsts),
    ):
        family = GaugeMetricFamily(name, help_text, labels=("topic", "partition"))
        for (topic, partition), offset in values.items():
            family.add_metric([topic, str(partition)], offset)
        yield family


def _danielqsj(sample: Sample) -> Iterable[GaugeMetricFamily]:
    lag = GaugeMetricFamily(
        "kafka_consumergroup_lag", "Records behind; -1 where nothing is committed.", labels=PARTITION
    )
    current = GaugeMetricFamily("kafka_consumergroup_current_offset", "The committed offset.", labels=PARTITION)
    for one in sample.lags:
        labels = [one.group, one.topic, str(one.partition)]
        lag.add_metric(labels, one.lag.exported)
        if one.committed is not None:
            current.add_metric(labels, one.committed)
    members = GaugeMetricFamily("kafka_consumergroup_members", "Members of a group.", labels=("consumergroup",))
    for group, count in sample.members.items():
        members.add_metric([group], count)
    yield from (lag, current, members)


def _seconds(sample: Sample) -> Iterable[GaugeMetricFamily]:
    lag = GaugeMetricFamily(
        "kafka_consumergroup_group_lag", "Records behind; -1 where nothing is committed.", labels=GROUP_PARTITION
    )
    seconds = GaugeMetricFamily(
        "kafka_consumergroup_group_lag_seconds",
        "Age of the oldest record that waits, by its arrival; absent where it could not be read.",
        labels=GROUP_PARTITION,
    )
    maximum = GaugeMetricFamily(
        "kafka_consumergroup_group_max_lag_seconds", "The longest of a group's.", labels=("cluster_name", "group")
    )
    longest: dict[str, float] = {}
    for one in sample.lags:
        labels = [CLUSTER, one.group, one.topic, str(one.partition), one.owner]
        lag.add_metric(labels, one.lag.exported)
        value = _exported_seconds(one)
        if value is not None:
            seconds.add_metric(labels, value)
            longest[one.group] = max(longest.get(one.group, value), value)
    for group, value in longest.items():
        maximum.add_metric([CLUSTER, group], value)
    yield from (lag, seconds, maximum)


def _exported_seconds(one: PartitionLag) -> float | None:
    return -1 if one.lag.state is State.NOT_STARTED else one.lag.seconds


def serve(
    take: Callable[[], Sample], host: str, port: int, say: Callable[[str], None]
) -> tuple[WSGIServer, threading.Thread]:
    """Start the exporter; its server, to shut down, and the thread to join. Raises OSError where the port is taken."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(LagCollector(take, say))
    return start_http_server(port, addr=host, registry=registry)
