"""When a record of a partition arrived, between what its end offset was at one sample and at the next."""

from __future__ import annotations

from bisect import bisect_right

POINTS = 120


class Arrivals:
    """End offsets of one partition over time, for all groups. Where there are too many, old ones are thinned out: what
    arrived long ago is known less exactly, never forgotten."""

    __slots__ = ("_ends", "_times")

    def __init__(self) -> None:
        self._ends: list[int] = []
        self._times: list[float] = []

    def add(self, end: int, time_ms: float) -> None:
        """The end offset at a time, later than all before. A lower one than before is of a topic that was made anew."""
        ends, times = self._ends, self._times
        if ends and end < ends[-1]:
            ends.clear()
            times.clear()
        if len(ends) > 1 and ends[-1] == end == ends[-2]:
            times[-1] = time_ms  # of a time without arrivals its begin and its end say all
            return
        ends.append(end)
        times.append(time_ms)
        if len(ends) > POINTS:
            del ends[1 : POINTS // 2 : 2]
            del times[1 : POINTS // 2 : 2]

    def at(self, offset: int) -> float | None:
        """When the record at an offset arrived, in ms since 1970; it is between the samples before and after it, as if
        all that came between them had come evenly. None where it came before the first sample, or has not come."""
        later = bisect_right(self._ends, offset)
        if later == 0 or later == len(self._ends):
            return None
        low, high = self._ends[later - 1], self._ends[later]
        begin, end = self._times[later - 1], self._times[later]
        return begin + (offset - low + 0.5) / (high - low) * (end - begin)
