"""The side of a shard that its lanes see: records are fed in by the worker, taken by lanes, and done in any order.

    feed()           next_task()          release(), finish(), bury()
    broker ──► waiting ──► a lane's handler ──► window: the position up to which all is done

A shard is full while too many records, or bytes, are between `feed` and the position.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Protocol

from shardlake.errors import ShardlakeError
from shardlake.shards.contract import Contract, Failure, Reply, Settled, Unit
from shardlake.shards.counts import Counts
from shardlake.shards.dead_letters import DeadLetters, Source
from shardlake.shards.handler import Consumer, Form, LaneHandler
from shardlake.shards.processor import Message
from shardlake.shards.waiting import ByKey, InOrder, Task, Waiting, offsets
from shardlake.shards.window import Window

Say = Callable[[str], None]
SAY_EVERY_SECONDS = 10
CALL_SECONDS = 0.1
AHEAD_SECONDS = 5.0
LOOK_SECONDS = 0.05
FIRST_CALL = 20
"""The number of records in a first call, before it is known how long one takes."""
NO_DEAD_LETTERS = "Nothing from it on is committed. Mend the handler, or allow dead letters."


class Taker(Protocol):
    """A lane as its feed knows it: `box` gets the next task while the lane waits, None where it is to end."""

    box: SimpleQueue[Task | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a worker processes its shards.

    `make_handler` makes the handler of a lane from a consumer, the shard's name, and the function that a processor
    calls with the sequence number of its last checkpoint.
    """

    make_handler: Callable[[Consumer, str, Callable[[int], None]], LaneHandler]
    contract: Contract = field(default_factory=Contract)
    factor: int = 1
    """The parallelization factor: the number of lanes of each shard."""
    batch: int = 500
    """The most records that a lane hands to its handler in one call."""
    max_in_flight: int = 10_000
    """The worker stops reading a shard when so many of its records lie between the committable position and the last
    record read."""
    max_in_flight_bytes: int = 64 << 20
    """The worker stops reading a shard when the records that no lane has released yet have so many bytes."""


class Feed:
    """The records of one shard: the worker's thread feeds them, the lanes' threads take them and say what is done."""

    def __init__(
        self, shard_id: str, source: Source, position: int, consumer: Consumer, options: Options,
        dead_letters: DeadLetters | None, say: Say,
    ) -> None:  # fmt: skip
        """`position` is the offset of the next record."""
        self.shard_id, self.source, self.options, self.say = shard_id, source, options, say
        self.counts = Counts()
        self.at_end = False
        self.error: BaseException | None = None
        self.end_offset = position
        self._consumer = consumer
        self._dead_letters = dead_letters
        self._lock = threading.Lock()
        self._window = Window(position)
        self._waiting: Waiting = InOrder() if options.factor == 1 else ByKey(options.factor)
        self._bytes = 0
        self._parked = 0
        self._record_seconds = 0.0
        self._highest_taken = -1
        self._left_behind = 0
        self._looked_ahead = 0.0
        self._most = options.batch if consumer.form is not Form.RECORD else min(options.batch, FIRST_CALL)
        self._waiting_said = float("-inf")
        self._ending = False
        self._idle: list[Taker] = []

    @property
    def position(self) -> int:
        """The offset that may be committed: every record before this offset is done."""
        return self._window.position

    @property
    def in_flight(self) -> int:
        """The number of records between the position and the last record that the worker read."""
        return len(self._window)

    @property
    def is_through(self) -> bool:
        """Tell whether the shard has ended and every record is done, but for those that a processor has yet to
        checkpoint."""
        return self.at_end and len(self._window) <= self._parked

    @property
    def is_full(self) -> bool:
        """Tell whether the worker should stop reading this shard. Records that a processor has yet to checkpoint do not
        fill the shard."""
        return self._fill() >= 1

    @property
    def has_room(self) -> bool:
        """Tell whether a shard that was full is at most half full, so that the worker should read on."""
        return self._fill() <= 1 / 2

    def _fill(self) -> float:
        records = (len(self._window) - self._parked) / self.options.max_in_flight
        return max(records, self._bytes / self.options.max_in_flight_bytes)

    def feed(self, messages: list[Message]) -> None:
        """Take the next records of the shard, in the order of their offsets, and wake idle lanes."""
        numbers = offsets(messages)
        size = sum(map(len, messages))
        with self._lock:
            self._window.add(numbers)
            self._bytes += size
            self.end_offset = numbers[-1] + 1
            self._waiting.put(messages)
            while self._idle and (task := self._take()) is not None:
                self._idle.pop().box.put(task)

    def reach_end(self, offset: int) -> None:
        """Note that the shard ends at `offset`. Control records, which nobody handles, may lie before that offset."""
        self.at_end = True
        with self._lock:
            self.end_offset = offset
            self._window.reach(offset)

    def end_from(self, offset: int) -> None:
        """Hand out no record from `offset` on, and let each lane end that finds nothing left."""
        with self._lock:
            self._ending = True
            self._waiting.drop_from(offset)
            for lane in self._idle:
                lane.box.put(None)
            self._idle.clear()

    def next_task(self, lane: Taker) -> Task | None:
        """Return the next task for this lane; wait where there is none. Return None when the lane should end."""
        with self._lock:
            task = self._take()
            if task is None and self._ending:
                return None
            if task is None:
                self._idle.append(lane)
        return task or lane.box.get()

    def _take(self) -> Task | None:
        task = self._waiting.take(self._most, self._highest_taken + 1 if self._is_far_ahead() else None)
        if task is not None:
            self._highest_taken = max(self._highest_taken, task.messages[-1].offset())
        return task

    def _is_far_ahead(self) -> bool:
        """Tell whether other keys should wait for a key that lags behind.

        When the worker gives the shard up, the lanes must first finish all records before the highest one that a lane
        has begun. So lanes begin no later record while one key has more than AHEAD_SECONDS of work before that record.
        """
        if len(self._window) * self._record_seconds < AHEAD_SECONDS:
            return False
        if (now := time.monotonic()) - self._looked_ahead > LOOK_SECONDS:
            self._looked_ahead = now
            self._left_behind = self._waiting.longest(self._highest_taken)
        return self._left_behind * self._record_seconds > AHEAD_SECONDS

    def time_call(self, records: int, seconds: float) -> None:
        """Learn from the seconds that a call took for its records how many records the next calls get.

        A handler of single records reports its progress at the end of a call, and a crash before that end repeats the
        whole call. So such a handler gets only as many records as it can do in CALL_SECONDS.
        """
        share = 1 / 4 if self._record_seconds else 1
        self._record_seconds += (seconds / records - self._record_seconds) * share
        if self._consumer.form is Form.RECORD:
            # The number only doubles from call to call: poison takes no time, and may have been all of the first call.
            fits = int(CALL_SECONDS / max(self._record_seconds, 1e-9))
            self._most = max(1, min(self.options.batch, self._most * 2, fits))

    def release(self, task: Task) -> None:
        """Take back a task that a lane has finished, and hand the records that waited for its keys to idle lanes."""
        size = sum(map(len, task.messages))
        with self._lock:
            self._bytes -= size
            self._waiting.release(task)
            # The lane itself takes only a share of these records.
            while len(self._idle) > 0 and (more := self._take()) is not None:
                self._idle.pop().box.put(more)

    def finish(self, numbers: list[int], *, dead: bool = False) -> None:
        """Mark records as done, by their offsets; with `dead` the records have become dead letters."""
        with self._lock:
            self._window.finish(numbers)
            if dead:
                self.counts.dead_letters += len(numbers)
            else:
                self.counts.done += len(numbers)

    def count_handled(self, records: int) -> None:
        """Count records that the handler has processed without an error."""
        with self._lock:
            self.counts.handled += records

    def count_failed(self, failure: Failure) -> None:
        """Count a record at which the handler has failed for the last time."""
        with self._lock:
            self.counts.failed += 1
            self.counts.last_failure = f"{failure.error_class}{f' at {failure.where}' if failure.where else ''}"

    def count_retries(self, records: int) -> None:
        """Count records that the handler will get a second or later time."""
        with self._lock:
            self.counts.retries += records

    def park(self, count: int) -> None:
        """Change the number of records that a processor has and has not checkpointed; `count` may be negative."""
        with self._lock:
            self._parked += count

    def bury(self, message: Message, failure: Failure, stopping: Callable[[], bool]) -> bool:
        """Send the record to the dead-letter topic, and tell whether the broker has acknowledged the letter.

        Wait for the broker until `stopping` returns true. Raises ShardlakeError where there is no topic for dead
        letters: then no offset past the record is committed.
        """
        if self._dead_letters is None:
            at = f"{self.shard_id}, sequence number {message.offset()}"
            why = f"{failure.error_class}: {failure.message}"
            raise ShardlakeError(f"{at} failed after {failure.attempts} attempts: {why}", NO_DEAD_LETTERS)
        return self._dead_letters.send(self.source, message, failure, stopping)

    def fail(self, error: BaseException) -> None:
        """Note the error that ends the worker; the first error counts."""
        self.error = self.error or error

    def is_behind(self, offset: int) -> bool:
        """Tell whether the worker has read a later record of the shard than the one at `offset`."""
        return offset + 1 < self.end_offset

    def say_waiting(self, why: str) -> None:
        """Print why lanes wait, at most once in SAY_EVERY_SECONDS for the whole shard."""
        if time.monotonic() - self._waiting_said > SAY_EVERY_SECONDS:
            self._waiting_said = time.monotonic()
            self.say(f"{self.shard_id}: {why} Waiting for it.")

    def say_failed(self, unit: Unit, reply: Reply, settled: Settled) -> None:
        """Print a line when a record fails for the first time, and one when the record becomes a dead letter.

        The lines leave out the handler's own message, which may quote the record.
        """
        if (reply.error or reply.failed) and not unit.failures:
            failure = reply.error or Failure("PartialFailure", "")
            at = unit.messages[reply.failed[0] if reply.failed else reply.done].offset()
            count = len(reply.failed) or (1 if reply.blames else len(unit.messages) - reply.done)
            others = f" and {count - 1} more" if count > 1 else ""
            where = f" at {failure.where}" if failure.where else ""
            self.say(f"{self.shard_id}: {failure.error_class}{where}, sequence number {at}{others}")
        for message, failure in settled.dead:
            attempts = f" after {failure.attempts} attempts" if failure.can_pass else ""
            at = message.offset()
            self.say(f"{self.shard_id}: sequence number {at} is a dead letter{attempts}, {failure.error_class}")
