"""Reading a pipeline folder, and saying what is wrong in one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from shardlake.errors import BadInput
from shardlake.flink.columns import columns
from shardlake.pipeline import Pipeline
from shardlake.settings import Settings
from shardlake.shards.handler import Consumer
from tests.support import ROOT, copy_pipeline

pytestmark = pytest.mark.unit


def test_this_repository_is_a_pipeline() -> None:
    pipeline = Pipeline.load(ROOT)
    assert list(pipeline.topics) == [
        *("app-logs", "service-health", "alerts", "sessions", "late-events", "app-logs.dlq")
    ]
    assert pipeline.events_topic.name == "app-logs"
    assert pipeline.modules("flink_jobs") == ["archive", "error_alerts", "service_health", "sessions"]
    assert pipeline.events_topic.subject == "app-logs-value"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("[app-logs]", "[app-logs", "cannot be read"),
        ("partitions = 4", "partitons = 4", "partitons"),
        ('schema = "app_log"', 'schema = "app_logs"', "names the schema 'app_logs'"),
        ('key = "client_address"', 'key = "client"', "key = 'client'"),
        ('id = "event_id"', 'id = "identity"', "id = 'identity'"),
        ('id = "event_id"', 'id = "status"', "id = 'status', which is PII or no plain string"),
        ('event_time = "event_time"', 'event_time = "time"', "event_time = 'time'"),
        ('dead_letters = "app-logs.dlq"', 'dead_letters = "dlq"', "'dlq', which is not a topic"),
        (
            'lake_table = "sessions"',
            'lake_table = "sessions"\nunchecked = " "',
            "unchecked = ' ', which gives no reason",
        ),
        (
            'lake_table = "sessions"',
            'lake_table = "sessions"\nunchecked = true',
            "unchecked = True, which gives no reason",
        ),
        (
            'lake_table = "app_logs"',
            'lake_table = "app_logs"\nunchecked = "why"',
            "unchecked, and its events are in the",
        ),
    ],
)
def test_what_is_wrong_in_topics_toml_is_named(tmp_path: Path, old: str, new: str, words: str) -> None:
    folder = copy_pipeline(tmp_path / "p", partitions=4)
    topics = folder / "schemas" / "topics.toml"
    assert old in topics.read_text()
    topics.write_text(topics.read_text().replace(old, new))
    with pytest.raises(BadInput, match=words) as refused:
        Pipeline.load(folder)
    assert "topics.toml" in refused.value.message


@pytest.mark.parametrize("content", [b"# \xff", b"a = " + b"[" * 100_000, b"a = 1"])
def test_topics_that_are_no_toml_are_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "schemas").mkdir()
    (tmp_path / "schemas" / "topics.toml").write_bytes(content)
    with pytest.raises(BadInput, match=r"topics\.toml cannot be read"):
        Pipeline.load(tmp_path)


def test_a_folder_that_is_no_pipeline_and_a_schema_that_is_no_json_are_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="is not a pipeline"):
        Pipeline.load(tmp_path)
    folder = copy_pipeline(tmp_path / "p", partitions=4)
    for content in (b"{", b'"\xff"', b"[" * 100_000):
        (folder / "schemas" / "app_log.avsc").write_bytes(content)
        with pytest.raises(BadInput, match=r"app_log\.avsc is not JSON"):
            Pipeline.load(folder)


def test_an_id_that_the_lake_does_not_keep_as_it_is_is_refused(tmp_path: Path) -> None:
    folder = copy_pipeline(tmp_path / "p", partitions=4)
    schema = folder / "schemas" / "app_log.avsc"
    plain = '"name": "event_id", "type": "string"'
    schema.write_text(schema.read_text().replace(plain, f'{plain}, "pii": "hash"'))
    with pytest.raises(BadInput, match="id = 'event_id', which is PII"):
        Pipeline.load(folder)


@pytest.mark.parametrize("name", ["day", "offset"])
def test_a_field_named_as_a_column_that_the_lake_adds_is_refused(tmp_path: Path, name: str) -> None:
    folder = copy_pipeline(tmp_path / "p", partitions=4)
    schema = folder / "schemas" / "app_log.avsc"
    schema.write_text(schema.read_text().replace('"name": "host"', f'"name": "{name}"'))
    with pytest.raises(BadInput, match=f"a field {name}, a column that the lake adds"):
        Pipeline.load(folder)


def test_unknown_topics_jobs_and_consumers_are_answered_with_those_there_are() -> None:
    pipeline = Pipeline.load(ROOT)
    with pytest.raises(BadInput) as refused:
        pipeline.topic("app-log")
    assert "app-logs" in refused.value.hint
    with pytest.raises(BadInput, match="no consumer 'trafic'"):
        pipeline.load_module("consumers", "trafic")
    assert Consumer.of(pipeline.load_module("consumers", "traffic")).call.__name__ == "Traffic"


def test_columns_follow_the_schema_with_pii_masked() -> None:
    found = {column.name: column for column in columns(Pipeline.load(ROOT).schemas["app_log"])}
    assert list(found) == [field["name"] for field in Pipeline.load(ROOT).schemas["app_log"]["fields"]]
    types = [found[name].type for name in ("event_time", "level", "status")]
    assert types == ["TIMESTAMP_LTZ(3)", "STRING", "INT"]
    assert found["client_address"].masked == "MASK(`client_address`) AS `client_address`"
    assert found["host"].masked == "`host`"
    assert not found["service"].nullable
    assert found["host"].nullable


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ({"name": "tags", "type": {"type": "array", "items": "string"}}, "tags"),
        ({"name": "either", "type": ["int", "string"]}, "either"),
        ({"name": "secret", "type": "string", "pii": "hide"}, "pii = 'hide'"),
        ({"name": "age", "type": "int", "pii": "hash"}, "pii = 'hash'"),
        ({"name": "age", "type": ["null", "int"], "pii": "truncate_network"}, "pii = 'truncate_network'"),
        ({"name": "token", "type": "string", "pii": "drop"}, "token of AppLog has pii = 'drop', but is not nullable"),
    ],
)
def test_a_field_that_no_lake_column_can_hold_is_refused(field: dict[str, object], words: str) -> None:
    schema = json.loads((ROOT / "schemas" / "app_log.avsc").read_text())
    schema["fields"].append(field)
    with pytest.raises(BadInput, match=words):
        columns(schema)


def test_a_dropped_field_of_any_type_is_null_in_the_lake() -> None:
    schema = json.loads((ROOT / "schemas" / "app_log.avsc").read_text())
    schema["fields"] += [
        {"name": "seen", "type": ["null", {"type": "long", "logicalType": "timestamp-millis"}], "pii": "drop"},
        {"name": "latitude", "type": ["null", "double"], "pii": "drop"},
    ]
    found = [column.masked for column in columns(schema)[-2:]]
    assert found == ["CAST(NULL AS TIMESTAMP_LTZ(3)) AS `seen`", "CAST(NULL AS DOUBLE) AS `latitude`"]


def test_settings_name_the_variable_that_is_wrong_and_hide_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHARDLAKE_PARALLELISM", "zero")
    with pytest.raises(BadInput, match="SHARDLAKE_PARALLELISM"):
        Settings.read()
    monkeypatch.setenv("SHARDLAKE_PARALLELISM", "1")
    monkeypatch.setenv("SHARDLAKE_PII_KEY", "very secret")
    assert "very secret" not in repr(Settings.read())
