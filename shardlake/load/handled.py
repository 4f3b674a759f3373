"""When a consumer had handled which record, noted in its own process, and how long its handler took for it.

A row for each call that was one run of offsets: `handled-<pid>.rows` in the run's folder, of five int64: partition,
first offset, records, begin and end of the call in nanoseconds since 1970. A worker that is killed takes the rows of
its last second with it.

Here a consumer is also made slow, where the scenario says so: the fault is in the worker, and the notes include it.
"""

from __future__ import annotations

import os
import struct
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.util import Finalize
from pathlib import Path
from typing import Any

import numpy as np

from shardlake.load.scenario import SLOW_CONSUMER, Scenario
from shardlake.shards.handler import Consumer, Form
from shardlake.shards.processor import Checkpointer, PartialFailure, Record, RecordProcessor

SUFFIX = ".rows"
WRITE_SECONDS = 1.0
_ROW = struct.Struct("<5q").pack
Rows = np.ndarray[tuple[int, int], np.dtype[np.int64]]


class Notes:
    """The rows of one process, from several threads."""

    def __init__(self, folder: Path) -> None:
        self._file = os.open(folder / f"handled-{os.getpid()}{SUFFIX}", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._rows: deque[bytes] = deque()
        self._written = time.monotonic()
        # A process of multiprocessing's ends without atexit's functions.
        Finalize(None, self.write, exitpriority=10)

    def add(self, records: Sequence[Record], begin_ns: int, end_ns: int) -> None:
        """One call with these."""
        partition = int(records[0].shard_id.rpartition("-")[2])
        first, last = records[0].sequence_number, records[-1].sequence_number
        if last - first + 1 == len(records):
            self._rows.append(_ROW(partition, first, len(records), begin_ns, end_ns))
        else:
            # A call's seconds are told once: those of its first record.
            for record in records:
                self._rows.append(_ROW(partition, record.sequence_number, 1, begin_ns, end_ns))
                begin_ns = end_ns
        if time.monotonic() - self._written > WRITE_SECONDS:
            self.write()

    def write(self) -> None:
        """Write those that wait."""
        self._written = time.monotonic()
        rows = b"".join([self._rows.popleft() for _ in range(len(self._rows))])
        if rows:
            os.write(self._file, rows)


@dataclass(frozen=True, slots=True)
class Slowness:
    """From when to when, in nanoseconds since 1970: the handler takes `factor` times as long, in work of the CPU, and
    waits `wait_ns` a record."""

    begin_ns: int
    end_ns: int
    factor: float
    wait_ns: float


@dataclass(frozen=True, slots=True)
class Watched:
    """Puts notes, and slowness, around a consumer; it is sent to the workers' processes."""

    folder: Path
    slowness: tuple[Slowness, ...] = ()

    @classmethod
    def of(cls, folder: Path, scenario: Scenario, begin_ns: int) -> Watched:
        """As the scenario says, whose load begins then."""
        steps = tuple(
            Slowness(
                begin_ns + int(step.at * 1e9), begin_ns + int(step.end * 1e9),
                step.values["factor"], 1000 * step.values["wait_us"],
            )
            for step in scenario.steps(SLOW_CONSUMER)
        )  # fmt: skip
        return cls(folder, steps)

    def __call__(self, consumer: Consumer) -> Consumer:
        """The same consumer, watched."""
        watch = _Watch(Notes(self.folder), self.slowness, reports=consumer.form is Form.RECORDS)
        if consumer.form is Form.PROCESSOR:
            return Consumer(consumer.form, lambda: _Processor(consumer.call(), watch))
        if consumer.form is Form.RECORD:
            return Consumer(consumer.form, lambda record: watch.around((record,), lambda: consumer.call(record)))
        return Consumer(consumer.form, lambda records: watch.around(records, lambda: consumer.call(records)))


@dataclass(frozen=True, slots=True)
class _Watch:
    notes: Notes
    slowness: tuple[Slowness, ...] = field(default=())
    reports: bool = False
    """Whether what is returned are the sequence numbers that failed."""

    def around(self, records: Sequence[Record], call: Callable[[], Any]) -> Any:
        """What failed is not handled: no row, but for the others where a handler names those that failed."""
        begin_ns = time.time_ns()
        try:
            found = call()
        except PartialFailure as error:
            if done := _but(records, error.sequence_numbers):
                self.notes.add(done, begin_ns, time.time_ns())
            raise
        end_ns = time.time_ns()
        for slow in self.slowness:
            if slow.begin_ns <= begin_ns < slow.end_ns:
                until_ns = end_ns + int((slow.factor - 1) * (end_ns - begin_ns))
                if slow.wait_ns:
                    time.sleep(slow.wait_ns * len(records) / 1e9)
                    until_ns += time.time_ns() - end_ns
                while (end_ns := time.time_ns()) < until_ns:
                    pass
        done = _but(records, found) if self.reports and found else list(records)
        if done:
            self.notes.add(done, begin_ns, end_ns)
        return found


def _but(records: Sequence[Record], failed: Collection[int]) -> list[Record]:
    return [record for record in records if record.sequence_number not in failed]


class _Processor(RecordProcessor):
    """A record processor, watched."""

    def __init__(self, inner: RecordProcessor, watch: _Watch) -> None:
        self._inner = inner
        self._watch = watch
        self.initialize = inner.initialize  # type: ignore[method-assign]
        self.lease_lost = inner.lease_lost  # type: ignore[method-assign]
        self.shutdown_requested = inner.shutdown_requested  # type: ignore[method-assign]

    def process_records(self, records: Sequence[Record], checkpointer: Checkpointer) -> None:
        """As the inner one's."""
        self._watch.around(records, lambda: self._inner.process_records(records, checkpointer))


def read(folder: Path) -> Rows:
    """All rows of a run's folder by the begin of their calls, of shape (rows, 5); a torn last row is left out."""
    rows: Rows = np.concatenate([np.zeros((0, 5), np.int64), *_files(folder)])
    in_order: Rows = rows[np.argsort(rows[:, 3], kind="stable")]
    return in_order


def _files(folder: Path) -> Iterator[Rows]:
    for path in sorted(folder.glob(f"handled-*{SUFFIX}")):
        content = path.read_bytes()
        whole = len(content) // 40 * 5
        yield np.frombuffer(content, np.int64, whole).reshape(-1, 5)
