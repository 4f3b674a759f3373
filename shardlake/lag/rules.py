"""How far a group is behind in one partition: a pure function of offsets and times."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

NOT_STARTED_LAG = -1


class State(StrEnum):
    """What the offsets say."""

    NOT_STARTED = "not started"
    """Nothing was ever committed. That is no lag of 0: everything there waits."""
    CAUGHT_UP = "caught up"
    BEHIND = "behind"
    LOST = "lost to retention"
    """Committed before the first record that is still there: what lay between is gone unread."""
    AHEAD = "ahead of the end"
    """Committed after the end: the topic was made anew, or cut."""


@dataclass(frozen=True, slots=True)
class Offsets:
    """What the broker says. `committed` is the next offset to read, None where nothing is committed; `end` is one
    past the last that may be read; `arrival_ms` is when the record at `committed` (or at `first`, if later) arrived,
    None if unknown."""

    first: int
    end: int
    committed: int | None
    arrival_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Lag:
    """`records` wait, the oldest for `seconds`: 0 when caught up, None where it could not be measured."""

    state: State
    records: int
    seconds: float | None

    @property
    def exported(self) -> int:
        """The records as the exporter shows them: -1 where the group has not started, never 0."""
        return NOT_STARTED_LAG if self.state is State.NOT_STARTED else self.records


def judge(offsets: Offsets, now_ms: int) -> Lag:
    """The lag of one group in one partition at `now_ms`.

    The group's offsets are asked before the end is, so that a commit in between shows as a little more lag, never as
    less.
    """
    waiting_since = None if offsets.arrival_ms is None else max(0.0, (now_ms - offsets.arrival_ms) / 1000)
    if offsets.committed is None:
        records = offsets.end - offsets.first
        return Lag(State.NOT_STARTED, records, waiting_since if records else None)
    if offsets.committed > offsets.end:
        return Lag(State.AHEAD, 0, None)
    if offsets.committed == offsets.end:
        return Lag(State.CAUGHT_UP, 0, 0.0)
    if offsets.committed < offsets.first:
        records = offsets.end - offsets.first
        return Lag(State.LOST, records, waiting_since if records else 0.0)
    return Lag(State.BEHIND, offsets.end - offsets.committed, waiting_since)
