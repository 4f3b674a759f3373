"""What a run comes to: was the load offered as intended, do its latencies count, does lag hold, is all there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from shardlake.load.result import Capacities, Result

GOOD, BAD, UNSURE = "good", "bad", "unsure"

_LAG = {"holds": GOOD, "grows": BAD, "undecided": UNSURE}
_VERIFIED = {"holds": GOOD, "violated": BAD}


@dataclass(frozen=True, slots=True)
class Judgement:
    """One question's answer; `state` is good, bad or unsure."""

    what: str
    said: str
    state: str

    def __str__(self) -> str:
        """As `lag holds`."""
        return f"{self.what} {self.said}"


def void_because(result: Result) -> str:
    """Why its latencies are none; '' where they count."""
    if result.void:
        return result.void.rstrip(".")
    schedule = result.schedule
    if schedule is not None and not schedule.kept:
        return schedule.why.rstrip(".") or "the schedule was not kept"
    return ""


def judgements(result: Result) -> tuple[Judgement, ...]:
    """Schedule, lag and `verify`, in this order; what is not known is unsure."""
    schedule = result.schedule
    if schedule is None:
        kept = Judgement("schedule", "unknown", UNSURE)
    else:
        kept = Judgement("schedule", "kept" if schedule.kept else "not kept", GOOD if schedule.kept else BAD)
    return kept, _lag(result), verified([result.verified])


def _lag(result: Result) -> Judgement:
    for word in ("grows", "undecided"):
        groups = [slope.group for slope in result.lag if slope.conclusion == word]
        if groups:
            return Judgement("lag", f"{'is ' if word == 'undecided' else ''}{word}: {', '.join(groups)}", _LAG[word])
    return Judgement("lag", "holds", GOOD) if result.lag else Judgement("lag", "unknown", UNSURE)


def verified(conclusions: Iterable[str]) -> Judgement:
    """Of one or more conclusions of `verify`, the worst."""
    worst = max(conclusions, key=_severity, default="not checked")
    return Judgement("verify:", worst, _VERIFIED.get(worst, UNSURE))


def _severity(conclusion: str) -> int:
    return (GOOD, UNSURE, BAD).index(_VERIFIED.get(conclusion, UNSURE))


def capacity_judgements(found: Capacities) -> tuple[Judgement, ...]:
    """Whether each rate was confirmed by all its repeats, and `verify`."""
    if not found.found:
        return (Judgement("capacity", "unknown", UNSURE),)
    less = [one for one in found.found if one.confirmed < one.repeats or not one.repeats]
    confirmed = (
        Judgement("rates:", f"{len(less)} of {len(found.found)} not confirmed by all repeats", UNSURE)
        if less
        else Judgement("rates:", "all confirmed", GOOD)
    )
    return confirmed, verified(one.verified for one in found.found)
