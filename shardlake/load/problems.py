"""What a run's result says, in sentences. Pure."""

from __future__ import annotations

from shardlake.load.closing import HOLDS, NOT_CHECKED
from shardlake.load.result import Result
from shardlake.load.slope import GROWS


def problems(result: Result) -> list[str]:
    """What does not hold, [] where all does."""
    found = []
    if result.partial:
        found.append(f"The run is partial: {result.partial}.")
    if result.void:
        found.append(f"The load was not offered as intended, and the latencies are void: {result.void}.")
    found += [
        f"{slope.group} falls behind by {slope.records_per_second:,.0f}/s, {slope.share:.1%} of the rate."
        for slope in result.lag
        if slope.conclusion == GROWS
    ]
    missing = result.failed + result.unknown
    if missing:
        found.append(f"{missing:,} events were not acknowledged: {result.failed:,} failed, {result.unknown:,} unknown.")
    if result.verified != HOLDS and not (result.partial and result.verified == NOT_CHECKED):
        named = ", ".join(f"{count:,} {name}" for name, count in sorted(result.anomalies.items()))
        found.append(f"`verify` says: {result.verified}{f' ({named})' if named else ''}.")
    return found
