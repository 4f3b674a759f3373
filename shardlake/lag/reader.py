"""When the records that wait arrived: each is read itself, by one consumer that is kept, within a budget."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

from confluent_kafka import Consumer, KafkaError, TopicPartition

from shardlake.kafka_login import client
from shardlake.lag.answers import Place

FUTURE_MS = 1000
"""A producer's clock may be ahead of ours by so much; a record of a later time does not say when it came."""


@dataclass(frozen=True, slots=True)
class Budget:
    """What one sample may spend on reading: so many records, in so many seconds."""

    records: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Measurement:
    """What is at an offset, or at the next one that holds a record: when it arrived, in ms since 1970; None where its
    time is in the future, or where there is none (`is_empty`) before `end`."""

    offset: int
    end: int
    taken_ms: float
    arrival_ms: float | None
    is_empty: bool = False


class Reader:
    """Reads one record at a time of many partitions. Not for several threads at once."""

    def __init__(self, bootstrap_servers: str, isolation: str = "read_committed") -> None:
        self._servers = bootstrap_servers
        self._isolation = isolation
        self._consumer: Consumer | None = None

    def close(self) -> None:
        """Leave nothing open."""
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None

    def read(self, asked: Iterable[tuple[Place, int, int]], budget: Budget) -> dict[tuple[Place, int], Measurement]:
        """By place and offset, of (place, offset, end), as far as time allows: the others are asked again."""
        found: dict[tuple[Place, int], Measurement] = {}
        deadline = time.monotonic() + budget.seconds
        # Several groups may wait at different offsets of one partition.
        rounds: list[dict[Place, tuple[int, int]]] = []
        for place, offset, end in asked:
            for one in rounds:
                if place not in one:
                    one[place] = offset, end
                    break
            else:
                rounds.append({place: (offset, end)})
        for one in rounds:
            if time.monotonic() < deadline:
                found |= self._round(one, deadline)
        return found

    def _round(self, left: dict[Place, tuple[int, int]], deadline: float) -> dict[tuple[Place, int], Measurement]:
        found: dict[tuple[Place, int], Measurement] = {}
        consumer = self._open()
        consumer.assign([TopicPartition(*place, offset) for place, (offset, _) in left.items()])
        while left and time.monotonic() < deadline:
            for message in consumer.consume(len(left), timeout=min(0.02, max(0.0, deadline - time.monotonic()))):
                place = (message.topic(), message.partition())
                error = message.error()
                if place not in left or (error is not None and error.code() != KafkaError._PARTITION_EOF):  # noqa: SLF001
                    continue
                offset, end = left.pop(place)
                now_ms = time.time_ns() / 1e6
                # One at `end` or after it has come since: before it there was none.
                if error is not None or message.offset() >= end:
                    found[place, offset] = Measurement(offset, end, now_ms, None, is_empty=True)
                else:
                    arrival_ms = float(message.timestamp()[1])
                    known = 0 < arrival_ms <= now_ms + FUTURE_MS
                    found[place, offset] = Measurement(offset, end, now_ms, arrival_ms if known else None)
                # Otherwise its next records would crowd out the others'.
                consumer.incremental_unassign([TopicPartition(*place)])
        consumer.unassign()
        return found

    def _open(self) -> Consumer:
        if self._consumer is None:
            self._consumer = Consumer(
                client(self._servers)
                | {
                    "group.id": "shardlake-lag",  # it never joins nor commits
                    "enable.auto.commit": False,
                    "auto.offset.reset": "earliest",
                    "isolation.level": self._isolation,
                    "enable.partition.eof": True,
                    "fetch.queue.backoff.ms": 5,
                    # The broker says that there is nothing more after so long: within the shortest budget.
                    "fetch.wait.max.ms": 10,
                    # One record a partition is all that is wanted.
                    "queued.min.messages": 1,
                    "fetch.message.max.bytes": 16_384,
                }
            )
        return self._consumer
