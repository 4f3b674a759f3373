"""When each event is to be sent: a pure function of the scenario, whatever the system does.

The rate is a curve of straight pieces. The number of events up to a moment is the area under it; event n is due where
that area reaches n. So a ramp has no steps, and several producers share one schedule: each has every k-th event.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from shardlake.load.scenario import BURST, POISSON, RAMP, Scenario

CHUNK = 20_000
REACHED_SHARE = 0.99
"""With less of it sent in the time, a load was not offered."""

Times = np.ndarray[tuple[int], np.dtype[np.float64]]


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of time in which the rate goes in a straight line; seconds, and events a second."""

    begin: float
    end: float
    first_rate: float
    last_rate: float

    @property
    def events(self) -> float:
        """The area below it."""
        return (self.end - self.begin) * (self.first_rate + self.last_rate) / 2


def pieces(scenario: Scenario) -> list[Piece]:
    """The curve of the rate: what ramps lead to, times the bursts of the moment."""
    ramps = list(scenario.steps(RAMP))
    bursts = list(scenario.steps(BURST))
    cuts = {0.0, scenario.duration}
    for step in (*ramps, *bursts):
        cuts |= {step.at, step.end}
    ends = sorted(cut for cut in cuts if 0 <= cut <= scenario.duration)

    def base(second: float) -> float:
        rate = scenario.rate
        for ramp in ramps:
            if second <= ramp.at:
                break
            passed = min(1.0, (second - ramp.at) / ramp.values["over"])
            rate += (ramp.values["to"] - rate) * passed
        return rate

    found = []
    for begin, end in pairwise(ends):
        middle = (begin + end) / 2
        factor = 1.0
        for burst in bursts:
            factor *= burst.values["factor"] if burst.at <= middle < burst.end else 1.0
        found.append(Piece(begin, end, base(begin) * factor, base(end) * factor))
    return found


def total(scenario: Scenario) -> int:
    """Events of all producers."""
    return int(sum(piece.events for piece in pieces(scenario)) + 1e-6)


def mean_rate(scenario: Scenario, begin: float, end: float) -> float:
    """Events a second that are to be sent between two moments, in seconds after the begin."""
    events = 0.0
    for piece in pieces(scenario):
        first, last = max(piece.begin, begin), min(piece.end, end)
        if first < last:
            slope = (piece.last_rate - piece.first_rate) / (piece.end - piece.begin)
            middle = (first + last) / 2
            events += (last - first) * (piece.first_rate + slope * (middle - piece.begin))
    return events / max(end - begin, 1e-9)


def due(scenario: Scenario, number: int, of: int) -> Iterator[Times]:
    """Seconds after the begin at which one of several producers sends its events, in order, in arrays."""
    draw = np.random.default_rng([scenario.seed, number])
    curve = pieces(scenario)
    areas = np.cumsum([0.0, *(piece.events for piece in curve)])
    reached = 0.0 if scenario.arrivals == POISSON else float(number - of)
    while True:
        if scenario.arrivals == POISSON:
            places = reached + np.cumsum(draw.exponential(of, CHUNK))
        else:
            places = reached + of * np.arange(1, CHUNK + 1, dtype=np.float64)
        reached = float(places[-1])
        within = places[places < areas[-1] - 1e-6]
        if len(within):
            yield _moments(within, curve, areas)
        if len(within) < CHUNK:
            return


def _moments(places: Times, curve: list[Piece], areas: Times) -> Times:
    """Where the area reaches each of these: the root of a quadratic, or of a line where the rate is steady."""
    index = np.clip(np.searchsorted(areas, places, side="right") - 1, 0, len(curve) - 1)
    begin, first = (np.array([getattr(piece, name) for piece in curve])[index] for name in ("begin", "first_rate"))
    slope = np.array([(p.last_rate - p.first_rate) / max(p.end - p.begin, 1e-12) for p in curve])[index]
    area = places - areas[index]
    root = np.sqrt(np.maximum(first * first + 2 * slope * area, 0.0))
    # 2·area / (first + root) is the same root, without the difference of two near numbers.
    moments: Times = begin + 2 * area / np.maximum(first + root, 1e-12)
    return moments
