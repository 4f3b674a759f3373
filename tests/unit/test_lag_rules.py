"""Lag as a function of offsets and times: a numbered table."""

from __future__ import annotations

import pytest

from shardlake.lag.rules import Lag, Offsets, State, judge

pytestmark = pytest.mark.unit

NOW_MS = 1_000_000
TEN_SECONDS_AGO = NOW_MS - 10_000

CASES: list[tuple[str, Offsets, Lag, int]] = [
    ("1. nothing committed, records wait: not started, exported as -1, with the age of the first",
     Offsets(0, 100, None, TEN_SECONDS_AGO), Lag(State.NOT_STARTED, 100, 10.0), -1),
    ("2. nothing committed in an empty partition: not started all the same, no age",
     Offsets(5, 5, None), Lag(State.NOT_STARTED, 0, None), -1),
    ("3. committed at the end: caught up, 0 records, 0 seconds",
     Offsets(0, 100, 100), Lag(State.CAUGHT_UP, 0, 0.0), 0),
    ("4. caught up stays 0 seconds however long ago the last record came",
     Offsets(0, 100, 100, 0), Lag(State.CAUGHT_UP, 0, 0.0), 0),
    ("5. behind: what waits, and since when the first of it does",
     Offsets(0, 100, 60, TEN_SECONDS_AGO), Lag(State.BEHIND, 40, 10.0), 40),
    ("6. behind, and the record could not be read: the seconds are unknown, not 0",
     Offsets(0, 100, 60), Lag(State.BEHIND, 40, None), 40),
    ("7. a broker's clock a little ahead of ours gives 0, never a negative age",
     Offsets(0, 100, 99, NOW_MS + 50), Lag(State.BEHIND, 1, 0.0), 1),
    ("8. committed before the first record still there: lost to retention, only what is left can be read",
     Offsets(50, 100, 10, TEN_SECONDS_AGO), Lag(State.LOST, 50, 10.0), 50),
    ("9. committed before the first record of an emptied partition: lost, and nothing waits",
     Offsets(100, 100, 10), Lag(State.LOST, 0, 0.0), 0),
    ("10. committed after the end: the topic was made anew; that is no negative lag",
     Offsets(0, 20, 100), Lag(State.AHEAD, 0, None), 0),
    ("11. committed at 0 is a commit: behind by all, not 'not started'",
     Offsets(0, 100, 0, TEN_SECONDS_AGO), Lag(State.BEHIND, 100, 10.0), 100),
]  # fmt: skip


@pytest.mark.parametrize(("offsets", "lag", "exported"), [row[1:] for row in CASES], ids=[row[0] for row in CASES])
def test_lag(offsets: Offsets, lag: Lag, exported: int) -> None:
    found = judge(offsets, NOW_MS)
    assert found == lag
    assert found.exported == exported
