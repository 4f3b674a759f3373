"""A lane's handler in a process of its own: its work takes no time from other lanes, and its death costs one record.

The lane's thread sends messages by a pipe and waits for the reply. How far a call has come is in shared memory, so that
it is known also of a process that was killed, ran out of memory or was ended by its own handler.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from shardlake.child import die_with_parent
from shardlake.errors import ShardlakeError
from shardlake.shards.contract import Failure, Reply
from shardlake.shards.handler import NEVER, Consumer, Count, Decode, Form, Handler
from shardlake.shards.processor import Message

ENDING_SECONDS = 2
Open = Callable[[], tuple[Consumer, Decode | None]]
"""Finds the consumer and its decoder, in the lane's process; it is sent there, so a function of a module or a partial
of one."""
_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload([__name__])


@dataclass(frozen=True, slots=True)
class _Checkpoint:
    """A RecordProcessor is done up to there."""

    sequence_number: int


class ProcessHandler:
    """As Handler. The process is started before the first call, and again before the one after its death."""

    def __init__(
        self,
        consumer: Consumer,
        shard_id: str,
        checkpointed: Callable[[int], None],
        opener: Open,
        memory_bytes: int | None = None,
    ) -> None:
        """`memory_bytes` is how much address space the process may have; a handler that wants more fails."""
        self._form = consumer.form
        self._checkpointed = checkpointed
        self._arguments = (shard_id, opener, memory_bytes)
        self.done: Count = _processes.RawValue("q", 0)
        self.stop_from: Count = _processes.RawValue("q", NEVER)
        self._process: Any = None
        self._pipe: Connection | None = None
        self._killed = False

    def initialize(self) -> None:
        """Nothing yet: a lane that never has work needs no process."""

    def prepare(self) -> None:
        """Start the process, where there is none. Raises ShardlakeError where the consumer cannot be loaded."""
        if self._process is not None:
            return
        self._pipe, theirs = _processes.Pipe()
        arguments = (theirs, *self._arguments, self.done, self.stop_from)
        self._process = _processes.Process(target=_serve, args=arguments, daemon=True)
        self._process.start()
        theirs.close()
        try:
            answer = self._pipe.recv()
        except (EOFError, OSError):
            answer = ShardlakeError(f"The process of a lane of {self._arguments[0]} ended while it was starting.")
        if isinstance(answer, BaseException):
            self._close()
            raise answer

    def call(self, messages: list[Message], *, behind: bool) -> Reply:
        """See Handler. The death of the process is an error of the record it was at."""
        self.done.value = 0
        try:
            reply: Reply = self._ask("call", messages, behind)
            return reply
        except (EOFError, OSError):
            return self._died(messages)

    def kill(self) -> None:
        """End the process, whatever it does."""
        self._killed = True
        if self._process is not None:
            self._process.kill()

    def shutdown_requested(self) -> None:
        """See Handler."""
        self._say_goodbye("shutdown_requested")

    def lease_lost(self) -> None:
        """See Handler."""
        self._say_goodbye("lease_lost")

    def _say_goodbye(self, method: str) -> None:
        if self._process is None:
            return
        try:
            if self._form is Form.PROCESSOR:
                self._ask(method)
        except (EOFError, OSError):
            pass  # it is gone, and with it what it had not checkpointed: that comes again
        finally:
            self._close()

    def _ask(self, method: str, *arguments: Any) -> Any:
        assert self._pipe is not None
        self._pipe.send((method, *arguments))
        while True:
            answer = self._pipe.recv()
            if isinstance(answer, _Checkpoint):
                self._checkpointed(answer.sequence_number)
            elif isinstance(answer, BaseException):
                raise answer
            else:
                return answer

    def _died(self, messages: list[Message]) -> Reply:
        self._process.join()
        code = self._process.exitcode
        self._close()
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        done = self.done.value
        blames = self._form is Form.RECORD or len(messages) == 1
        return Reply(done, error=Failure("ProcessDied", f"the lane's process ended: {how}", died=True), blames=blames)

    def _close(self) -> None:
        if self._pipe is not None:
            self._pipe.close()  # the process ends when it reads on
        if self._process is not None:
            self._process.join(ENDING_SECONDS)
            self._process.kill()
            self._process.join()
        self._pipe = self._process = None


def _serve(
    pipe: Connection, shard_id: str, opener: Open, memory_bytes: int | None, done: Count, stop_from: Count
) -> None:
    die_with_parent(os.getppid())()
    # The worker's own are for the worker: it tells its lanes.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    try:
        consumer, decode = opener()
        if memory_bytes is not None:
            resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
        handler = Handler(consumer, shard_id, decode, lambda number: pipe.send(_Checkpoint(number)), done, stop_from)
        handler.initialize()
        pipe.send(None)
    except BaseException as error:
        pipe.send(_plain(error))
        return
    while True:
        try:
            method, *arguments = pipe.recv()
        except EOFError:
            return
        try:
            if method == "call":
                messages, behind = arguments
                answer: Any = handler.call(messages, behind=behind)
            else:
                answer = getattr(handler, method)()
        except BaseException as error:
            answer = _plain(error)
        pipe.send(answer)


def _plain(error: BaseException) -> ShardlakeError:
    """What can be sent: not every exception can."""
    return error if type(error) is ShardlakeError else ShardlakeError(f"{type(error).__name__}: {error}")
