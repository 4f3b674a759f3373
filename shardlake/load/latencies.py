"""Latencies of a run, event by event, from the intended time: ledgers, notes and the lake joined by place.

Values are counted into histograms after the run: counting while it lasts would be part of what is measured.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from hdrh.histogram import HdrHistogram

from shardlake.load.handled import Rows
from shardlake.load.lakewatch import Columns
from shardlake.load.result import Latency
from shardlake.load.times import Column, Sent

LOWEST_US, HIGHEST_US, DIGITS = 1, 3_600_000_000, 3
SHIFT = 40
"""Offsets are below 2^40 here, so that a place is one number: partition, then offset."""


def latency(waits_ns: Column, unknown: int, note: str) -> Latency:
    """The histogram of waits; what is below a microsecond, as by two clocks of one machine, counts as one."""
    histogram = HdrHistogram(LOWEST_US, HIGHEST_US, DIGITS)
    values, counts = np.unique(np.clip(waits_ns // 1000, LOWEST_US, HIGHEST_US), return_counts=True)
    for value, count in zip(values.tolist(), counts.tolist(), strict=True):
        histogram.record_value(value, count)

    highest = int(values[-1]) if len(values) else 0

    def ms(share: float) -> float:
        # A histogram's value is the highest of those that it counts together.
        return min(histogram.get_value_at_percentile(share), highest) / 1000 if highest else 0.0

    return Latency(
        count=len(waits_ns), unknown=unknown, p50_ms=ms(50), p90_ms=ms(90), p99_ms=ms(99), p999_ms=ms(99.9),
        max_ms=highest / 1000, histogram=histogram.encode().decode(), note=note,
    )  # fmt: skip


def acknowledged(sent: Sent) -> Latency:
    """Until the broker's acknowledgement was taken in."""
    return latency(sent.acknowledged_ns - sent.intended_ns, 0, "until the producer had the broker's acknowledgement")


def slip(sent: Sent) -> Latency:
    """Until an event was handed to the client."""
    return latency(sent.slip_ns, 0, "until the generator handed the event to its client: how late the load was offered")


def consumed(sent: Sent, rows: Rows) -> Latency:
    """Until a consumer's handler had returned; the first time where a record came twice."""
    count = rows[:, 2]
    first = np.repeat(np.cumsum(count) - count, count)
    within = np.arange(int(count.sum())) - first
    places = np.repeat((rows[:, 0] << SHIFT) + rows[:, 1], count) + within
    return _joined(sent, places, np.repeat(rows[:, 4], count), "until the consumer's handler had returned")


def visible(sent: Sent, rows: Columns, look_seconds: float) -> Latency:
    """Until its file was seen in the lake."""
    note = f"until the row's file was seen in the lake, which is listed every {look_seconds:g} s"
    return _joined(sent, (rows[0] << SHIFT) + rows[1], rows[2], note)


def windowed(sent: Sent, waits: Callable[[Column], Column], results: int, topic: str) -> Latency:
    """Until the last result of its window could be read."""
    found = waits(sent.intended_ns)
    note = (
        f"until the last of its window's results could be read, committed, from {topic} ({results} results): "
        "the rest of the window and the watermark's wait are in it; by the time at which the event was to be sent"
    )
    return latency(found, len(sent.intended_ns) - len(found), note)


def _joined(sent: Sent, places: Column, at_ns: Column, note: str) -> Latency:
    order = np.lexsort((at_ns, places))
    places, at_ns = places[order], at_ns[order]
    wanted = (sent.partitions << SHIFT) + sent.offsets
    index = np.minimum(np.searchsorted(places, wanted), max(len(places) - 1, 0))
    found = places[index] == wanted if len(places) else np.zeros(len(wanted), bool)
    return latency(at_ns[index[found]] - sent.intended_ns[found], int((~found).sum()), note)
