"""What a consumer implements, in the words of the Kinesis Client Library. A shard is a partition here.

A processor never sees a partition as anything but a shard's name. A file of `consumers/` holds one of three forms:

- `def process_record(record)`: a function of one record, which is done when the function returns;
- `def process_records(records)`: a function of some, done when it returns, but for those that it reports by their
  sequence numbers: as what it returns, also as AWS Lambda's `batchItemFailures`, or by raising PartialFailure;
- a class that derives from `RecordProcessor`: one object for each lane of a shard, used from one thread, which says by
  its checkpointer what is done. Nothing else is committed.

At least once: what was not done comes again after a crash. Records of one partition key come one after another, in the
order of their sequence numbers; with a parallelization factor of 1 so do all records of a shard. Records without a key
have no order among themselves above a factor of 1.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from operator import methodcaller
from typing import Any, Protocol


class Message(Protocol):
    """What is used of confluent_kafka's Message."""

    def key(self) -> bytes | None:
        """The bytes of its key."""

    def value(self) -> bytes | None:
        """The bytes of its value."""

    def offset(self) -> int:
        """Its place in its partition."""

    def timestamp(self) -> tuple[int, int]:
        """What kind it is, and milliseconds since 1970."""

    def headers(self) -> list[tuple[str, bytes]] | None:
        """Names and values."""

    def __len__(self) -> int:
        """The bytes of its value."""


offset_of = methodcaller("offset")
"""Of a message, in C."""


def text_of(key: bytes) -> str:
    """A key, or a header, as it is shown and asked for: bytes that are not UTF-8 are escaped."""
    return key.decode(errors="backslashreplace")


class Record:
    """One event. `data` are its fields; a topic without a schema has none, and its records are read by `value`."""

    __slots__ = ("_message", "data", "shard_id")

    def __init__(self, shard_id: str, message: Message, data: dict[str, Any]) -> None:
        """Cheap on purpose: what else there is to know is asked of the message when somebody wants it."""
        self.shard_id = shard_id
        self._message = message
        self.data = data

    @property
    def partition_key(self) -> str | None:
        """None where the producer gave none; bytes that are not UTF-8 are escaped."""
        key = self._message.key()
        return None if key is None else text_of(key)

    @property
    def sequence_number(self) -> int:
        """Rises within a shard, with gaps."""
        return self._message.offset()

    @property
    def approximate_arrival(self) -> datetime:
        """When the broker got it, UTC."""
        return datetime.fromtimestamp(self._message.timestamp()[1] / 1000, UTC)

    @property
    def value(self) -> bytes | None:
        """The original bytes."""
        return self._message.value()

    @property
    def headers(self) -> list[tuple[str, bytes]]:
        """Names and values, in order; a name may come twice."""
        return self._message.headers() or []

    def __repr__(self) -> str:
        """Without its values, which may be PII."""
        return f"Record({self.shard_id}:{self.sequence_number})"


class PartialFailure(Exception):
    """Raised by a function of several records: those named have failed, all others are done."""

    def __init__(self, sequence_numbers: Collection[int], message: str = "reported by the handler") -> None:
        """`message` is kept with the dead letters."""
        super().__init__(message)
        self.sequence_numbers = tuple(sequence_numbers)


class Checkpointer(Protocol):
    """Says how far a processor is done."""

    def checkpoint(self, sequence_number: int | None = None) -> None:
        """All that this processor was handed up to this one is done; without a number, all. Does not block.

        Raises ValueError for a number beyond what was handed over.
        """

    @property
    def millis_behind_latest(self) -> int:
        """How old the last record handed over is, 0 where the shard has no later one."""


class RecordProcessor:
    """The form with a state and checkpoints of its own. What it raises is a failure of the records in hand."""

    def initialize(self, shard_id: str) -> None:
        """Called once, before the first record. An exception ends the worker."""

    def process_records(self, records: Sequence[Record], checkpointer: Checkpointer) -> None:
        """Called with the next records, in order, some 500 at most. What it has checkpointed before it raises is
        done; the rest is tried again."""
        raise NotImplementedError

    def lease_lost(self) -> None:
        """Another worker has the shard already: nothing can be checkpointed any more."""

    def shard_ended(self, checkpointer: Checkpointer) -> None:
        """The shard has no more records, ever. Not called as long as partitions do not end."""

    def shutdown_requested(self, checkpointer: Checkpointer) -> None:
        """The shard goes to another worker, or the worker stops: the last chance to checkpoint."""
