"""The records that dead letters were: key, value and headers as they came, from the dead-letter topic or, where the
value was too large for that, from the source."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME

from shardlake import topics
from shardlake.dead_letter import DeadLetter, Header, original_headers
from shardlake.redrive.letters import Letter

AT_ONCE = 100
AT_ONCE_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class Original:
    """Has what a consumer uses of a message, as the source's record had it."""

    letter: Letter
    source: DeadLetter
    original_key: bytes | None
    original_value: bytes | None
    original_headers: tuple[Header, ...]

    def key(self) -> bytes | None:
        """See Message."""
        return self.original_key

    def value(self) -> bytes | None:
        """See Message."""
        return self.original_value

    def offset(self) -> int:
        """See Message."""
        return self.source.offset

    def timestamp(self) -> tuple[int, int]:
        """See Message."""
        return TIMESTAMP_LOG_APPEND_TIME, self.source.timestamp_ms

    def headers(self) -> Any:
        """See Message."""
        return list(self.original_headers)

    def __len__(self) -> int:
        """See Message."""
        return len(self.original_value or b"")


def in_parts(letters: Sequence[Letter]) -> Iterator[list[Letter]]:
    """In lists of a size that memory and a transaction take."""
    part: list[Letter] = []
    size = 0
    for letter in letters:
        if part and (len(part) >= AT_ONCE or size + letter.size_bytes > AT_ONCE_BYTES):
            yield part
            part, size = [], 0
        part.append(letter)
        size += letter.size_bytes
    if part:
        yield part


def originals(bootstrap_servers: str, topic: str, letters: Sequence[Letter]) -> tuple[list[Original], list[Letter]]:
    """Of dead letters of ours in a topic, in their order; and those that are not there any more."""
    messages = messages_of(bootstrap_servers, topic, letters)
    found, gone = [], []
    for letter in letters:
        source = letter.source
        message = messages.get((letter.partition, letter.offset))
        is_letter = not (source and source.left_out_bytes)
        if source and not is_letter:
            message = topics.record_at(bootstrap_servers, source.topic, source.partition, source.offset)
        if source is None or message is None:
            gone.append(letter)
            continue
        headers = message.headers() or ()
        as_they_were = tuple(original_headers(headers) if is_letter else headers)
        found.append(Original(letter, source, message.key(), message.value(), as_they_were))
    return found, gone


def messages_of(bootstrap_servers: str, topic: str, letters: Sequence[Letter]) -> dict[tuple[int, int], Any]:
    """The records of a dead-letter topic, by partition and offset."""
    wanted = {(letter.partition, letter.offset) for letter in letters}
    ranges = {
        partition: (min(offsets), max(offsets) + 1)
        for partition in {one for one, _ in wanted}
        if (offsets := [offset for one, offset in wanted if one == partition])
    }
    batches = topics.read_batches(bootstrap_servers, topic, ranges)
    return {place: m for batch in batches for m in batch if (place := (m.partition(), m.offset())) in wanted}
