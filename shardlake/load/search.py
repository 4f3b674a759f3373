"""The highest rate that holds: doubled until it does not, then bisected, then tried again. Pure, but for the probe.

A rate holds where the line through lag is flat by 95 %; where the load itself could not be made, the machine has
no higher rate to offer, and that is said to be the limit.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from shardlake.load.result import Probe, Slope
from shardlake.load.schedule import REACHED_SHARE
from shardlake.load.slope import GROWS, HOLDS, SHARE, UNDECIDED

NOT_OFFERED = "not offered"
NO_LIMIT = "none was found"
RESOLUTION = 0.05
"""Between the highest rate that holds and the lowest that does not."""

HIGHEST = 500_000.0

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


def conclude(line: Slope | None, reached: float, rate: float, *, has_lag: bool, is_cut: bool) -> str:
    """What one probe says. `line` goes through the lag of what is searched for, None where nobody told it; `is_cut`
    says that the probe was ended early, since lag grew beyond doubt.

    What was not offered proves nothing; but where lag grew even so, it would have grown the more. An undecided line
    goes by what it rises by at best guess: a search cannot stand still, and what it finds is tried again.
    """
    if is_cut or (line and line.conclusion == GROWS):
        return GROWS
    if reached < REACHED_SHARE * rate:
        return NOT_OFFERED
    if has_lag and line is None:
        return UNDECIDED  # what is not known does not hold
    if line and line.conclusion == UNDECIDED:
        return HOLDS if line.share < SHARE else GROWS
    return HOLDS


def search(
    probe: Callable[[float], Probe],
    first: float,
    repeats: int,
    resolution: float = RESOLUTION,
    highest: float = HIGHEST,
) -> Found:
    """Each rate is tried once on the way. The one that is found is tried `repeats` times more: where it does not hold
    in most, the search goes on below it. Above `highest` nothing is tried."""
    first = min(first, highest)
    probes: list[Probe] = []

    def holds(rate: float) -> bool:
        probes.append(probe(rate))
        return probes[-1].conclusion == HOLDS

    low, high, rate = 0.0, math.inf, first
    while True:
        while (low == 0.0 or high == math.inf) and low < highest and high > LOWEST:
            if holds(rate):
                low = rate
                rate = min(2 * rate, highest)
            else:
                high = rate
                rate /= 2
        while low and high - low > resolution * high and high < math.inf:
            middle = (low + high) / 2
            if holds(middle):
                low = middle
            else:
                high = middle
        confirmed = _confirm(holds, low, repeats) if low else 0
        if not low or not repeats or 2 * confirmed > repeats:
            break
        high, low = low, max((one.rate for one in probes if _held_below(one, low)), default=0.0)
        rate = high / 2
    limits = [one.conclusion for one in probes if one.rate == high and one.conclusion != HOLDS]
    limit = "the load itself" if NOT_OFFERED in limits[-1:] else "lag" if limits else NO_LIMIT
    return Found(low, (low, high), limit, confirmed, repeats, probes)


def _confirm(holds: Callable[[float], bool], rate: float, repeats: int) -> int:
    """How many of the repeats held. Once most can no longer hold, the rest is spared."""
    held = 0
    for tried in range(1, repeats + 1):
        held += holds(rate)
        if 2 * (tried - held) >= repeats:
            break
    return held


def _held_below(one: Probe, rate: float) -> bool:
    return one.conclusion == HOLDS and one.rate < rate
