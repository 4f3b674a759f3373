"""What a shard's lease says, from its commit and the group's members: a numbered table."""

from __future__ import annotations

from typing import Any

import pytest

from shardlake.cli.leases import lease_table
from shardlake.position import Bounds, Position
from shardlake.shards.lease import Lease
from shardlake.shards.leases import Checkpoint, State, judge

pytestmark = pytest.mark.unit

NOW_MS = 1_000_000
OWNER = "host:1"


def lease(seconds_ago: float, epoch: int = 3) -> str:
    return Lease(OWNER, epoch, 40, NOW_MS - int(seconds_ago * 1000)).to_metadata()


CASES: list[tuple[str, int | None, str | None, set[str], dict[str, Any]]] = [
    ("1. renewed just now by a member: held", 60, lease(1), {OWNER},
     {"state": State.HELD, "owner": OWNER, "epoch": 3, "checkpoint": 60, "behind": 40, "age_seconds": 1.0,
      "in_flight": 40}),
    ("2. a renewal that is a little late is none that is missing", 60, lease(9.9), {OWNER}, {"state": State.HELD}),
    ("3. not renewed for a while, its owner still a member: expired", 60, lease(11), {OWNER},
     {"state": State.EXPIRED, "owner": OWNER, "age_seconds": 11.0}),
    ("4. its owner no member: free at once, with its last owner and epoch", 60, lease(1), {"host:2"},
     {"state": State.FREE, "owner": OWNER, "epoch": 3}),
    ("5. a group without members: free", 60, lease(100), set(), {"state": State.FREE, "age_seconds": 100.0}),
    ("6. nothing committed: never held, and all that is there is behind", None, None, {OWNER},
     {"state": State.NEVER_HELD, "owner": None, "epoch": None, "checkpoint": None, "behind": 90, "age_seconds": None}),
    ("7. a commit without metadata: no lease", 60, "", {OWNER}, {"state": State.NO_LEASE, "checkpoint": 60}),
    ("8. a commit with somebody else's metadata: no lease", 60, '{"pos": 1}', {OWNER}, {"state": State.NO_LEASE}),
    ("9. at the end: nothing behind", 100, lease(1), {OWNER}, {"behind": 0, "checkpoint": 100}),
    ("10. committed before the first record that is left: behind by what is left", 3, lease(1), {OWNER},
     {"behind": 90, "checkpoint": 3}),
    ("11. committed after the end, of a topic made anew: nothing behind, never less", 500, lease(1), {OWNER},
     {"behind": 0}),
    ("12. an owner whose clock is ahead: age 0", 60, lease(-5), {OWNER}, {"age_seconds": 0.0, "state": State.HELD}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("offset", "metadata", "members", "expected"), [row[1:] for row in CASES], ids=[row[0] for row in CASES]
)
def test_judge(offset: int | None, metadata: str | None, members: set[str], expected: dict[str, Any]) -> None:
    found = judge(Checkpoint("t", 0, Position(Bounds(10, 100, 100), offset), metadata), members, NOW_MS)
    assert found.shard == "t-0"
    assert {name: getattr(found, name) for name in expected} == expected


def test_a_group_that_reads_uncommitted_records_is_behind_the_high_watermark() -> None:
    behind = [
        judge(Checkpoint("t", 0, Position(Bounds(0, 94, 100), offset), lease(1)), {OWNER}, NOW_MS).behind
        for offset in (90, 94, 97, 100)
    ]
    assert behind == [4, 0, 3, 0]


def test_the_table_has_a_row_a_shard() -> None:
    rows = [
        judge(Checkpoint("t", n, Position(Bounds(0, 9, 9), offset), lease(1)), {OWNER}, NOW_MS)
        for n, offset in enumerate((5, None))
    ]
    assert lease_table(rows).row_count == 2
    assert lease_table([]).row_count == 1
