"""Values that are not valid events, one kind each: what a topic gets when a producer goes wrong.

Each is made knowingly from a valid value, so that what is wrong with it is known, and is all that is wrong with it.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import fastavro

HEADER_BYTES = 5
BRANCH_NULL, BRANCH_VALUE = b"\x00", b"\x02"


def poison(
    encode: Callable[[dict[str, Any]], bytes], schema: dict[str, Any], foreign_id: int | None = None
) -> list[tuple[str, bytes]]:
    """(kind, value) for each kind. `encode` makes a value of a record of `schema`; `foreign_id` is a schema's of
    another subject, where there is one."""
    record = {"event_id": "poison", "event_time": datetime.now(UTC), "service": SERVICE.decode(), "level": "INFO"}
    valid = encode(record)
    head, body = valid[:HEADER_BYTES], valid[HEADER_BYTES:]
    kinds = {
        "empty": b"",
        "one byte": b"\x00",
        "four bytes": valid[:4],
        "header alone": head,
        "magic 2": b"\x02" + valid[1:],
        "magic 127": b"\x7f" + valid[1:],
        "magic 255": b"\xff" + valid[1:],
        "schema id as GUID": b"\x01" + bytes(range(16)) + body,
        "schema id 0": b"\x00" + bytes(4) + body,
        "schema id -1": b"\x00\xff\xff\xff\xff" + body,
        "schema id 2^31-1": b"\x00\x7f\xff\xff\xff" + body,
        "JSON": json.dumps({"event_id": "poison"}).encode(),
        "Protobuf": b"\x0a\x06poison\x10\x96\x01",
        "XML": b"<?xml version='1.0'?><event/>",
        "UTF-16": "poison".encode("utf-16"),
        "Avro container file": _container(schema, record),
        "no schema id": body,
        "half": valid[: HEADER_BYTES + len(body) // 2],
        "last byte missing": valid[:-1],
        "one byte more": valid + b"\x00",
        "twice": valid + body,
        "a megabyte more": valid + bytes(1_000_000),
        "string of length -1": head + b"\x01" + body[1:],
        "string of length 2^31": head + _long(2**31) + body[1:],
        "string of length 2^63-1": head + _long(2**63 - 1) + body[1:],
        "varint without end": head + b"\xff" * 11,
        "union branch -1": _at_event_time(head, body, _long(-1)),
        "union branch 7": _at_event_time(head, body, _long(7)),
        "enum symbol 99": _at_level(head, body, _long(99)),
        "enum symbol -1": _at_level(head, body, _long(-1)),
        "int of 2^31": _after_level(head, body, 3, _long(2**31)),
        "int of -2^31 - 1": _after_level(head, body, 3, _long(-(2**31) - 1)),
        "int in a byte too many": _after_level(head, body, 3, _padded(7)),
        "long in a byte too many": _after_level(head, body, 4, _padded(-(2**40))),
        "length in a byte too many": head + _padded(len("poison")) + body[1:],
        "union branch in a byte too many": _at_event_time(head, body, _padded(1)),
        "enum symbol in a byte too many": _at_level(head, body, _padded(2)),
        "bad UTF-8": head + body[:1] + b"\xff\xfe" + body[3:],
        "random bytes": head + bytes((7 * n * n + 13 * n) % 256 for n in range(200)),
        "year 9999": encode({**record, "event_time": datetime(9999, 12, 31, tzinfo=UTC)}),
        "microseconds as milliseconds": _with_event_time(head, body, 1_790_000_000_000_000),
        "two hours ahead": encode({**record, "event_time": datetime.now(UTC) + timedelta(hours=2)}),
        "before 1970": encode({**record, "event_time": datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)}),
        "earliest time": _with_event_time(head, body, -(2**63)),
        "latest time": _with_event_time(head, body, 2**63 - 1),
    }
    if foreign_id is not None:
        kinds["schema of another record"] = b"\x00" + foreign_id.to_bytes(4, "big") + body
    return list(kinds.items())


OUT_OF_RANGE = frozenset({"year 9999", "two hours ahead", "before 1970"})
"""Kinds that are Avro of the schema, of the years 1 to 9999, with an event time that cannot be."""


def _container(schema: dict[str, Any], record: dict[str, Any]) -> bytes:
    file = io.BytesIO()
    fastavro.writer(file, fastavro.parse_schema(schema), [record])
    return file.getvalue()


def _long(number: int) -> bytes:
    """Avro's zigzag varint."""
    rest = (number << 1) ^ (number >> 63)
    rest &= 2**64 - 1
    out = bytearray()
    while rest > 0x7F:
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    out.append(rest)
    return bytes(out)


def _padded(number: int) -> bytes:
    """The same number with a last byte that adds nothing."""
    shortest = _long(number)
    return shortest[:-1] + bytes((shortest[-1] | 0x80, 0))


SERVICE = b"mill"
EVENT_ID = _long(len("poison")) + b"poison"
"""The body begins with the event id; the event time's union follows."""


def _at_event_time(head: bytes, body: bytes, branch: bytes) -> bytes:
    at = len(EVENT_ID)
    return head + body[:at] + branch + body[at + 1 :]


def _with_event_time(head: bytes, body: bytes, milliseconds: int) -> bytes:
    at = len(EVENT_ID) + 1
    end = at
    while body[end] & 0x80:
        end += 1
    return head + body[:at] + _long(milliseconds) + body[end + 1 :]


def _at_level(head: bytes, body: bytes, symbol: bytes) -> bytes:
    """The level follows the service and the host, which is null."""
    at = body.index(SERVICE) + len(SERVICE)
    assert body[at : at + 1] == BRANCH_NULL
    assert body[at + 1 : at + 2] == BRANCH_VALUE
    return head + body[: at + 2] + symbol + body[at + 3 :]


def _after_level(head: bytes, body: bytes, nulls: int, value: bytes) -> bytes:
    """A nullable field's value, so many fields that are null after the level."""
    at = body.index(SERVICE) + len(SERVICE) + 3 + nulls
    assert body[at - nulls : at + 1] == BRANCH_NULL * (nulls + 1)
    return head + body[:at] + BRANCH_VALUE + value + body[at + 1 :]
