"""The checker of order and completeness: planted faults are found, and what is no fault is none."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from shardlake.shards.order import EXAMPLES, Verdict, check
from shardlake.shards.processor import Record
from shardlake.shards.record_file import RecordFile, read_all
from tests.unit.shard_messages import message

pytestmark = pytest.mark.unit

A, B = b"a", b"b"
TOPIC = [("t-0", 10), ("t-0", 11), ("t-0", 12), ("t-1", 0)]
ALL = [("t-0", A, 10), ("t-0", B, 11), ("t-0", A, 12), ("t-1", A, 0)]

CASES: list[tuple[str, list[Any], list[Any], dict[str, Any]]] = [
    ("1. all once and in order", TOPIC, ALL, {"holds": True, "seen": 4, "produced": 4}),
    ("2. keys of a shard may pass each other", TOPIC, [ALL[1], ALL[0], *ALL[2:]], {"holds": True}),
    ("3. shards may pass each other, also with the same key", TOPIC, [ALL[3], *ALL[:3]], {"holds": True}),
    ("4. a later record of the key first: a break, named by the earlier one", TOPIC, [ALL[2], *ALL[:2], ALL[3]],
     {"holds": False, "breaks": 1, "first_breaks": (("t-0", 10),), "lost": 0}),
    ("5. a record that never came: lost, named", TOPIC, ALL[1:],
     {"holds": False, "lost": 1, "first_lost": (("t-0", 10),), "seen": 3, "breaks": 0}),
    ("6. the last of a shard lost", TOPIC, [*ALL[:2], ALL[3]], {"lost": 1, "first_lost": (("t-0", 12),)}),
    ("7. a whole shard lost", TOPIC, ALL[:3], {"lost": 1, "first_lost": (("t-1", 0),)}),
    ("8. a record twice: a duplicate, counted by shard, and no fault", TOPIC, [*ALL[:3], ALL[2], ALL[3]],
     {"holds": True, "duplicates": 1, "duplicates_by_shard": (("t-0", 1),), "seen": 4}),
    ("9. the same part of a shard again, as after a kill: no break", TOPIC, [*ALL[:3], *ALL[:3], ALL[3]],
     {"holds": True, "duplicates": 3, "breaks": 0}),
    ("10. a duplicate does not make up for a loss", TOPIC, [ALL[0], ALL[0], *ALL[2:]],
     {"holds": False, "duplicates": 1, "lost": 1, "seen": 3}),
    ("11. again from too far on, what lay between later: a break all the same",
     TOPIC, [ALL[2], ALL[2], *ALL[:2], ALL[3]], {"breaks": 1, "duplicates": 1}),
    ("12. a record that the topic does not have", TOPIC, [*ALL, ("t-0", A, 13), ("t-9", A, 0)],
     {"holds": False, "unknown": 2, "seen": 6, "lost": 0}),
    ("13. one from before the topic's first, which retention took", TOPIC, [("t-0", A, 3), *ALL],
     {"unknown": 1, "lost": 0, "breaks": 0}),
    ("14. records without a key have no order", TOPIC, [(s, None, n) for s, _, n in reversed(ALL)], {"holds": True}),
    ("15. an empty key is a key", TOPIC, [(s, b"", n) for s, _, n in [ALL[2], *ALL[:2], ALL[3]]], {"breaks": 2}),
    ("16. numbers that control records took are no loss", [("t-0", 0), ("t-0", 2)], [("t-0", A, 0), ("t-0", A, 2)],
     {"holds": True, "produced": 2}),
    ("17. nothing at all", [], [], {"holds": True, "produced": 0, "seen": 0}),
    ("18. the topic read backwards", TOPIC[::-1], ALL, {"holds": True, "seen": 4}),
]  # fmt: skip


@pytest.mark.parametrize(("produced", "processed", "expected"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_check(produced: list[Any], processed: list[Any], expected: dict[str, Any]) -> None:
    found = check(iter(produced), iter(processed))
    assert {name: getattr(found, name) for name in expected} == expected


def test_all_are_counted_and_some_named() -> None:
    found = check((("t-0", n) for n in range(5_000)), (("t-0", A, n) for n in range(4_999, 2_499, -1)))
    assert (found.lost, found.breaks, found.seen) == (2_500, 2_499, 2_500)
    assert found.first_lost == tuple(("t-0", n) for n in range(EXAMPLES))
    assert found.first_breaks[0] == ("t-0", 4_998)
    assert isinstance(found, Verdict)


def test_files_are_read_in_the_order_in_which_processes_wrote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {}
    for process in (900, 1000):
        monkeypatch.setattr(os, "getpid", lambda process=process: process)
        files[process] = RecordFile(tmp_path)
    written = [(1000, 5, b"a b"), (900, 6, None), (1000, 7, b""), (900, 8, b"a\nb")]
    for process, number, key in written:
        files[process].write(Record("t-0", message(number, key), {}))
    with (tmp_path / "900.records").open("a") as file:
        file.write("99999999999999999999 900 t-0 9 =cut o")
    assert list(read_all(tmp_path)) == [("t-0", b"a b", 5), ("t-0", None, 6), ("t-0", b"", 7), ("t-0", b"a\\nb", 8)]
