"""One member of a consumer group: it holds some shards and feeds each one's processor.

At least once: offsets are committed only as far as the processor has checkpointed. A record that cannot be decoded is
reported and passed over here, because the jobs keep it as a dead letter. A registry or broker that is down is waited
for.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from shardlake.avro.codec import Decoder, Undecodable
from shardlake.errors import Unavailable
from shardlake.kafka_login import client
from shardlake.shards.processor import Record, RecordProcessor

BATCH = 500
POLL_SECONDS = 0.1
"""The client waits for as long to fill a batch."""

WAIT_FOR_REGISTRY_SECONDS = 1.0
IDLE_SECONDS = 10
Say = Callable[[str], None]


@dataclass(slots=True)
class _Shard:
    """A held partition. `handed_over` and `done` are next offsets; `at_end` is whether it had no more to read."""

    shard_id: str
    processor: RecordProcessor
    handed_over: int | None = None
    done: int | None = None
    committed: int | None = None
    at_end: bool = False

    def checkpoint(self, sequence_number: int | None = None) -> None:
        """See Checkpointer. Raises ValueError for a record that was not handed over."""
        wanted = self.handed_over if sequence_number is None else sequence_number + 1
        if wanted is None:
            return
        if self.handed_over is None or wanted > self.handed_over:
            msg = f"{self.shard_id}: {sequence_number} was not handed over yet"
            raise ValueError(msg)
        self.done = max(self.done or 0, wanted)


class Worker:
    """`run` consumes until it is stopped; use it from one thread."""

    def __init__(
        self,
        consumer_settings: dict[str, Any],
        topic: str,
        decoder: Decoder,
        make_processor: Callable[[], RecordProcessor],
        say: Say,
    ) -> None:
        self._topic = topic
        self._decoder = decoder
        self._make_processor = make_processor
        self._say = say
        self._shards: dict[int, _Shard] = {}
        self._stopping = False
        self._broker_gone_said = 0.0
        self._consumer = Consumer({**consumer_settings, "error_cb": self._on_error})

    def stop(self) -> None:
        """Finish the batch in hand, checkpoint, leave the group. May be called from a signal handler."""
        self._stopping = True

    def run(self, *, until_caught_up: bool = False) -> None:
        """Consume; with `until_caught_up`, until every held shard has no more to read.

        Raises what a processor raises, after leaving the group without committing what it failed on.
        """
        self._consumer.subscribe(
            [self._topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
        )
        idle_since = time.monotonic()
        try:
            while not self._stopping:
                batch = self._consumer.consume(BATCH, timeout=POLL_SECONDS)
                self._process(batch)
                self._commit(asynchronous=True)
                if self._shards:
                    idle_since = time.monotonic()
                    if until_caught_up and all(shard.at_end for shard in self._shards.values()):
                        break
                elif until_caught_up and time.monotonic() - idle_since > IDLE_SECONDS:
                    break
            self._request_shutdown(list(self._shards))
        finally:
            # Closing calls _on_revoke, which must not ask processors again.
            self._commit(asynchronous=False)
            self._shards.clear()
            self._consumer.close()

    def _process(self, batch: list[Any]) -> None:
        by_partition = defaultdict(list)
        for message in batch:
            error = message.error()
            # In this order: a batch may hold a partition's last records, and then its end, which is told once.
            if error is None:
                by_partition[message.partition()].append(message)
                self._mark(message.partition(), at_end=False)
            elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - its public name
                self._mark(message.partition(), at_end=True)
            elif error.fatal():
                raise KafkaException(error)
        for partition, messages in by_partition.items():
            shard = self._shards.get(partition)
            if shard is None:  # taken away between fetch and now
                continue
            records = self._decode(shard, messages)
            shard.handed_over = (
                max(shard.handed_over or 0, messages[-1].offset() + 1) if messages else shard.handed_over
            )
            if records:
                shard.processor.process_records(records, shard)
            elif messages:
                shard.checkpoint()

    def _mark(self, partition: int, *, at_end: bool) -> None:
        shard = self._shards.get(partition)
        if shard is not None:
            shard.at_end = at_end

    def _decode(self, shard: _Shard, messages: list[Any]) -> list[Record]:
        """Decoded records. While the registry is down, what follows is read again later and cut off `messages`."""
        records = []
        for index, message in enumerate(messages):
            if message.value() is None:
                continue
            try:
                data = self._decoder.decode(message.value())
            except Undecodable as error:
                self._say(f"{shard.shard_id}: passed over {message.offset()}, {error}")
                continue
            except Unavailable as error:
                self._say(f"{error.message} Waiting for it.")
                self._consumer.seek(TopicPartition(self._topic, message.partition(), message.offset()))
                shard.at_end = False
                del messages[index:]
                time.sleep(WAIT_FOR_REGISTRY_SECONDS)
                break
            key = message.key()
            records.append(
                Record(
                    shard_id=shard.shard_id,
                    partition_key=key.decode(errors="backslashreplace") if key is not None else None,
                    sequence_number=message.offset(),
                    approximate_arrival=datetime.fromtimestamp(message.timestamp()[1] / 1000, UTC),
                    data=data,
                )
            )
        return records

    def _commit(self, *, asynchronous: bool, partitions: list[int] | None = None) -> None:
        offsets = []
        for partition, shard in self._shards.items():
            if shard.done is not None and shard.done != shard.committed and partition in (partitions or self._shards):
                offsets.append(TopicPartition(self._topic, partition, shard.done))
                shard.committed = shard.done
        if not offsets:
            return
        try:
            self._consumer.commit(offsets=offsets, asynchronous=asynchronous)
        except KafkaException as error:
            self._say(f"not committed: {error.args[0].str()}; these records will come again")

    def _request_shutdown(self, partitions: list[int]) -> None:
        for partition in partitions:
            shard = self._shards[partition]
            shard.processor.shutdown_requested(shard)

    def _on_assign(self, consumer: Any, partitions: list[Any]) -> None:
        for place in partitions:
            shard = _Shard(f"{self._topic}-{place.partition}", self._make_processor())
            shard.processor.initialize(shard.shard_id)
            self._shards[place.partition] = shard
        consumer.incremental_assign(partitions)
        self._say_held()

    def _on_revoke(self, consumer: Any, partitions: list[Any]) -> None:
        leaving = [place.partition for place in partitions if place.partition in self._shards]
        self._request_shutdown(leaving)
        if leaving:
            self._commit(asynchronous=False, partitions=leaving)
        for partition in leaving:
            del self._shards[partition]
        consumer.incremental_unassign(partitions)
        if leaving:
            self._say_held()

    def _on_lost(self, consumer: Any, partitions: list[Any]) -> None:
        for place in partitions:
            shard = self._shards.pop(place.partition, None)
            if shard:
                shard.processor.lease_lost()
        consumer.incremental_unassign(partitions)
        self._say_held()

    def _say_held(self) -> None:
        held = ", ".join(shard.shard_id for _, shard in sorted(self._shards.items()))
        self._say(f"holds {held or 'no shard'}")

    def _on_error(self, error: Any) -> None:
        if error.code() == KafkaError._ALL_BROKERS_DOWN and time.monotonic() - self._broker_gone_said > IDLE_SECONDS:  # noqa: SLF001
            self._broker_gone_said = time.monotonic()
            self._say("the broker is gone; waiting for it")


def consumer_settings(bootstrap_servers: str, group: str, *, report_end: bool = False) -> dict[str, Any]:
    """librdkafka's settings; its defaults lose records (latest, offsets stored before the work) or wait."""
    return client(bootstrap_servers) | {
        "group.id": group,
        "group.protocol": "consumer",  # KIP-848
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "earliest",
        "isolation.level": "read_committed",
        "check.crcs": True,
        # After an empty fetch it would sleep for a second.
        "fetch.queue.backoff.ms": 5,
        "enable.partition.eof": report_end,
    }
