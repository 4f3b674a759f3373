"""What a dead letter carries: the original key and value, the original headers, and these.

The names are Kafka Connect's (`ConnectHeaders` in KIP-298), values are UTF-8 strings, numbers too; Connect has
none for the source's timestamp, so that one follows its pattern. Consumers' dead letters have two more, of our own.
Of headers with one name, the last wins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

PREFIX = "__connect.errors."
TOPIC = PREFIX + "topic"
PARTITION = PREFIX + "partition"
OFFSET = PREFIX + "offset"
TIMESTAMP = PREFIX + "timestamp"
ERROR_CLASS = PREFIX + "exception.class.name"
ERROR_MESSAGE = PREFIX + "exception.message"
GROUP = "shardlake.consumer.group"
ATTEMPTS = "shardlake.attempts"


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """Where a dead letter came from and why it is one. `timestamp_ms` is its arrival in the source topic.

    `group` is the consumer group that could not process it, after so many `attempts`; '' for one that the jobs could
    not take as an event.
    """

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    error_class: str
    error_message: str
    group: str = ""
    attempts: int = 1

    @classmethod
    def from_headers(cls, headers: Sequence[tuple[str, bytes | str | None]] | None) -> DeadLetter:
        """Raises ValueError where a header is missing or no number: then it is not ours."""
        found = {name: value.decode() if isinstance(value, bytes) else value or "" for name, value in headers or ()}
        try:
            return cls(
                topic=found[TOPIC],
                partition=int(found[PARTITION]),
                offset=int(found[OFFSET]),
                timestamp_ms=int(found[TIMESTAMP]),
                error_class=found[ERROR_CLASS],
                error_message=found.get(ERROR_MESSAGE, ""),
                group=found.get(GROUP, ""),
                attempts=int(found.get(ATTEMPTS, 1)),
            )
        except KeyError as error:
            msg = f"not a dead letter of these jobs: no header {error}"
            raise ValueError(msg) from error

    def headers(self) -> list[tuple[str, bytes]]:
        """What is added to the original headers."""
        found = {
            TOPIC: self.topic,
            PARTITION: self.partition,
            OFFSET: self.offset,
            TIMESTAMP: self.timestamp_ms,
            ERROR_CLASS: self.error_class,
            ERROR_MESSAGE: self.error_message,
            GROUP: self.group,
            ATTEMPTS: self.attempts,
        }
        return [(name, str(value).encode(errors="backslashreplace")) for name, value in found.items()]
