"""The newest time in a Parquet file, by the statistics in its footer: whoever asks for that alone needs no library.

A footer is a structure of Apache Thrift's compact protocol; it is read as a whole, by the numbers of its fields.
"""

from __future__ import annotations

import io
import struct
from datetime import UTC, datetime, timedelta
from typing import IO, Any

TAIL_BYTES = 65_536
"""Read at once: nearly every footer is within it."""
MAGIC = b"PAR1"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SCHEMA, ROW_GROUPS = 2, 4  # of the whole
NAME, CHILDREN, CONVERTED_TYPE, LOGICAL_TYPE = 4, 5, 6, 10  # of a column in the schema
COLUMNS, META_DATA, PATH, STATISTICS = 1, 3, 3, 12  # of a group of rows, and of one column of it
MAX, MAX_VALUE = 1, 5  # of statistics: of old, and now
TIMESTAMP, UNIT = 8, 2  # of a logical type
PER_SECOND = {1: 1_000, 2: 1_000_000, 3: 1_000_000_000}
CONVERTED = {9: 1_000, 10: 1_000_000}


class NoParquet(ValueError):
    """Raised for a file whose end is not the footer of a Parquet file."""


def newest(file: IO[bytes], column: str) -> datetime | None:
    """The newest time in a column; None where there is no such column of times, or nothing tells what is in it.

    Raises NoParquet for what is no whole Parquet file.
    """
    footer = _footer(file)
    try:
        whole = _Reader(footer).struct()
        per_second = _per_second(whole, column)
        if per_second is None:
            return None
        chunks = (chunk[META_DATA] for group in whole.get(ROW_GROUPS, ()) for chunk in group[COLUMNS])
        statistics = [chunk.get(STATISTICS, {}) for chunk in chunks if chunk[PATH] == [column.encode()]]
        found = [one.get(MAX_VALUE, one.get(MAX)) for one in statistics]
        highest = max((struct.unpack("<q", value)[0] for value in found if value is not None), default=None)
        return None if highest is None else EPOCH + timedelta(microseconds=highest * 1_000_000 // per_second)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, struct.error, OverflowError) as error:
        msg = f"its footer is none: {type(error).__name__}"
        raise NoParquet(msg) from error


def _footer(file: IO[bytes]) -> bytes:
    size = file.seek(0, io.SEEK_END)
    tail = _last(file, size, TAIL_BYTES)
    if len(tail) < 8 or tail[-4:] != MAGIC:
        raise NoParquet("it does not end with PAR1")
    length = int.from_bytes(tail[-8:-4], "little")
    if length + 8 > size:
        raise NoParquet("it is shorter than its footer")
    if length + 8 > len(tail):
        tail = _last(file, size, length + 8)
    return tail[-8 - length : -8]


def _last(file: IO[bytes], size: int, count: int) -> bytes:
    file.seek(max(0, size - count))
    return file.read(min(size, count))


def _per_second(whole: dict[int, Any], column: str) -> int | None:
    """How many of a column's units are a second; None where no column of that name at the top holds times."""
    for one in whole[SCHEMA][1:]:
        if one[NAME] == column.encode() and not one.get(CHILDREN):
            unit = one.get(LOGICAL_TYPE, {}).get(TIMESTAMP, {}).get(UNIT, {})
            return next((PER_SECOND[number] for number in unit), CONVERTED.get(one.get(CONVERTED_TYPE)))
    return None


class _Reader:
    """Values of the compact protocol, one after another: structures as fields by number, text as bytes."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def struct(self) -> dict[int, Any]:
        fields: dict[int, Any] = {}
        number = 0
        while (head := self._byte()) != 0:
            number = number + (head >> 4) if head >> 4 else self._integer()
            # Whether a field is true is in its type.
            fields[number] = head & 15 == 1 if head & 15 in (1, 2) else self._value(head & 15)
        return fields

    def _value(self, kind: int) -> Any:
        if kind in (1, 2, 3):
            return self._byte()
        if kind in (4, 5, 6):
            return self._integer()
        if kind in (7, 8):
            return self._bytes(8 if kind == 7 else self._varint())
        if kind in (9, 10):
            head = self._byte()
            count = head >> 4 if head >> 4 < 15 else self._varint()
            return [self._value(head & 15) for _ in range(count)]
        if kind == 12:
            return self.struct()
        raise NoParquet(f"no value is of type {kind}")

    def _byte(self) -> int:
        found = self._data[self._at]
        self._at += 1
        return found

    def _bytes(self, count: int) -> bytes:
        found = self._data[self._at : self._at + count]
        if len(found) < count:
            raise NoParquet("it ends in the middle of a value")
        self._at += count
        return found

    def _varint(self) -> int:
        found = shift = 0
        while True:
            byte = self._byte()
            found |= (byte & 127) << shift
            if byte < 128:
                return found
            shift += 7

    def _integer(self) -> int:
        found = self._varint()
        return (found >> 1) ^ -(found & 1)
