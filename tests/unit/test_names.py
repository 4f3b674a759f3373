"""Names that a pipeline gives are names: no SQL, no path, nothing that Kafka or Avro refuse later."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shardlake.errors import BadInput
from shardlake.flink.endpoints import Endpoints
from shardlake.flink.tables import table_definitions
from shardlake.lake.query import query
from shardlake.lake.tables import lake_tables
from shardlake.pipeline import Pipeline
from tests.support import ROOT, copy_pipeline

pytestmark = pytest.mark.unit

SQL = "a\" INTEGER); COPY (SELECT 1) TO 'written.csv'; CREATE TABLE b (\"c"
"""As a field's name, it wrote a file when the lake was queried."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return copy_pipeline(tmp_path / "p", partitions=4)


def change(folder: Path, spoil: Callable[[dict[str, Any]], object]) -> None:
    file = folder / "schemas" / "app_log.avsc"
    schema = json.loads(file.read_text())
    spoil(schema)
    file.write_text(json.dumps(schema))


def refusal(folder: Path) -> BadInput:
    with pytest.raises(BadInput) as refused:
        Pipeline.load(folder)
    return refused.value


@pytest.mark.parametrize("name", [SQL, "", "1st", "with space", "a-b", "größe", "a.b", "a\n", 7, None])
def test_a_field_has_a_name_of_avro(folder: Path, name: object) -> None:
    change(folder, lambda schema: schema["fields"].append({"name": name, "type": ["null", "string"]}))
    refused = refusal(folder)
    assert "app_log.avsc" in refused.message
    assert f"the field name {name!r}" in refused.message
    assert "no digit first" in refused.hint
    assert "Rename it" in refused.hint


@pytest.mark.parametrize(
    "spoil",
    [
        lambda schema: schema["fields"][0].update(aliases=["old", SQL]),
        lambda schema: schema["fields"][0].update(aliases=SQL),
        lambda schema: schema.update(name=SQL),
        lambda schema: schema.update(namespace=f"org.{SQL}"),
        lambda schema: schema["fields"].append(
            {"name": "in", "type": ["null", {"type": "record", "name": "In", "fields": [{"name": SQL, "type": "int"}]}]}
        ),
        lambda schema: schema["fields"].append(
            {"name": "in", "type": {"type": "array", "items": {"type": "enum", "name": SQL, "symbols": ["A"]}}}
        ),
        lambda schema: schema["fields"].append(
            {"name": "in", "type": {"type": "map", "values": {"type": "fixed", "name": SQL, "size": 1}}}
        ),
        lambda schema: schema["fields"].append(SQL),
    ],
)
def test_so_have_aliases_types_and_what_is_in_types(folder: Path, spoil: Callable[[dict[str, Any]], object]) -> None:
    change(folder, spoil)
    assert "is not one that Avro allows" in refusal(folder).message


@pytest.mark.parametrize(
    "name",
    ["../..", "..", "/etc", "a/b", "app_logs; COPY x", 'a"b', "", "_a", "-a", "1a", "tëst", "a\n", "a.b", "a" * 201],
)
def test_a_table_has_a_name_of_its_own_kind(folder: Path, name: str) -> None:
    topics = folder / "schemas" / "topics.toml"
    topics.write_text(topics.read_text().replace('lake_table = "app_logs"', f"lake_table = {json.dumps(name)}"))
    refused = refusal(folder)
    assert "topics.toml" in refused.message
    assert f"app-logs has lake_table = {name!r}" in refused.message
    assert "a letter first" in refused.hint
    assert "folder in the lake" in refused.hint


@pytest.mark.parametrize("name", ["a b", "a/b", ".", "..", "", "ä", "a'b", "x" * 250])
def test_a_topic_has_a_name_that_kafka_takes(folder: Path, name: str) -> None:
    topics = folder / "schemas" / "topics.toml"
    topics.write_text(f"{topics.read_text()}\n[{json.dumps(name, ensure_ascii=False)}]\npartitions = 1\n")
    refused = refusal(folder)
    assert f"{name!r} is no topic's name" in refused.message
    assert "249" in refused.hint


@pytest.mark.parametrize("table", ["app-logs_2", "a" * 200])
def test_names_within_the_rules_are_taken(folder: Path, tmp_path: Path, table: str) -> None:
    topics = folder / "schemas" / "topics.toml"
    topics.write_text(
        topics.read_text().replace('lake_table = "app_logs"', f'lake_table = "{table}"')
        + f'\n["{"x" * 249}"]\npartitions = 1\n["_.-"]\npartitions = 1\n'
    )
    change(folder, lambda schema: schema["fields"].append({"name": "_Of2", "type": ["null", "int"], "aliases": ["B"]}))
    pipeline = Pipeline.load(folder)
    (tmp_path / "lake").mkdir()
    found = query(f'SELECT count(*), count("_Of2") FROM "{table}"', lake_tables(tmp_path / "lake", pipeline))
    assert found.rows == [(0, 0)]
    made = table_definitions(pipeline, Endpoints("broker:9092", "http://registry", "file:///lake"))
    assert [one for one in made if one.startswith(f"CREATE TABLE lake.`{table}` (")]


def test_those_of_this_repository_are_within_the_rules() -> None:
    Pipeline.load(ROOT)
