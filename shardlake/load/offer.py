"""The producers of a load as one thing: started, told when to begin, stopped, and asked what became of their events."""

from __future__ import annotations

import multiprocessing
import os
import time
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from shardlake.errors import ShardlakeError
from shardlake.load.generator import Share, Summary, run
from shardlake.patience import Patience, in_sight
from shardlake.progress import Work, of_processes

END_SECONDS = 180
"""Longer than a producer waits for its last reports."""

_spawn = multiprocessing.get_context("spawn")


@dataclass(slots=True)
class _Producer:
    process: Any
    pipe: Any
    sent: Any


class Offer:
    """Not for several threads.

    What the producers tell is heard in threads of its own: Ctrl-C interrupts the main one wherever it is, and what is
    read from a pipe can't be read again.
    """

    def __init__(self, shares: list[Share]) -> None:
        """Started, and ready when this returns. Raises what a producer raised, ShardlakeError where one is not."""
        self._producers: list[_Producer] = []
        self._reports: list[Future[Summary]] = []
        self._listeners = ThreadPoolExecutor(len(shares), "load-reports")
        try:
            for share in shares:
                ours, theirs = _spawn.Pipe()
                sent: Any = _spawn.Value("q", 0, lock=False)
                process = _spawn.Process(target=run, args=(share, theirs, sent, os.getpid()))
                process.start()
                theirs.close()
                self._producers.append(_Producer(process, ours, sent))
            patience = Patience(stretched=in_sight)
            work = Work(lambda: of_processes(self.pids))
            for number, producer in enumerate(self._producers):
                while not producer.pipe.poll():
                    if not patience.goes_on("the load's producers", (number, work.count())):
                        raise _silent(patience.still_for)
                _hear(producer)
        except BaseException:
            self.kill()
            raise

    @property
    def pids(self) -> list[int]:
        """Of the producers' processes."""
        return [producer.process.pid for producer in self._producers]

    @property
    def sent(self) -> int:
        """Events handed over so far, by all."""
        return sum(int(producer.sent.value) for producer in self._producers)

    @property
    def summaries(self) -> list[Summary]:
        """Of those that have told what became of their events."""
        return [report.result() for report in self._reports if report.done() and not report.exception()]

    def begin(self, begin_ns: int) -> None:
        """The load begins then, nanoseconds since 1970."""
        for producer in self._producers:
            with suppress(BrokenPipeError):  # one that has died by now: its listener tells
                producer.pipe.send(begin_ns)
        self._reports = [self._listeners.submit(_hear, producer) for producer in self._producers]

    @property
    def is_over(self) -> bool:
        """Whether every producer has sent all and told so, or has ended otherwise."""
        return all(report.done() for report in self._reports)

    def stop(self) -> None:
        """Let them end early."""
        for producer in self._producers:
            if producer.process.is_alive():
                producer.process.terminate()

    def await_end(self) -> None:
        """Waits for the ends. Raises ShardlakeError where a producer failed or died."""
        late = wait(self._reports, END_SECONDS).not_done
        self.kill()
        if late:
            raise _silent(f"{END_SECONDS} s")
        for report in self._reports:
            report.result()

    def kill(self) -> None:
        """None is left."""
        deadline = time.monotonic() + 5
        for producer in self._producers:
            producer.process.join(max(0.0, deadline - time.monotonic()))
            if producer.process.is_alive():
                producer.process.kill()
                producer.process.join()
        self._listeners.shutdown()
        for producer in self._producers:
            producer.pipe.close()


def _hear(producer: _Producer) -> Any:
    """What it says next. Raises the error where that is one, ShardlakeError where it dies."""
    try:
        answer = producer.pipe.recv()
    except (EOFError, ConnectionResetError):
        producer.process.join(1)
        msg = f"A producer of the load has died (exit code {producer.process.exitcode})."
        raise ShardlakeError(msg, "What it had sent is in its ledger; what it noted of times is gone.") from None
    if isinstance(answer, BaseException):
        raise answer
    return answer


def _silent(how_long: str) -> ShardlakeError:
    return ShardlakeError(f"A producer of the load says nothing for {how_long}.")
