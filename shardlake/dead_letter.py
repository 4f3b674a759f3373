"""What a dead letter carries: the original key and value, the original headers, and these.

The names are Kafka Connect's (`ConnectHeaders` in KIP-298), values are UTF-8 strings, numbers too; Connect has
none for the source's timestamp, so that one follows its pattern. Consumers' dead letters have more, of our own. A
record that was redriven has a header that says which dead letter it was.

Anybody may produce a record with headers of these names. A dead letter keeps those under another name, and they get
their own back when it is redriven: what is read as ours is ours. Original headers are never read, and keep their bytes.
Of headers with one name, the last wins.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shardlake import names

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
OURS = (TOPIC, PARTITION, OFFSET, TIMESTAMP, ERROR_CLASS, ERROR_MESSAGE, GROUP, ATTEMPTS, LEFT_OUT, REDRIVEN_FROM)
"""Every name that is ours."""
ORIGINAL = OWN_PREFIX + "original."
"""Before the name of an original header that has one of these names."""

RENAMED = {
    "ArrayIndexOutOfBoundsException": ("NoSuchBranch",),
    "AvroTypeException": ("SchemaMismatch",),
    "NotAnInt": ("NumberOutOfRange",),
    "EOFError": ("BreaksOff",),
    "IndexError": ("NoSuchBranch",),
    "SchemaResolutionError": ("SchemaMismatch",),
    "UnicodeDecodeError": ("NotUtf8",),
}
"""By the last part of a class that letters of earlier versions have: what such a letter is called now. Letters keep the
names that they were written with."""

NO_TIME_MS = -1
LATEST_MS = 253_402_300_799_999
"""The last millisecond of the year 9999: no later one can be shown."""
MAX_INT = (1 << 31) - 1
MAX_LONG = (1 << 63) - 1

Header = tuple[str, bytes | None]
Headers = Sequence[tuple[str, bytes | str | None]]
_LOOKS_LIKE_OURS = re.compile(f"(?:{re.escape(ORIGINAL)})*(?:{'|'.join(map(re.escape, OURS))})")
_NUMBER = re.compile("-?[0-9]{1,19}")


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
    def from_headers(cls, headers: Headers | None) -> DeadLetter:
        """Raises ValueError where one of ours is missing, is no text, or has a value that none of ours can have: then
        it is not ours, whatever else it carries."""
        found = {name: value for name, value in headers or () if name in OURS}
        return cls(
            topic=_topic_name(_text(found, TOPIC)),
            partition=_number(found, PARTITION, most=MAX_INT),
            offset=_number(found, OFFSET, most=MAX_LONG),
            timestamp_ms=_number(found, TIMESTAMP, least=NO_TIME_MS, most=LATEST_MS),
            error_class=_text(found, ERROR_CLASS),
            error_message=_text(found, ERROR_MESSAGE, ""),
            group=_text(found, GROUP, ""),
            attempts=_number(found, ATTEMPTS, "1", most=MAX_INT),
            left_out_bytes=_number(found, LEFT_OUT, "0", most=MAX_INT),
        )

    @classmethod
    def if_ours(cls, headers: Headers | None) -> DeadLetter | None:
        """The letter, or None where it is not ours: anybody may write to a topic of dead letters."""
        try:
            return cls.from_headers(headers)
        except ValueError:
            return None

    def headers(self) -> list[tuple[str, bytes]]:
        """Ours, which are added to the headers of `kept`."""
        found = {
            TOPIC: self.topic,
            PARTITION: self.partition,
            OFFSET: self.offset,
            TIMESTAMP: min(max(self.timestamp_ms, NO_TIME_MS), LATEST_MS),
            ERROR_CLASS: self.error_class,
            ERROR_MESSAGE: self.error_message,
            GROUP: self.group,
            ATTEMPTS: self.attempts,
        }
        if self.left_out_bytes:
            found[LEFT_OUT] = self.left_out_bytes
        return [(name, str(value).encode(errors="backslashreplace")) for name, value in found.items()]


def kept(headers: Sequence[Header] | None) -> list[Header]:
    """A record's headers as its dead letter keeps them: none has a name of ours."""
    return [(ORIGINAL + name if _LOOKS_LIKE_OURS.fullmatch(name) else name, value) for name, value in headers or ()]


def original_headers(headers: Sequence[Header] | None) -> list[Header]:
    """The headers that a dead letter's record had, under the names that they had."""
    return [
        (name.removeprefix(ORIGINAL) if _LOOKS_LIKE_OURS.fullmatch(name) else name, value)
        for name, value in headers or ()
        if name not in OURS
    ]


def redriven_from(headers: Sequence[Header] | None) -> tuple[str, int, int] | None:
    """Topic, partition and offset of the record that a redriven one was; None for any other record."""
    for name, value in reversed(headers or ()):
        if name == REDRIVEN_FROM:
            match = re.fullmatch(rb"([^/]+)/(\d{1,9})/(\d{1,18})", value or b"")
            return (match[1].decode(errors="replace"), int(match[2]), int(match[3])) if match else None
    return None


def _text(found: Mapping[str, bytes | str | None], name: str, default: str | None = None) -> str:
    """Raises ValueError where it is not there and there is no default, or where it is not UTF-8."""
    value = found.get(name)
    text = value.decode() if isinstance(value, bytes) else default if value is None else value
    if text is None:
        msg = f"no header {name}"
        raise ValueError(msg)
    return text


def _number(
    found: Mapping[str, bytes | str | None], name: str, default: str | None = None, *, least: int = 0, most: int
) -> int:
    """Raises ValueError where it is none between these, both included."""
    text = _text(found, name, default)
    if not _NUMBER.fullmatch(text) or not least <= int(text) <= most:
        msg = f"{name} is not from {least} to {most}"
        raise ValueError(msg)
    return int(text)


def _topic_name(text: str) -> str:
    """Raises ValueError where no topic can have it."""
    if not names.TOPIC.fullmatch(text):
        msg = f"{TOPIC} names no topic"
        raise ValueError(msg)
    return text
