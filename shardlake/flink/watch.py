"""Waiting for a job: what of it moves, what is said meanwhile, and in which states its tasks are when nothing does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable
from typing import Any, Protocol, TypeVar

from shardlake.errors import ShardlakeError, Unavailable
from shardlake.flink import tasks
from shardlake.patience import Patience
from shardlake.progress import Uses, Work

SAME_FAILURES = 2
"""A job that has failed so often for one cause, and starts again, is busy with nothing but that."""
HINT = "The task manager's log tells more: `shardlake logs taskmanager`."
SAID_CAUSE = 200
"""Characters of a cause in a line about the wait."""
T = TypeVar("T")


class Asked(Protocol):
    """The questions that a wait asks a cluster. Each raises Unavailable where the cluster does not answer."""

    def job(self, job_id: str) -> dict[str, Any]:
        """The job's state, and its vertices."""

    def exception(self, job_id: str) -> str:
        """Return the cause of the job's last failure, '' where it has not failed."""

    def cpu_times(self) -> Uses:
        """The processor time of each manager."""

    def slots(self) -> str:
        """Task managers and slots, in words."""


class Watch:
    """One wait for one job. A question that is not answered is no progress, and not the end."""

    def __init__(
        self,
        cluster: Asked,
        job_id: str,
        patience: Patience,
        servers: Callable[[], Hashable] = lambda: None,
        *,
        work_counts: bool = True,
    ) -> None:
        """`servers` changes as long as the managers' processes work. Where not `work_counts`, work alone is no
        progress: a job that runs works as long as somebody sends."""
        self._cluster, self._job_id, self._patience, self.clock = cluster, job_id, patience, patience.clock
        self._servers, self._work_counts = servers, work_counts
        self._work = Work(lambda: self.ask(cluster.cpu_times) or {}, clock=patience.clock)
        self._job: dict[str, Any] | None = None
        self._unanswered: Unavailable | None = None
        self._restarted_ms = 0
        self._failures: Counter[str] = Counter()
        self._cause = ""

    def ask(self, question: Callable[[], T]) -> T | None:
        """The answer, None where there is none."""
        try:
            answer = question()
        except Unavailable as error:
            self._unanswered = error
            return None
        self._unanswered = None
        return answer

    def look(self) -> dict[str, Any] | None:
        """The job as it is now, None where Flink does not say."""
        job = self.ask(lambda: self._cluster.job(self._job_id))
        if job is None:
            return None
        self._job = job
        restarted_ms = job.get("timestamps", {}).get("RESTARTING", 0)
        if restarted_ms > self._restarted_ms:
            self._restarted_ms = restarted_ms
            self._cause = self.ask(lambda: self._cluster.exception(self._job_id)) or self._cause
            self._failures[tasks.failure(self._cause)] += 1
        return job

    @property
    def is_long(self) -> bool:
        """See `Patience.is_long`."""
        return self._patience.is_long

    def goes_on(self, waited_for: str, *signs: Hashable) -> bool:
        """Sleep for a moment and return True, or return False where nothing has moved for too long."""
        found: list[Hashable] = [("sign", *signs), ("failures", *sorted(self._failures))]
        words = waited_for
        goes_round = max(self._failures.values(), default=0) >= SAME_FAILURES
        if self._job:
            # A round of failing and starting again may be as none before: then only more tasks that run are progress.
            found.append(tasks.running(self._job) if goes_round else tasks.signs(self._job))
            words += f": {tasks.in_short(self._job)}"
        if self._failures:
            words += f"; failures: {self._failures.total()}, the last {self._root() or 'without a cause'}"
        if self._unanswered:
            words += f"; {self._unanswered.message}"
        if self.is_long and self._work_counts and not goes_round:
            found += [("work", self._work.count()), ("servers", self._servers())]
        return self._patience.goes_on(words, *found)

    def ended(self, what: str) -> ShardlakeError:
        """The error where the job has ended and should not have."""
        cause = self.ask(lambda: self._cluster.exception(self._job_id)) or self._cause
        return ShardlakeError(f"{what}: {cause or f'Flink names no cause. {self._states()}'}", HINT)

    def still(self, what: str, hint: str = HINT) -> ShardlakeError:
        """The error where nothing moves any more: why, as far as Flink says, and in which state each task is."""
        message = f"{what}: nothing has moved for {self._patience.still_for}"
        if self._unanswered:
            before = f" Before that: {self._states()}" if self._job else ""
            return Unavailable(f"{message}. {self._unanswered.message}{before}", self._unanswered.hint)
        cause = self._cause or self.ask(lambda: self._cluster.exception(self._job_id))
        why = f". The last cause: {cause}" if cause else ", and Flink names no cause"
        slots = self.ask(self._cluster.slots)
        return ShardlakeError(f"{message}{why.rstrip('.')}. {self._states()}{f' {slots}' if slots else ''}", hint)

    def _root(self) -> str:
        return self._cause.rpartition("Caused by: ")[2][:SAID_CAUSE]

    def _states(self) -> str:
        return tasks.in_words(self._job) if self._job else ""
