"""Each file of the lake tells how its rows were written: by its columns, and by the schema that its metadata names.

A table outlives versions of its schema. A row is judged by the version that its file was written with: a field that
did not exist is null there, whatever its default is, and PII is masked as that version says. Files that name no
schema, as those of older versions of this project, are judged by the present one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow.parquet as pq

SCHEMA = b"shardlake.schema"
UNMASKED = "none"
Schema = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Written:
    """A file's columns, and its schema as JSON, "" where it names none."""

    columns: frozenset[str]
    schema: str

    @classmethod
    def of(cls, metadata: pq.FileMetaData) -> Written:
        """Read the columns and the schema from the footer of a file."""
        named = (metadata.metadata or {}).get(SCHEMA, b"")
        return cls(frozenset(metadata.schema.to_arrow_schema().names), named.decode(errors="replace"))


@dataclass(frozen=True, slots=True)
class Differing:
    """Files whose rows are not as the present schema says, by name below the lake.

    `lacking`: by field, those without a column of it. `masked`: by field and mask, those with another mask than the
    present one.
    """

    lacking: dict[str, list[str]] = field(default_factory=dict)
    masked: dict[tuple[str, str], list[str]] = field(default_factory=dict)


def differing(schema: Schema, files: Mapping[str, Written]) -> Differing:
    """Compare what files of a table were written with, with the table's present schema."""
    found = Differing()
    groups: dict[Written, list[str]] = {}
    for name, one in files.items():
        groups.setdefault(one, []).append(name)
    for one, names in groups.items():
        older = {field["name"]: field for field in _fields(one.schema)}
        for now in schema["fields"]:
            if not one.columns.intersection(names_of(now)):
                found.lacking.setdefault(now["name"], []).extend(names)
            before = next((older[name] for name in names_of(now) if name in older), now)
            if mask_of(before) != mask_of(now):
                found.masked.setdefault((now["name"], mask_of(before)), []).extend(names)
    return found


def names_of(field: Schema) -> Iterator[str]:
    """A field's name, and those that it had before."""
    yield field["name"]
    yield from field.get("aliases", ())


def mask_of(field: Schema) -> str:
    """How a field is masked as PII, UNMASKED where it is not."""
    return str(field.get("pii", UNMASKED))


def _fields(schema: str) -> list[dict[str, Any]]:
    """Read the fields that a file's metadata names, none where the metadata is no schema of a record."""
    try:
        found: Any = json.loads(schema)["fields"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return []
    fields = found if isinstance(found, list) else []
    return [field for field in fields if isinstance(field, dict) and isinstance(field.get("name"), str)]
