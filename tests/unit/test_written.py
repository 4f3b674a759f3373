"""Files that were written with older schemas are found, field by field, against the schema that their table has now."""

from __future__ import annotations

import json
from typing import Any

import pytest

from shardlake.lake.written import Differing, Written, differing

pytestmark = pytest.mark.unit


def schema(*fields: dict[str, Any]) -> dict[str, Any]:
    return {"type": "record", "name": "E", "fields": list(fields)}


def written(*columns: str, **named: Any) -> Written:
    return Written(frozenset(columns), json.dumps(named) if named else "")


ID, HOST, REGION = {"name": "id"}, {"name": "host", "pii": "hash"}, {"name": "region", "default": "eu"}


def test_files_of_the_present_schema_differ_in_nothing() -> None:
    now = schema(ID, HOST)
    assert differing(now, {"a": written("id", "host", "topic", **now)}) == Differing()


def test_a_field_is_lacking_where_neither_it_nor_an_alias_has_a_column() -> None:
    renamed = {"name": "hostname", "aliases": ["host"], "pii": "hash"}
    files = {"old": written("id", "host", **schema(ID, HOST)), "older": written("id"), "new": written("id", "hostname")}
    found = differing(schema(ID, renamed, REGION), files)
    assert found == Differing(lacking={"region": ["old", "older", "new"], "hostname": ["older"]})


def test_masks_are_those_that_the_file_names_and_the_present_ones_where_it_names_none() -> None:
    plain = {"name": "host"}
    files = {
        "raw": written("id", "host", **schema(ID, plain)),
        "cut": written("id", "host", **schema(ID, {"name": "host", "pii": "truncate_query"})),
        "same": written("id", "host", **schema(ID, HOST)),
        "silent": written("id", "host"),
        **{
            text: Written(frozenset({"id", "host"}), text)
            for text in ("no JSON", "[]", '{"fields": 7}', '{"fields": [7, {}, {"name": 7}]}', "[" * 100_000)
        },
    }
    assert differing(schema(ID, HOST), files).masked == {("host", "none"): ["raw"], ("host", "truncate_query"): ["cut"]}
