"""What the project itself keeps in files, spoiled: state of the jobs, notes, runs' folders and ledgers.

Each is read as it was written, or refused by a sentence that names it; nothing else is taken for it.
"""

from __future__ import annotations

import json
import struct
import tempfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from shardlake import ledger, topic_ids
from shardlake.errors import ShardlakeError
from shardlake.faults import history
from shardlake.flink.precommitted import precommitted
from shardlake.flink.resume import LastEnd, latest_event_times, splits_in
from shardlake.folders import running_stack
from shardlake.lake.evidence import Evidence
from shardlake.lake.files import seen
from shardlake.lake.migrate import sizes
from shardlake.lake.sent import _table
from shardlake.ledger import Ledger, LedgerFile, Run
from shardlake.load.result import Capacities, Result
from shardlake.pipeline import Pipeline
from shardlake.shards.record_file import read_all
from shardlake.topic_ids import Noted
from tests.fuzz.spoiling import spoiled
from tests.fuzz.tries import Fault, Try

JOBS = {"archive": {"a": "1"}}
LAST = {"how": "stopped", "savepoint": "file:///s/savepoint-1", "jobs": JOBS, "closed": {"app-logs": {"t": 5}}}
TOPICS = {"app-logs": {"id": "abc", "noted": "2026-11-03T12:00:00Z", "firsts": {"0": 5}}}
RUN = {"topic": "app-logs", "topic_id": "abc", "starts": {"0": 1, "1": 2}, "began": 1.5}
OFFSETS = {"0": 1}
EVIDENCE = {
    "topic": "app-logs", "topic_id": "abc", "first": OFFSETS, "end": OFFSETS, "starts": OFFSETS, "covered": OFFSETS,
    "events": 1, "poison": 0, "nulls": 0, "dead_letters": 0, "key_ids": [], "uncompared": [], "collected": 1.5,
    "seconds": 1.0,
}  # fmt: skip
STACK = {
    "settings": {"kafka_bootstrap_servers": "127.0.0.1:1"}, "servers": {"kafka": {"pid": 1, "port": 2}},
    "launcher_pid": 1,
}  # fmt: skip


def _typed(found: Any, *kinds: type) -> None:
    if not isinstance(found, kinds):
        raise Fault(f"{found!r} is taken for {' or '.join(kind.__name__ for kind in kinds)}")


def _last(folder: Path) -> None:
    found = LastEnd.read(folder)
    if found is not None:
        _typed(found.how, str)
        found.left(folder)
        for topics in found.closed.values():
            for at in topics.values():
                _typed(at, int)
        for options in found.jobs.values():
            for value in options.values():
                _typed(value, str)


def _topics(folder: Path) -> None:
    for one in topic_ids.read(folder / topic_ids.FILE).values():
        _typed(one.topic_id, str)
        _typed(one.noted, str)
        for partition, first in one.firsts.items():
            _typed(partition + first, int)
    list(topic_ids.made_anew({"app-logs": Noted("x", "y")}, {"app-logs": "z"}))


def _run(folder: Path) -> None:
    found = Run.read(folder)
    _typed(found.topic, str)
    _typed(found.topic_id, str)
    for partition, start in found.starts.items():
        _typed(partition + start, int)


def _evidence(folder: Path) -> None:
    found = Evidence.load(folder)
    for offsets in (found.first, found.end, found.starts, found.covered):
        for partition, offset in offsets.items():
            _typed(partition + offset, int)
    _typed(found.events, int)


def _stack(folder: Path) -> None:
    found = running_stack(folder)
    _typed(found.get("settings", {}), dict)
    for server in found.get("servers", {}).values():
        _typed(server, dict)


FILES: tuple[tuple[str, Any, Callable[[Path], Any]], ...] = (
    ("last.json", LAST, _last),
    (topic_ids.FILE, TOPICS, _topics),
    (ledger.RUN_FILE, RUN, _run),
    ("evidence.json", EVIDENCE, _evidence),
    ("stack.json", STACK, _stack),
    ("load.json", {"version": 1}, Result.read),
    ("capacity.json", {"version": 1, "found": []}, Capacities.read),
    ("history.jsonl", {"at": "x", "seconds": 1.0, "what": "y"}, history.read),
    (".migrated/note.json", {"a.parquet": [1, 2]}, sizes),
)


def tries(chance: Random) -> Iterator[Try]:
    """Files of JSON, spoiled in their bytes or in a value; and others in their bytes."""
    while True:
        name, whole, read = chance.choice(FILES)
        content = json.dumps(whole).encode()
        if chance.random() < 0.5:
            content = spoiled(chance, content, content)
        else:
            content = json.dumps(_with_another_value(chance, whole)).encode()
        yield (name, content), partial(_read, name, content, read)
        name, content, read = chance.choice(_others(chance))
        content = spoiled(chance, content, content)
        yield (name, content), partial(_read, name, content, read)
        content = _spoiled_ledger(chance)
        yield ("p.ledger", content), partial(_read, "p.ledger", content, _ledger)


def _read(name: str, content: bytes, read: Callable[[Path], Any]) -> str:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        try:
            read(Path(folder))
        except ShardlakeError as error:
            if not error.message:
                raise Fault("an error without words") from error
            return f"{name}: refused"
    return f"{name}: read"


VALUES: tuple[Any, ...] = (None, True, -1, 0, 1.5, 2**70, float("nan"), "", "x", "1", [], [1], {}, {"a": 1}, {"0": "x"})


def _with_another_value(chance: Random, whole: Any) -> Any:
    """The same document, but for one value of it, a name, or a part that is gone."""
    if not isinstance(whole, dict) or not whole or chance.random() < 0.2:
        return chance.choice(VALUES)
    name = chance.choice(list(whole))
    kind = chance.random()
    if kind < 0.15:
        return {key: value for key, value in whole.items() if key != name}
    if kind < 0.3:
        rest = {key: value for key, value in whole.items() if key != name}
        return {**rest, chance.choice(("", "x", "²", "1.5")): whole[name]}
    return {**whole, name: _with_another_value(chance, whole[name])}


def _others(chance: Random) -> tuple[tuple[str, bytes, Callable[[Path], Any]], ...]:
    topic = b"\x00\x08app-logs"
    split = topic + struct.pack(">iqq", 1, 7, -(2**63))
    metadata = struct.pack(">iiq", 0x4960672D, 3, 17) + split + b"latest-event-time/app-logs/1793707200000;" + split
    records = b"00000000000000000001 17 app-logs-0 5 =key\n00000000000000000002 17 app-logs-0 6 \n"
    topics = b'[a]\npartitions = 1\nlake_table = "a"\nretention_hours = 5\n'
    return (
        ("visible.txt", b"17 app_logs/a.parquet\n5 app_logs/b c.parquet\n", seen),
        ("1.records", records, lambda folder: list(read_all(folder))),
        ("_metadata", metadata, _state),
        ("schemas/topics.toml", topics, Pipeline.load),
    )


def _state(folder: Path) -> None:
    splits_in(folder, "app-logs")
    latest_event_times(folder)
    precommitted(folder, ["app-logs"])


def _spoiled_ledger(chance: Random) -> bytes:
    """A ledger whose blocks are spoiled, left out, doubled or in another order; their checksums are right or not."""
    with tempfile.TemporaryDirectory() as folder:
        written = Ledger(Path(folder), "p", "topic", "id")
        for number in range(5):
            written.intend(b"key", b"%d" % number, ("access.log" if number < 3 else "other.log", number))
            written.flush()
        written.acknowledged(0, 2, 700)
        written.failed(1)
        written.unknown(2)
        written.close()
        content = written.path.read_bytes()
    if chance.random() < 0.5:
        return spoiled(chance, content, content)
    blocks = [(kind, bytes(payload)) for kind, payload, _ in ledger._blocks(memoryview(content))]  # noqa: SLF001
    for _ in range(chance.randrange(1, 4)):
        at = chance.randrange(len(blocks))
        match chance.randrange(4):
            case 0 if len(blocks) > 1:
                del blocks[at]
            case 1:
                blocks.insert(at, chance.choice(blocks))
            case 2:
                chance.shuffle(blocks)
            case _:
                kind, payload = blocks[at]
                blocks[at] = kind, spoiled(chance, payload, payload)
    return b"".join(struct.pack("<4sc3xII", b"SLk1", kind, len(p), zlib.crc32(p)) + p for kind, p in blocks)


def _ledger(folder: Path) -> None:
    for found in ledger.of_run(folder):
        _consistent(found)


def _consistent(found: LedgerFile) -> None:
    if not len(found.digests) == len(found.source_ids) == len(found.numbers):
        raise Fault("columns of different lengths")
    for sequence in range(len(found.digests)):
        found.place(sequence)
    _table([found])
    for sequence in (*found.failed.tolist(), *found.unknown.tolist(), *found.acknowledged.tolist()):
        found.place(sequence)
