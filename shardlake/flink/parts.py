"""Tell which columns of sources a column's values are made of, and which of them are masked.

Flink's optimizer puts a constant in the place of what a condition has compared with one: behind `email = 'a@b.example'`
there is no `email` any more, but text. So text behind such a condition counts as made of the column that it compares.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from shardlake.flink.rex import function_of, is_expression, is_same_type, type_text

MASKS = {"MASK": "hash", "TRUNCATE_QUERY": "truncate_query", "TRUNCATE_NETWORK": "truncate_network"}
"""The mask that each function is, as schemas call it."""
KEYED = frozenset({"hash", "truncate_network"})
TWICE = "hash of a hash"

COUNTS = frozenset({"COUNT", "APPROX_COUNT_DISTINCT"})
PICKS = frozenset({"MIN", "MAX", "FIRST_VALUE", "LAST_VALUE", "LAG", "LEAD", "SINGLE_VALUE"})
"""Aggregates whose result is one of their first argument's values."""
ONLY_PRESENCE = frozenset({"IS NULL", "IS NOT NULL"})
EQUALS = frozenset({"=", "IS NOT DISTINCT FROM", "SEARCH", "<=", ">="})
"""Conditions that can leave a column one value; two bounds can close in on one."""


class Part(NamedTuple):
    """A column of a source, and how it is masked."""

    column: str
    mask: str | None = None


@dataclass(frozen=True, slots=True)
class Parts:
    """`values` are what the column's values are made of, `conditions` what decides which of several values it is.

    `whole`: each value is that of one part, masked as it says, or null. `behind` is the kind of an operator of which
    nothing is known, where the column comes from one.
    """

    values: frozenset[Part] = frozenset()
    conditions: frozenset[Part] = frozenset()
    whole: bool = True
    behind: str | None = None


NOTHING = Parts()
"""A null, a count, the bounds of a window."""


@dataclass(frozen=True, slots=True)
class Compared:
    """A constant, as JSON, that a condition compares with a column."""

    value: str
    parts: Parts


def source(name: str) -> Parts:
    """A column of a source, as it comes."""
    return Parts(frozenset({Part(name)}))


def unknown(kind: str, read: Iterable[Parts]) -> Parts:
    """What may be in a column that an operator, or expression, of an unknown kind makes of all that it reads."""
    return replace(_joined(read, whole=False), behind=kind)


def either(inputs: Sequence[Parts]) -> Parts:
    """A column that comes from one of several inputs."""
    return _joined(inputs, whole=all(one.whole for one in inputs))


def of_aggregate(call: Any, read: Sequence[Parts]) -> Parts:
    """What an aggregate's result is made of; under which condition it is taken says nothing of the value."""
    name, arguments = function_of(call), [read[place] for place in call["argList"]]
    if name in COUNTS:
        return NOTHING
    if name in PICKS and arguments:
        first, *rest = arguments
        is_masked = all(part.mask for part in first.values)
        return replace(_joined([first, *rest], whole=False), whole=first.whole and is_masked)
    return _joined(arguments, whole=False)


def of_expression(rex: Any, read: Sequence[Parts], names: Sequence[str], compared: Sequence[Compared] = ()) -> Parts:
    """What an expression's value is made of. `compared` are what conditions before it have compared."""

    def inner(one: Any) -> Parts:
        return of_expression(one, read, names, compared)

    kind = rex["kind"]
    if kind == "INPUT_REF":
        place: int = rex["inputIndex"]
        return read[place]
    if kind == "LITERAL":
        return _of_literal(rex, compared)
    if kind == "FIELD_ACCESS" and rex["expr"]["kind"] == "CORREL_VARIABLE":
        found = [one for one, name in zip(read, names, strict=True) if name == rex["name"]]
        return found[0] if len(found) == 1 else unknown("a correlated query", read)
    if kind == "FIELD_ACCESS":
        return replace(inner(rex["expr"]), whole=False)
    if kind != "CALL":
        return unknown(f"an expression of the kind {kind}", read)
    name, operands = function_of(rex), rex["operands"]
    if name in ONLY_PRESENCE:
        return NOTHING
    if name == "REINTERPRET" or (name == "CAST" and is_same_type(rex, operands[0])):
        return inner(operands[0])
    if name in MASKS and "internalName" not in rex:
        return _masked(MASKS[name], inner(operands[0]))
    if name in ("CASE", "IF"):
        conditions = [inner(one) for place, one in enumerate(operands[:-1]) if place % 2 == 0]
        values = [inner(one) for place, one in enumerate(operands) if place % 2 or place == len(operands) - 1]
        decided = _joined(conditions, whole=False)
        made = _joined(values, whole=False)
        return replace(made, conditions=made.conditions | decided.values | decided.conditions)
    return _joined(map(inner, operands), whole=False)


def comparisons(condition: Any, read: Sequence[Parts], names: Sequence[str]) -> Iterator[Compared]:
    """Constants with which a condition, or each of several joined by AND, compares a column."""
    if not is_expression(condition) or condition["kind"] != "CALL":
        return
    name, operands = function_of(condition), condition["operands"]
    if name == "AND":
        for one in operands:
            yield from comparisons(one, read, names)
    elif name in EQUALS:
        for this, other in ((operands[0], operands[1]), (operands[1], operands[0])):
            parts = of_expression(this, read, names)
            if parts.values or parts.conditions:
                yield from (Compared(json.dumps(value), parts) for value in _constants(other))


def _constants(rex: Any) -> Iterator[Any]:
    """Each constant of an expression that has nothing else."""
    if rex["kind"] == "LITERAL":
        yield from _points(rex["sarg"]) if "sarg" in rex else [rex.get("value")]
    elif rex["kind"] == "CALL":
        for one in rex["operands"]:
            yield from _constants(one)


def _points(sarg: Any) -> Iterator[Any]:
    for one in sarg["ranges"]:
        yield from (one[bound]["value"] for bound in ("lower", "upper") if bound in one)


def _of_literal(rex: Any, compared: Sequence[Compared]) -> Parts:
    value = rex.get("value")
    if value is None and "sarg" not in rex:
        return NOTHING
    same = [one.parts for one in compared if one.value == json.dumps(value)]
    if same:
        return either(same)
    # A function of a constant is a constant of another value.
    is_text = any(kind in type_text(rex["type"]) for kind in ("CHAR", "STRING", "BINARY", "BYTES"))
    made = _joined([one.parts for one in compared] if is_text else [], whole=False)
    return Parts(conditions=made.values | made.conditions, whole=False)


def _masked(mask: str, read: Parts) -> Parts:
    if mask in KEYED and any(part.mask in (*KEYED, TWICE) for part in read.values):
        return replace(read, values=frozenset(Part(part.column, TWICE) for part in read.values))
    if mask == "hash":
        everything = read.values | read.conditions
        return Parts(frozenset(Part(part.column, mask) for part in everything))
    if not read.whole:  # what a truncation leaves of an expression may be all of it
        return read
    return replace(read, values=frozenset(Part(part.column, part.mask or mask) for part in read.values))


def _joined(several: Iterable[Parts], *, whole: bool) -> Parts:
    all_of_them = list(several)
    return Parts(
        frozenset(part for one in all_of_them for part in one.values),
        frozenset(part for one in all_of_them for part in one.conditions),
        whole,
        next((one.behind for one in all_of_them if one.behind), None),
    )
