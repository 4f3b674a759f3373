"""Confluent's wire format: a zero byte, the schema's id in four bytes, big-endian, then the Avro body.

Source: Confluent Schema Registry, "Wire format". The form with a GUID in a header is not used here.
"""

from __future__ import annotations

import struct

HEADER_BYTES = 5
_HEADER = struct.Struct(">bI")


def header(schema_id: int) -> bytes:
    """The five bytes before the body."""
    return _HEADER.pack(0, schema_id)


def schema_id(value: bytes) -> int:
    """The id that a value names. Raises ValueError where it does not begin as the format does."""
    if len(value) < HEADER_BYTES or value[0] != 0:
        msg = "the value does not begin with a zero byte and a schema id"
        raise ValueError(msg)
    found: int = _HEADER.unpack_from(value)[1]
    return found
