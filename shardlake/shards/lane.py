"""One lane of a shard: a thread that takes tasks, has them handled, and keeps the contract for those that fail."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass
from queue import SimpleQueue
from typing import NamedTuple

from shardlake.shards.contract import Attempts, Failure, Reply, Unit
from shardlake.shards.feed import Feed
from shardlake.shards.handler import NEVER, Consumer, Form
from shardlake.shards.processor import Message
from shardlake.shards.waiting import Task, offsets

WAIT_FOR_REGISTRY_SECONDS = 1.0
LOOK_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Working:
    """What a lane has called its handler with."""

    task: Task
    attempts: Attempts
    unit: Unit


class Place(NamedTuple):
    """Which record a lane is at; where it has nothing to do, the last of what it had."""

    message: Message
    is_done: bool


class Lane:
    """Used by its own thread, but for `box`, `end`, `give_up` and what is read of it."""

    def __init__(self, shard: Feed, consumer: Consumer, instead: tuple[Lane, Working, Reply] | None = None) -> None:
        """Start the lane. `instead` is a lane that was given up, what it worked on, and the reply that stands for its
        last call: the new lane goes on from there."""
        self._shard = shard
        self._form = consumer.form
        self.box: SimpleQueue[Task | None] = SimpleQueue()
        self.handler = shard.options.make_handler(consumer, shard.shard_id, self._checkpointed)
        self.calls = 0
        self.working: Working | None = None
        self._latest: tuple[Task, Attempts] | None = None
        self._lock = threading.Lock()
        self._given_up = False
        self._stop_from = NEVER
        self._highest_begun = -1
        self._lost = False
        self._stuck = False
        """Whether a dead letter could not be sent because the lane is to end."""
        self._instead = instead
        self._handed: deque[int] = instead[0]._handed if instead else deque()  # noqa: SLF001 - of its own class
        self._thread = threading.Thread(target=self._run, name=shard.shard_id, daemon=True)
        self._thread.start()

    def begun(self) -> int:
        """The highest offset that its handler may have begun with, -1 where there is none."""
        with self._lock:
            return self._begun()

    def _begun(self) -> int:
        if self.working is not None:
            messages = self.working.unit.messages
            last = len(messages) - 1
            at = min(self.handler.done.value, last) if self._form is Form.RECORD else last
            self._highest_begun = max(self._highest_begun, messages[at].offset())
        return self._highest_begun

    def place(self) -> Place | None:
        """None before its first task."""
        if self._latest is None:
            return None
        task, attempts = self._latest
        messages = attempts.messages
        return Place(messages[0], False) if messages else Place(task.messages[-1], True)

    def end(self, stop_from: int) -> None:
        """Begin with no record from there on, and end when nothing is left before."""
        with self._lock:
            self._stop_from = self.handler.stop_from.value = stop_from

    def lose(self) -> None:
        """Begin with nothing more: the shard has gone."""
        self._lost = True
        self.end(0)

    def ended(self, seconds: float) -> bool:
        """Whether it has ended within so long."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def give_up(self) -> Working | None:
        """Take no more notice of what its handler does, and end the handler's process where it has one; what it was
        called with, None where it is not in a call any more."""
        with self._lock:
            if self.working is not None:
                self._given_up = True
        self.handler.stop_from.value = 0
        self.handler.kill()
        return self.working

    def _run(self) -> None:
        try:
            self.handler.initialize()
            if self._instead is not None:
                _, working, reply = self._instead
                self._after(working.attempts, working.unit, reply)
                self._work(working.task, working.attempts)
            while (task := self._shard.next_task(self)) is not None:
                if self._form is Form.PROCESSOR:
                    self._hand_over(task)
                self._work(task, Attempts(task.messages, self._shard.options.contract))
            if not self._given_up:
                self._say_goodbye()
        except BaseException as error:
            if not self._given_up:
                self._shard.fail(error)

    @property
    def _is_ending(self) -> bool:
        return self._stop_from != NEVER

    def _say_goodbye(self) -> None:
        if self._lost:
            self.handler.lease_lost()
        else:
            self.handler.shutdown_requested()

    def _work(self, task: Task, attempts: Attempts) -> None:
        self._latest = task, attempts
        while not self._given_up:
            for message, failure in attempts.too_old(time.time_ns() // 1_000_000):
                self._bury(message, failure)
            unit = attempts.next()
            if unit is None:
                self._shard.release(task)
                return
            behind = self._shard.is_behind(unit.messages[-1].offset())
            self.handler.prepare()
            with self._lock:
                ended = unit.messages[0].offset() >= self._stop_from
                if not ended:
                    self.calls += 1
                    self.working = Working(task, attempts, unit)
            if ended:
                # Of the keys of those that it has done there may be more that are to be.
                self._shard.release(task)
                return
            began = time.perf_counter()
            reply = self.handler.call(unit.messages, behind=behind)
            took = time.perf_counter() - began
            with self._lock:
                if self._given_up:  # another lane has the task
                    return
                self._begun()
                self.working = None
            self._shard.time_call(len(unit.messages), took)
            self._after(attempts, unit, reply)
            if self._is_ending and (reply.unavailable or self._stuck):
                return  # nobody can wait for it now

    def _after(self, attempts: Attempts, unit: Unit, reply: Reply) -> None:
        settled = attempts.settle(unit, reply)
        if settled.done:
            self._shard.count_handled(len(settled.done))
            if self._form is not Form.PROCESSOR:
                self._shard.finish(offsets(settled.done))
        for message, failure in settled.dead:
            self._bury(message, failure)
        if settled.retried:
            self._shard.count_retries(settled.retried)
        self._shard.say_failed(unit, reply, settled)
        if reply.unavailable:
            self._shard.say_waiting(reply.unavailable)
            if not self._is_ending:
                self._wait(WAIT_FOR_REGISTRY_SECONDS)
        self._wait(settled.wait_seconds)

    def _bury(self, message: Message, failure: Failure) -> None:
        if not self._shard.bury(message, failure, lambda: self._is_ending):
            self._stuck = True
            return
        if failure.can_pass and failure.attempts:  # else it is no record, or nobody has tried it
            self._shard.count_failed(failure)
        offset = message.offset()
        if self._form is Form.PROCESSOR and offset in self._handed:
            self._handed.remove(offset)
            self._shard.park(-1)
        self._shard.finish([offset], dead=True)

    def _wait(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not self._lost and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, LOOK_SECONDS))

    def _hand_over(self, task: Task) -> None:
        """What is handed to a processor is open until it has checkpointed it, or it is a dead letter."""
        self._handed.extend(offsets(task.messages))
        self._shard.park(len(task.messages))

    def _checkpointed(self, sequence_number: int) -> None:
        # A last checkpoint may reach past what should have been a dead letter.
        if self._given_up or self._stuck:
            return
        done = []
        while self._handed and self._handed[0] <= sequence_number:
            done.append(self._handed.popleft())
        if self._shard.options.factor > 1:  # then a lane's later task may have earlier records
            done += [offset for offset in self._handed if offset <= sequence_number]
            self._handed = deque(offset for offset in self._handed if offset > sequence_number)
        self._shard.park(-len(done))
        self._shard.finish(done)
