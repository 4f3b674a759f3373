"""Files and records that the project keeps for itself, damaged: each is refused by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from shardlake import topic_ids
from shardlake.errors import BadInput
from shardlake.faults import history
from shardlake.flink.apart import left_out
from shardlake.flink.resume import LastEnd
from shardlake.folders import running_stack
from shardlake.kept_json import Count, FileName, parsed
from shardlake.lake.evidence import Evidence
from shardlake.lake.files import seen
from shardlake.lake.migrate import sizes
from shardlake.ledger import Run
from shardlake.load.result import Capacities, Result
from shardlake.redrive.marks import Mark
from shardlake.shards.lease import Lease
from shardlake.shards.record_file import read_all

pytestmark = pytest.mark.unit

NESTED = "[" * 100_000
LAST = {"how": "stopped", "savepoint": "/s", "jobs": {"archive": {"a": "b"}}, "closed": {"a": {"t": 5}}}
TOPICS = {"app-logs": {"id": "abc", "noted": "2026-11-03T12:00:00Z", "firsts": {"0": 5}}}
RUN = {"topic": "app-logs", "topic_id": "abc", "starts": {"0": 1, "3": 2}, "began": 1.5}
LEFT_OUT = {"job": "risk", "options": {}, "since": "2026", "why": "by hand", "begin": {}, "sinks": ["lake.risk"]}
EVIDENCE = {
    **{name: {"0": 1} for name in ("first", "end", "starts", "covered")},
    **dict.fromkeys(("events", "poison", "nulls", "dead_letters", "collected", "seconds"), 1),
    "topic": "app-logs", "topic_id": "abc", "key_ids": [], "uncompared": [],
}  # fmt: skip
READERS: dict[str, tuple[str, Any, Callable[[Path], Any]]] = {
    "last": ("last.json", LAST, LastEnd.read),
    "topics": ("topics.json", TOPICS, lambda folder: topic_ids.read(folder / "topics.json")),
    "run": ("run.json", RUN, Run.read),
    "evidence": ("evidence.json", EVIDENCE, Evidence.load),
    "left out": ("apart/risk/left-out.json", LEFT_OUT, left_out),
    "migration": (".migrated/1.json", {"a.parquet": [1, 2]}, sizes),
    "load": ("load.json", {}, Result.read),
    "capacity": ("capacity.json", {}, Capacities.read),
}


def written(folder: Path, name: str, content: str | bytes) -> Path:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


@pytest.mark.parametrize("content", ["", "{", "7", "[]", '{"version": 1}', NESTED, b"\xff\xfe", '{"a": 1, "b": []}'])
@pytest.mark.parametrize("reader", READERS)
def test_a_damaged_file_is_named(tmp_path: Path, reader: str, content: str | bytes) -> None:
    name, _, read = READERS[reader]
    with pytest.raises(BadInput) as raised:
        read(written(tmp_path, name, content))
    assert str(tmp_path) in raised.value.message
    assert raised.value.hint


@pytest.mark.parametrize(
    ("reader", "more"),
    [
        ("last", {"how": None}),
        ("last", {"closed": {"a": 5}}),
        ("last", {"closed": {"a": {"t": -1}}}),
        ("last", {"jobs": ["archive"]}),
        ("topics", {"app-logs": {"id": "abc"}}),
        ("topics", {"app-logs": {"id": "abc", "noted": "x", "firsts": {"x": 5}}}),
        ("topics", {"app-logs": {"id": "abc", "noted": "x", "firsts": {"0": 2**63}}}),
        ("run", {"starts": {"0": "x"}}),
        ("run", {"starts": None}),
        ("run", {"topic_id": 5}),
        ("evidence", {"end": {"0": -1}}),
        ("evidence", {"first": 5}),
        ("left out", {"begin": {"closed": {"risk": {"app-logs": "x"}}}}),
        ("left out", {"offsets": {"app-logs": {"0": -1}}}),
        ("left out", {"sinks": "lake.risk"}),
        ("migration", {"b.parquet": [1]}),
    ],
)
def test_a_value_of_another_kind_is_refused(tmp_path: Path, reader: str, more: dict[str, Any]) -> None:
    name, whole, read = READERS[reader]
    assert read(written(tmp_path, name, json.dumps(whole)))
    with pytest.raises(BadInput):
        read(written(tmp_path, name, json.dumps({**whole, **more})))


def test_numbers_of_partitions_are_numbers_again(tmp_path: Path) -> None:
    assert Run.read(written(tmp_path, "run.json", json.dumps(RUN))) == Run("app-logs", "abc", {0: 1, 3: 2}, 1.5)
    evidence = Evidence.load(written(tmp_path, "evidence.json", json.dumps(EVIDENCE)))
    assert (evidence.end, evidence.folder) == ({0: 1}, tmp_path)


@pytest.mark.parametrize("content", ["", "7", NESTED, b"\xff", '{"settings": 5}', '{"servers": {"kafka": 1}}'])
def test_a_damaged_note_of_a_stack_is_that_of_none(tmp_path: Path, content: str | bytes) -> None:
    assert running_stack(written(tmp_path, "stack.json", content)) == {}
    assert running_stack(written(tmp_path, "stack.json", '{"data": "/d"}')) == {"data": "/d"}


@pytest.mark.parametrize(
    "text", [NESTED, '{"at_ms": "x", "to": "a", "topic_id": "i"}', '{"at_ms": 1e30, "to": "a", "topic_id": "i"}',
             '{"at_ms": 1, "to": null, "topic_id": "i"}', '{"at_ms": 253402300800000, "to": "a", "topic_id": "i"}']
)  # fmt: skip
def test_what_others_write_among_the_marks_is_none(text: str) -> None:
    assert Mark.from_json(text.encode()) is None
    assert Mark.from_json(b'{"at_ms": 1, "to": "a", "topic_id": "i"}') == Mark(1, "a", "i")


@pytest.mark.parametrize(
    "metadata", [NESTED[:4000], '{"owner": 5, "epoch": 1, "in_flight": 0, "renewed_ms": 1}',
                 '{"owner": "a", "epoch": null, "in_flight": 0, "renewed_ms": 1}']
)  # fmt: skip
def test_what_others_commit_is_no_lease(metadata: str) -> None:
    assert Lease.from_metadata(metadata) is None
    assert Lease.from_metadata(Lease("a", 1, 0, 5).to_metadata()) == Lease("a", 1, 0, 5)


def test_lines_that_are_none_are_passed_over(tmp_path: Path) -> None:
    lines = "5 app_logs/a b.parquet\nx app_logs/b.parquet\n" + "9" * 5000 + " c\n7"
    assert seen(written(tmp_path, "visible.txt", lines)) == {"app_logs/a b.parquet": 5}
    lines = f'{{"what": "fault"}}\n7\n{NESTED}\n{{"what": "end'
    assert history.read(written(tmp_path, "history.jsonl", lines)) == [{"what": "fault"}]


def test_a_damaged_file_of_records_is_named(tmp_path: Path) -> None:
    whole = b"00000000000000000001 17 app-logs-0 5 =key\n"
    assert list(read_all(written(tmp_path, "1.records", whole + b"torn"))) == [("app-logs-0", b"key", 5)]
    with pytest.raises(BadInput, match=str(tmp_path)):
        list(read_all(written(tmp_path, "1.records", whole + b"5 5\n")))


@dataclass(frozen=True, slots=True)
class Kept:
    path: FileName
    bytes_: Count


def test_a_path_that_is_not_utf_8_comes_back() -> None:
    assert parsed('{"path": "a\\udcff", "bytes_": 5}', Kept) == Kept("a\udcff", 5)
    with pytest.raises(ValueError, match="path: "):
        parsed('{"path": 7, "bytes_": 5}', Kept)
