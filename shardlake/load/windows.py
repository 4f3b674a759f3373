"""When each window's result could be read: by a reader of committed records of the topics that jobs write.

A topic has windows where its schema has `window_start` and `window_end`.
"""

from __future__ import annotations

import time
from threading import Event, Thread

import numpy as np
from confluent_kafka import Consumer, TopicPartition

from shardlake import topics
from shardlake.avro.codec import Decoder, Undecodable
from shardlake.avro.registry import Registry
from shardlake.errors import Unavailable
from shardlake.kafka_login import client
from shardlake.load.times import Column
from shardlake.pipeline import Pipeline, Topic
from shardlake.settings import Settings

START, END = "window_start", "window_end"


def topics_of_windows(pipeline: Pipeline) -> list[Topic]:
    """Those that jobs write, with a window's bounds in each record; the first carries most."""
    return [
        topic
        for topic in pipeline.on_broker
        if topic.schema and not topic.dead_letters and {START, END} <= _fields(pipeline, topic)
    ]


class WindowWatch:
    """Reads in a thread of its own what comes from now on."""

    def __init__(self, pipeline: Pipeline, settings: Settings, topic: Topic) -> None:
        self.topic = topic
        servers = settings.kafka_bootstrap_servers
        self._decode = Decoder(pipeline.schema_of(topic), Registry(settings.schema_registry_url), topic.subject).decode
        ends = {partition: end for partition, (_, end) in topics.offsets(servers, topic.name).items()}
        options = {"group.id": "shardlake-reader", "enable.auto.commit": False, "isolation.level": "read_committed"}
        self._consumer = Consumer(client(servers) | options | {"fetch.queue.backoff.ms": 5, "fetch.wait.max.ms": 50})
        self._consumer.assign([TopicPartition(topic.name, partition, end) for partition, end in ends.items()])
        self._seen: dict[tuple[int, int], int] = {}
        self.results = 0
        self._closing = Event()
        self._thread = Thread(target=self._watch, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """No more are noted."""
        self._closing.set()
        self._thread.join()
        self._consumer.close()

    def waits(self, intended_ns: Column) -> Column:
        """For each of these moments that lies in a window whose results were seen: nanoseconds until its last one."""
        if not self._seen:
            return np.zeros(0, np.int64)
        starts, ends, seen = np.array([(*bounds, at_ns) for bounds, at_ns in sorted(self._seen.items())], np.int64).T
        index = np.searchsorted(starts, intended_ns, side="right") - 1
        within = (index >= 0) & (intended_ns < ends[index])
        waited: Column = seen[index[within]] - intended_ns[within]
        return waited

    def _watch(self) -> None:
        while not self._closing.is_set():
            for message in self._consumer.consume(100, timeout=0.1):
                if message.error() is None and message.value() is not None:
                    self._note(message.value(), time.time_ns())

    def _note(self, value: bytes, seen_ns: int) -> None:
        try:
            record = self._decode(value)
        except (Undecodable, Unavailable):  # `verify` tells of those
            return
        start, end = (int(record[name].timestamp() * 1000) * 1_000_000 for name in (START, END))
        self._seen[start, end] = seen_ns
        self.results += 1


def _fields(pipeline: Pipeline, topic: Topic) -> set[str]:
    return {field["name"] for field in pipeline.schema_of(topic)["fields"]}
