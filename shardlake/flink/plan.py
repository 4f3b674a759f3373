"""The application's plan with operator ids that stay: a savepoint fits after jobs are changed, added or removed.

Flink numbers the nodes of a plan in the order in which it meets them, and derives operator ids from the numbers: with
one more job nearly all would be others, and the state would fit none. Here a node's number follows from where it is:
from the sink that it leads to, and from the kinds of stateful nodes between the two. Calculations may change, come and
go; what has state keeps its number.

Source: Flink's compiled plans (FLIP-190); an operator's uid is `<node id>_<transformation>`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from shardlake.errors import BadInput
from shardlake.flink import kept_state
from shardlake.flink.lineage import Lineage, Node, kind_of, table_of

STATELESS = frozenset({"calc", "python-calc", "exchange", "union", "local-window-aggregate", "watermark-assigner"})
"""Kinds that a place does not tell. Another set would give the operators of older savepoints other numbers."""

SCHEMA = "value.avro-dead-letter.schema"
"""The option of a source that holds its Avro schema."""

WAY_ON = (
    "Put it back as it was; or run it as it was, end it by `shardlake jobs finish`, and run the new one, which begins "
    "with nothing kept: what still comes for the window that is open then is listed as late, and a join, a "
    "deduplication or a ranking knows nothing of what came before."
)


@dataclass(frozen=True, slots=True)
class Change:
    """Say what resuming another plan's state means: `sinks` that are `added` to it or `removed` from it."""

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


def compare(before: str, now: str, writers: Mapping[str, tuple[str, ...]] | None = None) -> Change:
    """Tell what changes where `now` takes up the state of `before`, both numbered. `writers` are the jobs of each sink.

    Raises BadInput where an operator would find another state than its own, or none: Flink would read one column as
    another, or start it empty, in silence.
    """
    old_plan, new_plan = json.loads(before), json.loads(now)
    old, new = Lineage(old_plan, _renamed(old_plan, new_plan)), Lineage(new_plan)
    old_sinks, new_sinks = _sinks(old), _sinks(new)
    # The first operator of a job that differs is named: those behind it differ with it.
    found: dict[tuple[str, ...], str] = {}
    for sinks, difference in _differences(old, new, old_sinks & new_sinks):
        found.setdefault(sinks, difference)
    if found:
        told = [f"{_whose(sinks, writers or {})} keeps something else now: {said}." for sinks, said in found.items()]
        msg = f"{' '.join(told)} The state of before does not fit."
        raise BadInput(msg, WAY_ON)
    return Change(added=tuple(sorted(new_sinks - old_sinks)), removed=tuple(sorted(old_sinks - new_sinks)))


def _differences(old: Lineage, new: Lineage, staying: set[str]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Sinks that stay, and how an operator on the way to them differs, those nearest to the sources first."""
    tables = {table_of(node) for node in new.nodes.values()}
    for number in _upstream_first(old):
        sinks, node = tuple(sorted(_leads_to(old, number) & staying)), old.nodes[number]
        words = f"its {kind_of(node).replace('-', ' ')}"
        if not sinks:
            continue
        if number not in new.nodes:
            table = table_of(node)
            if table and table in tables:
                yield sinks, f"{table} is read or written in another way"
            elif kept_state.keeps(node):
                yield sinks, f"{words} is gone, or stands elsewhere"
        elif kept_state.keeps(node) and not _is_same(old, new, number):
            said = kept_state.differences(kept_state.kept(old, number), kept_state.kept(new, number))
            if said:
                yield sinks, f"in {words}, {'; '.join(said[:3])}"
    for number in _upstream_first(new):
        node, leads_to = new.nodes[number], _leads_to(new, number)
        if number not in old.nodes and kept_state.keeps(node) and leads_to <= staying:
            yield tuple(sorted(leads_to)), f"its {kind_of(node).replace('-', ' ')} is new, and would start empty"


def _is_same(old: Lineage, new: Lineage, number: int) -> bool:
    """Tell whether a node and all that it reads are as they were, word for word: then nothing need be known of them."""
    sources = old.sources.get(number, [])
    return (
        number in new.nodes
        and sources == new.sources.get(number, [])
        and _definition(old.nodes[number]) == _definition(new.nodes[number])
        and all(_is_same(old, new, source) for source in sources)
    )


def _definition(node: Node) -> Node:
    # A source's options say where it reads from, too.
    left_out = {"description", "scanTableSource"}
    return {name: value for name, value in node.items() if name not in left_out} | {"table": table_of(node)}


def sinks_behind(compiled: str, numbers: Iterable[int]) -> set[str]:
    """The sinks that these nodes of a numbered plan lead to; numbers that it does not have lead nowhere."""
    lineage = Lineage(json.loads(compiled))
    return {sink for number in numbers if number in lineage.nodes for sink in _leads_to(lineage, number)}


def _whose(sinks: tuple[str, ...], writers: Mapping[str, tuple[str, ...]]) -> str:
    jobs = sorted({job for sink in sinks for job in writers.get(sink, ())})
    tables = ", ".join(sinks)
    return f"The job {' or '.join(jobs)} (behind {tables})" if jobs else f"The job behind {tables}"


def _upstream_first(lineage: Lineage) -> list[int]:
    found: dict[int, None] = {}

    def walk(number: int) -> None:
        if number in found:
            return
        for source in lineage.sources.get(number, []):
            walk(source)
        found[number] = None

    for number, node in lineage.nodes.items():
        if "dynamicTableSink" in node:
            walk(number)
    return list(found)


def _leads_to(lineage: Lineage, number: int) -> set[str]:
    node = lineage.nodes[number]
    if "dynamicTableSink" in node:
        return {str(table_of(node))}
    return {sink for target in lineage.targets.get(number, []) for sink in _leads_to(lineage, target)}


def _sinks(lineage: Lineage) -> set[str]:
    return {str(table_of(node)) for node in lineage.nodes.values() if "dynamicTableSink" in node}


def _renamed(old: dict[str, Any], new: dict[str, Any]) -> dict[str, str]:
    """The columns of sources whose field has another name in the new plan: an alias there, or here, says so."""
    before, now = _fields(old), _fields(new)
    return {
        f"{table}.{name}": f"{table}.{other}"
        for table, fields in before.items()
        for name, aliases in fields.items()
        if name not in now.get(table, {})
        for other, others in now.get(table, {}).items()
        if other not in fields and (name in others or other in aliases)
    }


def _fields(plan: dict[str, Any]) -> dict[str, dict[str, list[str]]]:
    """Give the fields of each source's Avro schema, and the aliases of each."""
    found = {}
    for node in plan["nodes"]:
        options = node.get("scanTableSource", {}).get("table", {}).get("resolvedTable", {}).get("options", {})
        if SCHEMA in options:
            fields = json.loads(options[SCHEMA])["fields"]
            table = str(table_of(node)).removeprefix("decoded.")
            found[table] = {field["name"]: field.get("aliases", []) for field in fields}
    return found


def _places(plan: dict[str, Any]) -> dict[int, str]:
    """Tell where each node is, by number. A union is no part of a place, so that two nodes below one may have the same.
    Each then says which sources it reads, and where that does not tell them apart, which way leads to it."""
    lineage = Lineage(plan)
    places = _paths(lineage, through_unions=False)
    ways = _paths(lineage, through_unions=True)
    reads = {number: ", ".join(sorted(_reads(lineage, number))) for number in places}
    for told in (reads, ways):
        counts = Counter(places.values())
        places = {
            number: place if counts[place] == 1 else f"{place} of {told[number]}" for number, place in places.items()
        }
    return places


def _paths(lineage: Lineage, *, through_unions: bool) -> dict[int, str]:
    """Find the first of the paths that lead from a sink to each node, in the order of the alphabet."""
    found: dict[int, str] = {}

    def walk(number: int, above: str, stateful_above: str) -> None:
        node = lineage.nodes[number]
        kind, name = kind_of(node), table_of(node)
        is_stateless = kind in STATELESS
        if name and not (above and through_unions):
            place = stateful = f"{kind} {name}"
        elif is_stateless:
            place, stateful = f"{above} < {kind}", stateful_above
        else:
            place = stateful = f"{stateful_above} < {kind}"
        found[number] = min(found.get(number, place), place)
        sources = lineage.sources.get(number, [])
        for index, source in enumerate(sources):
            branch = f" {index}" if len(sources) > 1 else ""
            walk(source, place + branch, stateful + (branch if through_unions or not is_stateless else ""))

    for number, node in lineage.nodes.items():
        if "dynamicTableSink" in node:
            walk(number, "", "")
    return found


def _reads(lineage: Lineage, number: int) -> set[str]:
    node = lineage.nodes[number]
    if "scanTableSource" in node:
        return {str(table_of(node))}
    return {table for source in lineage.sources.get(number, []) for table in _reads(lineage, source)}
