"""Topics, tables and fields that are called as words of SQL are planned as others are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from shardlake.pipeline import Pipeline
from shardlake.testing.jobs import mini_cluster_environment
from tests.pipeline.planning import TIME, Planner

pytestmark = pytest.mark.pipeline

TOPICS = """
[order]
schema = "order"
event_time = "end"
key = "user"
partitions = 1
lake_table = "group"
dead_letters = "order.dlq"

["order.dlq"]
partitions = 1
"""


def test_names_that_are_words_of_sql_are_planned(tmp_path: Path) -> None:
    for name in ("schemas", "producers", "flink_jobs", "consumers"):
        (tmp_path / name).mkdir()
    fields = [{"name": "end", "type": TIME}, *({"name": name, "type": "string"} for name in ("user", "select"))]
    record = {"type": "record", "name": "Order", "namespace": "shop", "fields": fields}
    (tmp_path / "schemas" / "order.avsc").write_text(json.dumps(record))
    (tmp_path / "schemas" / "topics.toml").write_text(TOPICS)
    with mini_cluster_environment():
        planner = Planner(Pipeline.load(tmp_path))
        kept = planner.environment.from_path("default_catalog.lake.`group`").get_schema().get_field_names()
        plan = planner.environment.explain_sql("SELECT `user`, `end` FROM `order` WHERE `select` = 'a'")
    assert kept == ["end", "user", "select", "topic", "partition", "offset", "arrival_time"]
    assert "table=[[default_catalog, decoded, order" in plan
