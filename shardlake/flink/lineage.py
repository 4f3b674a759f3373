"""Where each column of a compiled plan comes from: the source's column that it is, or the expression that makes it.

Flink's plans know columns by their places among an operator's input, and two columns of one type change places unseen.
Here each has an origin that a place does not change: `orders.email`, `MASK(orders.email)`, `SUM(orders.total_cents)`.

A calculation's expression is the origin as it stands. An aggregate's result is named by what it adds up, not by the
conditions and factors: a window that is open counts on when those change. Columns behind an operator of which nothing
is known have the operator's whole definition in their origin.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

from shardlake.flink.expressions import Column, Columns, column, digest, fields_of, made_by, result
from shardlake.flink.parts import Compared, comparisons, either, source, unknown

Node = dict[str, Any]

PASSED_ON = frozenset(
    {
        *("exchange", "watermark-assigner", "deduplicate", "window-deduplicate", "temporal-sort", "sort", "limit"),
        *("sort-limit", "drop-update-before", "changelog-normalize", "rank", "window-rank"),
    }
)
"""Kinds whose output begins with the columns of the input."""

AGGREGATES = frozenset({"global-window-aggregate", "window-aggregate", "group-window-aggregate", "group-aggregate"})


def kind_of(node: Node) -> str:
    """A node's kind without Flink's prefix and version."""
    return re.sub(r"^stream-exec-|_\d+$", "", node["type"])


def table_of(node: Node) -> str | None:
    """The table that a source or sink stands for."""
    for role in ("dynamicTableSink", "scanTableSource"):
        if role in node:
            return str(node[role]["table"]["identifier"]).replace("`", "").removeprefix("default_catalog.")
    return None


class Lineage:
    """The columns of each node of a plan. `renamed` says which columns of sources have another name in this plan."""

    def __init__(self, plan: dict[str, Any], renamed: dict[str, str] | None = None) -> None:
        self.nodes: dict[int, Node] = {node["id"]: node for node in plan["nodes"]}
        self._renamed = renamed or {}
        self._edges = plan["edges"]
        self._found: dict[int, Columns] = {}
        self._compared: dict[int, list[Compared]] = {}

    @cached_property
    def sources(self) -> dict[int, list[int]]:
        """The nodes that each node reads, in their order."""
        return _by("target", "source", self._edges)

    @cached_property
    def targets(self) -> dict[int, list[int]]:
        """The nodes that read each node."""
        return _by("source", "target", self._edges)

    def inputs(self, number: int) -> list[Columns]:
        """Give the columns of each input of a node."""
        return [self.output(before) for before in self.sources.get(number, [])]

    def output(self, number: int) -> Columns:
        """Give the columns that a node writes."""
        if number not in self._found:
            self._found[number] = self._output(number)
        return self._found[number]

    def compared(self, number: int) -> list[Compared]:
        """List what conditions of a node, and of all that it reads, compare with constants."""
        if number not in self._compared:
            found = [one for before in self.sources.get(number, []) for one in self.compared(before)]
            read = [one for columns in self.inputs(number) for one in columns]
            for condition in _conditions(self.nodes[number]):
                found += comparisons(condition, [one.parts for one in read], [one.name for one in read])
            self._compared[number] = list(dict.fromkeys(found))
        return self._compared[number]

    def aggregated(self, number: int) -> tuple[Columns, Node]:
        """Give the columns that an aggregate's calls and window refer to, and the node, or local half, reading them."""
        node = self.nodes[number]
        if "localAggInputRowType" in node:
            (before,) = self.sources[number]
            while kind_of(self.nodes[before]) == "exchange":
                (before,) = self.sources[before]
            if kind_of(self.nodes[before]) == "local-window-aggregate":
                return self.inputs(before)[0], self.nodes[before]
        return self.inputs(number)[0], node

    def _output(self, number: int) -> Columns:
        node = self.nodes[number]
        fields = list(fields_of(node.get("outputType", "ROW<>")))
        made = self._made(number, node)
        if made is None or len(made) != len(fields):
            made = self._opaque(number, node, fields)
        return tuple(replace(column, name=name, type=kind) for column, (name, kind) in zip(made, fields, strict=True))

    def _made(self, number: int, node: Node) -> Sequence[Column] | None:
        kind, inputs = kind_of(node), self.inputs(number)
        table = table_of(node)
        if table and "scanTableSource" in node:
            table = table.removeprefix("decoded.")
            columns = [f"{table}.{name}" for name, _ in fields_of(node["outputType"])]
            return [column(self._renamed.get(name, name), parts=source(name)) for name in columns]
        compared = self.compared(number)
        if "projection" in node:
            return [made_by(rex, inputs[0], compared) for rex in node["projection"]]
        if "projects" in node:
            return _either([[made_by(rex, inputs[0], compared) for rex in one] for one in node["projects"]])
        if kind == "union":
            return _either(inputs)
        if kind in PASSED_ON:
            return (
                [*inputs[0], column("its rank")]
                if node.get("outputRankNumber") or node.get("outputRowNumber")
                else inputs[0]
            )
        if kind in AGGREGATES:
            read, first = self.aggregated(number)
            window = window_of(first, read)
            properties = [f"{one['property']['kind']} of {window}" for one in node.get("namedWindowProperties", [])]
            keys = [inputs[0][index] for index in node["grouping"]]
            return [*keys, *(result(call, read) for call in node["aggCalls"]), *map(column, properties)]
        if kind == "local-window-aggregate":
            keys = [inputs[0][index] for index in node["grouping"]]
            rest = len(list(fields_of(node["outputType"]))) - len(keys)
            parts = unknown(kind, [one.parts for one in inputs[0]])
            return [*keys, *[column("accumulator", parts=parts)] * rest]
        if kind == "over-aggregate":
            read = with_constants(node, inputs[0])
            calls = [call for group in node["overSpec"]["groups"] for call in group["aggCalls"]]
            return [*inputs[0], *(result(call, read) for call in calls)]
        if kind == "window-table-function":
            window = window_of(node, inputs[0])
            return [*inputs[0], *(column(f"{name} of {window}") for name in ("start", "end", "time"))]
        if kind.endswith("correlate") and "functionCall" in node:
            call = made_by(node["functionCall"], inputs[0], compared)
            names = [name for name, _ in fields_of(node["outputType"])][len(inputs[0]) :]
            parts = replace(call.parts, whole=False)
            return [*inputs[0], *(column(f"{call.exact}.{name}", parts=parts) for name in names)]
        if kind.endswith("join") and len(inputs) == 2:
            both = [*inputs[0], *inputs[1]]
            return both if len(both) == len(list(fields_of(node["outputType"]))) else inputs[0]
        return None

    def _opaque(self, number: int, node: Node, fields: Iterable[tuple[str, str]]) -> list[Column]:
        told = {name: value for name, value in node.items() if name not in ("id", "description")}
        known = digest(json.dumps([told, [[str(one) for one in read] for read in self.inputs(number)]]))
        parts = unknown(kind_of(node), [one.parts for read in self.inputs(number) for one in read])
        return [column(f"{name} of {kind_of(node)} {known}", parts=parts) for name, _ in fields]


def window_of(node: Node, read: Sequence[Column]) -> str:
    """The window of an aggregate or a table function, and the time that it is over."""
    window = node["windowing"]["window"] if "windowing" in node else node.get("window", {})
    words = [str(window[name]) for name in ("type", "kind", "size", "slide", "step", "offset", "gap") if name in window]
    return f"{' '.join(words)} on {time_of(node, read)}"


def time_of(node: Node, read: Sequence[Column]) -> str:
    """The time that a window is over."""
    windowing = node.get("windowing", {})
    place: int | None = windowing.get("timeAttributeIndex", windowing.get("windowStart"))
    if place is None:
        place = node.get("window", {}).get("timeField", {}).get("fieldIndex")
    return "no column" if place is None else read[place].origin


def with_constants(node: Node, read: Columns) -> Columns:
    """Give what an OVER refers to: its input's columns, and after them its constants."""
    return (*read, *(made_by(rex, read) for rex in node["overSpec"].get("constants", [])))


def _conditions(node: Node) -> list[Any]:
    """The conditions that the rows of a node's output have met."""
    joins = [node, node.get("joinSpec", {}), node.get("intervalJoinSpec", {}).get("joinSpec", {})]
    return [one[name] for one in joins for name in ("condition", "nonEquiCondition") if one.get(name)]


def _either(all_of_them: Sequence[Sequence[Column]]) -> list[Column] | None:
    """Columns of several inputs in one place, whichever input comes first."""
    if len({len(columns) for columns in all_of_them}) != 1:
        return None
    return [
        column(
            " or ".join(sorted({one.origin for one in place})),
            " or ".join(sorted({one.exact for one in place})),
            frozenset(value for one in place for value in one.values),
            either([one.parts for one in place]),
        )
        for place in zip(*all_of_them, strict=True)
    ]


def _by(key: str, value: str, edges: Iterable[dict[str, Any]]) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for edge in edges:
        found.setdefault(edge[key], []).append(edge[value])
    return found
