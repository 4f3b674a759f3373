"""A latency's curve by percentile, out of its histogram."""

from __future__ import annotations

import math

import numpy as np
from hdrh.histogram import HdrHistogram

from shardlake.load.result import Latency

LAST = 10_000
"""1 / (1 - p) where curves end: 99.99 %."""
POINTS = 160
Curve = np.ndarray[tuple[int], np.dtype[np.float64]]


def curve(latency: Latency) -> tuple[Curve, Curve] | None:
    """1 / (1 - p), and the milliseconds that the share p was no longer than. It ends where one value is all there is
    beyond, at the latest at LAST; None where there are no values."""
    if not latency.count or not latency.histogram:
        return None
    # Its iterators hand out one object again and again, changed each time.
    histogram = HdrHistogram.decode(latency.histogram)
    places = [index for index in range(histogram.counts_len) if histogram.get_count_at_index(index)]
    if not places:
        return None
    counts = np.cumsum([histogram.get_count_at_index(index) for index in places])
    values = np.array([_highest(histogram, index) for index in places])
    total = int(counts[-1])
    inverse = np.geomspace(1, min(LAST, max(total, 2)), POINTS)
    needed = np.maximum(1, np.ceil((1 - 1 / inverse) * total - 1e-6))
    return inverse, values[np.searchsorted(counts, needed)] / 1000


def _highest(histogram: HdrHistogram, index: int) -> float:
    return float(histogram.get_highest_equivalent_value(histogram.get_value_from_index(index)))


def name(inverse: float) -> str:
    """The percentile at 1 / (1 - p), as `99.9 %`."""
    digits = max(0, math.ceil(math.log10(inverse)) - 2)
    return f"{100 * (1 - 1 / inverse):.{digits}f} %"
