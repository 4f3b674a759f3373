"""Keeps as many workers of a group as its lag asks for, each a process, and starts those again that die."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from multiprocessing import connection
from typing import Any

from shardlake.counted import counted
from shardlake.errors import ShardlakeError, Unavailable
from shardlake.shards.failing import EXIT_CODE, advice
from shardlake.shards.progress import Progress
from shardlake.shards.scaling import WINDOW_SECONDS, Decision, Limits, Past, Sample, decide
from shardlake.shards.workers import Work, ended, shared_numbers, start_worker

SAMPLE_SECONDS = 1.0
BACKOFF_SECONDS = 0.5
LONGEST_BACKOFF_SECONDS = 30.0
HEALTHY_SECONDS = 30
"""A worker that lived for as long has not died of its start."""
DEATHS = 5
"""So often in a row a worker may die, each time soon after its start."""
END_SECONDS = 70
"""Longer than a worker waits for its handlers."""


@dataclass(slots=True)
class _Slot:
    """A worker's number and what became of it; `process` is None until it is started again."""

    number: int
    process: Any = None
    started: float = 0.0
    deaths: int = 0
    not_before: float = 0.0


class Supervisor:
    """`run` lasts until it is stopped; use it from the main thread, with which the workers die."""

    def __init__(self, work: Work, bootstrap_servers: str, limits: Limits, say: Callable[[str], None]) -> None:
        """`say` gets a line for each change, with its reason, and for each worker that dies and shard that is stuck."""
        self._work = replace(work, until_caught_up=False)  # when it is, is seen here
        self._limits = limits
        self._say = say
        self._progress = Progress(bootstrap_servers, work.group, work.topic)
        # Room for those that are still leaving, whose numbers are not given again.
        self._numbers = shared_numbers(2 * limits.max_workers)
        self._slots: list[_Slot] = []
        self._leaving: list[_Slot] = []
        self._samples: list[Sample] = []
        self._past = Past(time.monotonic())
        self._stuck: tuple[str, ...] = ()
        self._is_away = False
        self._stopping = False

    def stop(self) -> None:
        """Let the workers finish and end. May be called from a signal handler."""
        self._stopping = True

    def run(self, *, until_caught_up: bool = False) -> None:
        """Supervise, until it is stopped or, with `until_caught_up`, all shards are at their ends.

        Raises ShardlakeError where a worker always dies; the others have ended then, too. Raises Unavailable where a
        port for metrics is taken.
        """
        try:
            self._work.check_ports(min(self._limits.max_workers, self._progress.shards))
            self._set(min(self._limits.min_workers, self._progress.shards))
            while not self._stopping:
                self._start_those_due()
                self._wait()
                self._reap()
                sample = self._sample()
                if sample is None:
                    continue
                if until_caught_up and _is_caught_up(sample):
                    self._say("all shards are at their ends")
                    break
                self._follow(decide(self._samples, len(self._slots), self._past, self._limits), sample)
        finally:
            self._end()
            self._progress.close()

    def _follow(self, decision: Decision, sample: Sample) -> None:
        self._past = decision.past
        for shard in decision.stuck:
            if shard not in self._stuck:
                self._say(
                    f"{shard} is stuck: {counted(sample.lag(shard), 'record')} behind, and its checkpoint has not "
                    f"moved from {sample.committed[shard]:,} for {self._limits.stuck_seconds:g} s; its lag is left out"
                )
        for shard in self._stuck:
            if shard not in decision.stuck and shard in sample.ends:
                self._say(f"{shard} moves again")
        self._stuck = decision.stuck
        if decision.workers != len(self._slots):
            self._say(f"{_workers(decision.workers)} instead of {len(self._slots)}: {decision.reason}")
            self._set(decision.workers)

    def _set(self, count: int) -> None:
        taken = {slot.number for slot in (*self._slots, *self._leaving)}
        free = (number for number in range(1, count + len(taken) + 1) if number not in taken)
        while len(self._slots) < count:
            self._slots.append(_Slot(next(free)))
        while len(self._slots) > count:
            slot = self._slots.pop()
            if slot.process is not None:
                slot.process.terminate()
                self._leaving.append(slot)
        self._start_those_due()

    def _start_those_due(self) -> None:
        now = time.monotonic()
        for slot in self._slots:
            if slot.process is None and now >= slot.not_before:
                slot.process, slot.started = start_worker(self._work, slot.number, self._numbers), now
                self._past = replace(self._past, changed=now)

    def _wait(self) -> None:
        """For a second, or until a worker has ended."""
        running = [slot.process.sentinel for slot in (*self._slots, *self._leaving) if slot.process is not None]
        connection.wait(running, SAMPLE_SECONDS)

    def _reap(self) -> None:
        now = time.monotonic()
        self._leaving = [slot for slot in self._leaving if slot.process.is_alive()]
        for slot in self._slots:
            if slot.process is None or slot.process.is_alive():
                continue
            exit_code = slot.process.exitcode
            how = ended(exit_code) or "its handler ended it with exit code 0"
            slot.process = None
            if exit_code == EXIT_CODE:
                raise ShardlakeError(f"Worker {slot.number} has ended: {how}.", advice(self._work.dead_letters))
            slot.deaths = 1 if now - slot.started > HEALTHY_SECONDS else slot.deaths + 1
            if slot.deaths >= DEATHS:
                msg = f"Worker {slot.number} has died {slot.deaths} times soon after its start ({how})."
                raise ShardlakeError(msg, "Mend its handler, and run it again: it goes on after the last commit.")
            backoff = min(LONGEST_BACKOFF_SECONDS, BACKOFF_SECONDS * 2 ** (slot.deaths - 1))
            slot.not_before = now + backoff
            self._past = replace(self._past, changed=now)
            self._say(f"worker {slot.number} has died ({how}); it is started again in {backoff:g} s")

    def _sample(self) -> Sample | None:
        """None where the broker is away; what was measured before is of no use then."""
        try:
            sample = self._progress.sample()
        except Unavailable as error:
            if not self._is_away:
                self._say(f"{error.message} Waiting for it.")
            self._is_away = True
            self._samples.clear()
            return None
        self._is_away = False
        oldest = sample.taken - max(self._limits.stuck_seconds, WINDOW_SECONDS) - 2 * SAMPLE_SECONDS
        self._samples = [one for one in self._samples if one.taken >= oldest]
        self._samples.append(sample)
        return sample

    def _end(self) -> None:
        """Let all workers end. Raises ShardlakeError where one fails at it."""
        running = [slot for slot in (*self._slots, *self._leaving) if slot.process is not None]
        for slot in running:
            slot.process.terminate()
        deadline = time.monotonic() + END_SECONDS
        failed = []
        for slot in running:
            slot.process.join(max(0.0, deadline - time.monotonic()))
            if slot.process.is_alive():
                slot.process.kill()
                slot.process.join()
            # By the signal itself where it had not begun yet.
            if slot.process.exitcode != -signal.SIGTERM and (how := ended(slot.process.exitcode)):
                failed.append(f"{slot.number} ({how})")
        if failed:
            msg = f"Worker {', '.join(failed)} failed at its end; nothing that it had not processed was committed."
            raise ShardlakeError(msg, "Run it again: it goes on after the last commit.")


def _is_caught_up(sample: Sample) -> bool:
    return all(committed is not None and not sample.lag(shard) for shard, committed in sample.committed.items())


def _workers(count: int) -> str:
    return f"{count} worker{'s' if count != 1 else ''}"
