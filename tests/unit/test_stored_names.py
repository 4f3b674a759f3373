"""Names that users' data holds: in topics, checkpoints, groups and files. They stay, whatever the code calls them."""

from __future__ import annotations

import json

import pytest

from shardlake import dead_letter
from shardlake.dead_letter import DeadLetter
from shardlake.flink import apart
from shardlake.flink.endpoints import Endpoints
from shardlake.flink.plan import numbered
from shardlake.flink.tables import EVENT_TIME_OUT_OF_RANGE, GROUP, dead_letters_query, group_of, table_definitions
from shardlake.lake.written import SCHEMA
from shardlake.pipeline import Pipeline
from shardlake.redrive import marks
from tests.support import ROOT

pytestmark = pytest.mark.unit


def test_headers_of_dead_letters() -> None:
    letter = DeadLetter("app-logs", 3, 7, 1, "a.Class", "why", group="traffic", attempts=2, left_out_bytes=9)
    assert {name for name, _ in letter.headers()} == {
        "__connect.errors.topic",
        "__connect.errors.partition",
        "__connect.errors.offset",
        "__connect.errors.timestamp",
        "__connect.errors.exception.class.name",
        "__connect.errors.exception.message",
        "shardlake.consumer.group",
        "shardlake.attempts",
        "shardlake.value.left.out",
    }
    assert (dead_letter.REDRIVEN_FROM, marks.TOPIC) == ("shardlake.redriven.from", "shardlake.redriven")


def test_groups_transactions_tables_and_error_classes_of_the_jobs() -> None:
    pipeline = Pipeline.load(ROOT)
    made = "\n".join(table_definitions(pipeline, Endpoints("broker:9092", "http://registry", "file:///lake")))
    assert GROUP == "shardlake-jobs"
    assert "'properties.group.id' = 'shardlake-jobs'" in made
    for topic in ("app-logs.dlq", "service-health", "alerts"):
        assert f"'sink.transactional-id-prefix' = 'shardlake-{topic}'" in made
    for table in ("app_logs", "service_health", "sessions", "alerts", "late_events"):
        assert f"CREATE TABLE lake.`{table}` (" in made
    assert "CREATE TABLE decoded.`app_logs` (" in made
    assert EVENT_TIME_OUT_OF_RANGE == "io.shardlake.flink.EventTimeOutOfRange"
    assert EVENT_TIME_OUT_OF_RANGE in dead_letters_query(pipeline.events_topic)
    assert SCHEMA == b"shardlake.schema"


def test_operator_ids_by_which_a_savepoint_finds_its_operators() -> None:
    def table(role: str, name: str) -> dict[str, object]:
        return {role: {"table": {"identifier": f"`default_catalog`.{name}"}}}

    nodes = [
        {"id": 1, "type": "stream-exec-table-source-scan_2", **table("scanTableSource", "`decoded`.`app_logs`")},
        {"id": 2, "type": "stream-exec-sink_2", **table("dynamicTableSink", "`lake`.`app_logs`")},
        {"id": 3, "type": "stream-exec-sink_2", **table("dynamicTableSink", "`topics`.`service-health`")},
    ]
    edges = [{"source": 1, "target": 2}, {"source": 1, "target": 3}]
    found = json.loads(numbered(json.dumps({"nodes": nodes, "edges": edges})))
    # As the jobs of the first version had them.
    assert [node["id"] for node in found["nodes"]] == [814660953, 1469533572, 1379339381]


def test_operator_ids_of_joins_windows_and_what_is_before_them() -> None:
    def node(number: int, kind: str, **role: object) -> dict[str, object]:
        tables = {name: {"table": {"identifier": f"`default_catalog`.{table}"}} for name, table in role.items()}
        return {"id": number, "type": f"stream-exec-{kind}_1", **tables}

    nodes = [
        node(1, "table-source-scan", scanTableSource="`decoded`.`orders`"),
        node(2, "table-source-scan", scanTableSource="`decoded`.`payments`"),
        *(node(3, "calc"), node(4, "exchange"), node(5, "deduplicate"), node(6, "interval-join")),
        node(7, "global-window-aggregate"),
        node(8, "sink", dynamicTableSink="`lake`.`paid_orders`"),
    ]
    edges = [(1, 3), (3, 4), (4, 5), (5, 6), (2, 6), (6, 7), (7, 8)]
    plan = {"nodes": nodes, "edges": [{"source": source, "target": target} for source, target in edges]}
    assert [node["id"] for node in json.loads(numbered(json.dumps(plan)))["nodes"]] == [
        *(915501787, 38603808, 203156574, 521680764, 1739153658, 1623840491, 1500467979, 2114699652),
    ]


def test_names_of_what_is_kept_of_jobs_that_were_left_out() -> None:
    names = (apart.FOLDER, apart.FILE, apart.LEFT_OUT, group_of("risk"))
    assert names == ("apart", "left-out.json", "left out", "shardlake-jobs.risk")
    assert group_of(None) == GROUP
