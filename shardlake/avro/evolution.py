"""What one schema changes against another, and whether records of the one can be read with the other: in words.

Source of the rules: the Apache Avro specification, "Schema Resolution".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Schema = dict[str, Any]

PROMOTIONS = {
    "int": {"long", "float", "double"},
    "long": {"float", "double"},
    "float": {"double"},
    "string": {"bytes"},
    "bytes": {"string"},
}
DIRECTIONS = {"BACKWARD": (True, False), "FORWARD": (False, True), "FULL": (True, True)}
"""By compatibility: whether the new schema must read old records, whether the old one must read new ones."""
ABSENT = "none"
OLD_RECORDS = "records written before cannot be read"
NEW_RECORDS = "programs with the registered schema cannot read new records"


@dataclass(frozen=True, slots=True)
class Change:
    """One difference. `field` is empty for the record itself; `what` is added, removed or an attribute as doc."""

    field: str
    what: str
    before: Any = None
    after: Any = None


def changes(before: Schema, after: Schema) -> list[Change]:
    """Field by field, in the order of the newer schema; those removed come last."""
    old, new = _fields(before), _fields(after)
    found = _attributes("", before, after, leave_out="fields")
    for name, field in new.items():
        found += _attributes(name, old[name], field) if name in old else [Change(name, "added", after=field)]
    found += [Change(name, "removed", before=field) for name, field in old.items() if name not in new]
    if not found and before != after:
        found.append(Change("", "order of fields", list(old), list(new)))
    return found


def without_docs(schema: Any) -> Any:
    """The schema as far as bytes depend on it: a changed `doc` is no other schema."""
    if isinstance(schema, list):
        return [without_docs(one) for one in schema]
    if isinstance(schema, dict):
        return {key: without_docs(value) for key, value in schema.items() if key != "doc"}
    return schema


def misfits(registered: list[Schema], new: Schema, compatibility: str) -> list[str]:
    """Why the new schema breaks the subject's compatibility; [] where it does not. `registered` has the latest last."""
    name, _, transitive = compatibility.partition("_")
    old_records, new_records = DIRECTIONS.get(name, (False, False))
    found: dict[str, None] = {}
    for old in registered if transitive else registered[-1:]:
        if old_records:
            found |= dict.fromkeys(f"{why}: {OLD_RECORDS}" for why in _unread(old, new, "is new and has no default"))
        if new_records:
            why_removed = "was removed and had no default"
            found |= dict.fromkeys(f"{why}: {NEW_RECORDS}" for why in _unread(new, old, why_removed))
    return list(found)


def _unread(writer: Schema, reader: Schema, lacking: str) -> list[str]:
    """Why records of `writer` cannot be read with `reader`; `lacking` says it of a field that only the reader has."""
    if _name(writer) != _name(reader):
        return [f"the record {_name(writer)} is not {_name(reader)}"]
    written = _fields(writer)
    found = []
    for name, field in _fields(reader).items():
        if name not in written:
            found += [] if "default" in field else [f"field {name} {lacking}"]
        elif why := _unfit(written[name]["type"], field["type"]):
            found.append(f"field {name}: {why}")
    return found


def _unfit(writer: Any, reader: Any) -> str:
    """Why a value of the one type cannot be read as the other; empty where it can."""
    if isinstance(writer, list):
        return next((why for branch in writer if (why := _unfit(branch, reader))), "")
    if isinstance(reader, list):
        reasons = {_plain(branch): _unfit(writer, branch) for branch in reader}
        if not all(reasons.values()):
            return ""
        return reasons.get(_plain(writer)) or f"{kind(writer)} cannot be read as {kind(reader)}"
    plain, wanted = _plain(writer), _plain(reader)
    if plain == wanted == "enum":
        gone = sorted(set(writer["symbols"]) - set(reader["symbols"]))
        lost = gone and "default" not in reader
        return f"{', '.join(gone)} is no symbol of {kind(reader)}, which has no default" if lost else ""
    if plain == wanted == "record":
        return "; ".join(_unread(writer, reader, "has no default"))
    if plain == wanted == "array":
        return _unfit(writer["items"], reader["items"])
    if plain == wanted == "map":
        return _unfit(writer["values"], reader["values"])
    same = plain == wanted and (plain != "fixed" or writer["size"] == reader["size"])
    return "" if same or wanted in PROMOTIONS.get(plain, ()) else f"{kind(writer)} cannot be read as {kind(reader)}"


def kind(of: Any) -> str:
    """A type in a few words: `null or timestamp-millis (long)`."""
    if isinstance(of, list):
        return " or ".join(map(kind, of))
    if not isinstance(of, dict):
        return str(of)
    if "logicalType" in of:
        return f"{of['logicalType']} ({of['type']})"
    if of["type"] == "enum":
        return f"enum of {', '.join(of['symbols'])}"
    inner = of.get("items") or of.get("values")
    return f"{of['type']} of {kind(inner)}" if inner else str(of["type"])


def _attributes(field: str, before: Schema, after: Schema, leave_out: str = "name") -> list[Change]:
    names = [name for name in {**after, **before} if name != leave_out]
    return [
        Change(field, name, before.get(name, ABSENT), after.get(name, ABSENT))
        for name in names
        if (name in before, before.get(name)) != (name in after, after.get(name))
    ]


def _fields(schema: Schema) -> dict[str, dict[str, Any]]:
    return {field["name"]: field for field in schema["fields"]}


def _name(schema: Schema) -> str:
    name = str(schema["name"])
    return name if "." in name or not schema.get("namespace") else f"{schema['namespace']}.{name}"


def _plain(of: Any) -> str:
    return str(of["type"] if isinstance(of, dict) else of)
