"""Numbers of a plan's nodes that stay, and changes that cannot take up their state."""

from __future__ import annotations

import json
from typing import Any

import pytest

from shardlake.errors import BadInput
from shardlake.flink.plan import Change, compare, numbered

pytestmark = pytest.mark.unit

COUNT = {"internalName": "$COUNT$1", "type": "BIGINT NOT NULL", "filterArg": -1, "name": "events"}
MINUTE = {"strategy": "SliceAttached", "window": {"type": "TumblingWindow", "size": "PT1M"}, "sliceEnd": 7}


def table(kind: str, role: str, name: str) -> dict[str, Any]:
    return {"type": f"stream-exec-{kind}_2", role: {"table": {"identifier": f"`default_catalog`.`{name}`"}}}


SOURCE = table("table-source-scan", "scanTableSource", "events")


def sink(name: str) -> dict[str, Any]:
    return table("sink", "dynamicTableSink", name)


def window(*calls: dict[str, Any], size: str = "PT1M") -> dict[str, Any]:
    return {
        "type": "stream-exec-global-window-aggregate_1",
        "grouping": [0],
        "aggCalls": list(calls or [COUNT]),
        "windowing": {**MINUTE, "window": {"type": "TumblingWindow", "size": size}},
    }


CALC = {"type": "stream-exec-calc_1"}


def plan(*chains: list[dict[str, Any]]) -> str:
    """Chains from the one source to a sink each, numbered in the order in which Flink meets them."""
    nodes: list[dict[str, Any]] = [{**SOURCE, "id": 1}]
    edges = []
    for chain in chains:
        before = 1
        for node in chain:
            number = len(nodes) + 1
            nodes.append({**node, "id": number})
            edges.append({"source": before, "target": number})
            before = number
    return numbered(json.dumps({"nodes": nodes, "edges": edges}))


ARCHIVE = [CALC, sink("lake.app_logs")]
HEALTH = [CALC, window(), CALC, sink("lake.service_health")]
SESSIONS = [CALC, window(COUNT, COUNT), sink("lake.sessions")]


def numbers(made: str) -> set[tuple[str, int]]:
    return {(node["type"], node["id"]) for node in json.loads(made)["nodes"] if "calc" not in node["type"]}


def test_numbers_do_not_depend_on_the_other_jobs_nor_on_their_order() -> None:
    alone, both = numbers(plan(HEALTH)), numbers(plan(SESSIONS, ARCHIVE, HEALTH))
    assert alone < both
    assert both == numbers(plan(HEALTH, SESSIONS, ARCHIVE))


def test_edges_follow_their_nodes_and_the_chains_stay() -> None:
    made = json.loads(plan(ARCHIVE, HEALTH))
    kinds = {node["id"]: node["type"].split("-")[2].split("_")[0] for node in made["nodes"]}
    assert len(kinds) == 7
    assert sorted((kinds[edge["source"]], kinds[edge["target"]]) for edge in made["edges"]) == [
        *(("calc", "global"), ("calc", "sink"), ("calc", "sink")),
        *(("global", "calc"), ("table", "calc"), ("table", "calc")),
    ]


def test_calculations_come_and_go_and_columns_move() -> None:
    moved = [CALC, CALC, window({**COUNT, "filterArg": 3, "name": "n"}), sink("lake.service_health")]
    assert compare(plan(ARCHIVE, HEALTH), plan(ARCHIVE, moved)) == Change((), ())


def test_jobs_that_are_added_and_removed_are_named() -> None:
    assert compare(plan(ARCHIVE, HEALTH), plan(ARCHIVE, SESSIONS)) == Change(
        added=("lake.sessions",), removed=("lake.service_health",)
    )


@pytest.mark.parametrize(
    "changed",
    [
        [CALC, window(COUNT, {**COUNT, "internalName": "$SUM$1"}), CALC, sink("lake.service_health")],
        [CALC, window({**COUNT, "internalName": "$MAX$1"}), CALC, sink("lake.service_health")],
        [CALC, window(size="PT5M"), CALC, sink("lake.service_health")],
        [CALC, {**window(), "grouping": [0, 1]}, CALC, sink("lake.service_health")],
        [CALC, sink("lake.service_health")],
    ],
)
def test_what_open_windows_keep_must_not_change(changed: list[dict[str, Any]]) -> None:
    with pytest.raises(BadInput, match=r"lake\.service_health keeps in its windows has changed") as refused:
        compare(plan(ARCHIVE, HEALTH), plan(ARCHIVE, changed))
    assert "jobs finish" in refused.value.hint
