"""What a dead letter carries: the original key and value, the original headers, and these.

The names are Kafka Connect's (`ConnectHeaders` in KIP-298), values are UTF-8 strings, numbers too; Connect has
none for the source's timestamp, so that one follows its pattern. Consumers' dead letters have more, of our own. A
record that was redriven has a header that says which dead letter it was.
Of headers with one name, the last wins.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

PREFIX = "__connect.errors."
TOPIC = PREFIX + "topic"
PARTITION = PREFIX + "partition"
OFFSET = PREFIX + "offset"
TIMESTAMP = PREFIX + "timestamp"
ERROR_CLASS = PREFIX + "exception.class.name"
ERROR_MESSAGE = PREFIX + "exception.message"
OWN_PREFIX = "shardlake."
GROUP = OWN_PREFIX + "consumer.group"
ATTEMPTS = OWN_PREFIX + "attempts"
LEFT_OUT = OWN_PREFIX + "value.left.out"
"""Where the value was too large for the topic: how many bytes it has. The source's record has them."""
REDRIVEN_FROM = OWN_PREFIX + "redriven.from"
"""Of a record that was a dead letter: TOPIC/PARTITION/OFFSET of the record that became one."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """Where a dead letter came from and why it is one. `timestamp_ms` is its arrival in the source topic.

    `group` is the consumer group that could not process it, after so many `attempts`; '' for one that the jobs could
    not take as an event. `left_out_bytes` is the size of a value that was too large to be kept.
    """

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    error_class: str
    error_message: str
    group: str = ""
    attempts: int = 1
    left_out_bytes: int = 0

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
                left_out_bytes=int(found.get(LEFT_OUT, 0)),
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
        if self.left_out_bytes:
            found[LEFT_OUT] = self.left_out_bytes
        return [(name, str(value).encode(errors="backslashreplace")) for name, value in found.items()]


def original_headers(headers: Sequence[tuple[str, bytes | None]] | None) -> list[tuple[str, bytes | None]]:
    """Those that the record had before it was a dead letter."""
    return [(name, value) for name, value in headers or () if not name.startswith((PREFIX, OWN_PREFIX))]


def redriven_from(headers: Sequence[tuple[str, bytes | None]] | None) -> tuple[str, int, int] | None:
    """Topic, partition and offset of the record that a redriven one was; None for any other record."""
    for name, value in reversed(headers or ()):
        if name == REDRIVEN_FROM:
            match = re.fullmatch(rb"([^/]+)/(\d{1,9})/(\d{1,18})", value or b"")
            return (match[1].decode(errors="replace"), int(match[2]), int(match[3])) if match else None
    return None
