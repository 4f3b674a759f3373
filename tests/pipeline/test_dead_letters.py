"""The query of the jobs' dead letters in process: their headers, whatever headers the records had."""

from __future__ import annotations

import base64
import json

import pytest

from shardlake import dead_letter
from shardlake.avro.wire import ID_HEADER, ID_IN_HEADER_WORDS
from shardlake.avro.wire import ID_IN_HEADER as ID_IN_HEADER_CLASS
from shardlake.dead_letter import DeadLetter, original_headers
from shardlake.flink.inserts import on_any_flink
from shardlake.flink.tables import dead_letters_query, view_name
from shardlake.pipeline import Pipeline
from shardlake.testing.jobs import mini_cluster_environment
from tests.support import ROOT

pytestmark = pytest.mark.pipeline

ORDINARY = {"trace-id": b"\xff\x00\xaa", "traceparent": b"00-1", "shardlake.run": b"7", "empty": b""}
IMITATING = {name: b"\xfe" + name.encode() for name in dead_letter.OURS}
KEPT_BEFORE = {dead_letter.ORIGINAL + name: b"kept before" for name in dead_letter.OURS}
COLUMNS = """
    event_time TIMESTAMP_LTZ(3), kafka_key BYTES, topic STRING, `partition` INT, `offset` BIGINT,
    arrival_time TIMESTAMP_LTZ(3), headers MAP<STRING, BYTES>, error STRING, error_message STRING, raw_value BYTES
"""
GIVEN = [
    {},
    ORDINARY,
    {**ORDINARY, **IMITATING},
    {dead_letter.GROUP: b"traffic", dead_letter.OFFSET: b"999999", dead_letter.TIMESTAMP: b"1" + b"0" * 30},
    {**IMITATING, **KEPT_BEFORE},
    KEPT_BEFORE,
]
ID_IN_HEADER = {"NoSchemaId": True, "UnknownSchema": True, "OtherRecord": True, "TrailingBytes": False}
"""Reasons for which the value itself names no schema of this record, and another one."""
REASONS = ["NoSchemaId"] * len(GIVEN) + list(ID_IN_HEADER)
WITH_ID: list[dict[str, bytes]] = [{**ORDINARY, ID_HEADER: b"\x01" + bytes(16)}] * len(ID_IN_HEADER)


@pytest.fixture(scope="module")
def letters(tmp_path_factory: pytest.TempPathFactory) -> list[list[tuple[str, bytes | None]]]:
    """The headers of the dead letters of records that had those of GIVEN and WITH_ID, as the sink writes them."""
    topic = Pipeline.load(ROOT).events_topic
    folder = tmp_path_factory.mktemp("records")
    source = folder / "records.json"
    rows = [
        {
            "topic": topic.name, "partition": 1, "offset": number, "arrival_time": "2026-11-03T12:00:01.250Z",
            "error": f"io.shardlake.flink.{reason}", "error_message": "no schema id", "raw_value": "e30=",
            "headers": {name: base64.b64encode(value).decode() for name, value in headers.items()},
        }
        for number, (headers, reason) in enumerate(zip([*GIVEN, *WITH_ID], REASONS, strict=True))
    ]  # fmt: skip
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with mini_cluster_environment():
        from pyflink.table import EnvironmentSettings, PlanReference, TableEnvironment

        environment = TableEnvironment.create(EnvironmentSettings.in_streaming_mode())
        for name, value in {**on_any_flink({}, 10), "parallelism.default": "1"}.items():
            environment.get_config().set(name, value)
        environment.execute_sql("CREATE DATABASE decoded")
        environment.execute_sql(
            f"CREATE TABLE decoded.{view_name(topic)} ({COLUMNS}) WITH ('connector' = 'filesystem', "
            f"'path' = '{source}', 'format' = 'json', 'json.timestamp-format.standard' = 'ISO-8601')"
        )
        environment.execute_sql(
            "CREATE TABLE letters (kafka_key BYTES, raw_value BYTES, headers MAP<STRING, BYTES>) "
            f"WITH ('connector' = 'filesystem', 'path' = '{folder / 'letters'}', 'format' = 'json')"
        )
        # The application is submitted as a plan's JSON, too.
        compiled = environment.compile_plan_sql(f"INSERT INTO letters {dead_letters_query(topic)}").as_json_string()
        loaded = environment.load_plan(PlanReference.from_json_string(compiled))
        loaded._t_env = environment  # noqa: SLF001 - as `inserts.execute` does
        loaded.execute().wait()
    files = sorted(file for file in (folder / "letters").rglob("*") if file.is_file())
    lines = [line for file in files for line in file.read_text().splitlines()]
    # The Kafka sink leaves out what is null: KafkaDynamicSink, WritableMetadata.HEADERS.
    return [
        [(name, base64.b64decode(value)) for name, value in json.loads(line)["headers"].items() if value is not None]
        for line in lines
    ]


def test_headers_of_records_decide_nothing_of_their_letters(letters: list[list[tuple[str, bytes | None]]]) -> None:
    assert len(letters) == len(REASONS)
    found = [DeadLetter.if_ours(headers) for headers in letters[: len(GIVEN)]]
    assert found == [
        DeadLetter("app-logs", 1, number, 1793707201250, "io.shardlake.flink.NoSchemaId", "no schema id")
        for number in range(len(GIVEN))
    ]


def test_headers_of_records_are_restored_byte_by_byte(letters: list[list[tuple[str, bytes | None]]]) -> None:
    for given, headers in zip([*GIVEN, *WITH_ID], letters, strict=True):
        assert dict(original_headers(headers)) == given


def test_an_id_in_a_header_is_named_where_the_value_has_none(letters: list[list[tuple[str, bytes | None]]]) -> None:
    found = [DeadLetter.from_headers(headers) for headers in letters[len(GIVEN) :]]
    assert [one.error_class.rpartition(".")[2] for one in found] == [
        ID_IN_HEADER_CLASS if named else reason for reason, named in ID_IN_HEADER.items()
    ]
    assert [one.error_message == ID_IN_HEADER_WORDS for one in found] == list(ID_IN_HEADER.values())
    assert {one.error_class.rpartition(".")[0] for one in found} == {"io.shardlake.flink"}
