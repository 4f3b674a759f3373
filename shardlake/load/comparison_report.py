"""How a comparison is shown: rows of a table, JSON for programs, Markdown."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from shardlake.load.compare import Compared, Comparison
from shardlake.load.document import UNKNOWN, Table, number
from shardlake.load.summary import table, text

COLUMNS = ("figure", "A", "B", "B / A, median", "smallest", "largest", "pairs", "noise floor", "conclusion")


def rows(found: Comparison) -> list[list[str]]:
    """The table, a row a figure, for COLUMNS."""
    return [
        [
            str(one.figure), _value(one.a), _value(one.b), *map(_ratio, (one.ratio, one.smallest, one.largest)),
            str(one.pairs), _noise(one), one.conclusion,
        ]
        for one in found.figures
    ]  # fmt: skip


def words(found: Comparison) -> list[str]:
    """What is to be said beside the table: which runs these are, what was refused, what else to know."""
    return [f"A: {', '.join(found.a)}", f"B: {', '.join(found.b)}", *found.refused, *found.notes]


def differences(found: Comparison) -> list[list[str]]:
    """What else is in B than in A: name, A's and B's."""
    return [[one.name, one.a, one.b] for one in found.differences]


def as_json(found: Comparison) -> dict[str, Any]:
    """For programs; an infinite ratio, where A's is 0, is "infinite"."""
    shown = asdict(found)
    for row in shown["figures"]:
        figure = row.pop("figure")
        row.update({name: "infinite" for name, value in row.items() if isinstance(value, float) and math.isinf(value)})
        row["name"], row["unit"] = figure["name"], figure["unit"]
    return shown


def markdown(found: Comparison) -> str:
    """As a part of a page: a heading, what differs, the table."""
    parts = ["## B beside A", "\n".join(f"- {text(said)}" for said in words(found))]
    differing = tuple(map(tuple, differences(found)))
    if differing:
        parts.append(table(Table(columns=("what differs", "A", "B"), rows=differing, words_first=3)))
    parts.append(table(Table(columns=COLUMNS, rows=tuple(map(tuple, rows(found))), words_last=1)))
    return "\n\n".join(parts) + "\n"


def _value(value: float | None) -> str:
    return UNKNOWN if value is None else number(value, 2 if abs(value) < 100 else 0)


def _ratio(ratio: float | None) -> str:
    return UNKNOWN if ratio is None else "∞" if math.isinf(ratio) else f"{ratio:.3f}"


def _noise(one: Compared) -> str:
    return "unknown" if one.noise is None else _ratio(one.noise)
