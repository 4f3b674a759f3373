"""Many values of one flat schema decoded at once, field by field over all records, into Arrow columns.

The values are joined into one buffer, each record has a position in it, and a field is read for all records by a few
numpy operations. Whatever a record's bytes say, it reads of the buffer only, and its columns take what lies within its
own value only: `valid` says for which records every check held. The others may still be records, of another schema id:
that is `codec.Decoder`'s to say.
Source of the format: the Apache Avro specification, "Binary encoding".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shardlake.avro.codec import MAX_VALUE_BYTES
from shardlake.avro.times import DAYS, MICROS, MILLIS
from shardlake.avro.wire import HEADER_BYTES, header

MAX_BATCH_BYTES = 1 << 31
"""Arrow's positions in a column of text have 31 bits."""
PADDING_BYTES = 16
"""A varint has ten bytes at most and a word eight: so many may be read after a value's end before that is seen."""
INFINITY, QUIET = 0x7F80_0000, 0x0040_0000
"""Bits of floats. What is not a number and is not quiet either, Python does not write again as it was read."""

TYPES = {
    "string": pa.string(),
    "enum": pa.string(),
    "int": pa.int32(),
    "long": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
    "boolean": pa.bool_(),
    "bytes": pa.binary(),
    "fixed": pa.binary(),
    "timestamp-millis": pa.timestamp("us"),
    "timestamp-micros": pa.timestamp("us"),
    "date": pa.date32(),
}

Numbers = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class _Field:
    """`null` and `value` are the bytes of the union's branches, None where the field is no union."""

    name: str
    kind: Any
    null: int | None
    value: int | None

    @property
    def type_name(self) -> str:
        return str(self.kind.get("logicalType", self.kind["type"]) if isinstance(self.kind, dict) else self.kind)

    @classmethod
    def of(cls, field: dict[str, Any]) -> _Field:
        branches = field["type"]
        if not isinstance(branches, list):
            found = cls(field["name"], branches, None, None)
        else:
            kinds = [kind for kind in branches if kind != "null"]
            if len(kinds) != 1 or len(branches) != 2:
                msg = f"field {field['name']} is a union of more than null and one type"
                raise ValueError(msg)
            found = cls(field["name"], kinds[0], 2 * branches.index("null"), 2 * branches.index(kinds[0]))
        if found.type_name not in TYPES:
            msg = f"field {field['name']} is of {found.type_name}, which is no flat type"
            raise ValueError(msg)
        return found


def column_types(schema: dict[str, Any]) -> dict[str, pa.DataType]:
    """By field, the type of its column. Times are UTC, in microseconds, without a zone."""
    return {field.name: TYPES[field.type_name] for field in map(_Field.of, schema["fields"])}


class BatchDecoder:
    """From values to columns. Raises ValueError for a schema that is not flat."""

    def __init__(self, schema: dict[str, Any], schema_id: int) -> None:
        """`schema_id` is the id that the registry has for `schema`: values that name another are not valid here."""
        self._fields = [_Field.of(field) for field in schema["fields"]]
        self._header = int.from_bytes(header(schema_id), "little")

    def decode(self, values: Sequence[bytes]) -> tuple[dict[str, pa.Array], Numbers]:
        """Columns by field, with null where a record is not valid, and for each record whether it is.

        Valid are the records that `codec.Decoder` takes. Raises ValueError for 2 GiB of values; never for what they
        hold.
        """
        cursor = _Cursor(values, self._header)
        columns = {field.name: cursor.column(field) for field in self._fields}
        valid = cursor.ok & (cursor.position == cursor.ends)
        if not valid.all():
            is_valid = pa.array(valid)
            columns = {name: pc.if_else(is_valid, one, pa.scalar(None, one.type)) for name, one in columns.items()}
        return columns, valid


class _Cursor:
    """Where each record has been read to. A record that is not `ok` stays at its start, where reading does no harm."""

    def __init__(self, values: Sequence[bytes], expected_header: int) -> None:
        joined = b"".join([*values, bytes(PADDING_BYTES)])
        if len(joined) >= MAX_BATCH_BYTES:
            msg = f"{len(joined)} bytes of values; a batch has less than {MAX_BATCH_BYTES}"
            raise ValueError(msg)
        lengths = np.fromiter(map(len, values), np.int64, len(values))
        self.buffer = pa.py_buffer(joined)
        self.bytes: Numbers = np.frombuffer(joined, np.uint8)
        # The eight bytes from each place on, as a number: a view, nothing is copied.
        self.words: Numbers = np.ndarray((len(joined) - 7,), "<u8", joined, strides=(1,))
        self.ends: Numbers = np.cumsum(lengths)
        self.starts: Numbers = self.ends - lengths
        is_ours = (self.words[self.starts] & np.uint64((1 << 8 * HEADER_BYTES) - 1)) == expected_header
        self.ok: Numbers = is_ours & (lengths >= HEADER_BYTES) & (lengths <= MAX_VALUE_BYTES)
        self.position: Numbers = self.starts + HEADER_BYTES
        self._settle()

    def column(self, field: _Field) -> pa.Array:
        """Read one field of all records."""
        present = self.ok
        if field.value is not None:
            branch = self.bytes[self.position]
            present = self.ok & (branch == field.value)
            self.ok &= present | (branch == field.null)
            self.position += 1
        if not present.any():
            self._settle()
            return pa.nulls(len(self.ok), TYPES[field.type_name])
        rows = slice(None) if present.all() else np.flatnonzero(present)
        found = READERS[field.type_name](self, field, rows, present)
        self._settle()
        return found

    def _settle(self) -> None:
        self.ok &= self.position <= self.ends
        if not self.ok.all():
            self.position = np.where(self.ok, self.position, self.starts)

    def refuse(self, rows: Any, wrong: Numbers) -> None:
        """These of the rows are no records."""
        self.ok[rows] &= ~wrong

    def varints(self, rows: Any) -> Numbers:
        """Zigzag numbers of up to 64 bits, in as few bytes as they need. Source: the specification, "int and long"."""
        at = self.position[rows]
        first = self.bytes[at]
        if not (first & 0x80).any():
            self.position[rows] += 1
            return _from_zigzag(first.astype(np.uint64))
        word = self.words[at]
        stop = ~word & np.uint64(0x8080_8080_8080_8080)
        through_stop = ((stop & -stop) << np.uint64(1)) - np.uint64(1)
        size = (np.bitwise_count(through_stop) >> 3).astype(np.int64)
        # Eight groups of seven bits become one of 56, by halves.
        bits = word & through_stop & np.uint64(0x7F7F_7F7F_7F7F_7F7F)
        bits = (bits & np.uint64(0x007F_007F_007F_007F)) | ((bits & np.uint64(0x7F00_7F00_7F00_7F00)) >> np.uint64(1))
        bits = (bits & np.uint64(0x0000_3FFF_0000_3FFF)) | ((bits & np.uint64(0x3FFF_0000_3FFF_0000)) >> np.uint64(2))
        bits = (bits & np.uint64(0x0000_0000_0FFF_FFFF)) | ((bits & np.uint64(0x0FFF_FFFF_0000_0000)) >> np.uint64(4))
        long = np.flatnonzero(stop == 0)
        too_long = np.zeros(len(size), bool)
        if len(long):
            ninth = self.bytes[at[long] + 8].astype(np.uint64)
            tenth = self.bytes[at[long] + 9].astype(np.uint64)
            has_tenth = ninth >= 0x80
            size[long] = np.where(has_tenth, 10, 9)
            bits[long] |= (ninth & np.uint64(0x7F)) << np.uint64(56)
            bits[long] |= has_tenth.astype(np.uint64) << np.uint64(63)
            too_long[long] = has_tenth & (tenth != 1)
        padded = (size > 1) & (bits >> (7 * (size - 1)).astype(np.uint64) == 0)
        self.refuse(rows, too_long | padded)
        self.position[rows] += size
        return _from_zigzag(bits)

    def numbers(self, rows: Any, present: Numbers, kind: Any, bounds: tuple[int, int] | None = None) -> pa.Array:
        """A column of varints; outside the bounds, both of which are allowed, there are no records."""
        found = self.varints(rows)
        if bounds:
            wrong = (found < bounds[0]) | (found > bounds[1])
            self.refuse(rows, wrong)
            found[wrong] = 0
        return self.spread(found.astype(kind), rows, present)

    def spread(self, found: Numbers, rows: Any, present: Numbers) -> pa.Array:
        """The values of some rows as a column of all."""
        if isinstance(rows, slice):
            return pa.array(found)
        column = np.zeros(len(present), found.dtype)
        column[rows] = found
        return pa.array(column, mask=~present)

    def slices(self, rows: Any, present: Numbers, lengths: Numbers) -> pa.Array:
        """A column of so many bytes of each row; where there are not as many before its value's end, no record."""
        begins = self.position.copy()
        wrong = (lengths < 0) | (lengths > self.ends[rows] - begins[rows])
        self.refuse(rows, wrong)
        self.position[rows] += np.where(wrong, 0, lengths)
        # A record whose length broke off stands after its end: nothing of its neighbour's is taken.
        begins = np.minimum(begins, self.ends)
        ends = np.minimum(self.position, self.ends)
        # Pieces and gaps by turns are an array of binary over the buffer as it is. Every other one is taken.
        borders = np.empty(2 * len(begins) + 1, np.int32)
        borders[0:-1:2], borders[1::2], borders[-1] = begins, ends, ends[-1]
        pieces = pa.Array.from_buffers(pa.binary(), 2 * len(begins), [None, pa.py_buffer(borders), self.buffer])
        wanted = np.arange(0, 2 * len(begins), 2, dtype=np.int32)
        return pieces.take(pa.array(wanted, mask=None if present.all() else ~present))


def _from_zigzag(bits: Numbers) -> Numbers:
    found: Numbers = (bits >> np.uint64(1)).view(np.int64) ^ -(bits & np.uint64(1)).view(np.int64)
    return found


def _text(cursor: _Cursor, field: _Field, rows: Any, present: Numbers) -> pa.Array:
    raw = cursor.slices(rows, present, cursor.varints(rows))
    try:
        return raw.cast(pa.string())
    except pa.ArrowInvalid:
        wrong = np.fromiter((one is not None and not _is_utf8(one) for one in raw.to_pylist()), bool, len(raw))
        cursor.ok &= ~wrong
        return pc.if_else(pa.array(wrong), pa.scalar(None, pa.binary()), raw).cast(pa.string())


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def _enum(cursor: _Cursor, field: _Field, rows: Any, present: Numbers) -> pa.Array:
    symbols = field.kind["symbols"]
    return pa.array(symbols).take(cursor.numbers(rows, present, np.int32, (0, len(symbols) - 1)))


def _float(cursor: _Cursor, field: _Field, rows: Any, present: Numbers) -> pa.Array:
    bits = cursor.words[cursor.position[rows]].astype(np.uint32)
    cursor.position[rows] += 4
    is_nan = (bits & np.uint32(0x7FFF_FFFF)) > INFINITY
    cursor.refuse(rows, is_nan & (bits & np.uint32(QUIET) == 0))
    return cursor.spread(bits.view("<f4"), rows, present)


def _double(cursor: _Cursor, field: _Field, rows: Any, present: Numbers) -> pa.Array:
    bits = cursor.words[cursor.position[rows]]
    cursor.position[rows] += 8
    return cursor.spread(bits.view("<f8"), rows, present)


def _boolean(cursor: _Cursor, field: _Field, rows: Any, present: Numbers) -> pa.Array:
    byte = cursor.bytes[cursor.position[rows]]
    cursor.position[rows] += 1
    cursor.refuse(rows, byte > 1)
    return cursor.spread(byte == 1, rows, present)


def _millis(cursor: _Cursor, field: _Field, rows: Any, present: Numbers) -> pa.Array:
    millis = cursor.numbers(rows, present, np.int64, MILLIS)
    return pc.multiply(millis, 1000).view(pa.timestamp("us"))


def _micros(cursor: _Cursor, field: _Field, rows: Any, present: Numbers) -> pa.Array:
    return cursor.numbers(rows, present, np.int64, MICROS).view(pa.timestamp("us"))


def _fixed(cursor: _Cursor, field: _Field, rows: Any, present: Numbers) -> pa.Array:
    size = field.kind["size"]
    return cursor.slices(rows, present, np.full(len(cursor.position[rows]), size))


READERS: dict[str, Callable[[_Cursor, _Field, Any, Numbers], pa.Array]] = {
    "string": _text,
    "enum": _enum,
    "int": lambda cursor, field, rows, present: cursor.numbers(rows, present, np.int32, (-(2**31), 2**31 - 1)),
    "long": lambda cursor, field, rows, present: cursor.numbers(rows, present, np.int64),
    "float": _float,
    "double": _double,
    "boolean": _boolean,
    "bytes": lambda cursor, field, rows, present: cursor.slices(rows, present, cursor.varints(rows)),
    "fixed": _fixed,
    "timestamp-millis": _millis,
    "timestamp-micros": _micros,
    "date": lambda cursor, field, rows, present: cursor.numbers(rows, present, np.int32, DAYS).view(pa.date32()),
}
