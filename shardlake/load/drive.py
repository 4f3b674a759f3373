"""One stretch of load: begun, looked at every second, its scenario's steps done at their times."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from shardlake.load.offer import Offer
from shardlake.load.result import Act, Sample
from shardlake.load.usage import Meter
from shardlake.load.watch import Watch

SAMPLE_SECONDS = 1.0
SAY_EVERY_SECONDS = 10
LONGEST_SLEEP_SECONDS = 0.2
"""So that the end is seen when it comes."""


@dataclass(frozen=True, slots=True)
class Do:
    """What is done at a moment; the answer is what came of it, in words."""

    at: float
    name: str
    act: Callable[[], str]


@dataclass(slots=True)
class Driven:
    """What was done. CPU-seconds are by role, at the end of the warm-up and at that of the load."""

    begin_ns: int
    seconds: float = 0.0
    stopped: str = ""
    acts: list[Act] = field(default_factory=list)
    cpu_before: dict[str, float] = field(default_factory=dict)
    cpu_after: dict[str, float] = field(default_factory=dict)
    sent_before: int = 0
    sent_after: int = 0

    @property
    def sent(self) -> int:
        """Events handed over between the two."""
        return self.sent_after - self.sent_before

    def took(self) -> dict[str, float]:
        """CPU-seconds by role between the two; none where the load ended in its warm-up."""
        before = self.cpu_before
        return {role: seconds - before.get(role, 0.0) for role, seconds in self.cpu_after.items()} if before else {}


def drive(
    offer: Offer,
    watch: Watch,
    meter: Meter,
    begin_ns: int,
    warm_up: float,
    duration: float,
    todo: Sequence[Do],
    say: Callable[[str], None],
    enough: Callable[[Sample], str] = lambda _: "",
) -> Driven:
    """Until the load is over, `enough` gives a reason to end it, or Ctrl-C does. Raises what a step raises.

    The last look at what is used is at the load's end, not at that of the reports that are waited for after it."""
    left = sorted(todo, key=lambda one: one.at)
    driven = Driven(begin_ns)
    offer.begin(begin_ns)
    next_sample = said = 0.0
    try:
        while not offer.is_over:
            now = (time.time_ns() - begin_ns) / 1e9
            while left and left[0].at <= now:
                one = left.pop(0)
                driven.acts.append(Act(at_seconds=round(now, 1), name=one.name, said=one.act()))
                say(f"{now:5.0f} s  {one.name}: {driven.acts[-1].said}")
            if now >= next_sample:
                next_sample = max(next_sample + SAMPLE_SECONDS, now)
                sample = watch.look(now, offer.sent)
                if now >= warm_up and not driven.cpu_before:
                    driven.cpu_before, driven.sent_before = meter.look(), offer.sent
                if now >= duration and not driven.cpu_after:
                    driven.cpu_after, driven.sent_after = meter.look(), offer.sent
                if now - said > SAY_EVERY_SECONDS:
                    said = now
                    say(f"{now:5.0f} s  {_words(sample, offer.sent)}")
                if not driven.stopped and (reason := enough(sample)):
                    driven.stopped = reason
                    offer.stop()
            until = min(next_sample, left[0].at if left else next_sample) - now
            time.sleep(min(max(until, 0.01), LONGEST_SLEEP_SECONDS))
        driven.seconds = (time.time_ns() - begin_ns) / 1e9
        _look_last(driven, offer, meter)
    except KeyboardInterrupt:
        driven.seconds = driven.seconds or (time.time_ns() - begin_ns) / 1e9
        driven.stopped = f"interrupted {driven.seconds:.0f} s after the begin"
        say(f"{driven.stopped}: waiting for the reports of what was sent; again to leave at once")
        offer.stop()
        _look_last(driven, offer, meter)
    return driven


def _look_last(driven: Driven, offer: Offer, meter: Meter) -> None:
    if not driven.cpu_after:
        driven.cpu_after, driven.sent_after = meter.look(), offer.sent


def _words(sample: Sample, sent: int) -> str:
    lags = [f"{group} {sum(shards.values()):,} behind" for group, shards in sample.lag.items()]
    return ", ".join([f"{sent:,} sent", *(lags or ["nobody tells the lag"])])
