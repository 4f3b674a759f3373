"""Numbers of a plan's nodes that stay, and changes that cannot take up their state. Changes of real plans are in
tests/pipeline."""

from __future__ import annotations

import json
from typing import Any

import pytest

from shardlake.errors import BadInput
from shardlake.flink.plan import Change, compare, numbered

pytestmark = pytest.mark.unit

Node = dict[str, Any]
STRING, BIGINT, TIME = "VARCHAR(2147483647)", "BIGINT", "TIMESTAMP(3) WITH LOCAL TIME ZONE"
EVENTS = {"service": STRING, "host": STRING, "bytes": BIGINT, "time": TIME}
COUNT = {"internalName": "$COUNT$1", "type": "BIGINT NOT NULL", "argList": [], "filterArg": -1, "name": "events"}
SUM = {"internalName": "$SUM$1", "type": BIGINT, "argList": [1], "filterArg": -1, "name": "bytes"}


def row(**fields: str) -> str:
    return "ROW<" + ", ".join(f"`{name}` {kind}" for name, kind in fields.items()) + ">"


def table(kind: str, role: str, name: str, **fields: str) -> Node:
    identifier = {"table": {"identifier": f"`default_catalog`.`{name}`"}}
    return {"type": f"stream-exec-{kind}_2", role: identifier, "outputType": row(**fields)}


def source(name: str = "events") -> Node:
    return table("table-source-scan", "scanTableSource", name, **EVENTS)


def sink(name: str) -> Node:
    return table("sink", "dynamicTableSink", name)


def calc(*columns: str, of: dict[str, str] = EVENTS) -> Node:
    """A selection of columns."""
    refs = [{"kind": "INPUT_REF", "inputIndex": list(of).index(name), "type": of[name]} for name in columns]
    return {
        "type": "stream-exec-calc_1",
        "projection": refs,
        "outputType": row(**{name: of[name] for name in columns}),
    }


def window(*calls: Node, size: str = "PT1M", keys: tuple[int, ...] = (0,)) -> Node:
    calls = calls or (COUNT,)
    return {
        "type": "stream-exec-window-aggregate_1",
        "grouping": list(keys),
        "aggCalls": list(calls),
        "windowing": {
            "strategy": "TimeAttribute", "window": {"type": "TumblingWindow", "size": size}, "timeAttributeIndex": 2
        },
        "outputType": row(**{f"k{key}": STRING for key in keys}, **{f"a{n}": BIGINT for n in range(len(calls))}),
    }  # fmt: skip


def plan(*chains: list[Node]) -> str:
    """Chains of nodes from a source, one for all of the same name, to a sink each; numbered as Flink meets them."""
    nodes: list[Node] = []
    edges = []
    sources: dict[str, int] = {}
    for chain in chains:
        before = None
        for node in chain:
            read = node.get("scanTableSource", {}).get("table", {}).get("identifier")
            number = sources.get(read) or len(nodes) + 1
            if number > len(nodes):
                nodes.append({**node, "id": number})
            if read:
                sources[read] = number
            if before:
                edges.append({"source": before, "target": number})
            before = number
    return numbered(json.dumps({"nodes": nodes, "edges": edges}))


NEEDED = calc("service", "bytes", "time")
AFTER = calc("k0", "a0", of={"k0": STRING, "a0": BIGINT})
LIMIT = {"type": "stream-exec-limit_1", "outputType": NEEDED["outputType"]}
ARCHIVE = [source(), calc("host"), sink("lake.app_logs")]
HEALTH = [source(), NEEDED, window(), AFTER, sink("lake.service_health")]
SESSIONS = [source(), NEEDED, window(COUNT, SUM), sink("lake.sessions")]


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
        *(("calc", "sink"), ("calc", "sink"), ("calc", "window")),
        *(("table", "calc"), ("table", "calc"), ("window", "calc")),
    ]


def union(*parts: list[Node]) -> str:
    """Chains that end in one sink, over a union."""
    nodes: list[Node] = [{**sink("lake.all"), "id": 1}, {"type": "stream-exec-union_1", "id": 2, "outputType": "ROW<>"}]
    edges = [{"source": 2, "target": 1}]
    for chain in parts:
        first = len(nodes) + 1
        nodes += [{**node, "id": first + place} for place, node in enumerate(chain)]
        edges += [{"source": first + place, "target": first + place + 1} for place in range(len(chain) - 1)]
        edges.append({"source": len(nodes), "target": 2})
    return numbered(json.dumps({"nodes": nodes, "edges": edges}))


def test_what_a_union_puts_together_is_told_apart_by_its_sources_in_whatever_order() -> None:
    a, b = [source("a"), window(COUNT)], [source("b"), window(SUM)]
    assert numbers(union(a, b)) == numbers(union(b, a))
    assert len({number for _, number in numbers(union(a, b))}) == 6


def test_two_equal_ways_to_one_source_are_told_apart_by_their_order_in_the_union() -> None:
    nodes = [sink("lake.all"), {"type": "stream-exec-union_1"}, window(COUNT), window(SUM), source("a")]
    edges = [{"source": source, "target": target} for source, target in [(1, 0), (2, 1), (3, 1), (4, 2), (4, 3)]]
    numbered_nodes = [{**node, "id": number} for number, node in enumerate(nodes)]
    made = json.loads(numbered(json.dumps({"nodes": numbered_nodes, "edges": edges})))
    assert len({node["id"] for node in made["nodes"]}) == 5


def test_calculations_come_and_go_and_columns_move() -> None:
    wider = calc("service", "host", "time")
    moved = {**window({**COUNT, "filterArg": 1, "name": "n"}), "description": "another"}
    again = calc("service", "host", "time", of={"service": STRING, "host": STRING, "time": TIME})
    changed = [source(), wider, again, moved, sink("lake.service_health")]
    assert compare(plan(ARCHIVE, HEALTH), plan(ARCHIVE, changed)) == Change((), ())


def test_jobs_that_are_added_and_removed_are_named() -> None:
    assert compare(plan(ARCHIVE, HEALTH), plan(ARCHIVE, SESSIONS)) == Change(
        added=("lake.sessions",), removed=("lake.service_health",)
    )


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ([NEEDED, window(COUNT, SUM), AFTER], r"aggregate SUM\(events\.bytes\) \(BIGINT of BIGINT\) is new"),
        (
            [NEEDED, window({**COUNT, "internalName": "$MAX$1", "argList": [1]}), AFTER],
            r"aggregate was COUNT\(\*\) \(BIGINT NOT NULL\), is MAX\(events\.bytes\) \(BIGINT NOT NULL of BIGINT\)",
        ),
        ([NEEDED, window(size="PT5M"), AFTER], "window size was PT1M, is PT5M"),
        ([NEEDED, window(keys=(0, 1)), AFTER], r"key events\.bytes \(BIGINT\) is new"),
        (
            [calc("host", "bytes", "time"), window(), AFTER],
            r"key was events\.service \(STRING\), is events\.host \(STRING\)",
        ),
        ([NEEDED], "its window aggregate is gone"),
        ([NEEDED, LIMIT, window(), AFTER], "its limit is new, and would start empty"),
    ],
)
def test_what_open_windows_keep_must_not_change(changed: list[Node], said: str) -> None:
    now = [source(), *changed, sink("lake.service_health")]
    with pytest.raises(
        BadInput, match=f"The job behind lake.service_health keeps something else now: .*{said}"
    ) as refused:
        compare(plan(ARCHIVE, HEALTH), plan(ARCHIVE, now))
    assert "jobs finish" in refused.value.hint


def test_the_jobs_that_changed_are_all_named_and_no_other() -> None:
    health = [source(), NEEDED, window(size="PT5M"), AFTER, sink("lake.service_health")]
    sessions = [source(), NEEDED, window(COUNT), sink("lake.sessions")]
    writers = {"lake.service_health": ("health",), "lake.sessions": ("sessions",), "lake.app_logs": ("archive",)}
    with pytest.raises(BadInput) as refused:
        compare(plan(ARCHIVE, HEALTH, SESSIONS), plan(ARCHIVE, health, sessions), writers)
    assert "The job health (behind lake.service_health)" in refused.value.message
    assert "The job sessions (behind lake.sessions)" in refused.value.message
    assert "archive" not in refused.value.message


def unheard(**said: Any) -> list[Node]:
    node = {"type": "stream-exec-unheard-of_1", "description": "any", "outputType": row(a=STRING), **said}
    return [source(), calc("service"), node, sink("lake.all")]


def test_an_operator_of_which_nothing_is_known_is_taken_up_only_as_it_was() -> None:
    other_input = [source(), calc("host"), *unheard(way=[1])[2:]]
    assert compare(plan(unheard(way=[1])), plan(unheard(way=[1], description="words"))) == Change((), ())
    for changed, said in (
        (unheard(way=[2]), r"way was \[1\], is \[2\]"),
        (other_input, "column of its rows was events.s"),
    ):
        with pytest.raises(BadInput, match=rf"in its unheard of, .*{said}"):
            compare(plan(unheard(way=[1])), plan(changed))


def test_a_job_that_is_as_it_was_is_taken_up_whatever_flink_writes_of_it() -> None:
    strange = {"type": "stream-exec-window-aggregate_1", "aggCalls": "of a form that is not known here"}
    elsewhere = source()
    elsewhere["scanTableSource"]["table"]["resolvedTable"] = {"options": {"topic": "another"}}
    before = plan([source(), strange, sink("lake.all")])
    assert compare(before, plan([elsewhere, {**strange, "description": "any"}, sink("lake.all")])) == Change((), ())


def with_schema(*fields: dict[str, Any], name: str) -> str:
    """A job that keeps a column of that name, of a topic with that schema."""
    columns = {name: STRING, "bytes": BIGINT, "time": TIME}
    read = table("table-source-scan", "scanTableSource", "events", **columns)
    options = {"value.avro-dead-letter.schema": json.dumps({"fields": [*fields, {"name": "bytes"}, {"name": "time"}]})}
    read["scanTableSource"]["table"]["resolvedTable"] = {"options": options}
    return plan([read, calc(*columns, of=columns), window(), sink("lake.health")])


def test_a_field_that_an_alias_renames_is_the_same_column_and_without_alias_another() -> None:
    before = with_schema({"name": "service"}, name="service")
    renamed = with_schema({"name": "application", "aliases": ["service"]}, name="application")
    assert compare(before, renamed) == Change((), ())
    assert compare(renamed, before) == Change((), ())
    with pytest.raises(BadInput, match=r"key was events\.service \(STRING\), is events\.application"):
        compare(before, with_schema({"name": "application"}, name="application"))
