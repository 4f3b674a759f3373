"""Flink's JSON of an expression: its types and the functions that it calls."""

from __future__ import annotations

import json
import re
from typing import Any

TYPES = {
    "VARCHAR(2147483647)": "STRING",
    "VARBINARY(2147483647)": "BYTES",
    "TIMESTAMP_WITH_LOCAL_TIME_ZONE": "TIMESTAMP_LTZ",
}


def type_text(kind: Any) -> str:
    """A type as SQL writes it. Time attributes, and types that SQL has no words for, stay visible."""
    if isinstance(kind, dict):
        known = {"type", "precision", "kind", "nullable"}
        if not set(kind) <= known:
            return json.dumps(kind, sort_keys=True)
        text = TYPES.get(str(kind["type"]), str(kind["type"]))
        text += f"({kind['precision']})" if "precision" in kind else ""
        text += "" if kind.get("nullable", True) else " NOT NULL"
        return text + (f" *{kind['kind']}*" if "kind" in kind else "")
    for long, brief in TYPES.items():
        kind = kind.replace(long, brief)
    return re.sub(r"TIMESTAMP\((\d)\) WITH LOCAL TIME ZONE", r"TIMESTAMP_LTZ(\1)", kind)


def plain_type(kind: Any) -> str:
    """A type without nullability and without the mark of a time attribute."""
    return re.sub(r" NOT NULL| \*\w+\*", "", type_text(kind))


def is_same_type(rex: Any, operand: Any) -> bool:
    """Tell whether a cast only marks a time attribute, or that null is possible."""
    return plain_type(rex["type"]) == plain_type(operand.get("type", ""))


def is_expression(value: Any) -> bool:
    """Tell an expression from the rest of a node's JSON."""
    return isinstance(value, dict) and {"kind", "type"} <= set(value) and value["kind"] not in ("ROWTIME", "PROCTIME")


def function_of(rex: Any) -> str:
    """The name of the function that a call calls."""
    name = next(
        str(rex[role]) for role in ("internalName", "systemName", "catalogName", "class", "sqlKind") if role in rex
    )
    return re.sub(r"^\$(.+)\$\d+$", r"\1", name)
