"""`shardlake schema`, and a second version of the events while the first is still produced and processed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient

from shardlake.avro.registry import Registry
from shardlake.lake.accounting import account
from shardlake.testing.stack import RunningStack
from tests.support import PATIENCE_SECONDS, Topic, copy_pipeline, event, json_in, wait_for, with_fields

pytestmark = pytest.mark.e2e

SUBJECT = "app-logs-value"
REGION = {"name": "region", "type": ["null", "string"], "default": None, "doc": "Where it ran."}


@pytest.fixture
def first(shardlake_stack: RunningStack, tmp_path: Path) -> RunningStack:
    """A stack of a copy of the pipeline, whose schemas are registered."""
    return shardlake_stack.emptied(copy_pipeline(tmp_path / "first", 4))


def changed(stack: RunningStack, folder: Path, *fields: dict[str, Any], **attributes: Any) -> RunningStack:
    """The same stack with another pipeline: fields are replaced by name or added, and attributes of the record set."""
    return replace(stack, pipeline=with_fields(copy_pipeline(folder, 4), *fields, **attributes))


def versions(stack: RunningStack) -> int:
    return len(Registry(stack.settings.schema_registry_url).versions(SUBJECT))


def test_check_diff_list_and_register(first: RunningStack, tmp_path: Path) -> None:
    assert "no change" in first.shardlake("schema", "diff")
    assert "is registered: version 1" in first.shardlake("schema", "check")

    # One that old records do not fit: said field by field, and nothing of the folder is registered.
    required = {"name": "tenant", "type": "string"}
    status = {"name": "status", "type": "int"}
    bad = changed(first, tmp_path / "bad", required, status)
    said = bad.shardlake("schema", "check", exit_code=1)
    assert "field tenant is new and has no default: records written before cannot be read" in said
    assert "field status: null cannot be read as int" in said
    assert "Traceback" not in said
    said = bad.shardlake("schema", "register", exit_code=1)
    assert "field tenant is new" in said
    assert "RuleViolationException" not in said
    assert "RuleViolationException" in bad.shardlake("-v", "schema", "register", exit_code=1)
    assert versions(first) == 1
    assert "`shardlake schema register`" in bad.shardlake("produce", "--synthetic", "--duration", "1", exit_code=2)
    said = bad.shardlake("schema", "diff")
    assert "+ tenant: string, no default" in said
    assert "~ status, type: null or int → int" in said

    # Other words are no other schema, for us and for this registry.
    documented = changed(first, tmp_path / "documented", doc="In other words.")
    documented.shardlake("produce", "--synthetic", "--rate", "10", "--duration", "1")
    assert "is registered: version 1" in documented.shardlake("schema", "check")
    assert "~ the record's doc:" in documented.shardlake("schema", "diff")
    documented.shardlake("schema", "register")
    assert versions(first) == 1

    # A new field with a default follows.
    second = changed(first, tmp_path / "second", REGION)
    assert "+ region: null or string, default null" in second.shardlake("schema", "diff")
    assert "can be registered, as version 2" in second.shardlake("schema", "check")
    assert json.loads(second.shardlake("schema", "check", "--json"))[0] == {
        "subject": SUBJECT, "accepted": True, "reasons": [],
    }  # fmt: skip
    second.shardlake("schema", "register")
    listed = {row["subject"]: row for row in json.loads(second.shardlake("schema", "list", "--json"))}
    assert listed[SUBJECT]["compatibility"] == "BACKWARD"
    assert listed[SUBJECT]["folder"] == len(listed[SUBJECT]["versions"]) == 2
    assert listed["service-health-value"]["folder"] == 1
    assert "version 2" in second.shardlake("schema", "list")

    # Others have schemas of other kinds in the same registry.
    client = SchemaRegistryClient({"url": first.settings.schema_registry_url})
    client.register_schema("other-value", Schema('syntax = "proto3"; message M { string a = 1; }', "PROTOBUF"))
    client.register_schema(
        "third-value", Schema('{"$schema": "http://json-schema.org/draft-07/schema#", "type": "object"}', "JSON")
    )
    listed = {row["subject"]: row for row in json.loads(second.shardlake("schema", "list", "--json"))}
    assert {name: row["type"] for name, row in listed.items() if name in (SUBJECT, "other-value", "third-value")} == {
        SUBJECT: "AVRO", "other-value": "PROTOBUF", "third-value": "JSON"
    }  # fmt: skip
    assert listed["other-value"]["folder"] == "no schema"
    assert len(listed["other-value"]["versions"]) == 1
    assert "PROTOBUF" in second.shardlake("schema", "list")


@pytest.mark.thorough
def test_a_second_version_flows_beside_the_first(first: RunningStack, tmp_path: Path) -> None:
    second = changed(first, tmp_path / "second", REGION)
    servers, lake, events = (
        first.settings.kafka_bootstrap_servers,
        first.settings.lake,
        first.pipeline.events_topic,
    )

    def rows(stack: RunningStack, sql: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(stack.shardlake("query", "--json", sql))
        return found

    def accounted_for() -> bool:
        return all(one.holds for one in account(servers, events, lake))

    # The second version is registered and sent while producers and jobs of the first run.
    first.shardlake("jobs", "run", "archive")
    producing = first.start("produce", "--synthetic", "--rate", "200", "--duration", "inf", "--json")
    wait_for(lambda: list(lake.rglob("app_logs/**/[!.]*.parquet")), "rows of the first version")
    second.shardlake("schema", "register")
    Topic(second).send_events([event(number, region="north") for number in range(100)])
    assert producing.poll() is None
    producing.terminate()
    output = producing.communicate(timeout=PATIENCE_SECONDS)[0]
    assert producing.returncode == 130, output
    of_first = json_in(output)["acknowledged"]
    assert of_first > 0
    first.shardlake("jobs", "finish")
    assert accounted_for()
    assert rows(first, "select count(*) n from app_logs") == [{"n": of_first + 100}]

    # The jobs with the second version, from where the first ones ended; producers of the first still run.
    assert "anew" in second.shardlake("jobs", "run", "archive")
    Topic(second).send_events([event(number, region="south") for number in range(100, 150)])
    Topic(first).send_events([event(number) for number in range(150, 180)])
    second.shardlake("jobs", "finish")
    assert accounted_for()
    by_region = "select region, count(*) n, count(distinct event_id) d from app_logs group by 1 order by 1 nulls first"
    assert rows(second, by_region) == [
        {"region": None, "n": of_first + 130, "d": of_first + 130},
        {"region": "south", "n": 50, "d": 50},
    ]
    assert rows(first, "select count(*) n from app_logs") == [{"n": of_first + 180}]
    only_old = "select count(region) n from app_logs where event_time < '2026-01-01'"
    assert rows(second, only_old) == [{"n": 0}]
