"""Messages that come from no broker."""

from __future__ import annotations

import time
from collections.abc import Iterable

from confluent_kafka import Message


def message(offset: int, key: bytes | None = None, value: bytes | None = b"value", age_seconds: float = 0) -> Message:
    """One record of a partition."""
    arrival_ms = int((time.time() - age_seconds) * 1000)
    return Message(topic="t", partition=0, offset=offset, key=key, value=value, timestamp=(2, arrival_ms))


def messages(keys: Iterable[bytes | None], first: int = 0) -> list[Message]:
    """One for each key, by rising offset."""
    return [message(offset, key) for offset, key in enumerate(keys, first)]
