"""One group in one partition, followed from sample to sample."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from shardlake.position import Position

POINTS = 64
GAPS = 5
RATE_SECONDS = 60
"""Rates are of no longer ago, and never over less than the next."""
LEAST_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Rates:
    """Records a second over some time until now."""

    committed: float
    arrived: float


class Track:
    """What the samples have shown. Times are in ms since 1970; `committed` is None where nothing is committed.

    `first`, `end`, `committed` and `lag` are those of `position`, which is asked for them once."""

    __slots__ = (
        "behind_since_ms", "committed", "end", "first", "gaps_ms", "lag", "lag_fell_ms", "moved_ms", "points",
        "position", "renewal", "renewed_ms", "rewound_from", "seen_ms", "was_committed",
    )  # fmt: skip

    def __init__(self, now_ms: float, position: Position) -> None:
        self.seen_ms = now_ms
        self._begin(now_ms, position)
        self.renewal = ""
        self.was_committed = position.committed is not None
        """Whether it ever was, as far as was seen."""

    def _begin(self, now_ms: float, position: Position) -> None:
        self._set(position)
        self.points: deque[tuple[float, int, int]] = deque(maxlen=POINTS)
        """Times with the committed offset and the end at them; between them both change evenly."""
        self.moved_ms: float | None = None
        """When the committed offset was last seen to have moved."""
        self.renewed_ms: float | None = None
        """When it was last seen to be committed again where it is: by a worker that renews its lease."""
        self.rewound_from: int | None = None
        """The highest that was committed before it went back; None once it is there again."""
        self.gaps_ms: deque[float] = deque(maxlen=GAPS)
        """How long it took to move, while records waited."""
        self.behind_since_ms: float | None = None
        self.lag_fell_ms = now_ms
        if self.committed is not None:
            self.points.append((now_ms, self.committed, self.end))
            if self.end > self.committed:
                self.behind_since_ms = now_ms

    def _set(self, position: Position) -> None:
        self.position = position
        self.first, self.end, self.committed = position.bounds.first, position.end, position.committed
        self.lag = position.lag
        """Records behind; where nothing is committed, or what was is gone, all that are there."""

    def observe(self, now_ms: float, before_ms: float, position: Position) -> None:
        """Another sample; `before_ms` is when the one before it was taken. Only one that differs needs to be told."""
        end, committed = position.end, position.committed
        # The high watermark tells, as the group's end goes back with a group that has read uncommitted records.
        is_anew = position.bounds.high < self.position.bounds.high
        if self.end < 0 or is_anew or committed is None or self.committed is None:
            # Nothing was known before, the topic was made anew, a commit has expired, or the first has come: what was
            # says nothing of now.
            self._begin(now_ms, position)
            self.was_committed |= committed is not None
            if committed is not None:
                self.moved_ms = now_ms
            return
        before, lag_before = self.committed, self.end - self.committed
        if self.points[-1][0] < before_ms:
            self.points.append((before_ms, before, self.end))
        self.points.append((now_ms, committed, end))
        self._set(position)
        if committed > before:
            since_ms = before_ms if self.behind_since_ms is None else self.behind_since_ms
            self.gaps_ms.append(now_ms - max(self.moved_ms or since_ms, since_ms))
            self.moved_ms = now_ms
            if self.rewound_from is not None and committed >= self.rewound_from:
                self.rewound_from = None
        elif committed < before:
            if before <= position.bounds.high:  # else the topic was made anew, or cut, and there is no way back there
                self.rewound_from = max(before, self.rewound_from or 0)
            self.moved_ms = now_ms
        lag = end - committed
        if lag <= 0:
            self.behind_since_ms, self.lag_fell_ms, self.rewound_from = None, now_ms, None
        elif self.behind_since_ms is None:
            self.behind_since_ms = self.lag_fell_ms = now_ms
        elif lag < lag_before:
            self.lag_fell_ms = now_ms

    def renew(self, now_ms: float, renewal: str) -> None:
        """The metadata of the commit, which tells that it was committed again."""
        if renewal != self.renewal:
            self.renewal = renewal
            self.renewed_ms = now_ms

    def at(self, time_ms: float) -> tuple[float, float, float]:
        """The time, committed offset and end at a time, or at the first that is known after it."""
        points = self.points
        later = None
        for point in reversed(points):
            if point[0] <= time_ms:
                if later is None or later[0] == point[0]:
                    return time_ms, point[1], point[2]
                share = (time_ms - point[0]) / (later[0] - point[0])
                return time_ms, point[1] + share * (later[1] - point[1]), point[2] + share * (later[2] - point[2])
            later = point
        assert later is not None
        return later

    def rates(self, now_ms: float) -> Rates | None:
        """None where too little was seen, or nothing is committed."""
        if self.committed is None or not self.points:
            return None
        begin_ms, committed, end = self.at(now_ms - 1000 * RATE_SECONDS)
        seconds = (now_ms - begin_ms) / 1000
        if seconds < LEAST_SECONDS:
            return None
        return Rates((self.committed - committed) / seconds, (self.end - end) / seconds)
