"""Encoding flat records fast: a function written for one schema, some three times as fast as walking the schema.

A flat record's fields are text, numbers, enums and timestamps, each maybe with null. The function takes the plain case
of each: str, exact numbers in range, aware datetimes. A record with anything else goes to the encoder that it is given,
which encodes what the schema allows in other ways, and names what it does not. Both write the same bytes.
Source of the format: the Apache Avro specification, "Binary encoding".
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

Encode = Callable[[dict[str, Any]], bytes]

DOUBLE = struct.Struct("<d")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FOURTEEN_BITS = 1 << 14
"""Varints are put together from tables of two groups of seven bits."""
LAST = [bytes((n,)) if n < 128 else bytes((n & 127 | 128, n >> 7)) for n in range(FOURTEEN_BITS)]
CONTINUED = [bytes((n & 127 | 128, n >> 7 | 128)) for n in range(FOURTEEN_BITS)]
LENGTHS = LAST[::2]


def flat_encoder(schema: dict[str, Any], prefix: bytes, otherwise: Encode) -> Encode:
    """A function from a record of the schema to `prefix` and the record's bytes; `otherwise` where it is not flat."""
    names: dict[str, Any] = {"PREFIX": prefix, "join": b"".join, "otherwise": otherwise}
    body, parts = "", "PREFIX"
    for number, field in enumerate(schema["fields"]):
        written = _statements(field, f"_{number}", names)
        if written is None:
            return otherwise
        body += written
        parts += f", head_{number}, body_{number}"
    source = (
        f"def encode(record):\n    try:\n        get = record.get\n{body}        return join(({parts}))\n"
        "    except Exception:\n        return otherwise(record)\n"
    )
    exec(source, names)
    encode: Encode = names["encode"]
    return encode


def _statements(field: dict[str, Any], at: str, names: dict[str, Any]) -> str | None:
    """Source that sets `head` and `body` of a field; what it uses is put into `names`. None where it is not flat."""
    branches = field["type"] if isinstance(field["type"], list) else [field["type"]]
    kinds = [kind for kind in branches if kind != "null"]
    if len(kinds) != 1 or len(branches) > 2:
        return None
    head = LAST[2 * branches.index(kinds[0])] if len(branches) == 2 else b""
    kind = _name(kinds[0])
    if kind == "string":
        names[f"heads{at}"] = [head + length for length in LENGTHS]
        write = f"body{at} = value.encode(); head{at} = heads{at}[len(body{at})]"
    elif kind == "enum":
        names[f"write{at}"] = {symbol: _varint(n) for n, symbol in enumerate(kinds[0]["symbols"])}.__getitem__
        write = f"body{at} = write{at}(value); head{at} = {head!r}"
    elif kind in WRITERS:
        names[f"write{at}"] = WRITERS[kind]
        write = f"body{at} = write{at}(value); head{at} = {head!r}"
    else:
        return None
    lines = [f"value = record[{field['name']!r}]"]
    if "default" in field:
        names[f"default{at}"] = field["default"]
        lines = [f"value = get({field['name']!r}, default{at})"]
    if "null" in branches:
        null = LAST[2 * branches.index("null")]
        lines += ["if value is None:", f"    head{at} = {null!r}; body{at} = b''", "else:", f"    {write}"]
    else:
        lines += [write]
    return "".join(f"        {line}\n" for line in lines)


def _name(kind: Any) -> str:
    if not isinstance(kind, dict):
        return str(kind)
    return f"{kind['type']}-{kind['logicalType']}" if "logicalType" in kind else str(kind["type"])


def _varint(number: int) -> bytes:
    """Zigzag, then groups of seven bits, the lowest first."""
    rest = number << 1 if number >= 0 else ~(number << 1)
    found = b""
    while rest >= FOURTEEN_BITS:
        found += CONTINUED[rest % FOURTEEN_BITS]
        rest >>= 14
    return found + LAST[rest]


def _int(value: Any) -> bytes:
    if type(value) is not int or not -(1 << 31) <= value < 1 << 31:
        raise TypeError
    return _varint(value)


def _long(value: Any) -> bytes:
    if type(value) is not int or not -(1 << 63) <= value < 1 << 63:
        raise TypeError
    return _varint(value)


def _double(value: Any) -> bytes:
    if type(value) is not float:
        raise TypeError
    return DOUBLE.pack(value)


def _boolean(value: Any) -> bytes:
    if type(value) is not bool:
        raise TypeError
    return b"\x01" if value else b"\x00"


def _milliseconds(value: datetime) -> bytes:
    since = value - EPOCH
    return _varint((since.days * 86_400 + since.seconds) * 1000 + since.microseconds // 1000)


def _microseconds(value: datetime) -> bytes:
    since = value - EPOCH
    return _varint((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds)


WRITERS: dict[str, Callable[[Any], bytes]] = {
    "int": _int,
    "long": _long,
    "double": _double,
    "boolean": _boolean,
    "long-timestamp-millis": _milliseconds,
    "long-timestamp-micros": _microseconds,
}
