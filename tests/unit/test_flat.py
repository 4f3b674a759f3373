"""The encoder written for a schema gives fastavro's bytes, and leaves to fastavro what it does not take."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shardlake.avro.codec import encoder
from shardlake.avro.flat import flat_encoder
from shardlake.avro.wire import header
from shardlake.pipeline import Pipeline
from tests.support import ROOT

pytestmark = pytest.mark.unit

MILLIS = {"type": "long", "logicalType": "timestamp-millis"}
MICROS = {"type": "long", "logicalType": "timestamp-micros"}
COLOUR = {"type": "enum", "name": "Colour", "symbols": ["RED", "GREEN"]}
TIMES = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC))  # noqa: DTZ001
VALUES: list[tuple[Any, st.SearchStrategy[Any]]] = [
    ("string", st.text()),
    ("int", st.integers(-(2**31), 2**31 - 1)),
    ("long", st.integers(-(2**63), 2**63 - 1)),
    ("double", st.floats()),
    ("boolean", st.booleans()),
    (COLOUR, st.sampled_from(["RED", "GREEN"])),
    (MILLIS, TIMES),
    (MICROS, TIMES),
]


def schema_of(*types: Any) -> dict[str, Any]:
    return {"type": "record", "name": "R", "fields": [{"name": f"f{n}", "type": kind} for n, kind in enumerate(types)]}


def walked(schema: dict[str, Any], record: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    fastavro.schemaless_writer(buffer, fastavro.parse_schema(schema), record)
    return buffer.getvalue()


def never(record: dict[str, Any]) -> bytes:
    raise AssertionError(record)


@pytest.mark.parametrize("form", ["alone", "null first", "null last"])
@pytest.mark.parametrize(("kind", "values"), VALUES, ids=[str(kind) for kind, _ in VALUES])
def test_every_type_is_encoded_as_fastavro_does(kind: Any, values: st.SearchStrategy[Any], form: str) -> None:
    types = {"alone": kind, "null first": ["null", kind], "null last": [kind, "null"]}[form]
    schema = schema_of("string", types, "string")
    encode = flat_encoder(schema, b"head", otherwise=never)

    @given(values if form == "alone" else st.none() | values)
    def the_same(value: Any) -> None:
        record = {"f0": "before", "f1": value, "f2": "after"}
        assert encode(record) == b"head" + walked(schema, record)

    the_same()


def test_a_missing_field_has_its_default() -> None:
    schema = schema_of("string", "int", COLOUR, ["null", "string"])
    for field, default in zip(schema["fields"][1:], (7, "GREEN", None), strict=True):
        field["default"] = default
    encode = flat_encoder(schema, b"", otherwise=never)
    assert encode({"f0": "a"}) == walked(schema, {"f0": "a"}) == b"\x02a\x0e\x02\x00"
    assert encode({"f0": "a", "f1": 1, "f2": "RED", "f3": "b", "more": 1}) == b"\x02a\x02\x00\x02\x02b"


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("double", 3),
        ("string", "x" * 9_000),
        (MILLIS, datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=2)))),
        (MILLIS, 1_767_225_600_000),
        (["null", "string"], ("string", "by name")),
    ],
    ids=str,
)
def test_what_else_a_schema_allows_is_encoded_too(kind: Any, value: Any) -> None:
    schema = schema_of(kind)
    assert encoder(schema, 1)({"f0": value}) == header(1) + walked(schema, {"f0": value})


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("int", 2**31),
        ("int", "1"),
        ("long", 2**63),
        (["null", "int"], True),
        (["null", "int"], 1.0),
        (["null", "string"], 1),
        (["null", "string"], b"bytes"),
        ("string", "\ud800"),
        ("string", None),
        (["null", "boolean"], 1),
        (COLOUR, "BLUE"),
        (COLOUR, ["RED"]),
        (["null", MILLIS], "2026-01-01"),
    ],
    ids=str,
)
def test_what_a_schema_does_not_allow_is_refused(kind: Any, value: Any) -> None:
    with pytest.raises(ValueError, match=r"f0|surrogates"):
        encoder(schema_of(kind), 1)({"f0": value})


def test_a_record_that_is_not_flat_is_walked() -> None:
    for kind in ({"type": "array", "items": "int"}, ["null", "int", "string"], "bytes"):
        assert flat_encoder(schema_of(kind), b"", otherwise=never) is never


def test_the_pipelines_events_are_not_walked() -> None:
    schema = Pipeline.load(ROOT).schemas["app_log"]
    encode = flat_encoder(schema, b"", otherwise=never)
    record = {"event_id": "é", "event_time": datetime(2026, 1, 1, tzinfo=UTC), "service": "s", "level": "WARN"}
    assert encode(record) == walked(schema, record)
