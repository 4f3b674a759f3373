"""Times in Avro: a number that the reader's schema calls a time, within the years 1 to 9999.

A logical type takes no part in schema resolution: Avro hands the writer's number to the reader, who reads it by the
logical type of its own schema. So what one writes as microseconds another would read as milliseconds, a thousand times
as far from 1970. Where both schemas call a number a time and not the same one, its records are refused.
Source: the Apache Avro specification, "Schema Resolution" and "Logical Types". The jobs' decoder has the same rule.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

Schema = dict[str, Any]

MILLIS = (-62_135_596_800_000, 253_402_300_799_999)
DAYS = (-719_162, 2_932_896)
"""The years 1 to 9999, as Python's datetime has them."""
MICROS = (1000 * MILLIS[0], 1000 * MILLIS[1] + 999)
EPOCH, FIRST_DAY = datetime(1970, 1, 1, tzinfo=UTC), 719_163
READERS: dict[str, tuple[tuple[int, int], Callable[[int], datetime | date]]] = {
    "timestamp-millis": (MILLIS, lambda number: EPOCH + timedelta(milliseconds=number)),
    "timestamp-micros": (MICROS, lambda number: EPOCH + timedelta(microseconds=number)),
    "date": (DAYS, lambda number: date.fromordinal(number + FIRST_DAY)),
}
"""By logical type: its bounds, both of which are allowed, and what a number within them is."""
TIMES = READERS.keys() | {
    "timestamp-nanos", "local-timestamp-millis", "local-timestamp-micros", "local-timestamp-nanos",
    "time-millis", "time-micros",
}  # fmt: skip
"""The logical types of numbers that are times."""


class TimeOutOfRange(ValueError):
    """A time is not of the years 1 to 9999."""


def as_numbers(schema: Any) -> Any:
    """The schema with its times as the numbers that they are written as."""
    if isinstance(schema, list):
        return [as_numbers(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    of = {key: as_numbers(value) if key in ("type", "items", "values") else value for key, value in schema.items()}
    if "fields" in of:
        of["fields"] = [as_numbers(field) for field in of["fields"]]
    if of.get("logicalType") in TIMES:
        del of["logicalType"]
    return of


def times_of(schema: Schema) -> dict[str, Callable[[Any], Any]]:
    """By field that is a time: what makes the time of its number; it raises TimeOutOfRange."""
    found = {field["name"]: _logical_types(field["type"]) & READERS.keys() for field in schema["fields"]}
    return {name: _reader(one) for name, kinds in found.items() for one in kinds}


def other_time(writer: Schema, reader: Schema) -> str:
    """Words for a field that both schemas call a time and not the same one; empty where there is none."""
    written = {field["name"]: field for field in writer["fields"]}
    for field in reader["fields"]:
        names = [name for name in (field["name"], *field.get("aliases", ())) if name in written]
        wanted = _logical_types(field["type"])
        given = _logical_types(written[names[0]]["type"]) if names else set()
        if wanted and given - wanted:
            return f"{field['name']} is {', '.join(sorted(given))} there and {', '.join(sorted(wanted))} here"
    return ""


def _logical_types(kind: Any) -> set[str]:
    """The times among the branches of a type."""
    if isinstance(kind, list):
        return set().union(*map(_logical_types, kind))
    return {kind["logicalType"]} & TIMES if isinstance(kind, dict) and "logicalType" in kind else set()


def _reader(logical_type: str) -> Callable[[Any], Any]:
    (first, last), time_of = READERS[logical_type]

    def read(number: int | None) -> datetime | date | None:
        if number is None:
            return None
        if not first <= number <= last:
            raise TimeOutOfRange
        return time_of(number)

    return read
