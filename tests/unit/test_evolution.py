"""What a schema changes, and why records of one cannot be read with another."""

from __future__ import annotations

from typing import Any

import pytest

from shardlake.avro.evolution import Change, changes, misfits, without_docs

pytestmark = pytest.mark.unit

LEVEL = {"type": "enum", "name": "Level", "symbols": ["INFO", "WARN"]}
FIELDS: list[dict[str, Any]] = [
    {"name": "id", "type": "string", "doc": "Unique."},
    {"name": "status", "type": ["null", "int"], "default": None},
    {"name": "level", "type": LEVEL},
]
BEFORE: dict[str, Any] = {"type": "record", "name": "Log", "namespace": "io.shardlake", "fields": FIELDS}
CANNOT_READ_OLD = "records written before cannot be read"
CANNOT_READ_NEW = "programs with the registered schema cannot read new records"


def after(*fields: dict[str, Any], leave_out: tuple[str, ...] = ()) -> dict[str, Any]:
    """BEFORE with fields replaced by name, or added."""
    new = {field["name"]: field for field in [*FIELDS, *fields] if field["name"] not in leave_out}
    return {**BEFORE, "fields": list(new.values())}


def test_changes_are_told_field_by_field() -> None:
    new = after(
        {"name": "id", "type": "string", "doc": "Unique, ever.", "pii": "hash"},
        {"name": "status", "type": ["null", "long"], "default": None},
        {"name": "region", "type": ["null", "string"], "default": None},
        leave_out=("level",),
    )
    assert changes(BEFORE, {**new, "doc": "A log."}) == [
        Change("", "doc", "none", "A log."),
        Change("id", "doc", "Unique.", "Unique, ever."),
        Change("id", "pii", "none", "hash"),
        Change("status", "type", ["null", "int"], ["null", "long"]),
        Change("region", "added", after=new["fields"][-1]),
        Change("level", "removed", before=FIELDS[2]),
    ]
    assert changes(BEFORE, BEFORE) == []
    assert [one.what for one in changes(BEFORE, {**BEFORE, "fields": FIELDS[::-1]})] == ["order of fields"]


@pytest.mark.parametrize(
    ("new", "backward", "forward"),
    [
        (after({"name": "region", "type": ["null", "string"], "default": None}), [], []),
        (
            after({"name": "region", "type": "string"}),
            [f"field region is new and has no default: {CANNOT_READ_OLD}"],
            [],
        ),
        (
            after(leave_out=("level",)),
            [],
            [f"field level was removed and had no default: {CANNOT_READ_NEW}"],
        ),
        (after(leave_out=("status",)), [], []),
        (
            after({"name": "status", "type": ["null", "long"], "default": None}),
            [],
            [f"field status: long cannot be read as null or int: {CANNOT_READ_NEW}"],
        ),
        (
            after({"name": "status", "type": "int"}),
            [f"field status: null cannot be read as int: {CANNOT_READ_OLD}"],
            [],
        ),
        (
            after({"name": "id", "type": "long"}),
            [f"field id: string cannot be read as long: {CANNOT_READ_OLD}"],
            [f"field id: long cannot be read as string: {CANNOT_READ_NEW}"],
        ),
        (
            after({"name": "level", "type": {**LEVEL, "symbols": ["INFO", "FATAL"]}}),
            [f"field level: WARN is no symbol of enum of INFO, FATAL, which has no default: {CANNOT_READ_OLD}"],
            [f"field level: FATAL is no symbol of enum of INFO, WARN, which has no default: {CANNOT_READ_NEW}"],
        ),
        (
            after({"name": "level", "type": ["null", {**LEVEL, "symbols": ["INFO"]}], "default": None}),
            [f"field level: WARN is no symbol of enum of INFO, which has no default: {CANNOT_READ_OLD}"],
            [f"field level: null cannot be read as enum of INFO, WARN: {CANNOT_READ_NEW}"],
        ),
        (after({"name": "level", "type": {**LEVEL, "symbols": ["INFO"], "default": "INFO"}}), [], []),
        (
            {**BEFORE, "name": "Event"},
            [f"the record io.shardlake.Log is not io.shardlake.Event: {CANNOT_READ_OLD}"],
            [f"the record io.shardlake.Event is not io.shardlake.Log: {CANNOT_READ_NEW}"],
        ),
        (after({"name": "id", "type": "string", "doc": "Other words."}), [], []),
    ],
)
def test_misfits_follow_the_subjects_compatibility(
    new: dict[str, Any], backward: list[str], forward: list[str]
) -> None:
    assert misfits([BEFORE], new, "BACKWARD") == backward
    assert misfits([BEFORE], new, "FORWARD") == forward
    assert misfits([BEFORE], new, "FULL") == backward + forward
    assert misfits([BEFORE], new, "NONE") == []


def test_only_a_transitive_compatibility_looks_at_all_versions() -> None:
    oldest = after(leave_out=("level",))
    assert misfits([oldest, BEFORE], BEFORE, "BACKWARD") == []
    wanted = [f"field level is new and has no default: {CANNOT_READ_OLD}"]
    assert misfits([oldest, BEFORE], BEFORE, "BACKWARD_TRANSITIVE") == wanted


def test_docs_are_all_that_is_left_out() -> None:
    new = after({"name": "id", "type": "string", "doc": "Other words."})
    assert without_docs(new) == without_docs(BEFORE)
    assert without_docs(after({"name": "id", "type": "string", "pii": "hash"})) != without_docs(BEFORE)
