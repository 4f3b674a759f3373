"""How many workers a group should have: a pure function of what the broker said of its shards, sample after sample.

Up from the time to drain, lag / (consumption rate - arrival rate), both measured between samples while the group was
behind; down where what fewer workers can do is enough, and has been for a while. A shard whose committed offset does
not move is left out of both, as more workers would not move it. Thresholds differ for up and down, each change is
followed by a time in which nothing is changed, and what is measured begins after the change: so it does not flap.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from shardlake.counted import counted

MEASURE_SECONDS = 5
"""Rates are measured over no less."""
WINDOW_SECONDS = 15
"""And over no more: what was before says little of now."""
UNMOVED_SECONDS = 5
"""A shard that is behind and has not moved for as long is left out, long before it is called stuck."""
SLACK_SECONDS = 2
"""Records that arrived within so long are on their way, and not behind."""
SLOW_SAMPLES = 3
"""Samples one after the other that call for more workers, before there are more."""
HEADROOM = 0.8
"""The share of what fewer workers can do that must be enough."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What the user chose."""

    max_workers: int
    min_workers: int = 1
    drain_seconds: float = 60
    step: int = 1
    """The most workers added or ended at once."""
    cooldown_seconds: float = 15
    """Nothing is changed for so long after a change; what is measured begins at half of it."""
    hold_seconds: float = 60
    """Fewer workers must do for so long before there are fewer."""
    stuck_seconds: float = 60
    """A shard that is behind and does not move for so long is stuck."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What the broker says at one moment, by shard; a committed offset is None where nothing was committed yet."""

    taken: float
    """Seconds of a monotonic clock."""
    committed: Mapping[str, int | None]
    ends: Mapping[str, int]

    def lag(self, shard: str) -> int:
        """Records behind; 0 where nothing was committed, as it is not known where the shard will begin."""
        committed = self.committed.get(shard)
        return 0 if committed is None else max(0, self.ends[shard] - committed)


@dataclass(frozen=True, slots=True)
class Past:
    """What one decision leaves to the next."""

    changed: float
    """When the number of workers that work changed last, or the first were started."""
    capacity: float | None = None
    """Records a second of one worker, when there was more than it could do."""
    slow_samples: int = 0
    fewer_since: float | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """So many workers, and why; `stuck` shards are left out of it."""

    workers: int
    reason: str
    past: Past
    stuck: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rates:
    """Of the shards that count, over some samples: records behind at the last, and records a second."""

    lag: int
    consumed: float
    arrived: float

    @property
    def drain_seconds(self) -> float:
        """How long until nothing is behind; infinite where it does not get less."""
        if not self.lag:
            return 0.0
        return self.lag / (self.consumed - self.arrived) if self.consumed > self.arrived else math.inf


def decide(samples: Sequence[Sample], workers: int, past: Past, limits: Limits) -> Decision:
    """How many of `workers` there should be. `samples` are the latest, the oldest first, one a second or so, back to
    `limits.stuck_seconds` ago at least where there are so many."""
    if not samples:
        return Decision(workers, "no sample yet", past)
    last = samples[-1]
    most = min(limits.max_workers, len(last.ends))
    least = min(limits.min_workers, most)
    changed = Past(last.taken, past.capacity)
    stuck = _unmoved(samples, limits.stuck_seconds)
    if workers > most:
        return Decision(most, f"{workers} workers are more than the {len(last.ends)} shards or allowed", changed, stuck)
    if workers < least:
        return Decision(least, f"{least} is the least", changed, stuck)
    unmoved = set(_unmoved(samples, UNMOVED_SECONDS))
    counted = [shard for shard in last.ends if shard not in unmoved and last.committed.get(shard) is not None]
    if not counted:
        pending = replace(past, slow_samples=0, fewer_since=None)
        return Decision(workers, "no shard moves" if unmoved else "nothing is committed yet", pending, stuck)
    begin = max(past.changed + limits.cooldown_seconds / 2, last.taken - WINDOW_SECONDS)
    window = _moving([sample for sample in samples if sample.taken >= begin], counted)
    if not window or last.taken - window[0].taken < MEASURE_SECONDS:
        return Decision(workers, "too few samples yet", replace(past, slow_samples=0), stuck)
    return _decide(window, counted, workers, most, past, limits, stuck)


def _decide(
    window: Sequence[Sample], counted: list[str], workers: int, most: int, past: Past, limits: Limits,
    stuck: tuple[str, ...],
) -> Decision:  # fmt: skip
    last = window[-1]
    rates = _rates(window, counted)
    behind = _behind(window, counted, rates.arrived * SLACK_SECONDS)
    is_measured = bool(behind) and last.taken - behind[0].taken >= MEASURE_SECONDS
    if is_measured:
        rates = _rates(behind, counted)
        if rates.consumed:
            past = replace(past, capacity=rates.consumed / workers)
    elif past.capacity is not None:
        past = replace(past, capacity=max(past.capacity, rates.consumed / workers))
    is_slow = is_measured and rates.consumed > 0 and rates.drain_seconds > limits.drain_seconds
    fewer = max(limits.min_workers, workers - limits.step)
    fewer_do = not is_slow and fewer < workers and _enough(fewer, rates, past.capacity, limits)
    now = replace(
        past,
        slow_samples=past.slow_samples + 1 if is_slow else 0,
        fewer_since=(last.taken if past.fewer_since is None else past.fewer_since) if fewer_do else None,
    )
    has_cooled = last.taken - past.changed >= limits.cooldown_seconds
    changed = Past(last.taken, past.capacity)
    if is_slow:
        if workers >= most:
            return Decision(workers, f"{_slow(rates, limits)}, and there are no more to add", now, stuck)
        if now.slow_samples < SLOW_SAMPLES or not has_cooled:
            return Decision(workers, f"{_slow(rates, limits)}: looked at again", now, stuck)
        target = min(max(_needed(rates, past.capacity, limits), workers + 1), workers + limits.step, most)
        return Decision(target, _slow(rates, limits), changed, stuck)
    if now.fewer_since is not None and last.taken - now.fewer_since >= limits.hold_seconds and has_cooled:
        return Decision(fewer, _fewer(fewer, rates, past.capacity, limits), changed, stuck)
    return Decision(workers, "it keeps up" if not behind else "it drains in time", now, stuck)


def _unmoved(samples: Sequence[Sample], seconds: float) -> tuple[str, ...]:
    """The shards that were behind and have not moved for so long."""
    last = samples[-1]
    # With the sample that makes the time full.
    begin = max((index for index, one in enumerate(samples) if one.taken <= last.taken - seconds), default=None)
    if begin is None:
        return ()
    looked = samples[begin:]
    return tuple(
        shard
        for shard in last.ends
        if all(sample.lag(shard) and sample.committed.get(shard) == last.committed.get(shard) for sample in looked)
    )


def _moving(samples: list[Sample], counted: list[str]) -> list[Sample]:
    """From the moment on at which workers had begun: while there is lag and none has moved, they are starting."""
    for index, (one, following) in enumerate(pairwise(samples)):
        if one.committed != following.committed or not any(map(one.lag, counted)):
            return samples[index:]
    return []


def _behind(samples: Sequence[Sample], counted: list[str], slack: float) -> Sequence[Sample]:
    """The last samples in which the group was behind without a break."""
    begin = len(samples)
    while begin and sum(map(samples[begin - 1].lag, counted)) > slack:
        begin -= 1
    return samples[begin:]


def _rates(samples: Sequence[Sample], counted: list[str]) -> Rates:
    """Offsets that went back, of a rewind or of a topic that was made anew, count as no movement."""
    first, last = samples[0], samples[-1]
    seconds = last.taken - first.taken
    consumed = arrived = 0
    for shard in counted:
        before, after = first.committed.get(shard), last.committed.get(shard)
        if before is not None and after is not None:
            consumed += max(0, after - before)
        arrived += max(0, last.ends[shard] - first.ends.get(shard, last.ends[shard]))
    return Rates(sum(map(last.lag, counted)), consumed / seconds, arrived / seconds)


def _needed(rates: Rates, capacity: float | None, limits: Limits) -> int:
    """Workers that drain it in time, if each does what one does now."""
    return math.ceil((rates.lag / limits.drain_seconds + rates.arrived) / capacity) if capacity else 0


def _enough(workers: int, rates: Rates, capacity: float | None, limits: Limits) -> bool:
    """Whether so many would keep up with what arrives and drain what is behind in half of the time, with headroom."""
    needed = rates.arrived + rates.lag / (limits.drain_seconds / 2)
    return not needed if capacity is None else workers * capacity * HEADROOM >= needed


def _slow(rates: Rates, limits: Limits) -> str:
    long = "does not get less" if math.isinf(rates.drain_seconds) else f"takes {rates.drain_seconds:,.0f} s to drain"
    return (
        f"{counted(rates.lag, 'record')} behind, {rates.consumed:,.0f} done and {rates.arrived:,.0f} arriving a "
        f"second: that {long}, and {limits.drain_seconds:g} s are allowed"
    )


def _fewer(workers: int, rates: Rates, capacity: float | None, limits: Limits) -> str:
    do = "" if capacity is None else f", {workers} can do {workers * capacity:,.0f} a second"
    return (
        f"{rates.arrived:,.0f} records a second arrive{do}, {rates.lag:,} are behind: "
        f"enough for {limits.hold_seconds:g} s now"
    )
