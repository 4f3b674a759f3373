"""The application's plan with operator ids that stay: a savepoint fits after jobs are changed, added or removed.

Flink numbers the nodes of a plan in the order in which it meets them, and derives operator ids from the numbers: with
one more job nearly all would be others, and the state would fit none. Here a node's number follows from where it is:
from the sink that it leads to, and from the kinds of stateful nodes between the two. Calculations may change, come and
go; what has state keeps its number.

Source: Flink's compiled plans (FLIP-190); an operator's uid is `<node id>_<transformation>`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from shardlake.errors import BadInput

Node = dict[str, Any]
STATELESS = frozenset({"calc", "python-calc", "exchange", "union", "local-window-aggregate", "watermark-assigner"})
WINDOWED = re.compile("aggregate|rank|deduplicate|join|match|process")
"""Kinds whose state has a layout of its own; a source's and a sink's does not depend on the columns."""

LAYOUT = ("aggCalls", "windowing", "overSpec")
NO_LAYOUT = frozenset(
    {
        *("name", "argList", "filterArg", "timeAttributeIndex", "sliceEnd", "windowStart", "windowEnd"),
        *("partition_key_indices", "partition", "orderBy", "inputIndex", "originalInputFields"),
    }
)
"""Names, and where a column stands among its input's, say nothing of what is kept."""


@dataclass(frozen=True, slots=True)
class Change:
    """What resuming another plan's state means: `sinks` that are `added` to it or `removed` from it."""

    added: tuple[str, ...]
    removed: tuple[str, ...]


def numbered(compiled: str) -> str:
    """A compiled plan, as JSON, with numbers that follow from each node's place. Stable across equal places only."""
    plan = json.loads(compiled)
    places = _places(plan)
    numbers = {
        number: int.from_bytes(blake2b(place.encode(), digest_size=4).digest()) >> 1 for number, place in places.items()
    }
    if len(set(numbers.values())) != len(numbers):
        msg = "Two nodes of the plan have one place."
        raise AssertionError(msg)
    for node in plan["nodes"]:
        node["id"] = numbers[node["id"]]
    for edge in plan["edges"]:
        edge["source"], edge["target"] = numbers[edge["source"]], numbers[edge["target"]]
    return json.dumps(plan)


def compare(before: str, now: str) -> Change:
    """What changes where `now` takes up the state of `before`, both numbered.

    Raises BadInput where a window, or whatever else has state, would not find its own again: Flink would start it
    empty, in silence.
    """
    old_plan, new_plan = json.loads(before), json.loads(now)
    old, new = _stateful(old_plan), _stateful(new_plan)
    old_sinks, new_sinks = _sinks(old_plan), _sinks(new_plan)
    for number, (layout, sinks) in old.items():
        staying = sorted(sinks & new_sinks)
        if staying and (number not in new or new[number][0] != layout):
            msg = (
                f"What the job behind {', '.join(staying)} keeps in its windows has changed: "
                "it cannot take over those that are open."
            )
            raise BadInput(
                msg,
                "Put it back as it was; or run it as it was, end it by `shardlake jobs finish`, and run the new one: "
                "the window that is open then is written in two rows.",
            )
    return Change(added=tuple(sorted(new_sinks - old_sinks)), removed=tuple(sorted(old_sinks - new_sinks)))


def _kind(node: Node) -> str:
    return re.sub(r"^stream-exec-|_\d+$", "", node["type"])


def _name(node: Node) -> str | None:
    for role in ("dynamicTableSink", "scanTableSource"):
        if role in node:
            return str(node[role]["table"]["identifier"]).replace("`", "").removeprefix("default_catalog.")
    return None


def _places(plan: dict[str, Any]) -> dict[int, str]:
    """By number, the first of the paths that lead from a sink to the node, in the order of the alphabet."""
    nodes = {node["id"]: node for node in plan["nodes"]}
    inputs: dict[int, list[int]] = {}
    for edge in plan["edges"]:
        inputs.setdefault(edge["target"], []).append(edge["source"])
    found: dict[int, str] = {}

    def walk(number: int, above: str, stateful_above: str) -> None:
        node = nodes[number]
        kind, name = _kind(node), _name(node)
        is_stateless = kind in STATELESS
        if name:
            place = stateful = f"{kind} {name}"
        elif is_stateless:
            place, stateful = f"{above} < {kind}", stateful_above
        else:
            place = stateful = f"{stateful_above} < {kind}"
        found[number] = min(found.get(number, place), place)
        several = len(inputs.get(number, [])) > 1
        for index, source in enumerate(inputs.get(number, [])):
            branch = f" {index}" if several else ""
            walk(source, place + branch, stateful + ("" if is_stateless else branch))

    for number, node in nodes.items():
        if "dynamicTableSink" in node:
            walk(number, "", "")
    return found


def _sinks(plan: dict[str, Any]) -> set[str]:
    return {str(_name(node)) for node in plan["nodes"] if "dynamicTableSink" in node}


def _stateful(plan: dict[str, Any]) -> dict[int, tuple[str, set[str]]]:
    """By number, each node with windows or the like: how its state is laid out, and the sinks that it leads to."""
    targets: dict[int, list[int]] = {}
    for edge in plan["edges"]:
        targets.setdefault(edge["source"], []).append(edge["target"])
    nodes = {node["id"]: node for node in plan["nodes"]}

    def sinks(number: int) -> Iterator[str]:
        if "dynamicTableSink" in nodes[number]:
            yield str(_name(nodes[number]))
        for target in targets.get(number, []):
            yield from sinks(target)

    return {
        number: (_state_of(node), set(sinks(number)))
        for number, node in nodes.items()
        if _kind(node) not in STATELESS and WINDOWED.search(_kind(node))
    }


def _state_of(node: Node) -> str:
    layout = {name: _layout(node[name]) for name in LAYOUT if name in node}
    layout["keys"] = len(node.get("grouping", []))
    if "overSpec" in node:  # it keeps whole rows
        layout["rows"] = node["outputType"]
    return json.dumps(layout)


def _layout(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _layout(part) for name, part in value.items() if name not in NO_LAYOUT}
    return [_layout(part) for part in value] if isinstance(value, list) else value
