"""The ledger: written by blocks, read up to the first that is not whole, and never telling more than happened."""

from __future__ import annotations

import errno
import json
import os
import signal
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest

from shardlake.errors import BadInput
from shardlake.ledger import Ledger, LedgerFile, Run, digest, of_run, read
from tests.unit.test_delivery import Deliver, deliver

__all__ = ["deliver"]  # the fixture

pytestmark = pytest.mark.unit


def written(folder: Path, *, close: bool = True) -> Ledger:
    """Five events of two sources: 0 and 3 acknowledged, 1 failed, 2 unknown, 4 without a report."""
    ledger = Ledger(folder, "p", "topic", "id")
    for number in range(5):
        ledger.intend(b"key", b"%d" % number, ("access.log" if number < 3 else "other.log", number + 10))
    ledger.flush()
    ledger.acknowledged(0, 2, 700)
    ledger.acknowledged(3, 1, 900)
    ledger.failed(1)
    ledger.unknown(2)
    if close:
        ledger.close()
    return ledger


def content(found: LedgerFile) -> tuple[Any, ...]:
    acknowledged = list(
        zip(found.acknowledged.tolist(), found.partitions.tolist(), found.offsets.tolist(), strict=True)
    )
    return len(found.digests), acknowledged, found.failed.tolist(), found.unknown.tolist(), found.has_ended


def test_what_was_written_is_read(tmp_path: Path) -> None:
    found = read(written(tmp_path).path)
    assert content(found) == (5, [(0, 2, 700), (3, 1, 900)], [1], [2], True)
    assert found.digests.tolist() == [digest(b"key", b"%d" % number) for number in range(5)]
    assert [found.place(number) for number in range(5)] == [
        "access.log:10", "access.log:11", "access.log:12", "other.log:13", "other.log:14",
    ]  # fmt: skip
    assert (found.producer, found.topic, found.topic_id, found.torn_bytes) == ("p", "topic", "id", 0)


def test_what_was_written_is_synced_within_the_promised_time_also_while_a_producer_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    clock = [0.0]
    monkeypatch.setattr("shardlake.ledger.time.monotonic", lambda: clock[0])
    monkeypatch.setattr(os, "fsync", synced.append)
    ledger = Ledger(tmp_path, "p", "topic", "id", fsync_seconds=1)
    ledger.intend(b"key", b"value")
    clock[0] = 0.5
    ledger.flush()
    ledger.rest()
    synced.clear()
    clock[0] = 1.6
    ledger.rest()
    assert len(synced) == 1
    clock[0] = 9
    ledger.rest()  # nothing was written since
    assert len(synced) == 1


def test_a_ledger_is_its_owner_s_alone(tmp_path: Path) -> None:
    path = written(tmp_path / "run").path
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_a_digest_tells_key_from_value_and_null_from_empty() -> None:
    pairs = [(b"a", b"b"), (b"ab", b""), (b"ab", None), (b"", b"ab"), (None, b"ab"), (None, None), (b"", None)]
    assert len({digest(*pair) for pair in pairs}) == len(pairs)


@pytest.mark.parametrize("kept", range(1, 400, 7))
def test_a_cut_ledger_is_read_up_to_its_last_whole_block(tmp_path: Path, kept: int) -> None:
    path = written(tmp_path).path
    whole = path.read_bytes()
    path.write_bytes(whole[:-kept])
    if kept > len(whole) - 200:
        return  # not even the header is left
    found = read(path)
    assert not found.has_ended
    events, acknowledged, failed, unknown, _ = content(found)
    assert events in (0, 3, 5)
    assert acknowledged in ([], [(0, 2, 700), (3, 1, 900)])
    assert (failed, unknown) in (([], []), ([1], []), ([1], [2]))


def test_a_flipped_bit_ends_what_is_believed(tmp_path: Path) -> None:
    path = written(tmp_path).path
    whole = bytearray(path.read_bytes())
    at = whole.index(b"SLk1A") + 20
    whole[at] ^= 1
    path.write_bytes(whole)
    found = read(path)
    assert content(found) == (5, [], [], [], False)
    assert found.torn_bytes == len(whole) - whole.index(b"SLk1A")


def test_what_is_no_ledger_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.ledger"
    path.write_bytes(b"SLk1 but not more")
    with pytest.raises(BadInput, match="is no ledger"):
        read(path)


def test_the_ledgers_of_runs_but_for_producers_killed_before_they_began(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    written(one)
    written(other)
    (one / "a.ledger").touch()
    assert [found.path for found in of_run(other, one)] == [other / "p.ledger", one / "p.ledger"]
    (one / "p.ledger").unlink()
    with pytest.raises(BadInput, match="no ledger in"):
        of_run(one)
    (one / "a.ledger").write_bytes(b"x")
    with pytest.raises(BadInput, match="is no ledger"):
        of_run(one)


def test_two_producers_never_share_a_ledger(tmp_path: Path) -> None:
    written(tmp_path)
    with pytest.raises(BadInput, match="is there already"):
        Ledger(tmp_path, "p", "topic", "id")


def test_the_first_producer_of_a_run_says_where_it_begins(tmp_path: Path) -> None:
    first = Run("topic", "id", {0: 5, 1: 7}, 1.0).join(tmp_path)
    second = Run("topic", "id", {0: 50, 1: 70}, 2.0).join(tmp_path)
    assert first == second == Run.read(tmp_path) == Run("topic", "id", {0: 5, 1: 7}, 1.0)
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]
    with pytest.raises(BadInput, match="made anew"):
        Run("topic", "another id", {}, 3.0).join(tmp_path)
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(BadInput, match="not the folder of a run"):
        Run.read(tmp_path)


def test_a_killed_producer_leaves_every_intent_of_what_it_handed_over(tmp_path: Path) -> None:
    program = (
        "import pathlib, sys\nfrom shardlake.ledger import Ledger\n"
        "ledger = Ledger(pathlib.Path(sys.argv[1]), 'p', 't', 'i')\n"
        "number = 0\n"
        "while True:\n"
        "    for _ in range(100): ledger.intend(None, b'%d' % number); number += 1\n"
        "    ledger.flush(); print(number, flush=True)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    for _ in range(50):
        handed_over = int(child.stdout.readline())
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    child.stdout.close()
    found = read(tmp_path / "p.ledger")
    assert len(found.digests) >= handed_over == 5_000
    assert found.digests[:5_000].tolist() == [digest(None, b"%d" % number) for number in range(5_000)]
    assert not found.has_ended


def test_delivery_tells_the_ledger_what_became_of_each(deliver: Deliver, tmp_path: Path) -> None:
    sending = deliver(**{"message.max.bytes": 100_000})
    sending.ledger = Ledger(tmp_path, "p", "values", "id")
    for number in range(3_000):
        sending.send(b"x" * 150_000 if number == 1_234 else b"%d" % number, b"%d" % (number % 7), place=("s", number))
    account = sending.finish()
    found = read(tmp_path / "p.ledger")
    assert (account.total_acknowledged, account.failed) == (2_999, 1)
    assert found.failed.tolist() == [1_234]
    assert sorted(found.acknowledged.tolist()) == [number for number in range(3_000) if number != 1_234]
    by_partition: dict[int, list[tuple[int, int]]] = {}
    for row in zip(found.partitions.tolist(), found.offsets.tolist(), found.acknowledged.tolist(), strict=True):
        by_partition.setdefault(row[0], []).append(row[1:])
    for places in by_partition.values():
        assert [offset for offset, _ in sorted(places)] == list(range(len(places)))
        assert [number for _, number in sorted(places)] == sorted(number for _, number in places)
    assert found.has_ended
    assert json.dumps(found.sources) == '["s"]'


def test_a_full_disk_is_named_with_the_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = Ledger(tmp_path, "p", "topic", "id")
    ledger.intend(b"key", b"value")
    size = ledger.path.stat().st_size

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.write", full)
    with pytest.raises(OSError, match="No space left") as raised:
        ledger.flush()
    assert (raised.value.errno, raised.value.filename) == (errno.ENOSPC, str(ledger.path))
    assert ledger.path.stat().st_size == size


def block(kind: bytes, payload: bytes) -> bytes:
    """A whole block, whatever it says."""
    return struct.pack("<4sc3xII", b"SLk1", kind, len(payload), zlib.crc32(payload)) + payload


INTENT = struct.pack("<IQQ", 0, 1, 1)


@pytest.mark.parametrize(
    "blocks",
    [
        block(b"S", struct.pack("<I", 2**32 - 1) + b"a.log"),
        block(b"S", struct.pack("<I", 0) + b"\xff"),
        block(b"S", b"\x00"),
        block(b"I", INTENT),  # of a source that is not named
        block(b"I", INTENT[:-1]),
        block(b"A", struct.pack("<Qiq", 5, 0, 0)),  # of an event that is not there
        block(b"F", struct.pack("<Q", 2**63)),
        block(b"U", b"\x00"),
        block(b"X", b""),
        block(b"H", b"{}"),
    ],
)
def test_blocks_that_contradict_each_other_are_refused(tmp_path: Path, blocks: bytes) -> None:
    path = Ledger(tmp_path, "p", "topic", "id").path
    path.write_bytes(path.read_bytes() + blocks)
    with pytest.raises(BadInput, match=r"p\.ledger is damaged"):
        read(path)


@pytest.mark.parametrize("header", [b"{}", b"7", b"\xff", b'{"version": 1}', b'{"version": 2}'])
def test_a_header_that_is_none_makes_no_ledger(tmp_path: Path, header: bytes) -> None:
    path = tmp_path / "p.ledger"
    path.write_bytes(block(b"H", header))
    with pytest.raises(BadInput, match=r"p\.ledger is no ledger"):
        read(path)
