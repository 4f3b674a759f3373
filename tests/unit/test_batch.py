"""Many values decoded at once are what the strict decoder makes of each, and a bad one touches no other."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from producers.poison import poison
from shardlake.avro.batch import BatchDecoder, column_types
from shardlake.avro.codec import Decoder, Undecodable, encoder
from shardlake.avro.wire import header
from shardlake.pipeline import Pipeline
from tests.support import ROOT
from tests.unit.test_codec import SUBJECT, KnownSchemas
from tests.unit.test_flat import COLOUR, MICROS, MILLIS, schema_of

pytestmark = pytest.mark.unit

EVENT = Pipeline.load(ROOT).schemas["app_log"]
FIXED = {"type": "fixed", "name": "Three", "size": 3}
DATE = {"type": "int", "logicalType": "date"}
TIMES = st.integers(-62_135_596_800, 253_402_300_799)
MICRO_TIMES = st.builds(
    lambda seconds, micros: datetime.fromtimestamp(0, UTC) + timedelta(seconds=seconds, microseconds=micros),
    TIMES,
    st.integers(0, 999_999),
)
MILLI_TIMES = MICRO_TIMES.map(lambda moment: moment.replace(microsecond=moment.microsecond // 1000 * 1000))
VALUES: list[tuple[Any, st.SearchStrategy[Any]]] = [
    ("string", st.text(max_size=20)),
    ("bytes", st.binary(max_size=20)),
    ("int", st.integers(-(2**31), 2**31 - 1)),
    ("long", st.integers(-(2**63), 2**63 - 1)),
    ("float", st.floats(width=32)),
    ("double", st.floats()),
    ("boolean", st.booleans()),
    (COLOUR, st.sampled_from(["RED", "GREEN"])),
    (FIXED, st.binary(min_size=3, max_size=3)),
    (MILLIS, MILLI_TIMES),
    (MICROS, MICRO_TIMES),
    (DATE, st.dates(date(1, 1, 1), date(9999, 12, 31))),
]
EVERY_TYPE = schema_of(*(kind for kind, _ in VALUES if kind not in (COLOUR, FIXED)), COLOUR, FIXED)
SAMPLE = {
    "f0": "aé𝄞", "f1": b"\x00\xff", "f2": -(2**31), "f3": 2**63 - 1, "f4": 1.5, "f5": -0.1, "f6": True,
    "f7": datetime(2026, 3, 1, 1, 2, 3, 4000, UTC), "f8": datetime(1969, 12, 31, 23, 59, 59, 999_999, UTC),
    "f9": date(2026, 3, 1), "f10": "GREEN", "f11": b"abc",
}  # fmt: skip


def strict(schema: dict[str, Any]) -> Decoder:
    return Decoder(schema, KnownSchemas({1: schema}), SUBJECT)


def one_by_one(decoder: Decoder, values: list[bytes]) -> list[dict[str, Any] | None]:
    found: list[dict[str, Any] | None] = []
    for value in values:
        try:
            found.append(decoder.decode(value))
        except Undecodable:
            found.append(None)
    return found


def at_once(schema: dict[str, Any], values: list[bytes]) -> list[dict[str, Any] | None]:
    columns, valid = BatchDecoder(schema, 1).decode(values)
    assert {name: column.type for name, column in columns.items()} == column_types(schema)
    for column in columns.values():
        column.validate(full=True)
    rows = zip(*(column.to_pylist() for column in columns.values()), strict=True)
    records = [dict(zip(columns, map(with_zone, row), strict=True)) for row in rows]
    assert all(set(record.values()) == {None} for record, is_valid in zip(records, valid, strict=True) if not is_valid)
    return [record if is_valid else None for record, is_valid in zip(records, valid, strict=True)]


def with_zone(value: Any) -> Any:
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) else value


def assert_same(schema: dict[str, Any], values: list[bytes], decoder: Decoder | None = None) -> list[Any]:
    """By `repr`, in which NaN is itself and -0.0 is not 0.0."""
    expected = one_by_one(decoder or strict(schema), values)
    found = at_once(schema, values)
    for value, one, other in zip(values, expected, found, strict=True):
        assert repr(one) == repr(other), value.hex()
    return found


@pytest.mark.parametrize("form", ["alone", "null first", "null last"])
@pytest.mark.parametrize(("kind", "values"), VALUES, ids=[str(kind) for kind, _ in VALUES])
def test_every_type_is_decoded_as_the_strict_decoder_does(kind: Any, values: st.SearchStrategy[Any], form: str) -> None:
    types = {"alone": kind, "null first": ["null", kind], "null last": [kind, "null"]}[form]
    schema = schema_of("string", types, "string")
    encode = encoder(schema, 1)

    @settings(max_examples=60)
    @given(st.lists(values if form == "alone" else st.none() | values, max_size=8))
    def the_same(drawn: list[Any]) -> None:
        records = [{"f0": "before", "f1": value, "f2": "after"} for value in drawn]
        assert None not in assert_same(schema, [encode(record) for record in records])

    the_same()


@pytest.mark.parametrize("schema", [EVENT, EVERY_TYPE], ids=["event", "every type"])
@given(bodies=st.lists(st.binary(max_size=60), max_size=8))
def test_any_bytes_are_refused_or_taken_as_by_the_strict_decoder(schema: dict[str, Any], bodies: list[bytes]) -> None:
    assert_same(schema, [header(1) + body for body in bodies])


def mutations(value: bytes) -> list[bytes]:
    """Each byte as each other one, and each truncation and the bytes after it left out."""
    changed = [value[:at] + bytes((byte,)) + value[at + 1 :] for at in range(len(value)) for byte in range(256)]
    cut = [value[:at] for at in range(len(value))] + [value[:at] + value[at + 1 :] for at in range(len(value))]
    return [*changed, *cut, value + b"\x00", value]


@pytest.mark.parametrize(
    ("schema", "record"),
    [
        (EVERY_TYPE, SAMPLE),
        (
            EVENT,
            {"event_id": "é1", "event_time": SAMPLE["f7"], "service": "", "level": "FATAL", "status": 500,
             "response_bytes": -(2**40), "latency_ms": 0.5, "client_address": "203.0.113.7"},
        ),
    ],
    ids=["every type", "event"],
)  # fmt: skip
def test_every_single_byte_changed_or_left_out_is_judged_as_by_the_strict_decoder(
    schema: dict[str, Any], record: dict[str, Any]
) -> None:
    values = mutations(encoder(schema, 1)(record))
    found = assert_same(schema, values)
    assert 0 < sum(one is None for one in found) < len(values)


OTHER = Pipeline.load(ROOT).schemas["service_health"]


def test_poison_of_every_kind_leaves_its_neighbours_as_they_are() -> None:
    encode = encoder(EVENT, 1)
    healthy = [encode({"event_id": f"{n}", "service": "s" * n, "message": "✓" * n, "status": n}) for n in range(60)]
    values = list(healthy)
    for at, (_, value) in enumerate(poison(encode, EVENT, foreign_id=2)):
        values.insert(2 * at, value)
    found = assert_same(EVENT, values, Decoder(EVENT, KnownSchemas({1: EVENT, 2: OTHER}), SUBJECT))
    kept = [record for record, value in zip(found, values, strict=True) if value in healthy]
    assert [record["event_id"] for record in kept] == [f"{n}" for n in range(60)]
    assert [record["message"] for record in kept] == ["✓" * n for n in range(60)]


@pytest.mark.parametrize("number", [2**31, -(2**31) - 1, 2**40, -(2**63)])
def test_an_int_of_more_than_32_bits_is_none(number: int) -> None:
    value = encoder(schema_of("long"), 1)({"f0": number})
    for kind in ("int", ["null", "int"], {"type": "int"}):
        head = b"\x02" if isinstance(kind, list) else b""
        assert assert_same(schema_of(kind), [value[:5] + head + value[5:]]) == [None]


def test_signs_and_bits_of_numbers_are_kept() -> None:
    schema = schema_of("float", "double")
    bits = [("<u4", 0x7FC0_0001), ("<u4", 0x8000_0000), ("<u4", 0x0000_0001), ("<u4", 0x7F80_0001)]
    values = [header(1) + np.array([b], kind).tobytes() + np.array([b], "<u8").tobytes() for kind, b in bits]
    found = assert_same(schema, values)
    assert [one is None for one in found] == [False, False, False, True]


def test_values_of_another_id_an_empty_batch_and_one_of_only_poison() -> None:
    encode = encoder(EVENT, 2)
    assert at_once(EVENT, [encode({"event_id": "a", "service": "b"})]) == [None]
    assert at_once(EVENT, []) == []
    assert at_once(EVENT, [b"", b"\x00", header(1)]) == [None] * 3


def test_a_value_of_more_than_a_megabyte_is_none() -> None:
    schema = schema_of("bytes")
    encode = encoder(schema, 1)
    largest = encode({"f0": bytes(2**20 - 8)})
    assert len(largest) == 2**20
    found = assert_same(schema, [largest, encode({"f0": bytes(2**20 - 7)}), largest])
    assert [one is None for one in found] == [False, True, False]


@pytest.mark.parametrize("kind", [["null", "int", "string"], {"type": "array", "items": "int"}, ["int"]])
def test_a_schema_that_is_not_flat_is_refused(kind: Any) -> None:
    with pytest.raises(ValueError, match="f0"):
        BatchDecoder(schema_of(kind), 1)
