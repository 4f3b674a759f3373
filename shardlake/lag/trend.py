"""Whether lag grows or falls, for people: an arrow and a line of blocks."""

from __future__ import annotations

from shardlake.lag.track import RATE_SECONDS, Track

BLOCKS = "▁▂▃▄▅▆▇█"
STEPS = 12
FLAT = 0.02
"""A change by less than this share of the lag, or of one record, is none."""


def lags(track: Track, taken_ms: float) -> list[float]:
    """Records behind over the minute before a sample, in equal steps from the first that is known; [] where that is the
    only one."""
    if track.committed is None:
        return []
    begin_ms, _, _ = track.at(taken_ms - 1000 * RATE_SECONDS)
    if begin_ms >= taken_ms:
        return []
    times = [begin_ms + (taken_ms - begin_ms) * step / (STEPS - 1) for step in range(STEPS)]
    found = [track.at(time_ms) for time_ms in times]
    return [max(0.0, end - committed) for _, committed, end in found]


def arrow(values: list[float]) -> str:
    """Of records behind over time: ↑ grows, ↓ falls, → neither; '' where nothing is known."""
    if not values:
        return ""
    change, slack = values[-1] - values[0], max(1.0, FLAT * max(values))
    return "↑" if change > slack else "↓" if change < -slack else "→"


def sparkline(values: list[float]) -> str:
    """The highest is a full block, 0 the lowest."""
    top = max(values, default=0.0)
    if not top:
        return BLOCKS[0] * len(values)
    return "".join(BLOCKS[min(len(BLOCKS) - 1, int(value / top * len(BLOCKS)))] for value in values)
