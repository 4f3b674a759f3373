"""Which names a pipeline may give: those that go into SQL, paths and other programs as they are."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from shardlake.errors import BadInput

AVRO = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
TOPIC = re.compile(r"(?!\.{1,2}\Z)[A-Za-z0-9._-]{1,249}")
TABLE = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,199}")

OF_AVRO = "A name in Avro has letters (A-Z, a-z), digits and _, no digit first."
OF_TOPIC = "Kafka takes up to 249 letters (A-Z, a-z), digits, `.`, `_` and `-`, and neither `.` nor `..`."
OF_TABLE = "A table's name has up to 200 letters (A-Z, a-z), digits, `_` and `-`, a letter first."
RENAME_FIELD = "Rename it here, and in the producers and jobs that name it. Older rows lack the new column."
RENAME_TOPIC = "Rename it here, and in what reads and writes it."
RENAME_TABLE = "Rename it here, in the jobs' SQL, and, where it is there, its folder in the lake."


def check_topic(file: object, name: object) -> None:
    """Raises BadInput where Kafka would not take it."""
    _check(TOPIC, name, f"{file}: {name!r} is no topic's name.", f"{OF_TOPIC} {RENAME_TOPIC}")


def check_table(file: object, topic: str, name: object) -> None:
    """Raises BadInput where it could be another folder than one of the lake's, or more than a name in SQL."""
    words = f"{file}: topic {topic} has lake_table = {name!r}, which is no table's name."
    _check(TABLE, name, words, f"{OF_TABLE} {RENAME_TABLE}")


def check_schema(file: object, schema: Any) -> None:
    """Raises BadInput where a record, a field or an alias has a name that Avro does not allow, at any depth."""
    for what, name in _names(schema):
        parts = name.split(".") if what == "type" and isinstance(name, str) else [name]
        for part in parts:
            words = f"{file}: the {what} name {name!r} is not one that Avro allows."
            _check(AVRO, part, words, f"{OF_AVRO} {RENAME_FIELD}")


def _check(rule: re.Pattern[str], name: object, words: str, hint: str) -> None:
    if not isinstance(name, str) or not rule.fullmatch(name):
        raise BadInput(words, hint)


def _names(schema: Any) -> Iterator[tuple[str, object]]:
    """Each name in it, and what has it. A type's may have its namespace before it."""
    if isinstance(schema, list):
        for branch in schema:
            yield from _names(branch)
    if not isinstance(schema, dict):
        return
    if schema.get("type") in ("record", "enum", "fixed"):
        namespace = [schema["namespace"]] if schema.get("namespace") else []
        yield from (("type", name) for name in (schema.get("name"), *_aliases(schema), *namespace))
    for field in schema.get("fields", ()):
        is_one = isinstance(field, dict)
        yield "field", field.get("name") if is_one else field
        if is_one:
            yield from (("alias", name) for name in _aliases(field))
            yield from _names(field.get("type"))
    for inside in ("type", "items", "values"):
        yield from _names(schema.get(inside))


def _aliases(named: dict[str, Any]) -> list[object]:
    found = named.get("aliases", [])
    return list(found) if isinstance(found, list) else [found]
