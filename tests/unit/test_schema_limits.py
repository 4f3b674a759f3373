"""Schemas that are too large are read by nobody; one at each limit is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from shardlake.avro import registry as kinds
from shardlake.avro.codec import Decoder, Undecodable, encoder
from shardlake.avro.registry import Registry
from shardlake.avro.wire import header
from shardlake.errors import BadInput
from shardlake.pipeline import Pipeline
from shardlake.schema_limits import (
    MAX_CHARACTERS,
    MAX_DEPTH,
    MAX_FIELDS,
    MAX_FIXED_BYTES,
    SchemaTooLarge,
    check_limits,
    read_schema,
)
from tests.unit.registry_server import RegistryServer, serving

pytestmark = pytest.mark.unit


def record(*types: Any) -> dict[str, Any]:
    fields = [{"name": f"f{n}", "type": one, "default": None} for n, one in enumerate(types)]
    return {"type": "record", "name": "Event", "namespace": "test", "fields": fields}


def nested(depth: int) -> Any:
    return "null" if depth == 0 else {"type": "array", "items": nested(depth - 1)}


def within(count: int) -> dict[str, Any]:
    """Two records, one in the other, that have so many fields together."""
    return record(*["null"] * (count - 2), {**record("null"), "name": "Inner"})


TOO_LARGE = {
    "fields": (record(*["null"] * (MAX_FIELDS + 1)), "has more than 1000 fields"),
    "fields of two records": (within(MAX_FIELDS + 1), "has more than 1000 fields"),
    "depth": (record(nested(MAX_DEPTH)), "more than 32 deep"),
    "depth of unions": (record(["null", nested(MAX_DEPTH - 1)]), "more than 32 deep"),
    "fixed": (
        record({"type": "fixed", "name": "F", "size": MAX_FIXED_BYTES + 1}),
        "a fixed of more than 1048576 bytes",
    ),
}
AT_THE_LIMIT = [
    record(*["null"] * MAX_FIELDS),
    within(MAX_FIELDS),
    record(nested(MAX_DEPTH - 1)),
    record({"type": "fixed", "name": "F", "size": MAX_FIXED_BYTES}),
]


@pytest.mark.parametrize("kind", TOO_LARGE)
def test_a_schema_beyond_a_limit_is_refused(kind: str) -> None:
    schema, why = TOO_LARGE[kind]
    with pytest.raises(SchemaTooLarge, match=why):
        check_limits(schema)
    with pytest.raises(SchemaTooLarge, match=why):
        read_schema(json.dumps(schema))


@pytest.mark.parametrize("schema", AT_THE_LIMIT, ids=["fields", "fields of two records", "depth", "fixed"])
def test_a_schema_at_a_limit_is_read(schema: dict[str, Any]) -> None:
    assert read_schema(json.dumps(schema)) == schema


def test_a_text_that_is_long_or_deep_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(SchemaTooLarge, match=f"has {MAX_CHARACTERS + 1} characters"):
        read_schema(" " * (MAX_CHARACTERS + 1))
    with pytest.raises(SchemaTooLarge, match="more than 32 deep"):
        read_schema("[" * 100_000)


def test_a_pipeline_s_own_schema_has_the_same_limits(tmp_path: Path) -> None:
    folder = tmp_path / "schemas"
    folder.mkdir()
    (folder / "topics.toml").write_text('[events]\npartitions = 1\nschema = "event"\n')
    (folder / "event.avsc").write_text(json.dumps(AT_THE_LIMIT[0]))
    assert len(Pipeline.load(tmp_path).schemas["event"]["fields"]) == MAX_FIELDS
    (folder / "event.avsc").write_text(json.dumps(TOO_LARGE["fields"][0]))
    with pytest.raises(BadInput, match=r"event\.avsc has more than 1000 fields"):
        Pipeline.load(tmp_path)


def test_a_record_whose_schema_is_too_large_is_undecodable_and_others_are_read() -> None:
    reader = record("null", ["null", "string"])
    texts = {
        1: json.dumps(reader), 2: json.dumps(TOO_LARGE["fields"][0]), 3: "[" * 100_000, 4: json.dumps("string"),
    }  # fmt: skip
    with serving(RegistryServer(texts, {"events-value": [1, 2, 3, 4]})) as server:
        registry = Registry(server.url)
        decode = Decoder(reader, registry, "events-value").decode
        for number, why in ((2, "schema 2 has more than 1000 fields"), (3, "schema 3 has types inside")):
            with pytest.raises(Undecodable, match=f"SchemaTooLarge: {why}"):
                decode(header(number))
        with pytest.raises(Undecodable, match="OtherRecord"):
            decode(header(4))
        value = encoder(reader, 1)({"f1": "a"})
        assert decode(value) == {"f0": None, "f1": "a"}
        types = {version.schema_id: version.type for version in registry.versions("events-value")}
        assert types == {1: kinds.AVRO, 2: kinds.TOO_LARGE, 3: kinds.TOO_LARGE, 4: kinds.NO_RECORD}


def test_only_ids_of_the_topic_s_subject_are_read_those_of_deleted_and_of_later_versions_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reader = record(["null", "string"])
    text = json.dumps(reader)
    server = RegistryServer({1: text, 2: text, 3: text}, {"events-value": [1, 3], "others-value": [2]})
    server.deleted = {("events-value", 3)}
    with serving(server):
        decode = Decoder(reader, Registry(server.url), "events-value").decode
        body = encoder(reader, 1)({"f0": "a"})[5:]
        for number in (1, 3):
            assert decode(header(number) + body) == {"f0": "a"}
        for _ in range(3):
            with pytest.raises(Undecodable, match="OtherSubject: schema 2 is not of the subject events-value"):
                decode(header(2) + body)
        assert sum("ids/2/versions" in path for path in server.asked) == 1  # its answer is kept for a while
        server.versions["events-value"].append(2)
        monkeypatch.setattr("shardlake.avro.registry.FORGET_UNKNOWN_SECONDS", 0)
        assert decode(header(2) + body) == {"f0": "a"}
