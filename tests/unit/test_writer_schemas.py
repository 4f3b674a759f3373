"""What consumers and `verify` make of writers whose schemas differ from the reader's."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from confluent_kafka.schema_registry import Schema, SchemaReference

from shardlake.avro.codec import Decoder, Undecodable, encoder
from shardlake.avro.registry import Registry, UnreadableSchema, Version, same_version
from shardlake.avro.times import other_time
from shardlake.lake.reread import EVENT, POISON, STATES, Judge
from shardlake.pipeline import Pipeline
from tests.support import ROOT, event
from tests.unit.test_codec import KnownSchemas
from tests.writer_schemas import CASES, Case, kind, with_type, without_prefix

pytestmark = pytest.mark.unit

PIPELINE = Pipeline.load(ROOT)
TOPIC = PIPELINE.events_topic
SCHEMA = PIPELINE.schema_of(TOPIC)
WRITER = 7


class OneSubject(KnownSchemas):
    def schema_id(self, subject: str, schema: dict[str, Any]) -> int:
        return 1


def state(schema: dict[str, Any], value: bytes, one: dict[str, Any]) -> tuple[str, Any]:
    """What `verify` says of a value, and the time that it compares."""
    judge = Judge(TOPIC, SCHEMA, OneSubject({1: SCHEMA, WRITER: schema}))
    columns, states = judge.judge([value], np.array([int(one["event_time"].timestamp()) * 1_000_000 + 10_000_000]))
    return STATES[int(states[0])].as_py(), columns["event_time"][0].as_py()


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_consumers_and_verify_are_of_one_opinion(case: Case) -> None:
    one = event(7)
    value = case.encode(SCHEMA, WRITER, one)
    decoder = Decoder(SCHEMA, KnownSchemas({WRITER: case.schema(SCHEMA)}), TOPIC.subject)
    if case.refused:
        with pytest.raises(Undecodable) as refused:
            decoder.decode(value)
        assert refused.value.error_class == case.refused
        assert state(case.schema(SCHEMA), value, one) == (POISON, None)
        return
    found = decoder.decode(value)
    assert {name: found[name] for name in one} == one
    assert state(case.schema(SCHEMA), value, one) == (EVENT, one["event_time"].replace(tzinfo=None))


def test_an_int_is_a_time_where_the_reader_says_so() -> None:
    writer = with_type(SCHEMA, "event_time", kind(None, "int"))
    value = encoder(writer, WRITER)({**event(1), "event_time": 7})
    found = Decoder(SCHEMA, KnownSchemas({WRITER: writer}), TOPIC.subject).decode(value)
    assert found["event_time"] == datetime(1970, 1, 1, 0, 0, 0, 7000, tzinfo=UTC)


def test_a_time_is_a_number_where_the_reader_says_so() -> None:
    reader = with_type(SCHEMA, "event_time", kind(None))
    value = encoder(SCHEMA, WRITER)(event(1))
    found = Decoder(reader, KnownSchemas({WRITER: SCHEMA}), TOPIC.subject).decode(value)
    assert found["event_time"] == round(event(1)["event_time"].timestamp() * 1000)


def test_a_field_is_found_by_its_alias() -> None:
    micros = with_type(SCHEMA, "event_time", kind("timestamp-micros"))
    older = {**micros, "fields": [{**f, "name": f["name"].replace("event_time", "at")} for f in micros["fields"]]}
    newer = {**SCHEMA, "fields": [{**f, "aliases": ["at"]} for f in SCHEMA["fields"] if f["name"] == "event_time"]}
    assert other_time(older, newer) == "event_time is timestamp-micros there and timestamp-millis here"
    assert not other_time(older, SCHEMA)


@pytest.mark.parametrize("name", ["__value_schema_id", "trace-id"])
def test_an_id_in_a_header_is_named_where_the_value_has_none(name: str) -> None:
    decoder = Decoder(SCHEMA, KnownSchemas({WRITER: SCHEMA}), TOPIC.subject)
    value = encoder(SCHEMA, WRITER)(event(1))
    (without, [(_, guid)]) = without_prefix(value)
    headers = [("trace-id", b"\xff"), (name, guid)]
    for wrong in (without, b"\0\0\0\0\x63" + without):  # as NoSchemaId, and as UnknownSchema
        with pytest.raises(Undecodable) as refused:
            decoder.decode(wrong)
        named = refused.value.beside(headers)
        assert (named.error_class == "SchemaIdInHeader") == (name == "__value_schema_id")
        assert refused.value.beside(None) is refused.value
    with pytest.raises(Undecodable) as refused:
        decoder.decode(value + b"\0")
    assert refused.value.beside(headers).error_class == "TrailingBytes"  # its first bytes do name the schema


class Client:
    """A registry's client that has one schema."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema

    def get_schema(self, _: int) -> Schema:
        return self.schema


@pytest.mark.parametrize(
    ("schema", "named", "words"),
    [
        (Schema('syntax = "proto3"; message M { string a = 1; }', "PROTOBUF"), "NotAvro", "is of the type PROTOBUF"),
        (Schema("{}", "JSON"), "NotAvro", "is of the type JSON"),
        (
            Schema(
                '{"type": "record", "name": "io.shardlake.logs.AppLog", "fields": []}',
                "AVRO",
                [SchemaReference("io.shardlake.logs.Level", "level", 1)],
            ),
            "SchemaReferences",
            "refers to schemas of other subjects",
        ),
        (Schema("no JSON", "AVRO"), "OtherRecord", "is not of io.shardlake.logs.AppLog"),
        (Schema('"string"', "AVRO"), "OtherRecord", "is not of io.shardlake.logs.AppLog"),
    ],
)
def test_what_the_registry_has_and_no_record_can_be_read_with_is_named(schema: Schema, named: str, words: str) -> None:
    registry = Registry("http://127.0.0.1:9")
    registry._client = Client(schema)  # noqa: SLF001
    with pytest.raises(Undecodable, match=words) as refused:
        Decoder(SCHEMA, registry, TOPIC.subject).decode(encoder(SCHEMA, WRITER)(event(1)))
    assert refused.value.error_class == named
    if named in ("NotAvro", "SchemaReferences"):
        with pytest.raises(UnreadableSchema):
            registry.schema_by_id(WRITER)


def test_a_version_of_another_type_is_never_the_folder_s() -> None:
    versions = [Version(1, 5, SCHEMA), Version(2, 6, {}, "PROTOBUF")]
    assert same_version(versions, SCHEMA) == versions[0]
    assert same_version(versions[1:], {}) is None
