"""What a dead letter carries: the original key and value, the original headers, and these.

The names are Kafka Connect's (`ConnectHeaders` in KIP-298), values are UTF-8 strings, numbers too; Connect has
none for the source's timestamp, so that one follows its pattern. Of headers with one name, the last wins.
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


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """Where a dead letter came from and why it is one. `timestamp_ms` is its arrival in the source topic."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    error_class: str
    error_message: str

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
            )
        except KeyError as error:
            msg = f"not a dead letter of these jobs: no header {error}"
            raise ValueError(msg) from error
