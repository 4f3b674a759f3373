"""What a worker tells Prometheus, read from its shards at each scrape: nothing is counted for it, record by record.

A series lasts as long as the worker holds its shard; the counters of a shard that comes back begin at 0.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from shardlake.metric import Kind, Metric
from shardlake.shards.processor import offset_of
from shardlake.shards.shard import Shard
from shardlake.shards.worker import Worker

SHARD = ("group", "topic", "partition")
RECORDS = Metric(
    "shardlake_consumer_records_total",
    Kind.COUNTER,
    "Records that a worker is through with, by what became of them: done or dead_letter.",
    (*SHARD, "outcome"),
)
RETRIES = Metric(
    "shardlake_consumer_retries_total", Kind.COUNTER, "Records that are tried again, each time after a failure.", SHARD
)
IN_FLIGHT = Metric(
    "shardlake_consumer_in_flight_records",
    Kind.GAUGE,
    "Records that were read of a shard and are after the first that is not done.",
    SHARD,
)
BEHIND_LATEST = Metric(
    "shardlake_consumer_behind_latest_seconds",
    Kind.GAUGE,
    "Age, by its arrival, of the record that a shard's lanes are at; 0 at the shard's end, absent before its first.",
    SHARD,
)
REBALANCES = Metric(
    "shardlake_consumer_rebalances_total",
    Kind.COUNTER,
    "How often a worker was given shards, gave some up or lost some.",
    ("group",),
)
METRICS = (RECORDS, RETRIES, IN_FLIGHT, BEHIND_LATEST, REBALANCES)


class ConsumerCollector(Collector):
    """Of one worker of a group."""

    def __init__(self, worker: Worker, group: str) -> None:
        self._worker = worker
        self._group = group

    def collect(self) -> Iterable[Family]:
        """Called at a scrape, from the server's thread."""
        records, retries, in_flight, behind, rebalances = (metric.family() for metric in METRICS)
        rebalances.add_sample(REBALANCES.name, {"group": self._group}, self._worker.rebalances)
        now_ms = time.time_ns() // 1_000_000
        for shard in self._worker.shards:
            labels = {"group": self._group, "topic": shard.source.topic, "partition": str(shard.source.partition)}
            counts = shard.counts
            records.add_sample(RECORDS.name, {**labels, "outcome": "done"}, counts.done)
            records.add_sample(RECORDS.name, {**labels, "outcome": "dead_letter"}, counts.dead_letters)
            retries.add_sample(RETRIES.name, labels, counts.retries)
            in_flight.add_sample(IN_FLIGHT.name, labels, shard.in_flight)
            seconds = behind_latest_seconds(shard, now_ms)
            if seconds is not None:
                behind.add_sample(BEHIND_LATEST.name, labels, seconds)
        return records, retries, in_flight, behind, rebalances


def behind_latest_seconds(shard: Shard, now_ms: int) -> float | None:
    """As the Kinesis Client Library's MillisBehindLatest, of the lane that is furthest behind; None where no lane had a
    record yet, and there are some."""
    at_end = shard.at_end  # before the lanes, which may finish meanwhile
    places = [place for lane in tuple(shard.lanes) if (place := lane.place()) is not None]
    unfinished = [place.message for place in places if not place.is_done]
    if unfinished:
        message = min(unfinished, key=offset_of)
    elif at_end:
        return 0.0
    elif places:
        message = max((place.message for place in places), key=offset_of)
    else:
        return None
    return max(0, now_ms - message.timestamp()[1]) / 1000
