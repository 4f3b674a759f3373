"""Every type that a field may have, from the wire to the lake, with its extremes."""

from __future__ import annotations

import json
import struct
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from shardlake import topics
from shardlake.avro.codec import Decoder, Undecodable, encoder
from shardlake.avro.registry import Registry
from shardlake.avro.wire import schema_id
from shardlake.dead_letter import DeadLetter
from shardlake.lake.query import query
from shardlake.lake.tables import lake_tables
from shardlake.testing.stack import RunningStack
from tests.e2e.evidence import assert_the_lake_is_as_the_evidence_says, evidence_of
from tests.support import Topic

pytestmark = [pytest.mark.e2e, pytest.mark.thorough]

SCHEMA: dict[str, Any] = {
    "type": "record",
    "name": "Sample",
    "fields": [
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "micros", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {"name": "born", "type": {"type": "int", "logicalType": "date"}},
        {"name": "small", "type": "int"},
        {"name": "large", "type": "long"},
        {"name": "single", "type": "float"},
        {"name": "twice", "type": "double"},
        {"name": "yes", "type": "boolean"},
        {"name": "binary", "type": "bytes"},
        {"name": "text", "type": "string"},
        {"name": "client_address", "type": ["null", "string"], "default": None},
        {"name": "kind", "type": {"type": "enum", "name": "Kind", "symbols": ["A", "B"]}},
    ],
}
TOPICS = """
[app-logs]
schema = "sample"
event_time = "at"
partitions = 1
retention_hours = 1
lake_table = "samples"
dead_letters = "app-logs.dlq"
[by-micros]
schema = "sample"
event_time = "micros"
lake_table = "by_micros"
["app-logs.dlq"]
partitions = 1
retention_hours = 1
"""
JOB = """
from shardlake.flink.job import Insert

def build(tables):
    fields = tables.masked("app-logs")
    rows = f"SELECT {fields}, topic, `partition`, `offset`, arrival_time FROM app_logs"
    again = tables.query(f"SELECT {fields} FROM app_logs")
    return [Insert("lake.samples", tables.query(rows)), Insert("lake.by_micros", again)]
"""
ROWS: list[dict[str, Any]] = [
    {
        "at": datetime(2026, 3, 1, 23, 59, 59, 999_000, tzinfo=UTC),
        "micros": datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
        "born": date(1969, 12, 31),
        "small": -(2**31),
        "large": -(2**63),
        "single": 1.5,
        "twice": -2.25e-300,
        "yes": True,
        "binary": bytes(range(256)),
        "text": "NUL \x00, ✓, 𝄞, \N{COMBINING ACUTE ACCENT}",
        "client_address": None,
        "kind": "B",
    },
    {
        "at": datetime(1970, 1, 1, tzinfo=UTC),
        "micros": datetime(2038, 1, 19, 3, 14, 8, 1, tzinfo=UTC),
        "born": date(9999, 12, 31),
        "small": 2**31 - 1,
        "large": 2**63 - 1,
        "single": -0.0,
        "twice": 0.1,
        "yes": False,
        "binary": b"",
        "text": "",
        "client_address": "",
        "kind": "A",
    },
]
ROWS += [
    {**ROWS[0], "micros": datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC), "single": float("inf")},
    {**ROWS[1], "micros": datetime(1, 1, 1, tzinfo=UTC), "born": date(1, 1, 1), "single": -float("inf")},
]
RAW_TYPES = {
    **dict.fromkeys(("at", "micros", "born", "small"), "long"),
    "single": {"type": "fixed", "name": "Four", "size": 4},
    "yes": {"type": "fixed", "name": "One", "size": 1},
}
"""Types of which more can be written, and in the same way."""
RAW = {**ROWS[1], "at": 0, "micros": 0, "born": 0, "small": 0, "single": bytes(4), "yes": b"\x01"}
OUTSIDE: list[tuple[str, Any, str]] = [
    ("yes", b"\x02", "NotCanonical"),
    ("yes", b"\xff", "NotCanonical"),
    ("single", struct.pack("<I", 0x7F80_0001), "NotCanonical"),
    ("single", struct.pack("<I", 0xFFBF_FFFF), "NotCanonical"),
    ("small", 2**31, "NumberOutOfRange"),
    ("small", -(2**31) - 1, "NumberOutOfRange"),
    ("at", 253_402_300_800_000, "TimeOutOfRange"),
    ("micros", 253_402_300_800_000_000, "TimeOutOfRange"),
    ("micros", -62_135_596_800_000_001, "TimeOutOfRange"),
    ("born", 2_932_897, "TimeOutOfRange"),
    ("born", -719_163, "TimeOutOfRange"),
]
"""Fields with what their type does not allow, and what such a dead letter is called. Avro itself takes all of these."""
NANS = [struct.pack("<I", 0x7FC0_0000), struct.pack("<I", 0xFFC0_0001)]


def test_every_type_arrives_as_it_was_sent_or_not_at_all(shardlake_stack: RunningStack, tmp_path: Path) -> None:
    for folder, name, content in (
        ("schemas", "sample.avsc", json.dumps(SCHEMA)),
        ("schemas", "topics.toml", TOPICS),
        ("flink_jobs", "keep.py", JOB),
    ):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / name).write_text(content)
    stack = shardlake_stack.emptied(tmp_path, parallelism=1)
    topic = Topic(stack)
    values = [topic.encode(row) for row in ROWS]
    raw_fields = [{**field, "type": RAW_TYPES.get(field["name"], field["type"])} for field in SCHEMA["fields"]]
    raw = encoder({**SCHEMA, "fields": raw_fields}, schema_id(values[0]))
    outside = [raw({**RAW, name: value}) for name, value, _ in OUTSIDE]
    decoder = Decoder(SCHEMA, Registry(stack.settings.schema_registry_url), stack.pipeline.events_topic.subject)
    for value in outside:
        with pytest.raises(Undecodable):
            decoder.decode(value)
    topic.send([*outside[:4], *values, *outside[4:], *(raw({**RAW, "single": nan}) for nan in NANS)])
    stack.shardlake("jobs", "run")
    stack.shardlake("jobs", "finish")
    letters = list(topics.read(stack.settings.kafka_bootstrap_servers, "app-logs.dlq"))
    names = ", ".join(f'"{name}"' for name in ROWS[0])
    found = query(f'SELECT {names} FROM samples ORDER BY "offset"', lake_tables(stack.settings.lake, stack.pipeline))
    kept = assert_the_lake_is_as_the_evidence_says(stack, evidence_of(stack, tmp_path / "run"))
    assert kept == len(ROWS) + len(NANS)
    assert [letter.value() for letter in letters] == outside
    assert [DeadLetter.from_headers(letter.headers()).error_class for letter in letters] == [
        f"io.shardlake.flink.{named}" for _, _, named in OUTSIDE
    ]
    table = stack.settings.lake / "by_micros"
    assert isinstance(table, Path)
    hours = {str(file.parent.relative_to(table)) for file in table.rglob("[!._]*.parquet")}
    epoch = datetime(1970, 1, 1, tzinfo=UTC)  # of the rows that are written as NANS
    times = [epoch, *(row["micros"] for row in ROWS)]
    assert hours == {f"year={at.year:04}/{at:month=%m/day=%d/hour=%H}" for at in times}
    without_zone = [
        {k: v.replace(tzinfo=None) if isinstance(v, datetime) else v for k, v in row.items()} for row in ROWS
    ]
    rows = [dict(zip(found.columns, row, strict=True)) for row in found.rows]
    assert rows[: len(ROWS)] == without_zone
    assert [str(row["single"]) for row in rows[len(ROWS) :]] == ["nan"] * len(NANS)
