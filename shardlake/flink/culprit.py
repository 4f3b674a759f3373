"""Whose fault a failure is: a job's, where its own code or its data raised it; nobody's, where a server was away."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence

from shardlake.flink.failure import Failure

REPEATS = 3
"""So many failures in a row, with no completed checkpoint between them, are no accident."""

_OF_DATA = re.compile(
    r"([\w.]+\.)?(TableRuntimeException|ArithmeticException|NumberFormatException|DateTime\w*Exception"
    r"|ClassCastException|\w*IndexOutOfBoundsException)\b"
)
"""What Flink's own functions raise at a value. All else that Java raises may come from a server or the machine."""
_FROM_OUTSIDE = re.compile(
    r"(urllib3|requests|httpx|aiohttp|botocore|confluent_kafka|socket|ssl)\."
    r"|[\w.]*(Connect|Timeout|TimedOut|OSError|IOError|URLError|gaierror|HTTP|Request|BrokenPipe|EOFError|Unavailable"
    r"|Memory|Import|ModuleNotFound)\w*"
)
"""What Python raises where something outside the job is amiss: it may be well in a moment."""


def culprit(
    failures: Sequence[Failure], jobs: Collection[str], served: Callable[[Failure], Collection[str]]
) -> str | None:
    """The job that has failed so often in a row, the newest failure first. None where it is not known, or no job's.

    `served` tells the jobs that the failed task serves.
    """
    newest = [job_of(failure, jobs, served(failure)) for failure in failures[:REPEATS]]
    return newest[0] if len(newest) == REPEATS and len(set(newest)) == 1 else None


def job_of(failure: Failure, jobs: Collection[str], served: Collection[str]) -> str | None:
    """The job whose fault this failure is. None where it is not known, or no job's.

    One job's module may be used by another, and a task may serve several jobs; none where the plan does not know it.
    """
    alone = next(iter(served)) if len(served) == 1 else None
    if failure.modules and not _FROM_OUTSIDE.match(failure.cause):
        return next((job for job in failure.modules if job in (served or jobs)), alone)
    return alone if not failure.modules and _OF_DATA.match(failure.cause) else None
