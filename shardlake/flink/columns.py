"""Avro records as Flink SQL columns, and the masks of their PII."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from shardlake.errors import BadInput

TYPES = {
    "string": "STRING",
    "enum": "STRING",
    "int": "INT",
    "long": "BIGINT",
    "float": "FLOAT",
    "double": "DOUBLE",
    "boolean": "BOOLEAN",
    "bytes": "BYTES",
    "timestamp-millis": "TIMESTAMP_LTZ(3)",
    "timestamp-micros": "TIMESTAMP_LTZ(6)",
    "date": "DATE",
}
DROP = "drop"
MASKS = {
    # The keyed hash is a function of ours: in SQL's own the key would stand in the plan, for all to read.
    "hash": "MASK({column})",
    "truncate_query": "TRUNCATE_QUERY({column})",
    "truncate_network": "TRUNCATE_NETWORK({column})",
    DROP: "CAST(NULL AS {type})",
}

PROVENANCE = ("topic STRING", "`partition` INT", "`offset` BIGINT", "arrival_time TIMESTAMP_LTZ(3)")
"""Where an archived row came from: with these each event is found again in its topic."""


@dataclass(frozen=True, slots=True)
class Column:
    """A field of a record as a column. `mask` is how it is masked on its way into the lake, if it is PII."""

    name: str
    type: str
    nullable: bool
    mask: str | None

    @property
    def masked(self) -> str:
        """The expression that the lake gets."""
        if self.mask is not None:
            return f"{MASKS[self.mask].format(column=f'`{self.name}`', type=self.type)} AS `{self.name}`"
        if self.type.startswith("TIMESTAMP"):
            # As a plain time, not as the stream's time attribute: Flink wants that one in every row, and fails on null.
            return f"CAST(`{self.name}` AS {self.type}) AS `{self.name}`"
        return f"`{self.name}`"


def columns(schema: dict[str, Any]) -> list[Column]:
    """One column a field, in order. Raises BadInput naming a field that Flink's tables here cannot hold."""
    return [_column(schema["name"], field) for field in schema["fields"]]


def _column(record: str, field: dict[str, Any]) -> Column:
    kind = field["type"]
    nullable = isinstance(kind, list)
    if nullable:
        others = [branch for branch in kind if branch != "null"]
        kind = others[0] if len(others) == 1 and len(kind) == 2 else "union"
    name = kind.get("logicalType", kind["type"]) if isinstance(kind, dict) else kind
    if name not in TYPES:
        msg = f"The field {field['name']} of {record} has the type {field['type']}, which no lake column can hold."
        raise BadInput(msg, f"Use one of {', '.join(TYPES)}, or a union of null and one of them.")
    mask = field.get("pii")
    if mask is not None and (mask not in MASKS or (TYPES[name] != "STRING" and mask != DROP)):
        msg = f"The field {field['name']} of {record} has pii = {mask!r}."
        raise BadInput(msg, f"A string's pii is one of: {', '.join(MASKS)}. Of another type it can only be {DROP}.")
    if mask == DROP and not nullable:
        msg = f"The field {field['name']} of {record} has pii = {DROP!r}, but is not nullable."
        raise BadInput(msg, "Make its type a union of null and what it is now, or hash it.")
    return Column(field["name"], TYPES[name], nullable, mask)
