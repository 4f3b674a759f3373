"""Describe what the operators of a compiled plan keep in their state, and how two plans differ there.

A join, a deduplication, a ranking, an OVER keep whole rows: each column's type and place, and what it is, count. An
aggregate keeps its keys and accumulators: what is counted, not under which condition. Whatever else the plan says of
the operator counts as well, names and places of columns excepted. Where nothing is known about an operator, every word
of its definition counts, and every column that it reads.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from shardlake.flink.expressions import Column, Columns, made_by, result, short
from shardlake.flink.lineage import AGGREGATES, Lineage, Node, kind_of, time_of, with_constants
from shardlake.flink.rex import function_of, is_expression, type_text

KEEPS_ROWS = frozenset(
    {
        *("interval-join", "join", "window-join", "temporal-join", "deduplicate", "window-deduplicate", "rank"),
        *("window-rank", "temporal-sort", "over-aggregate"),
    }
)
KEEPS_NOTHING = frozenset(
    {
        *("calc", "python-calc", "exchange", "union", "local-window-aggregate", "watermark-assigner", "expand"),
        *("correlate", "python-correlate", "values", "drop-update-before"),
    }
)
"""At a checkpoint, that is: local aggregates and Python functions hand on what they have before one."""

SAYS_NOTHING = frozenset({"id", "description", "inputProperties", "outputType"})
"""Fields that say nothing of what a known operator keeps: numbers, and what follows from its input and the rest."""

NAMES = frozenset(
    {
        *("name", "alias", "fieldName", "namedWindowProperties", "localAggInputRowType", "sliceEnd"),
        "originalInputFields",
    }
)
"""Names, and numbers of columns that say nothing of what is kept."""

PLACES = frozenset(
    {
        *("grouping", "uniqueKeys", "partitionKeys", "orderKey", "leftKeys", "rightKeys", "fields", "index"),
        *("timeAttributeIndex", "windowStart", "windowEnd", "partition_key_indices", "fieldIndex"),
        *("leftTimeIndex", "rightTimeIndex", "leftTimeAttributeIndex", "rightTimeAttributeIndex"),
    }
)
"""Fields of a node that hold places of columns among those of its input."""

WORDS = {
    "grouping": "key",
    "unique keys": "key",
    "partition keys": "key",
    "partition spec fields": "key",
    "over spec partition fields": "key",
    "join spec left keys": "key of its left rows",
    "join spec right keys": "key of its right rows",
    "interval join spec join spec left keys": "key of its left rows",
    "interval join spec join spec right keys": "key of its right rows",
    "agg calls": "aggregate",
    "windowing time attribute index": "window time",
    "windowing window size": "window size",
    "windowing window slide": "window slide",
    "windowing window gap": "window gap",
    "over spec groups 1 agg calls": "aggregate",
}
"""For what is named often; all else has the words of Flink's plan."""


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that is kept. `text` must stay. `exact` says it with every condition, `of` which columns it is made of
    with theirs, `name` is the job's: by these two that look alike are seen to have changed places."""

    text: str
    exact: str = ""
    of: tuple[str, ...] = ()
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Kept:
    """Things that are kept, by their names in a message, and every column that the operator reads."""

    items: dict[str, tuple[Item, ...]]
    read: frozenset[str]


def keeps(node: Node) -> bool:
    """Tell whether a node has state whose layout the job decides; a source's and a sink's is the connector's."""
    kind = kind_of(node)
    if kind == "window-table-function":
        return bool(node["windowing"]["window"]["type"] == "SessionWindow")
    return not (kind in KEEPS_NOTHING or "dynamicTableSink" in node or "scanTableSource" in node)


def kept(lineage: Lineage, number: int) -> Kept:
    """Describe what a node keeps."""
    node, inputs = lineage.nodes[number], lineage.inputs(number)
    kind = kind_of(node)
    sides = ["left rows", "right rows"] if len(inputs) == 2 else ["rows"] * len(inputs)
    items = {f"column of its {side}": _all(columns) for side, columns in zip(sides, inputs, strict=True)}
    read = with_constants(node, inputs[0]) if kind == "over-aggregate" else inputs[0]
    if kind in KEEPS_ROWS:
        items |= _said(node, (), [read, *inputs[1:]], read)
    elif kind in AGGREGATES:
        read, first = lineage.aggregated(number)
        items = {"window time": (Item(time_of(first, read)),), **dict(_said(node, (), inputs, read))}
    else:
        told = {name: value for name, value in node.items() if name not in ("id", "description")}
        items |= {name: (Item(json.dumps(value, sort_keys=True)),) for name, value in told.items()}
    return Kept(items, frozenset(one.exact for columns in (*inputs, read) for one in columns))


def _all(columns: Sequence[Column]) -> tuple[Item, ...]:
    return tuple(Item(str(one), f"{one.exact} ({one.type})", (one.exact,), one.name) for one in columns)


def _said(
    value: Any, path: tuple[str, ...], inputs: Sequence[Columns], called: Columns
) -> Iterator[tuple[str, tuple[Item, ...]]]:
    """List what a node's JSON says, with columns for their places. `called` are those that aggregates refer to."""
    name = path[-1] if path else ""
    if name in NAMES or (len(path) == 1 and name in SAYS_NOTHING):
        return
    if name == "aggCalls":
        yield _words(path), tuple(_accumulator(call, called) for call in value)
    elif name == "state":
        yield "time-to-live", tuple(Item(f"{one['ttl']} of {one['name']}") for one in value)
    elif is_expression(value):
        made = made_by(value, [column for columns in inputs for column in columns])
        yield _words(path), (Item(made.exact),)
    elif isinstance(value, dict):
        # An inner join's condition says nothing of its rows; with an outer one, rows know whether they had a match.
        inner = value.get("joinType") == "INNER"
        for one, part in value.items():
            if not (inner and one == "nonEquiCondition"):
                yield from _said(part, (*path, one), inputs, called)
    elif isinstance(value, list) and any(isinstance(part, dict) for part in value):
        for place, part in enumerate(value, 1):
            yield from _said(part, (*path, str(place)), inputs, called)
    elif name in PLACES:
        is_right = len(inputs) > 1 and any(part.startswith("right") for part in path)
        columns = inputs[1 if is_right else 0]
        places = value if isinstance(value, list) else [value]
        yield _words(path), _all([columns[one] for one in places if 0 <= one < len(columns)])
    else:
        yield _words(path), (Item(value if isinstance(value, str) else json.dumps(value, sort_keys=True)),)


def _accumulator(call: Any, read: Sequence[Column]) -> Item:
    made = result(call, read)
    types = ", ".join(read[place].type for place in call["argList"])
    of = f" of {types}" if types and (function_of(call) != "COUNT" or call.get("distinct")) else ""
    flags = "".join(f", {flag}" for flag in ("approximate", "ignoreNulls") if call.get(flag))
    places = [*call["argList"], *([call["filterArg"]] if call.get("filterArg", -1) >= 0 else [])]
    text = f"{made.origin} ({type_text(call['type'])}{of}{flags})"
    return Item(text, made.exact, tuple(read[place].exact for place in places), call.get("name"))


def _words(path: Sequence[str]) -> str:
    words = re.sub(r"([a-z])([A-Z])", lambda at: f"{at[1]} {at[2].lower()}", " ".join(path))
    return WORDS.get(words, words)


def differences(old: Kept, new: Kept) -> list[str]:
    """Each difference in what is kept, in words; none where the state may be taken up."""
    found: list[str] = []
    for name in {**old.items, **new.items}:
        were, are = old.items.get(name, ()), new.items.get(name, ())
        found += _at_places(name, were, are, old.read) if len(were) == len(are) else _gone_and_new(name, were, are)
    return found


def _at_places(name: str, were: tuple[Item, ...], are: tuple[Item, ...], read: frozenset[str]) -> Iterator[str]:
    changed = [place for place in range(len(were)) if were[place].text != are[place].text]
    for place in changed or _exchanged(were, are, read):
        was, is_ = were[place], are[place]
        texts = (was.text, is_.text) if changed else (was.exact, is_.exact)
        first, _, rest = name.partition(" ")
        which = f"{first} {place + 1} {rest}".strip() if len(were) > 1 else name
        yield f"{which} was {short(texts[0])}, is {short(texts[1])}"


def _exchanged(were: tuple[Item, ...], are: tuple[Item, ...], read: frozenset[str]) -> list[int]:
    """The places of what differs in a condition alone and is what another column was: `events`, which is `errors`."""
    changed = [place for place in range(len(were)) if were[place].exact != are[place].exact]
    names = {were[place].name for place in changed} - {None}
    return [
        place
        for place in changed
        if any(of in read for of in set(are[place].of) - set(were[place].of))
        or (are[place].name != were[place].name and are[place].name in names)
    ]


def _gone_and_new(name: str, were: tuple[Item, ...], are: tuple[Item, ...]) -> Iterator[str]:
    old, new = [one.text for one in were], [one.text for one in are]
    if set(old) == set(new):
        old, new = [one.exact for one in were], [one.exact for one in are]
    yield from (f"{name} {short(text)} is gone" for text in old if text not in new)
    yield from (f"{name} {short(text)} is new" for text in new if text not in old)
    if set(old) == set(new):
        yield f"{name}: there were {len(old)}, there are {len(new)}"
