"""Records as Avro in Confluent's wire format, and back with guards.

Decoding hostile bytes with fastavro is not safe by itself: recursion kills the process, a few bytes can ask for
gigabytes, and what is out of range is accepted in silence. So schemas that allow the first two are refused, and every
record must encode to the very bytes it was decoded from.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any

import fastavro
from fastavro.read import SchemaResolutionError
from fastavro.validation import ValidationError

from shardlake.avro.flat import flat_encoder
from shardlake.avro.registry import Registry, UnknownSchema, UnreadableSchema
from shardlake.avro.times import TimeOutOfRange, as_numbers, other_time, times_of
from shardlake.avro.wire import HEADER_BYTES, ID_HEADER, ID_IN_HEADER, ID_IN_HEADER_WORDS, WITHOUT_ID, header, schema_id
from shardlake.schema_limits import SchemaTooLarge

MAX_VALUE_BYTES = 1 << 20
FLAT_TYPES = frozenset({"null", "boolean", "int", "long", "float", "double", "bytes", "string", "enum", "fixed"})
Record = dict[str, Any]
Headers = Sequence[tuple[str, Any]]


class Undecodable(Exception):
    """These bytes will never be a record. Neither field holds the value."""

    def __init__(self, error_class: str, message: str) -> None:
        """`error_class` is a word for it, as TrailingBytes."""
        super().__init__(f"{error_class}: {message}")
        self.error_class = error_class
        self.message = message

    def beside(self, headers: Headers | None) -> Undecodable:
        """The same, or what says that the value names no schema because one of the record's headers does."""
        if self.error_class in WITHOUT_ID and any(name == ID_HEADER for name, _ in headers or ()):
            return Undecodable(ID_IN_HEADER, ID_IN_HEADER_WORDS)
        return self


def encoder(schema: dict[str, Any], registered_id: int) -> Callable[[Record], bytes]:
    """A function from a record to a value. The schema is parsed and its id looked up once, not for each record.

    It raises ValueError, naming the fields, for a record that the schema does not allow.
    """
    parsed = fastavro.parse_schema(schema)
    prefix = header(registered_id)

    def walk(record: Record) -> bytes:
        buffer = io.BytesIO(prefix)
        buffer.seek(HEADER_BYTES)
        try:
            fastavro.validate(record, parsed)
            fastavro.schemaless_writer(buffer, parsed, record)
        except ValidationError as error:
            fields = ", ".join(sorted({str(one.field).split(".")[-1] for one in error.errors}))
            msg = f"the record does not fit its schema: {fields}"
            raise ValueError(msg) from None
        return buffer.getvalue()

    return flat_encoder(schema, prefix, otherwise=walk)


class Decoder:
    """From values to records of one schema; timestamps are aware datetimes."""

    def __init__(self, schema: dict[str, Any], registry: Registry, subject: str) -> None:
        """`schema` is the reader's. The writers' come from the registry, where they are versions of the subject."""
        self._name = _full_name(schema)
        self._schema = schema
        self._reader = fastavro.parse_schema(as_numbers(schema))
        self._times = times_of(schema)
        self._registry = registry
        self._subject = subject
        self._writers: dict[int, tuple[Any, bool, list[str]]] = {}

    def decode(self, value: bytes) -> Record:
        """The record. Raises Undecodable, or Unavailable where the registry is needed and down."""
        if len(value) > MAX_VALUE_BYTES:
            raise Undecodable("TooLarge", f"{len(value)} bytes; at most {MAX_VALUE_BYTES} are decoded")
        try:
            number = schema_id(value)
        except ValueError as error:
            raise Undecodable("NoSchemaId", str(error)) from None
        writer, is_reader, ints = self._writer(number)
        body = io.BytesIO(value)
        body.seek(HEADER_BYTES)
        try:
            as_written = fastavro.schemaless_reader(body, writer, None)
            if body.tell() != len(value):
                raise Undecodable("TrailingBytes", "bytes are left after the record")
            if any(_is_long(as_written[name]) for name in ints):  # type: ignore[call-overload,index]
                raise Undecodable("NumberOutOfRange", "an int has more than 32 bits")
            again = io.BytesIO()
            fastavro.schemaless_writer(again, writer, as_written)
            if again.getvalue() != value[HEADER_BYTES:]:
                raise Undecodable("NotCanonical", "some number, boolean or NaN is not as any encoder writes it")
            record: Record = as_written  # type: ignore[assignment]
            if not is_reader:
                body.seek(HEADER_BYTES)
                record = fastavro.schemaless_reader(body, writer, self._reader)  # type: ignore[assignment]
            return {**record, **{name: read(record[name]) for name, read in self._times.items()}}
        except Undecodable:
            raise
        except Exception as error:  # fastavro raises builtins of many kinds
            raise _named(error) from None

    def _writer(self, number: int) -> tuple[Any, bool, list[str]]:
        """The schema, whether it is the reader's, and the names of its ints: fastavro reads them as longs."""
        if number not in self._writers:
            try:
                schema = self._registry.schema_by_id(number)
            except UnknownSchema:
                raise Undecodable("UnknownSchema", f"the registry has no schema of the id {number}") from None
            except UnreadableSchema as error:
                raise Undecodable(error.error_class, error.message) from None
            except SchemaTooLarge as error:
                raise Undecodable("SchemaTooLarge", f"schema {number} {error}") from None
            if not isinstance(schema, dict) or _full_name(schema) != self._name:
                raise Undecodable("OtherRecord", f"schema {number} is not of {self._name}")
            if not self._registry.is_of_subject(number, self._subject):
                raise Undecodable("OtherSubject", f"schema {number} is not of the subject {self._subject}")
            if not all(_is_flat(field["type"]) for field in schema["fields"]):
                raise Undecodable("NestedSchema", f"schema {number} holds arrays, maps or records")
            if words := other_time(schema, self._schema):
                raise Undecodable("OtherLogicalType", f"in schema {number} {words}: it would be another time")
            ints = [field["name"] for field in schema["fields"] if _has_int(field["type"])]
            writer = fastavro.parse_schema(as_numbers(schema))
            self._writers[number] = writer, writer == self._reader, ints
        return self._writers[number]


def _named(error: Exception) -> Undecodable:
    """What is wrong, in Avro's words: the library's exceptions say where it noticed."""
    if isinstance(error, TimeOutOfRange):
        return Undecodable("TimeOutOfRange", "a time is not of the years 1 to 9999")
    if isinstance(error, UnicodeDecodeError):
        return Undecodable("NotUtf8", "a string is not UTF-8")
    if isinstance(error, SchemaResolutionError):
        words = "the reader's schema lacks an enum's symbol or a union's branch of it, or has a field that it lacks"
        return Undecodable("SchemaMismatch", words)
    if isinstance(error, IndexError):
        return Undecodable(
            "NoSuchBranch", "it names a union's branch or an enum's symbol that its schema does not have"
        )
    if isinstance(error, EOFError):
        return Undecodable("BreaksOff", "a part of the record is longer than what is left, or shorter than nothing")
    return Undecodable("NotARecord", "the bytes are not a record of the schema they name")


def _full_name(schema: dict[str, Any]) -> str:
    name = str(schema.get("name"))
    return name if "." in name or not schema.get("namespace") else f"{schema['namespace']}.{name}"


def _is_flat(kind: Any) -> bool:
    if isinstance(kind, list):
        return all(_is_flat(branch) for branch in kind)
    if isinstance(kind, dict):
        # A decimal's decoding is quadratic in its bytes.
        return kind["type"] in FLAT_TYPES and kind.get("logicalType") != "decimal"
    return kind in FLAT_TYPES


def _has_int(kind: Any) -> bool:
    if isinstance(kind, list):
        return any(_has_int(branch) for branch in kind)
    return bool(kind == "int" or (isinstance(kind, dict) and kind["type"] == "int"))


def _is_long(value: Any) -> bool:
    return isinstance(value, int) and not -(1 << 31) <= value < 1 << 31
