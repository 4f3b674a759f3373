"""A consumer's file as something that can be called with messages: decode them, hand them over, say what came of it.

It runs in a lane's thread, or in a lane's process with a proxy in the thread.
"""

from __future__ import annotations

import inspect
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from types import ModuleType
from typing import Any, Protocol

from shardlake.avro.codec import Undecodable
from shardlake.errors import BadInput, Unavailable
from shardlake.shards.answers import check_of_processor, has_failed, reported
from shardlake.shards.contract import Failure, Reply
from shardlake.shards.processor import Message, PartialFailure, Record, RecordProcessor, offset_of

NEVER = 1 << 62
"""An offset that no record has."""
REPORTED = Failure("PartialFailure", "reported by the handler")
Decode = Callable[[bytes], dict[str, Any]]
"""Raises Undecodable, or Unavailable where it is needed and down."""


class Form(Enum):
    """How a consumer takes records."""

    RECORD = auto()
    RECORDS = auto()
    PROCESSOR = auto()


@dataclass(frozen=True, slots=True)
class Consumer:
    """What a file of consumers/ defines: a function, or a class to make objects of."""

    form: Form
    call: Callable[..., Any]

    @classmethod
    def of(cls, module: ModuleType) -> Consumer:
        """The one that a module defines. Raises BadInput where there are none or several."""
        found = [
            cls(Form.PROCESSOR, value)
            for _, value in inspect.getmembers(module, inspect.isclass)
            if issubclass(value, RecordProcessor) and value.__module__ == module.__name__
        ]
        for name, form in (("process_record", Form.RECORD), ("process_records", Form.RECORDS)):
            if inspect.isfunction(function := getattr(module, name, None)):
                found.append(cls(form, function))
        if len(found) != 1:
            msg = f"{module.__file__} defines {len(found) or 'no'} consumers."
            fix = "It defines one: process_record(record), process_records(records), or a class that derives from"
            raise BadInput(msg, f"{fix} RecordProcessor, as consumers/traffic.py does.")
        return found[0]


class Count(Protocol):
    """A number that another thread or process may read: multiprocessing's, or this module's."""

    value: int


@dataclass(slots=True)
class Local:
    """One that stays in its process."""

    value: int = 0


class LaneHandler(Protocol):
    """What a lane has of its handler, in its thread or in a process."""

    done: Count
    stop_from: Count

    def initialize(self) -> None:
        """See Handler."""

    def prepare(self) -> None:
        """See Handler."""

    def call(self, messages: list[Message], *, behind: bool) -> Reply:
        """See Handler."""

    def kill(self) -> None:
        """See Handler."""

    def shutdown_requested(self) -> None:
        """See Handler."""

    def lease_lost(self) -> None:
        """See Handler."""


class Handler:
    """One lane's consumer. `call` is used from one thread; `done` and `stop_from` are for others to read and set.

    `done.value` rises while a call lasts: so many of its leading records are handled. A function of one record begins
    none whose offset is `stop_from.value` or higher.
    """

    def __init__(
        self,
        consumer: Consumer,
        shard_id: str,
        decode: Decode | None,
        checkpointed: Callable[[int], None],
        done: Count | None = None,
        stop_from: Count | None = None,
    ) -> None:
        """Without `decode` records have bytes alone. `checkpointed` is told the sequence number up to which a
        RecordProcessor is done."""
        self._shard_id = shard_id
        self._decode = decode
        self._checkpointed = checkpointed
        # Not `or`: a number of multiprocessing's is false when it is 0.
        self.done: Count = Local() if done is None else done
        self.stop_from: Count = Local(NEVER) if stop_from is None else stop_from
        self._consumer = consumer
        self._processor: RecordProcessor | None = None
        self._handed: list[Message] = []
        self._highest = -1
        self._behind = False
        self._call = {Form.RECORD: self._one_by_one, Form.RECORDS: self._together, Form.PROCESSOR: self._by_processor}[
            consumer.form
        ]

    def initialize(self) -> None:
        """Before the first call. Raises what a processor's own raises."""
        if self._consumer.form is Form.PROCESSOR:
            self._processor = self._consumer.call()
            self._processor.initialize(self._shard_id)

    def prepare(self) -> None:
        """Whatever a call needs and takes time: none of the handler's."""

    def call(self, messages: list[Message], *, behind: bool) -> Reply:
        """Raises ShardlakeError where the handler returns what has no meaning, and nothing else. `behind` is whether
        the shard has later records."""
        self.done.value = 0
        self._behind = behind
        return self._call(messages)

    def kill(self) -> None:
        """Nothing can end a call in a thread."""

    def shutdown_requested(self) -> None:
        """The shard goes, or the worker stops. Raises what a processor's own raises."""
        if self._processor is not None:
            self._processor.shutdown_requested(self)

    def lease_lost(self) -> None:
        """The shard has gone. Raises what a processor's own raises."""
        if self._processor is not None:
            self._processor.lease_lost()

    def checkpoint(self, sequence_number: int | None = None) -> None:
        """See Checkpointer."""
        number = self._highest if sequence_number is None else sequence_number
        if number > self._highest:
            msg = f"{self._shard_id}: {sequence_number} was not handed over yet"
            raise ValueError(msg)
        self._checkpointed(number)
        self.done.value = bisect_right(self._handed, number, key=offset_of)

    @property
    def millis_behind_latest(self) -> int:
        """See Checkpointer."""
        return max(0, time.time_ns() // 1_000_000 - self._handed[-1].timestamp()[1]) if self._behind else 0

    def _one_by_one(self, messages: list[Message]) -> Reply:
        function, shard_id, decode = self._consumer.call, self._shard_id, self._decode
        done, stop_from = self.done, self.stop_from
        rejected: tuple[tuple[int, Failure], ...] = ()
        data: dict[str, Any] = {}
        for index, message in enumerate(messages):
            if message.offset() >= stop_from.value:
                return Reply(index, rejected)
            if decode is not None:
                try:
                    value = message.value()
                    if value is None:
                        done.value = index + 1
                        continue
                    data = decode(value)
                except Undecodable as error:
                    rejected += ((index, _undecodable(error, message)),)
                    done.value = index + 1
                    continue
                except Unavailable as error:
                    return Reply(index, rejected, unavailable=error.message)
            try:
                answer = function(Record(shard_id, message, data))
            except BaseException as error:
                return Reply(index, rejected, error=Failure.of(error), blames=True)
            if answer is not None and has_failed(answer, shard_id):
                return Reply(index, rejected, error=REPORTED, blames=True)
            done.value = index + 1
        return Reply(len(messages), rejected)

    def _together(self, messages: list[Message]) -> Reply:
        records, rejected, unavailable, _ = self._open(messages)
        if unavailable or not records:
            return Reply(0 if unavailable else len(messages), rejected, unavailable=unavailable)
        reason = REPORTED.message
        try:
            answer = self._consumer.call(records)
            if isinstance(answer, Iterator):
                answer = tuple(answer)
        except PartialFailure as error:
            answer, reason = error.sequence_numbers, str(error)
        except BaseException as error:
            return Reply(0, rejected, error=Failure.of(error), blames=len(records) == 1)
        found = reported(answer, self._shard_id)
        if found.all_failed:
            return Reply(0, rejected, error=REPORTED, blames=len(records) == 1)
        try:
            failed = _indices(messages, records, found.numbers)
        except ValueError as error:
            return Reply(0, rejected, error=Failure.of(error), blames=len(records) == 1)
        if failed and found.and_after:
            return Reply(failed[0], rejected, error=REPORTED, blames=True)
        return Reply(len(messages), rejected, failed, reason=reason)

    def _by_processor(self, messages: list[Message]) -> Reply:
        """Only up to one that is none, or those alone: a checkpoint must not pass what is no dead letter yet."""
        assert self._processor is not None
        records, rejected, unavailable, count = self._open(messages, mixed=False)
        if unavailable or rejected:
            return Reply(count, rejected, unavailable=unavailable)
        self._handed = messages[:count]
        self._highest = max(self._highest, self._handed[-1].offset())
        process: Callable[..., Any] = self._processor.process_records
        answer = None
        try:
            if records:
                answer = process(records, self)
        except BaseException as error:
            return Reply(self.done.value, error=Failure.of(error))
        if answer is not None:
            check_of_processor(answer, self._shard_id)
        return Reply(count)

    def _open(
        self, messages: list[Message], *, mixed: bool = True
    ) -> tuple[list[Record], tuple[tuple[int, Failure], ...], str, int]:
        """Records, those that are none, who is down, and of how many leading messages this is: of all, or where not
        `mixed`, of those up to the first of the other kind. A null value is of neither."""
        shard_id, decode = self._shard_id, self._decode
        if decode is None:
            return [Record(shard_id, message, {}) for message in messages], (), "", len(messages)
        records: list[Record] = []
        rejected = []
        for index, message in enumerate(messages):
            value = message.value()
            if value is None:
                continue
            try:
                data = decode(value)
            except Undecodable as error:
                if records and not mixed:
                    return records, (), "", index
                rejected.append((index, _undecodable(error, message)))
            except Unavailable as error:
                return [], (), error.message, 0
            else:
                if rejected and not mixed:
                    return [], tuple(rejected), "", index
                records.append(Record(shard_id, message, data))
        return records, tuple(rejected), "", len(messages)


def _indices(messages: list[Message], records: Sequence[Record], numbers: frozenset[int]) -> tuple[int, ...]:
    """Of the records that a handler names. Raises ValueError for one that it was not given."""
    unknown = numbers - {record.sequence_number for record in records}
    if unknown:
        msg = f"the handler reports {sorted(unknown)[:3]}, which it was not given"
        raise ValueError(msg)
    return tuple(index for index, message in enumerate(messages) if message.offset() in numbers)


def _undecodable(error: Undecodable, message: Message) -> Failure:
    found = error.beside(message.headers())
    return Failure(found.error_class, found.message, can_pass=False)
