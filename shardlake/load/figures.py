"""The figures of a run that are compared with those of another."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from shardlake.load.result import Handler, Result

PERCENTILES = (("p50", "p50_ms"), ("p99", "p99_ms"), ("p99.9", "p999_ms"), ("max", "max_ms"))


@dataclass(frozen=True, slots=True)
class Figure:
    """`is_latency` is one that void and partial runs have not."""

    name: str
    unit: str
    is_latency: bool = False

    def __str__(self) -> str:
        """As `rate reached, events a second`."""
        return f"{self.name}, {self.unit}"


def figures(result: Result) -> dict[Figure, float]:
    """Those that it has, in the order in which they are shown; what is not finite it has not."""
    return {figure: value for figure, value in _all(result) if math.isfinite(value)}


def _all(result: Result) -> Iterator[tuple[Figure, float]]:
    for name, latency in result.latencies.items():
        if latency.count:
            for percentile, field in PERCENTILES:
                yield Figure(f"{name} {percentile}", "ms", is_latency=True), getattr(latency, field)
    if result.schedule:
        yield Figure("rate reached", "events a second"), result.schedule.reached_per_second
    for slope in result.lag:
        yield Figure(f"mean lag of {slope.group}", "records"), slope.mean_lag
    for used in result.usage:
        yield Figure(f"CPU of {used.role}", "µs an event"), used.cpu_us_per_event
    for consumer in dict.fromkeys(one.consumer for one in result.handlers):
        of_one = [one for one in result.handlers if one.consumer == consumer and one.records]
        if of_one:
            yield Figure(f"handler of {consumer}", "µs a record"), _us_per_record(of_one)
    for used in result.usage:
        yield Figure(f"memory of {used.role}", "MB"), used.max_memory_mb


def _us_per_record(handlers: list[Handler]) -> float:
    return sum(one.us_per_record * one.records for one in handlers) / sum(one.records for one in handlers)
