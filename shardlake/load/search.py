"""The highest rate that holds: doubled until it does not, then bisected, then tried again. Pure, but for the probe.

A rate holds where the line through lag is flat by 95 %; where the load itself could not be made, the machine has
no higher rate to offer, and that is said to be the limit.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from shardlake.load.result import Probe
from shardlake.load.slope import HOLDS

NOT_OFFERED = "not offered"
RESOLUTION = 0.05
"""Between the highest rate that holds and the lowest that does not."""

HIGHEST = 500_000.0
"""A probe's events are in memory."""

LOWEST = 10.0


@dataclass(slots=True)
class Found:
    """What a search found; `rate` is 0 where none holds."""

    rate: float
    bounds: tuple[float, float]
    limit: str
    confirmed: int
    repeats: int
    probes: list[Probe] = field(default_factory=list)


def search(probe: Callable[[float], Probe], first: float, repeats: int, resolution: float = RESOLUTION) -> Found:
    """Each rate is tried once on the way. The one that is found is tried `repeats` times more: where it does not hold
    in most, the search goes on below it."""
    probes: list[Probe] = []

    def holds(rate: float) -> bool:
        probes.append(probe(rate))
        return probes[-1].conclusion == HOLDS

    low, high, rate = 0.0, math.inf, first
    while True:
        while (low == 0.0 or high == math.inf) and low < HIGHEST and high > LOWEST:
            if holds(rate):
                low = rate
                rate *= 2
            else:
                high = rate
                rate /= 2
        while low and high - low > resolution * high and high < math.inf:
            middle = (low + high) / 2
            if holds(middle):
                low = middle
            else:
                high = middle
        confirmed = sum(holds(low) for _ in range(repeats)) if low else 0
        if not low or not repeats or 2 * confirmed > repeats:
            break
        high, low = low, max((one.rate for one in probes if _held_below(one, low)), default=0.0)
        rate = high / 2
    limits = [one.conclusion for one in probes if one.rate == high and one.conclusion != HOLDS]
    limit = "the load itself" if NOT_OFFERED in limits[-1:] else "lag" if limits else "none was found"
    return Found(low, (low, high), limit, confirmed, repeats, probes)


def _held_below(one: Probe, rate: float) -> bool:
    return one.conclusion == HOLDS and one.rate < rate
