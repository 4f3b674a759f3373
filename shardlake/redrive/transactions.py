"""Writing what a redrive does, all or nothing: records and their marks in one transaction.

One transactional id for each dead-letter topic: whoever begins last fences those before, and whatever these had not
committed is gone before anything is read.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from confluent_kafka import KafkaError, KafkaException, Producer

from shardlake import topics
from shardlake.dead_letter import REDRIVEN_FROM, Header
from shardlake.errors import ShardlakeError, Unavailable
from shardlake.kafka_login import client
from shardlake.redrive.letters import Letter
from shardlake.redrive.marks import TOPIC, Mark, mark_key
from shardlake.redrive.originals import Original

TIMEOUT_SECONDS = 30
TRANSACTION_SECONDS = 60
MAX_BYTES = 100 << 20
"""Before compression, which is why a record may be larger than its topic seems to take."""
FENCED = frozenset({KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH})  # noqa: SLF001
REFUSALS = frozenset({KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_RECORD, KafkaError.INVALID_TIMESTAMP})


class Refused(Exception):
    """The broker does not take one of the records; nothing of the transaction is there."""


def redriven_headers(record: Original) -> list[Header]:
    """The headers that the record had, and which dead letter it was; earlier ones that it was are left out."""
    headers = [header for header in record.original_headers if header[0] != REDRIVEN_FROM]
    return [*headers, (REDRIVEN_FROM, record.letter.place.encode())]


class Transactions:
    """For one dead-letter topic; `begin` first. Methods raise ShardlakeError where another redrive has begun since,
    Unavailable where the broker does not answer."""

    def __init__(self, bootstrap_servers: str, dead_letter_topic: str) -> None:
        self._servers = bootstrap_servers
        self._topic = dead_letter_topic
        self._ids: dict[str, str] = {}
        self._partitions: dict[str, int] = {}
        settings = {
            "transactional.id": f"shardlake-redrive-{dead_letter_topic}",
            "transaction.timeout.ms": TRANSACTION_SECONDS * 1000,
            "linger.ms": 5,
            "compression.type": "lz4",
            "partitioner": "murmur2_random",
            "message.max.bytes": MAX_BYTES,
        }
        self._producer = Producer(client(bootstrap_servers) | settings)

    def begin(self) -> None:
        """Fence every other redrive of the topic. When it returns, what these did is committed or gone."""
        self._ask(lambda: self._producer.init_transactions(TIMEOUT_SECONDS))

    def send_again(self, records: Sequence[Original]) -> list[Letter]:
        """Records to where they came from, and their marks; those letters that the broker refuses."""
        try:
            self._send(records)
        except Refused:
            if len(records) == 1:
                return [records[0].letter]
            return [letter for record in records for letter in self.send_again([record])]
        return []

    def mark(self, letter: Letter, to: str) -> None:
        """That a consumer has processed it."""
        self._ask(self._producer.begin_transaction)
        self._mark(letter, to)
        self._commit()

    def _send(self, records: Sequence[Original]) -> None:
        self._ask(self._producer.begin_transaction)
        told: dict[int, Any] = {}
        for number, record in enumerate(records):
            self._produce(
                record.source.topic,
                partition=self._partition(record),
                key=record.key(),
                value=record.value(),
                headers=redriven_headers(record),
                on_delivery=lambda error, message, number=number: told.update({number: (error, message)}),
            )
        self._flush()
        if errors := [error for error, _ in told.values() if error]:
            self._give_up(errors)
        for number, record in enumerate(records):
            message = told[number][1]
            self._mark(record.letter, f"{message.topic()}/{message.partition()}/{message.offset()}")
        self._commit()

    def _mark(self, letter: Letter, to: str) -> None:
        assert letter.source is not None
        topic = letter.source.topic
        if topic not in self._ids:
            self._ids[topic] = topics.topic_id(self._servers, topic)
        mark = Mark(time.time_ns() // 1_000_000, to, self._ids[topic])
        self._produce(TOPIC, key=mark_key(self._topic, letter.source).encode(), value=mark.to_json())

    def _partition(self, record: Original) -> int:
        """The source's own, whatever its producer went by; -1, by key, where there is no such partition any more."""
        topic = record.source.topic
        if topic not in self._partitions:
            self._partitions[topic] = len(topics.offsets(self._servers, topic))
        return record.source.partition if record.source.partition < self._partitions[topic] else -1

    def _produce(self, topic: str, **message: Any) -> None:
        try:
            self._producer.produce(topic, **message)
        except KafkaException as error:
            self._give_up([error.args[0]])

    def _give_up(self, errors: Sequence[Any]) -> NoReturn:
        self._check_fenced(errors)
        self._ask(lambda: self._producer.abort_transaction(TIMEOUT_SECONDS))
        if any(error.code() in REFUSALS for error in errors):
            raise Refused
        raise self._unavailable(errors[0])

    def _flush(self) -> None:
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while self._producer.flush(1):
            if time.monotonic() > deadline:
                raise Unavailable(f"Kafka at {self._servers} has stopped answering.", "Run it again.")

    def _commit(self) -> None:
        self._ask(lambda: self._producer.commit_transaction(TIMEOUT_SECONDS))

    def _ask(self, call: Callable[[], None]) -> None:
        """Ask again where the answer may still come; what that leaves open the next `begin` ends."""
        deadline = time.monotonic() + TRANSACTION_SECONDS
        while True:
            try:
                return call()
            except KafkaException as raised:
                error = raised.args[0]
                self._check_fenced([error])
                if not error.retriable() or time.monotonic() > deadline:
                    raise self._unavailable(error) from raised

    def _unavailable(self, error: Any) -> Unavailable:
        msg = f"Kafka at {self._servers} does not take the transaction: {error.str()}."
        return Unavailable(msg, "Run it again: what was redriven is not sent twice.")

    def _check_fenced(self, errors: Sequence[Any]) -> None:
        if any(error.code() in FENCED for error in errors):
            msg = f"Another redrive of {self._topic} has begun, and this one has ended for it."
            raise ShardlakeError(msg, "What this one had committed is not sent twice.")
