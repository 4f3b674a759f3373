"""Schemas of writers that differ from the reader's: jobs, consumers and `verify` have one opinion of each."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from shardlake.avro.codec import encoder
from shardlake.avro.times import as_numbers
from shardlake.avro.wire import HEADER_BYTES, ID_HEADER

GUID = bytes.fromhex("01 6b6f1e0a 5a0c 4a2b 9c3d 1f2e3d4c5b6a")
Schema = dict[str, Any]
Record = dict[str, Any]


def kind(logical_type: str | None, base: str = "long") -> Any:
    """A number, or null, with a logical type or without one."""
    return ["null", {"type": base, "logicalType": logical_type} if logical_type else base]


def milliseconds(time: datetime) -> int:
    """The number that the reader's schema has for a time."""
    return round(time.timestamp() * 1000)


@dataclass(frozen=True)
class Case:
    """`event_time` is the writer's type of that field, and `write` what it writes there for a time; `level` is a type
    with a value, whose bytes stand where the schema has its enum. `refused` is the class of the dead letter; '' for an
    event, which has the time that was written."""

    name: str
    event_time: Any
    refused: str = ""
    write: Callable[[datetime], Any] = milliseconds
    level: tuple[Any, Any] | None = None

    def schema(self, reader: Schema) -> Schema:
        """The writer's schema."""
        return with_type(reader, "event_time", self.event_time)

    def encode(self, reader: Schema, schema_id: int, event: Record) -> bytes:
        """The event's bytes: times are written as the numbers that they are."""
        record = {**event, "event_time": self.write(event["event_time"])}
        written = as_numbers(self.schema(reader))
        if self.level:
            written = with_type(written, "level", self.level[0])
            record["level"] = self.level[1]
        return encoder(written, schema_id)(record)


def with_type(schema: Schema, name: str, kind: Any) -> Schema:
    """The schema with another type of a field; one that takes no null has no default either."""
    made = copy.deepcopy(schema)
    (field,) = (field for field in made["fields"] if field["name"] == name)
    field["type"] = kind
    if not isinstance(kind, list):
        field.pop("default", None)
    return made


CASES = [
    Case("the reader's own", kind("timestamp-millis")),
    Case("a number without a logical type is read by the reader's", kind(None)),
    Case("no union", {"type": "long", "logicalType": "timestamp-millis"}),
    Case("a logical type that nobody knows is ignored", kind("moment")),
    Case("microseconds", kind("timestamp-micros"), "OtherLogicalType", lambda time: 1000 * milliseconds(time)),
    Case(
        "microseconds of 1970, in range as milliseconds", kind("timestamp-micros"), "OtherLogicalType", lambda _: 7000
    ),
    Case("no time at all, in microseconds", kind("timestamp-micros"), "OtherLogicalType", lambda _: None),
    Case("nanoseconds", kind("timestamp-nanos"), "OtherLogicalType", lambda _: 7_000_000),
    Case("local milliseconds", kind("local-timestamp-millis"), "OtherLogicalType"),
    Case("a day", kind("date", "int"), "OtherLogicalType", lambda _: 20_513),
    Case("milliseconds of the year 10000", kind(None), "TimeOutOfRange", lambda _: 253_402_300_800_000),
    Case("text", ["null", "string"], "SchemaMismatch", str),
    Case("no such symbol", kind("timestamp-millis"), "NoSuchBranch", level=(["null", "int"], 99)),
    Case("no such branch", kind("timestamp-millis"), "NoSuchBranch", level=(["null", "int", "string"], "INFO")),
]


def without_prefix(value: bytes) -> tuple[bytes, list[tuple[str, bytes]]]:
    """A value in the form that has its schema's id in a header."""
    return value[HEADER_BYTES:], [(ID_HEADER, GUID)]
