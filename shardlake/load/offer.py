"""The producers of a load as one thing: started, told when to begin, stopped, and asked what became of their events."""

from __future__ import annotations

import multiprocessing
import os
import time
from dataclasses import dataclass
from typing import Any

from shardlake.errors import ShardlakeError
from shardlake.load.generator import Share, Summary, run

READY_SECONDS = 60
END_SECONDS = 180
"""Longer than a producer waits for its last reports."""

_spawn = multiprocessing.get_context("spawn")


@dataclass(slots=True)
class _Producer:
    process: Any
    pipe: Any
    sent: Any


class Offer:
    """Not for several threads."""

    def __init__(self, shares: list[Share]) -> None:
        """Started, and ready when this returns. Raises what a producer raised, Unavailable where one is not ready."""
        self._producers: list[_Producer] = []
        self.summaries: list[Summary] = []
        """Of those that have told what became of their events."""
        self._failed: list[ShardlakeError] = []
        try:
            for share in shares:
                ours, theirs = _spawn.Pipe()
                sent: Any = _spawn.Value("q", 0, lock=False)
                process = _spawn.Process(target=run, args=(share, theirs, sent, os.getpid()))
                process.start()
                theirs.close()
                self._producers.append(_Producer(process, ours, sent))
            for producer in self._producers:
                self._hear(producer, READY_SECONDS)
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

    def begin(self, begin_ns: int) -> None:
        """The load begins then, nanoseconds since 1970."""
        for producer in self._producers:
            producer.pipe.send(begin_ns)

    @property
    def is_over(self) -> bool:
        """Whether every producer has sent all, with its reports, or has ended otherwise."""
        return all(one.pipe.poll() or not one.process.is_alive() for one in self._producers)

    def stop(self) -> None:
        """Let them end early."""
        for producer in self._producers:
            if producer.process.is_alive():
                producer.process.terminate()

    def await_end(self) -> None:
        """Waits for the ends, and fills `summaries`; again, for the rest, where Ctrl-C cut it short. Raises
        ShardlakeError where a producer failed or died."""
        for producer in self._producers[len(self.summaries) + len(self._failed) :]:
            try:
                self.summaries.append(self._hear(producer, END_SECONDS))
            except ShardlakeError as error:
                self._failed.append(error)
        self.kill()
        if self._failed:
            raise self._failed[0]

    def kill(self) -> None:
        """None is left."""
        deadline = time.monotonic() + 5
        for producer in self._producers:
            producer.process.join(max(0.0, deadline - time.monotonic()))
            if producer.process.is_alive():
                producer.process.kill()
                producer.process.join()
            producer.pipe.close()

    def _hear(self, producer: _Producer, seconds: float) -> Any:
        deadline = time.monotonic() + seconds
        while not producer.pipe.poll(0.2):
            if not producer.process.is_alive() and not producer.pipe.poll():
                msg = f"A producer of the load has died (exit code {producer.process.exitcode})."
                raise ShardlakeError(msg, "What it had sent is in its ledger; what it noted of times is gone.")
            if time.monotonic() > deadline:
                raise ShardlakeError(f"A producer of the load says nothing for {seconds:.0f} s.")
        try:
            answer = producer.pipe.recv()
        except EOFError:
            msg = f"A producer of the load has died (exit code {producer.process.exitcode})."
            raise ShardlakeError(msg) from None
        if isinstance(answer, BaseException):
            raise answer
        return answer
