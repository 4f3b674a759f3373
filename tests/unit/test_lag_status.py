"""What to think of a shard, from what samples have shown: a numbered table."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest

from shardlake.lag.status import Status, drain_seconds, hot, judge, window_seconds
from shardlake.lag.track import Track
from shardlake.position import Bounds, Position

pytestmark = pytest.mark.unit

Seen = tuple[int, int | None, int]
"""A second, the committed offset and the end at it."""


@dataclass(frozen=True)
class Case:
    seen: list[Seen]
    now: int
    status: Status
    reason: str
    is_held: bool = True
    is_empty: bool = False
    first: int = 0
    renewals: tuple[int, ...] = ()
    held: int = 0
    """Offsets from the end to the high watermark."""
    open_since: int | None = None


def follow(seen: list[Seen], first: int = 0, renewals: tuple[int, ...] = (), held: int = 0) -> Track:
    (began, committed, end), *later = seen
    track = Track(1000 * began, Position(Bounds(first, end, end + held), committed))
    before = began
    for second, offset, end in later:
        if (offset, end) != (track.committed, track.end):
            track.observe(1000 * second, 1000 * before, Position(Bounds(first, end, end + held), offset))
        before = second
    for second in renewals:
        track.renew(1000 * second, f"renewed at {second}")
    return track


def every(seconds: int, count: int, offset: int, end: int, moved: int, arrived: int, begin: int = 0) -> list[Seen]:
    """Samples in which it moves by so much and so much comes."""
    return [(begin + n * seconds, offset + n * moved, end + n * arrived) for n in range(count)]


MOVING = every(5, 10, 0, 100, 10, 10)
"""45 s of a shard that is 100 behind and moves at each sample."""

CASES: list[tuple[str, Case]] = [
    ("1. nothing committed: not started, with what waits", Case(
        [(0, None, 100)], 5, Status.NOT_STARTED, "nothing was committed yet; 100 records wait")),
    ("2. nothing committed in an empty partition: not started all the same", Case(
        [(0, None, 0)], 500, Status.NOT_STARTED, "nothing was committed yet; 0 records wait")),
    ("3. committed once, and no more: its commit has expired", Case(
        [(0, 50, 100), (5, None, 100)], 5, Status.NOT_STARTED,
        "its commit is gone: it expired, or was deleted; 100 records wait")),
    ("4. at the end: caught up, however long ago the last record came", Case(
        [(0, 100, 100)], 100_000, Status.OK, "caught up")),
    ("5. behind at the first sample: nothing is known against it", Case(
        [(0, 60, 100)], 0, Status.OK, "it moves")),
    ("6. behind and never seen to move: judged after a minute, not before", Case(
        [(0, 60, 100)], 59, Status.OK, "it moves")),
    ("7. the same after the minute, held by somebody", Case(
        [(0, 60, 100)], 60, Status.STALL, "has not moved for 60 s, 40 records wait; its worker is there")),
    ("8. the same, held by nobody", Case(
        [(0, 60, 100)], 60, Status.STOP, "has not moved for 60 s, 40 records wait; nobody holds it", is_held=False)),
    ("9. it moved at every sample and does not any more: 20 s are enough", Case(
        [*MOVING, (50, 90, 190)], 65, Status.STALL, "has not moved for 20 s, 100 records wait; its worker is there")),
    ("10. a second before that it is not judged", Case(
        [*MOVING, (50, 90, 190)], 64, Status.OK, "it moves")),
    ("11. a Flink job that commits each minute: 40 s without a move are nothing", Case(
        every(60, 4, 0, 600, 600, 600), 220, Status.OK, "it moves", is_held=False)),
    ("12. the same job after three times a minute", Case(
        every(60, 4, 0, 600, 600, 600), 360, Status.STOP, "has not moved for 180 s, 600 records wait; nobody holds it",
        is_held=False)),
    ("13. nobody is known to hold it, but its lease is renewed: it hangs, it is not gone", Case(
        [*MOVING, (50, 90, 200)], 70, Status.STALL, "has not moved for 25 s, 110 records wait; its worker is there",
        is_held=False, renewals=(60,))),
    ("14. a lease that was renewed long ago says nothing", Case(
        [*MOVING, (50, 90, 200)], 90, Status.STOP, "has not moved for 45 s, 110 records wait; nobody holds it",
        is_held=False, renewals=(60,))),
    ("15. idle for an hour, then a record comes: it has stood still since then, not for an hour", Case(
        [(0, 90, 100), (5, 100, 100), (3600, 100, 101)], 3610, Status.OK, "it moves")),
    ("16. the same, 20 s after the record", Case(
        [(0, 90, 100), (5, 100, 100), (3600, 100, 101)], 3620, Status.STALL,
        "has not moved for 20 s, 1 record waits; its worker is there")),
    ("17. a consumer that was never seen behind is known to move as well", Case(
        [(0, 10, 10), (5, 20, 20), (10, 30, 30), (15, 30, 40)], 35, Status.STOP,
        "has not moved for 20 s, 10 records wait; nobody holds it", is_held=False)),
    ("18. it went back", Case(
        [*MOVING, (50, 20, 200)], 50, Status.REWIND, "went back from 90, is at 20")),
    ("19. it went back twice: the highest counts", Case(
        [*MOVING, (50, 20, 200), (55, 60, 200), (60, 5, 200)], 60, Status.REWIND, "went back from 90, is at 5")),
    ("20. it has come again to where it was", Case(
        [*MOVING, (50, 20, 200), (55, 90, 200)], 55, Status.OK, "it moves")),
    ("21. it went back and then to the end of what was lost: caught up", Case(
        [*MOVING, (50, 20, 200), (55, 200, 200)], 55, Status.OK, "caught up")),
    ("22. its lag grows for a minute though it moves", Case(
        every(5, 14, 0, 100, 10, 20), 65, Status.WARN, "its lag has not fallen for 65 s")),
    ("23. it grows for less than that", Case(
        every(5, 11, 0, 100, 10, 20), 50, Status.OK, "it moves")),
    ("24. it is behind by the same for long: no worse", Case(
        every(5, 20, 0, 100, 10, 10), 95, Status.OK, "it moves")),
    ("25. it grew, and fell once in the last minute", Case(
        [*every(5, 10, 0, 100, 10, 20), (50, 200, 300), (55, 205, 320)], 55, Status.OK, "it moves")),
    ("26. committed before the first that is there: what lay between is gone unread", Case(
        [(0, 10, 100)], 0, Status.LOST, "40 offsets went with retention before any was read", first=50)),
    ("27. committed beyond the end: the topic was made anew", Case(
        [(0, 100, 20)], 0, Status.AHEAD, "committed 100, and the topic ends at 20: was it made anew?")),
    ("28. the topic was made anew between samples: what was before is forgotten", Case(
        [*MOVING, (50, 0, 5)], 55, Status.OK, "it moves")),
    ("29. only a transaction's marker is before the end: caught up", Case(
        [(0, 99, 100)], 500, Status.OK, "caught up", is_empty=True)),
    ("30. the first commit: it has begun", Case(
        [(0, None, 100), (5, 10, 100)], 10, Status.OK, "it moves")),
    ("31. after its first commit it stands still for a minute", Case(
        [(0, None, 100), (5, 10, 100)], 65, Status.STALL,
        "has not moved for 60 s, 90 records wait; its worker is there")),
    ("34. it went back and then stands still, held by nobody: that is worse", Case(
        [*MOVING, (50, 20, 200), (55, 30, 200)], 75, Status.STOP,
        "has not moved for 20 s, 170 records wait; nobody holds it", is_held=False)),
    ("35. beyond the end of a topic that was made anew, then where that begins: no way back", Case(
        [(0, 100, 20), (5, 20, 20), (10, 20, 21)], 12, Status.OK, "it moves")),
    ("36. it went back and caught up with what is there: the past is over", Case(
        [(0, 90, 100), (5, 20, 100), (10, 100, 100), (15, 95, 100), (20, 97, 100)], 20, Status.REWIND,
        "went back from 100, is at 97")),
    ("32. it grows, stays and grows again: it has not fallen", Case(
        [(5 * n, 10 * n, 100 + 10 * n + 5 * (n // 2)) for n in range(14)], 65, Status.WARN,
        "its lag has not fallen for 65 s")),
    ("33. committed at 0 is a commit, not 'not started'", Case(
        [(0, 0, 100)], 5, Status.OK, "it moves")),
    ("37. at the high watermark beside an open transaction: a reader of uncommitted records, and not ahead", Case(
        [(0, 6, 0)], 500, Status.OK, "caught up, with records that are not committed yet", held=6, open_since=0)),
    ("38. at the stable offset beside it: what is behind that is said, and since when", Case(
        [(0, 94, 94)], 59, Status.OK, "6 behind the end, and all that is committed is read: a transaction has been "
        "open since 1970-01-01 00:00:00 UTC", held=6, open_since=0)),
    ("39. a transaction that is open for a minute is worth a look", Case(
        [(0, 94, 94)], 60, Status.WARN, "6 behind the end, and all that is committed is read: a transaction has been "
        "open since 1970-01-01 00:00:00 UTC", held=6, open_since=0)),
    ("40. nobody knows since when", Case(
        [(0, 94, 94)], 500, Status.OK, "6 behind the end, and all that is committed is read: a transaction is open",
        held=6)),
    ("41. between the two: it reads uncommitted records, and they wait", Case(
        [(0, 2, 0)], 5, Status.OK, "it moves", held=6, open_since=0)),
    ("42. beyond the high watermark: ahead of all there is", Case(
        [(0, 107, 94)], 0, Status.AHEAD, "committed 107, and the topic ends at 100: was it made anew?", held=6)),
    ("43. a reader of uncommitted records that goes back before the transaction went back", Case(
        [(0, 100, 94), (5, 50, 94)], 5, Status.REWIND, "went back from 100, is at 50", held=6, open_since=0)),
]  # fmt: skip


@pytest.mark.parametrize("case", [case for _, case in CASES], ids=[name for name, _ in CASES])
def test_status(case: Case) -> None:
    track = follow(case.seen, case.first, case.renewals, case.held)
    since_ms = None if case.open_since is None else 1000 * case.open_since
    found = judge(track, 1000 * case.now, case.is_held, case.is_empty, since_ms)
    assert (found.status, found.reason) == (case.status, case.reason)


@pytest.mark.parametrize(
    ("seen", "seconds"),
    [
        pytest.param([(0, 0, 100)], 60, id="never seen to move"),
        pytest.param(MOVING, 20, id="at every sample: the least"),
        pytest.param(every(60, 4, 0, 600, 600, 600), 180, id="each minute"),
        pytest.param(every(900, 4, 0, 600, 600, 600), 600, id="each quarter of an hour: the most"),
        pytest.param([(0, 100, 100), (5000, 100, 101), (5010, 101, 101)], 30, id="not while nothing waits"),
    ],
)
def test_how_long_it_may_stand_still(seen: list[Seen], seconds: float) -> None:
    assert window_seconds(follow(seen)) == seconds


@pytest.mark.parametrize(
    ("seen", "now", "seconds"),
    [
        pytest.param([(0, None, 100)], 0, None, id="not started: unknown"),
        pytest.param([(0, 100, 100)], 0, 0.0, id="caught up"),
        pytest.param([(0, 50, 100)], 0, None, id="one sample: unknown"),
        pytest.param([(0, 50, 100)], 30, math.inf, id="it does not move"),
        pytest.param(every(5, 5, 0, 1000, 100, 50), 20, 80.0, id="800 behind and 10 a second faster"),
        pytest.param(every(5, 5, 0, 1000, 50, 50), 20, math.inf, id="as fast as what comes"),
        pytest.param([*every(5, 20, 0, 100_000, 0, 0), *every(5, 12, 0, 100_000, 500, 0, 100)], 155,
                     94_500 / (5500 / 60), id="of the last minute alone"),
        pytest.param([*MOVING, (50, 20, 200), (55, 30, 200)], 55, math.inf, id="a rewind is no progress"),
    ],
)  # fmt: skip
def test_time_to_drain(seen: list[Seen], now: int, seconds: float | None) -> None:
    found = drain_seconds(follow(seen), 1000 * now)
    assert found == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("shards", "found"),
    [
        pytest.param([(1000, 60.0), (10, 1.0), (20, 1.0), (0, 0.0)], (0, 100.0), id="one hides in the sum"),
        pytest.param([(0, 0.0), (1000, 60.0)], (1, 1000.0), id="beside one that is caught up"),
        pytest.param([(1000, 60.0), (900, 60.0), (1100, 60.0)], None, id="all are behind alike"),
        pytest.param([(1000, 60.0), (250, 60.0), (250, 60.0)], (0, 4.0), id="four times the others: just hot"),
        pytest.param([(1000, 60.0), (251, 60.0), (250, 60.0)], None, id="a little less"),
        pytest.param([(99, 60.0), (0, 0.0)], None, id="too few records"),
        pytest.param([(1000, 9.0), (0, 0.0)], None, id="for a moment only"),
        pytest.param([(1000, None), (0, 0.0)], None, id="nobody knows since when"),
        pytest.param([(1000, 60.0)], None, id="there are no others"),
    ],
)
def test_hot_shard(shards: list[tuple[int, float | None]], found: tuple[int, float] | None) -> None:
    assert hot(shards) == found
