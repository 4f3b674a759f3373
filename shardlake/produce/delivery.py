"""Sending values to a topic with every one accounted for: acknowledged, failed for certain, or unknown.

Exactly one of the three for each value sent, when `finish` returns. Order is kept within a partition, and a retry
writes nothing twice (idempotent, acks=all). A full queue waits. Values are handed to librdkafka in batches: a call for
each would take as long as encoding it.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from confluent_kafka import KafkaError, KafkaException, Producer

from shardlake.errors import BadInput, Unavailable
from shardlake.kafka_login import client
from shardlake.patience import patiently

if TYPE_CHECKING:
    from shardlake.ledger import Ledger, Place

TIMEOUT_SECONDS = 120
CONNECT_SECONDS = 10
LINGER_MS = 50.0
BATCH_VALUES = 1000
LARGE_VALUE_BYTES = 65_536
"""One of these ends a batch, so that a batch of them takes no memory beside librdkafka's queue."""
SAY_EVERY_SECONDS = 5
Acknowledged = Callable[[int, int], None]
"""Called with the partition and the offset of a value that the broker has, from within a later call."""

CERTAIN = frozenset(
    {
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.RECORD_LIST_TOO_LARGE,
        KafkaError.INVALID_RECORD,
        KafkaError.INVALID_TIMESTAMP,
        KafkaError.POLICY_VIOLATION,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError._UNKNOWN_TOPIC,  # noqa: SLF001 - their public names
        KafkaError._UNKNOWN_PARTITION,  # noqa: SLF001
        KafkaError._INVALID_ARG,  # noqa: SLF001
    }
)
"""The broker has refused these, or never got them. After any other error it may have written the value: a report that
never came, or came from a broker on its way down, is no proof that nothing was. Nor is it one that a value was waiting
to be sent when it was given up: it may have been sent before."""


def producer_settings(bootstrap_servers: str, linger_ms: float = LINGER_MS) -> dict[str, Any]:
    """librdkafka's settings for sending at speed, losing nothing and writing nothing twice.

    It never gives a value up by itself: when one times out it takes another producer id, under which it sends again
    what is on its way, and the broker, which knows a value by id and number alone, writes that twice.
    """
    return client(bootstrap_servers) | {
        "enable.idempotence": True,
        "acks": "all",
        # As Java's, so that a key is in one partition whoever writes it.
        "partitioner": "murmur2_random",
        "linger.ms": linger_ms,
        "compression.type": "lz4",
        "queue.buffering.max.messages": 500_000,
        "queue.buffering.max.kbytes": 262_144,
        "message.max.bytes": 8_388_608,
        "delivery.timeout.ms": 0,
    }


@dataclass(slots=True)
class Account:
    """What became of the values. `reasons` counts the errors by their text, which holds no value."""

    handed_over: int = 0
    failed: int = 0
    unknown: int = 0
    acknowledged: Counter[int] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)

    @property
    def total_acknowledged(self) -> int:
        """Over all partitions."""
        return self.acknowledged.total()

    @property
    def reported(self) -> int:
        """Of how many it is known what became of them."""
        return self.total_acknowledged + self.failed + self.unknown

    @property
    def is_complete(self) -> bool:
        """Whether every value was acknowledged."""
        return self.handed_over == self.total_acknowledged


class Delivery:
    """A producer for one topic."""

    def __init__(
        self,
        bootstrap_servers: str,
        topic: str,
        say: Callable[[str], None],
        timeout_seconds: float | None = TIMEOUT_SECONDS,
        batch_values: int = BATCH_VALUES,
        linger_ms: float = LINGER_MS,
    ) -> None:
        """`say` gets a line when the broker is gone. Raises Unavailable where none answers, BadInput without the
        topic.

        A value waits for its batch to be full, for `poll` or for `finish`: where the next value may be long in coming
        and nobody polls, `batch_values` is 1. A value is unknown that was not acknowledged within `timeout_seconds`;
        where that is None it waits for ever. The client waits `linger_ms` for a batch to fill.
        """
        self.account = Account()
        self.ledger: Ledger | None = None
        """Where one is set before the first value, it is told what becomes of each; `finish` closes it."""
        self._batch: list[dict[str, Any]] = []
        self._batch_values = batch_values
        self.topic = topic
        self._say = say
        self._said = 0.0
        self._timeout_seconds = timeout_seconds
        self._handed_over: deque[tuple[float, int]] = deque()
        """When how many values had been handed over, for those that are not all reported on."""
        self._producer = Producer(producer_settings(bootstrap_servers, linger_ms) | {"error_cb": self._on_error})
        patiently(lambda: self._check(bootstrap_servers), "the broker")

    @property
    def waiting(self) -> int:
        """Values that wait for their batch, for the broker or for its report; may be read from another thread."""
        reported = self.account.reported  # first: none is reported before it is handed over
        return self.account.handed_over - reported + len(self._batch)

    def send(
        self,
        value: bytes | None,
        key: bytes | None = None,
        acknowledged: Acknowledged | None = None,
        place: Place | None = None,
    ) -> None:
        """Hand a value over; waits while the queue is full. `acknowledged` is not called where it failed or is
        unknown. `place` says in the ledger where the value is from."""
        message: dict[str, Any] = {"value": value, "key": key}
        if self.ledger is not None:
            number = self.ledger.intend(key, value, place)
            message["callback"] = partial(self._on_ledgered, number, acknowledged)
        elif acknowledged is not None:
            message["callback"] = partial(self._on_delivery, acknowledged=acknowledged)
        self._batch.append(message)
        if len(self._batch) >= self._batch_values or (value and len(value) > LARGE_VALUE_BYTES):
            self.poll()

    def poll(self, seconds: float = 0) -> None:
        """Hand over what waits for its batch, and take in the reports that have come, or come within `seconds`."""
        if self.ledger is not None:
            self.ledger.flush()
        batch, self._batch = self._batch, []
        self.account.handed_over += len(batch)
        while batch:
            queued = self._producer.produce_batch(self.topic, batch, on_delivery=self._on_delivery)
            batch = self._not_queued(batch) if queued < len(batch) else []
            self._take_in(0.1 if batch else 0)
        self._take_in(seconds)

    def _take_in(self, seconds: float) -> None:
        self._producer.poll(seconds)
        if self.ledger is not None:
            self.ledger.rest()
        self._give_up_late_ones()

    def _give_up_late_ones(self) -> None:
        """Give up everything that is on its way where a value is that was handed over too long ago: then none is left
        that could be sent again under another producer id."""
        if self._timeout_seconds is None:
            return
        now, account = time.monotonic(), self.account
        if not self._handed_over or self._handed_over[-1][1] < account.handed_over:
            self._handed_over.append((now, account.handed_over))
        reported = account.reported
        while self._handed_over and self._handed_over[0][1] <= reported:
            self._handed_over.popleft()
        if self._handed_over and now - self._handed_over[0][0] > self._timeout_seconds:
            self._producer.purge()
            self._producer.poll(0)

    def _not_queued(self, batch: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Those that found the queue full: all after the first such one, in order. The others have failed."""
        full = []
        for message in batch:
            error = message.pop("_error", None)
            if error is None:
                continue
            if error.code() == KafkaError._QUEUE_FULL:  # noqa: SLF001
                full.append(message)
            else:
                message.get("callback", self._on_delivery)(error, None)
        return full

    def finish(self, seconds: float | None = None) -> Account:
        """Wait for every report, or for `seconds`. Afterwards each value is acknowledged, failed or unknown."""
        self.poll()
        deadline = time.monotonic() + (seconds or (self._timeout_seconds or TIMEOUT_SECONDS) + 10)
        while self._producer.flush(0.5) and time.monotonic() < deadline:
            self._give_up_late_ones()
            if self.ledger is not None:
                self.ledger.rest()
        if len(self._producer):
            self._producer.purge()
            self._producer.flush(5)
        account = self.account
        account.unknown += account.handed_over - account.reported
        if self.ledger is not None:
            self.ledger.close()
        return account

    def _on_delivery(self, error: Any, message: Any, acknowledged: Acknowledged | None = None) -> None:
        if error is None:
            self.account.acknowledged[message.partition()] += 1
            if acknowledged is not None:
                acknowledged(message.partition(), message.offset())
            return
        self.account.reasons[error.str()] += 1
        if error.code() in CERTAIN:
            self.account.failed += 1
        else:
            self.account.unknown += 1

    def _on_ledgered(self, number: int, acknowledged: Acknowledged | None, error: Any, message: Any) -> None:
        ledger = self.ledger
        assert ledger is not None
        if error is None:
            ledger.acknowledged(number, message.partition(), message.offset())
        elif error.code() in CERTAIN:
            ledger.failed(number)
        else:
            ledger.unknown(number)
        self._on_delivery(error, message, acknowledged)

    def _on_error(self, error: Any) -> None:
        if error.code() == KafkaError._ALL_BROKERS_DOWN and time.monotonic() - self._said > SAY_EVERY_SECONDS:  # noqa: SLF001
            self._said = time.monotonic()
            waiting = len(self._producer)
            limit = f", each for {self._timeout_seconds:.0f} s at most" if self._timeout_seconds else ""
            self._say(f"the broker is gone; {waiting} events wait for it{limit}")

    def _check(self, bootstrap_servers: str) -> None:
        try:
            found = self._producer.list_topics(self.topic, timeout=CONNECT_SECONDS).topics[self.topic]
        except KafkaException as error:
            msg = f"No Kafka broker answers at {bootstrap_servers}: {error.args[0].str()}."
            raise Unavailable(msg, "Start the stack with `shardlake up`, or set KAFKA_BOOTSTRAP_SERVERS.") from error
        if found.error is not None:
            msg = f"There is no topic {self.topic} at {bootstrap_servers}."
            raise BadInput(msg, "`shardlake up` makes the pipeline's topics.")
