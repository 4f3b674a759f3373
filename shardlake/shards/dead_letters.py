"""Dead letters of a consumer group: the original bytes, and why.

They are for one group, so its name is in the topic's: the jobs' own dead-letter topic is for events that are no rows
of the lake, and these may well be.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from queue import SimpleQueue
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka.admin import NewTopic

from shardlake import topics
from shardlake.dead_letter import DeadLetter, kept
from shardlake.kafka_login import client
from shardlake.shards.contract import Failure
from shardlake.shards.processor import Message

RETENTION_HOURS = 336
SAY_EVERY_SECONDS = 10
POLL_SECONDS = 0.05
MAX_BYTES = 2 << 20
"""Of a dead letter: the headers come on top of a record that was as large as its topic takes."""


def topic_name(topic: str, group: str) -> str:
    """Where a group's dead letters of a topic are."""
    return f"{topic}.{group}.dlq"


def make_topic(bootstrap_servers: str, name: str) -> None:
    """Make a dead-letter topic where it is not there. Raises Unavailable where the broker does not."""
    config = {"retention.ms": str(RETENTION_HOURS * 3_600_000), "max.message.bytes": str(MAX_BYTES)}
    new = NewTopic(name, num_partitions=1, config=config)
    topics.make(bootstrap_servers, [new], "Make it by hand with 1 partition, or name another by --dead-letters.")


@dataclass(frozen=True, slots=True)
class Source:
    """A partition that dead letters come from."""

    topic: str
    partition: int


class DeadLetters:
    """Sends dead letters to one topic. For several threads at once."""

    def __init__(self, bootstrap_servers: str, topic: str, group: str, say: Callable[[str], None]) -> None:
        """`say` is told when the topic does not take them."""
        self.topic = topic
        self._group = group
        self._say = say
        self._said = 0.0
        self._producer = Producer(
            client(bootstrap_servers)
            | {
                "enable.idempotence": True,
                "linger.ms": 0,
                "compression.type": "lz4",
                "message.max.bytes": MAX_BYTES + (1 << 20),
                # It times nothing out: it would take a new producer id and send what is on its way again.
                "delivery.timeout.ms": 0,
            }
        )

    def send(self, source: Source, message: Message, failure: Failure, stopping: Callable[[], bool]) -> bool:
        """Send one and wait until the broker has acknowledged it, however long that takes. False where `stopping`
        came first: then it may be there or not."""
        value = message.value()
        letter = DeadLetter(
            topic=source.topic,
            partition=source.partition,
            offset=message.offset(),
            timestamp_ms=message.timestamp()[1],
            error_class=failure.error_class,
            error_message=failure.message,
            group=self._group,
            attempts=failure.attempts,
        )
        while True:
            told: SimpleQueue[Any] = SimpleQueue()
            try:
                self._producer.produce(
                    self.topic,
                    value=value,
                    key=message.key(),
                    headers=[*kept(message.headers()), *letter.headers()],
                    on_delivery=lambda error, _, told=told: told.put(error),
                )
                error = self._report(told, stopping)
            except BufferError:
                error = KafkaError(KafkaError._QUEUE_FULL)  # noqa: SLF001
            except KafkaException as raised:
                error = raised.args[0]
            if error is None:
                return True
            if error.code() == KafkaError.MSG_SIZE_TOO_LARGE and value is not None:
                letter, value = replace(letter, left_out_bytes=len(value)), None  # where it came from is in the headers
                continue
            self._complain(error.str())
            if self._stopped(stopping, seconds=1):
                return False

    def _report(self, told: SimpleQueue[Any], stopping: Callable[[], bool]) -> Any:
        """What the broker says: None for an acknowledgement."""
        began = time.monotonic()
        while True:
            # Reports are given to whoever polls, so another lane may have had this one's.
            self._producer.poll(0 if told.qsize() else POLL_SECONDS)
            if not told.empty():
                return told.get()
            if stopping():
                return KafkaError(KafkaError._DESTROY)  # noqa: SLF001
            if time.monotonic() - began > SAY_EVERY_SECONDS:
                self._complain("no acknowledgement")

    def _stopped(self, stopping: Callable[[], bool], seconds: float) -> bool:
        until = time.monotonic() + seconds
        while not (stopped := stopping()) and time.monotonic() < until:
            time.sleep(POLL_SECONDS)
        return stopped

    def _complain(self, reason: str) -> None:
        if time.monotonic() - self._said > SAY_EVERY_SECONDS:
            self._said = time.monotonic()
            self._say(f"{self.topic} does not take dead letters ({reason}); their shards wait for it")
