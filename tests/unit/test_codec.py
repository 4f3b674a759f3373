"""Encoding and decoding in the wire format, and every kind of poison refused."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.poison import OUT_OF_RANGE, poison
from shardlake.avro.codec import Decoder, Undecodable, encoder
from shardlake.avro.registry import Registry, UnknownSchema
from shardlake.avro.wire import header, schema_id
from shardlake.pipeline import Pipeline
from tests.support import ROOT

pytestmark = pytest.mark.unit

SCHEMA = Pipeline.load(ROOT).schemas["app_log"]
SUBJECT = "app-logs-value"
OTHER = Pipeline.load(ROOT).schemas["service_health"]
NESTED = {**SCHEMA, "fields": [{"name": "event_id", "type": {"type": "array", "items": "null"}}]}


class KnownSchemas(Registry):
    """A registry's answers, without one."""

    def __init__(self, schemas: dict[int, Any], others: frozenset[int] = frozenset()) -> None:
        self._schemas = schemas
        self._others = others

    def schema_by_id(self, schema_id: int) -> dict[str, Any]:
        if schema_id not in self._schemas:
            raise UnknownSchema(schema_id)
        found: dict[str, Any] = self._schemas[schema_id]
        return found

    def is_of_subject(self, schema_id: int, subject: str) -> bool:
        return subject == SUBJECT and schema_id not in self._others


DECODER = Decoder(SCHEMA, KnownSchemas({1: SCHEMA, 2: OTHER, 3: NESTED}), SUBJECT)
ENCODE = encoder(SCHEMA, 1)
TEXT = st.text(max_size=40)
EVENTS = st.fixed_dictionaries(
    {"event_id": TEXT, "service": TEXT},
    optional={
        "event_time": st.datetimes(datetime(1970, 1, 1), datetime(2999, 1, 1), timezones=st.just(UTC)).map(  # noqa: DTZ001
            lambda moment: moment.replace(microsecond=moment.microsecond // 1000 * 1000)
        ),
        "level": st.sampled_from(["INFO", "FATAL"]),
        "message": TEXT,
        "status": st.integers(-(2**31), 2**31 - 1),
        "response_bytes": st.integers(-(2**63), 2**63 - 1),
        "latency_ms": st.floats(allow_nan=False),
    },
)


@given(EVENTS)
def test_what_is_encoded_is_decoded(event: dict[str, Any]) -> None:
    found = DECODER.decode(ENCODE(event))
    assert {name: value for name, value in found.items() if value is not None} == event
    assert found.keys() == {field["name"] for field in SCHEMA["fields"]}


@given(st.binary(max_size=200))
def test_any_bytes_are_a_record_that_encodes_to_them_or_are_refused(body: bytes) -> None:
    try:
        record = DECODER.decode(header(1) + body)
    except Undecodable:
        return
    assert ENCODE(record) == header(1) + body


KINDS = poison(ENCODE, SCHEMA, foreign_id=2)


def test_there_are_more_than_thirty_kinds_of_poison_and_each_is_another() -> None:
    assert len(KINDS) > 30
    assert len({value for _, value in KINDS}) == len(KINDS)


@pytest.mark.parametrize(("kind", "value"), KINDS, ids=[kind for kind, _ in KINDS])
def test_poison_is_refused_without_its_value_in_the_message(kind: str, value: bytes) -> None:
    if kind in OUT_OF_RANGE:
        assert DECODER.decode(value)["event_id"] == "poison"  # it is Avro: what refuses it is the jobs' rule
        return
    with pytest.raises(Undecodable) as refused:
        DECODER.decode(value)
    assert "poison" not in str(refused.value)


def test_a_schema_that_allows_recursion_or_endless_arrays_is_not_decoded_with() -> None:
    with pytest.raises(Undecodable, match="NestedSchema"):
        DECODER.decode(header(3) + b"\x80\x80\x80\x80\x20\x00")


def test_the_schema_of_another_subject_is_not_decoded_with_though_its_record_has_the_same_name() -> None:
    decoder = Decoder(SCHEMA, KnownSchemas({1: SCHEMA, 4: SCHEMA, 5: OTHER}, frozenset({4, 5})), SUBJECT)
    value = ENCODE({"event_id": "a", "service": "s"})
    assert decoder.decode(value)["event_id"] == "a"
    with pytest.raises(Undecodable, match="OtherSubject: schema 4 is not of the subject app-logs-value"):
        decoder.decode(header(4) + value[5:])
    with pytest.raises(Undecodable, match="OtherRecord"):
        decoder.decode(header(5) + value[5:])


def test_an_older_writer_is_read_by_the_newer_schema() -> None:
    older = {**SCHEMA, "fields": SCHEMA["fields"][:3]}
    decoder = Decoder(SCHEMA, KnownSchemas({7: older}), SUBJECT)
    moment = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(milliseconds=5)
    value = encoder(older, 7)({"event_id": "a", "event_time": moment, "service": "s"})
    found = decoder.decode(value)
    assert (found["event_id"], found["event_time"], found["status"]) == ("a", moment, None)


def test_the_header_is_a_zero_byte_and_the_id_big_endian() -> None:
    assert header(258) == b"\x00\x00\x00\x01\x02"
    assert schema_id(header(258) + b"body") == 258


def test_the_schema_files_are_plain_avro_with_their_pii_marked() -> None:
    marked = {field["name"] for field in SCHEMA["fields"] if "pii" in field}
    assert marked == {"message", "path", "client_address", "user_agent", "referrer", "raw"}
    json.dumps(SCHEMA)
