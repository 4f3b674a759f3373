"""Confluent's wire format: a zero byte, the schema's id in four bytes, big-endian, then the Avro body.

Source: Confluent Schema Registry, "Wire format". Confluent's newer form has the schema's GUID in a header, and the
Avro body alone as the value: that form is not read here, and is named where it comes.
"""

from __future__ import annotations

import struct

HEADER_BYTES = 5
_HEADER = struct.Struct(">bI")
ID_HEADER = "__value_schema_id"
"""The header of the newer form."""
ID_IN_HEADER = "SchemaIdInHeader"
ID_IN_HEADER_WORDS = (
    f"the schema's id is in the header {ID_HEADER}: ids are read from the value's first five bytes alone"
)
WITHOUT_ID = ("NoSchemaId", "UnknownSchema", "OtherRecord")
"""What a value of the newer form is called by who takes its first five bytes for an id."""


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
