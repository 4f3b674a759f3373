"""Columns of compiled plans, the types of rows, and the expressions that make columns of columns."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from shardlake.flink.parts import NOTHING, Compared, Parts, of_aggregate, of_expression
from shardlake.flink.rex import function_of, is_expression, is_same_type, plain_type, type_text

LONGEST = 200
"""Characters of an origin in a message; a longer one is cut, with a digest of the whole."""

ADDS_UP = frozenset({"COUNT", "SUM", "$SUM0", "AVG", "STDDEV_POP", "STDDEV_SAMP", "VAR_POP", "VAR_SAMP"})
"""Aggregates that keep no value as it came. Another expression of the same columns counts on; all others keep values,
which are then what their column is."""


@dataclass(frozen=True, slots=True)
class Column:
    """`origin` says what the column is, `exact` with every condition too; `values` are the columns it is made of.

    `parts` says the same of its values, for PII: of every column that may be seen in them.
    """

    name: str
    type: str
    origin: str
    exact: str
    values: frozenset[str]
    parts: Parts = NOTHING

    def __str__(self) -> str:
        return f"{self.origin} ({self.type})"


Columns = tuple[Column, ...]


def column(
    origin: str, exact: str | None = None, values: frozenset[str] | None = None, parts: Parts = NOTHING
) -> Column:
    """A column whose name and type are not known yet. With nothing else said, it is made of itself."""
    made_of = frozenset({short(origin)}) if values is None else values
    return Column("", "", short(origin), short(exact or origin), made_of, parts)


def short(text: str) -> str:
    """A long origin, cut, and told from others that begin alike."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 20]}… {digest(text)}"


def digest(text: str) -> str:
    """Sixteen digits that stand for a text."""
    return blake2b(text.encode(), digest_size=8).hexdigest()


def fields_of(row: Any) -> Iterator[tuple[str, str]]:
    """The names and types of a row's fields. Flink writes it as text, or as JSON where it has a time attribute."""
    if isinstance(row, dict):
        for field in row["fields"]:
            yield field["name"], type_text(field["fieldType"])
        return
    inside = row.removesuffix(" NOT NULL").removeprefix("ROW<").removesuffix(">")
    for part in _parts(inside):
        match = re.fullmatch(r"`((?:[^`]|``)*)` (.*)", part, re.DOTALL)
        assert match is not None, part
        yield match[1].replace("``", "`"), type_text(match[2])


def _parts(text: str) -> Iterator[str]:
    """The parts between commas, which names, literals and types in brackets may have within them."""
    depth, quote, begin = 0, "", 0
    for place, letter in enumerate(text):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "`'":
            quote = letter
        elif letter in "<(":
            depth += 1
        elif letter in ">)":
            depth -= 1
        elif letter == "," and not depth:
            yield text[begin:place].strip()
            begin = place + 1
    if text[begin:].strip():
        yield text[begin:].strip()


def made_by(rex: Any, read: Sequence[Column], compared: Sequence[Compared] = ()) -> Column:
    """Give the column that an expression over columns makes. `compared` are what conditions before it have compared."""
    if rex["kind"] == "INPUT_REF":
        return _referred(rex, read)
    parts = of_expression(rex, [one.parts for one in read], [one.name for one in read], compared)
    return column(_text(rex, read, exact=False), _text(rex, read, exact=True), _values(rex, read), parts)


def _referred(rex: Any, read: Sequence[Column]) -> Column:
    place: int = rex["inputIndex"]
    return read[place]


def _text(rex: Any, read: Sequence[Column], *, exact: bool) -> str:
    def inner(one: Any) -> str:
        return _text(one, read, exact=exact)

    kind = rex["kind"]
    if kind == "INPUT_REF":
        one = _referred(rex, read)
        return one.exact if exact else one.origin
    if kind == "LITERAL" and "value" in rex and "sarg" not in rex:
        value, type_ = rex["value"], plain_type(rex["type"])
        if value is None:
            return "NULL"
        return str(value) if not isinstance(value, str) else f"'{value}'" if "CHAR" in type_ else f"{type_} '{value}'"
    if kind == "FIELD_ACCESS":
        if rex["expr"]["kind"] == "CORREL_VARIABLE":
            found = [one for one in read if one.name == rex["name"]]
            return found[0].origin if found else str(rex["name"])
        return f"{inner(rex['expr'])}.{rex['name']}"
    if kind == "CALL":
        operands = rex["operands"]
        name = function_of(rex)
        if name == "REINTERPRET" or (name == "CAST" and is_same_type(rex, operands[0])):
            return inner(operands[0])
        if name == "CAST":
            return f"CAST({inner(operands[0])} AS {plain_type(rex['type'])})"
        if rex.get("syntax") == "BINARY" and len(operands) == 2:
            return f"({inner(operands[0])} {name} {inner(operands[1])})"
        return f"{name}({', '.join(map(inner, operands))})"
    told = {
        name: [inner(one) for one in value] if isinstance(value, list) and value and is_expression(value[0])
        else inner(value) if is_expression(value)
        else value
        for name, value in rex.items()
        if name != "correl"  # a number that Flink gives out in the order of the jobs
    }  # fmt: skip
    return json.dumps(told, sort_keys=True)


def _values(rex: Any, read: Sequence[Column]) -> frozenset[str]:
    """The columns that the value is made of; what decides which of several values it is does not count."""
    if rex["kind"] == "INPUT_REF":
        return _referred(rex, read).values
    if rex["kind"] not in ("CALL", "LITERAL"):
        return frozenset({_text(rex, read, exact=False)})
    operands = rex.get("operands", [])
    if rex["kind"] == "CALL" and function_of(rex) in ("CASE", "IF"):
        operands = [one for place, one in enumerate(operands) if place % 2 or place == len(operands) - 1]
    found: set[str] = set()
    for one in operands:
        found |= _values(one, read)
    return frozenset(found)


def result(call: Any, read: Sequence[Column]) -> Column:
    """Give the column that an aggregate's call makes of its input."""
    name = function_of(call)
    arguments = [read[index] for index in call["argList"]]
    chosen = f" FILTER ({read[call['filterArg']].exact})" if call.get("filterArg", -1) >= 0 else ""
    distinct = "DISTINCT " if call.get("distinct") else ""
    exact = f"{name}({distinct}{', '.join(one.exact for one in arguments) or '*'}){chosen}"
    parts = of_aggregate(call, [one.parts for one in read])
    if name in ADDS_UP and not distinct:
        added = sorted({value for one in arguments for value in one.values})
        return column(f"{name}({', '.join(added) or ('a constant' if arguments else '*')})", exact, parts=parts)
    kept = ", ".join(one.origin for one in arguments) or "*"
    # Several DISTINCT over one column share a set of values, with a mark for each condition.
    return column(f"{name}({distinct}{kept}){chosen if distinct else ''}", exact, parts=parts)
