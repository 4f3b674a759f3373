"""The rule by which an event is in time, on a model of the jobs.

After any sequence of produce, run, stop, kill and finish each window is there once, and equals a recount of the events
less those that were listed as late. The model reads one partition and keeps what Flink keeps: the watermark, open
windows, and the latest event time. Outputs become visible with a checkpoint. `Tables.in_time` has the rule as SQL.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.unit

SEQUENCES = int(os.environ.get("SHARDLAKE_SEQUENCES", "300"))
OUT_OF_ORDER, MINUTE, GAP = 60, 60, 90
NEVER = -(10**9)
Window = tuple[int, int, int]
"""First moment, last moment, count of events: of a minute its two ends."""


@dataclass
class Run:
    """A run's state, which a checkpoint keeps, and the outputs that become visible with the checkpoint."""

    offset: int = 0
    closed_until: int = NEVER
    latest: int = NEVER
    minutes: dict[int, int] = field(default_factory=dict)
    sessions: list[list[int]] = field(default_factory=list)
    written: dict[str, list[Window]] = field(default_factory=lambda: {"minutes": [], "sessions": []})
    late: dict[str, set[int]] = field(default_factory=lambda: {"minutes": set(), "sessions": set()})

    def read(self, time: int, finished: int) -> None:
        """One event, in time or late for each of the two; `finished` is what a finish has closed."""
        minute_end = time // MINUTE * MINUTE + MINUTE
        if minute_end <= max(self.closed_until, finished // MINUTE * MINUTE + MINUTE):
            self.late["minutes"].add(self.offset)
        else:
            self.minutes[minute_end] = self.minutes.get(minute_end, 0) + 1
        if time <= max(self.closed_until, finished + GAP):
            self.late["sessions"].add(self.offset)
        else:
            near = [one for one in self.sessions if one[0] - GAP <= time <= one[-1] + GAP]
            self.sessions = [one for one in self.sessions if one not in near]
            self.sessions.append(sorted([time, *(other for one in near for other in one)]))
        self.offset += 1
        self.latest = max(self.latest, time)
        self.close(self.latest - OUT_OF_ORDER + 1)

    def close(self, until: int) -> None:
        """Fire what ends then or before."""
        self.closed_until = max(self.closed_until, until)
        for end in sorted(end for end in self.minutes if end <= self.closed_until):
            self.written["minutes"].append((end - MINUTE, end, self.minutes.pop(end)))
        for one in [one for one in self.sessions if one[-1] + GAP <= self.closed_until]:
            self.sessions.remove(one)
            self.written["sessions"].append((one[0], one[-1], len(one)))


class Jobs:
    """A topic, and the jobs over it as a user runs them."""

    def __init__(self) -> None:
        self.topic: list[int] = []
        self.finished = NEVER
        self.kept = Run()

    def read(self, count: int, *, checkpoint: bool) -> None:
        """Run from what is kept, for so many events; without the checkpoint the run is killed, and nothing stays."""
        run = copy.deepcopy(self.kept)
        for time in self.topic[run.offset : run.offset + count]:
            run.read(time, self.finished)
        if checkpoint:
            self.kept = run

    def finish(self) -> None:
        """Read to the end, fire every window, and close what has fired."""
        self.read(len(self.topic), checkpoint=True)
        self.kept.close(10**9)
        self.finished = max(self.finished, self.kept.latest)
        self.kept = Run(self.kept.offset, written=self.kept.written, late=self.kept.late)

    def recounted(self) -> dict[str, list[Window]]:
        """The windows over all events that are not listed."""
        times = {
            name: sorted(time for offset, time in enumerate(self.topic) if offset not in self.kept.late[name])
            for name in self.kept.late
        }
        minutes: dict[int, int] = {}
        for time in times["minutes"]:
            minutes[time // MINUTE * MINUTE] = minutes.get(time // MINUTE * MINUTE, 0) + 1
        return {
            "minutes": [(start, start + MINUTE, count) for start, count in minutes.items()],
            "sessions": list(_sessions(times["sessions"])),
        }


def _sessions(times: list[int]) -> Iterator[Window]:
    session: list[int] = []
    for time in times:
        if session and time - session[-1] > GAP:
            yield session[0], session[-1], len(session)
            session = []
        session.append(time)
    if session:
        yield session[0], session[-1], len(session)


TIMES = st.lists(st.integers(0, 1200), max_size=12)
"""20 minutes: the times of what is sent overlap again and again."""
STEPS = st.one_of(
    st.tuples(st.just("produce"), TIMES),
    st.tuples(st.just("stop"), st.integers(0, 20)),
    st.tuples(st.just("kill"), st.integers(0, 20)),
    st.tuples(st.just("finish"), st.just(0)),
)


@settings(max_examples=SEQUENCES, deadline=None)
@given(st.lists(STEPS, max_size=12))
def test_each_window_is_there_once_and_equals_the_recount(steps: list[tuple[str, list[int] | int]]) -> None:
    jobs = Jobs()
    for name, value in steps:
        if isinstance(value, list):
            jobs.topic += value
        elif name == "finish":
            jobs.finish()
        else:
            jobs.read(value, checkpoint=name == "stop")
    jobs.finish()
    assert {name: sorted(written) for name, written in jobs.kept.written.items()} == jobs.recounted()


def test_what_comes_after_a_finish_for_its_windows_is_late_and_a_log_of_the_next_day_is_not() -> None:
    jobs = Jobs()
    jobs.topic = [0, 30, 95]
    jobs.finish()
    assert jobs.kept.written == {"minutes": [(0, 60, 2), (60, 120, 1)], "sessions": [(0, 95, 3)]}
    jobs.topic += [119, 120, 185, 186, 86_400]
    jobs.finish()
    assert jobs.kept.late == {"minutes": {3}, "sessions": {3, 4, 5}}
    assert sorted(jobs.kept.written["minutes"])[2:] == [(120, 180, 1), (180, 240, 2), (86_400, 86_460, 1)]
    assert sorted(jobs.kept.written["sessions"])[1:] == [(186, 186, 1), (86_400, 86_400, 1)]
