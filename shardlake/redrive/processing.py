"""Dead letters of a consumer group through its consumer, in this command: one record at a time, shard by shard, by
rising sequence number.

At least once: a record is marked after its handler is done with it, so what a killed command had just processed comes
again. The handler runs in a process of its own, whose death or whose time limit is one record's failure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import TIMEOUT_MAX, Event, Timer

from shardlake.errors import Unavailable
from shardlake.redrive.letters import Letter
from shardlake.redrive.originals import Original
from shardlake.shards.contract import Failure
from shardlake.shards.handler import Consumer, Form, LaneHandler
from shardlake.shards.process import ProcessHandler
from shardlake.shards.workers import open_consumer

Checkpointed = Callable[[int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Which consumer processes, how its values are decoded, and how long it may take for one."""

    pipeline: Path
    registry_url: str
    consumer: str
    timeout_seconds: float | None


NOT_CHECKPOINTED = Failure("NotCheckpointed", "the processor has ended without a checkpoint for it")


def shards(letters: Sequence[Letter]) -> Iterator[tuple[tuple[str, int], list[Letter]]]:
    """By source partition, in its order."""
    ours = [(letter.source, letter) for letter in letters if letter.source]
    for shard in sorted({(source.topic, source.partition) for source, _ in ours}):
        of_shard = [(source, letter) for source, letter in ours if (source.topic, source.partition) == shard]
        yield shard, [letter for _, letter in sorted(of_shard, key=lambda one: one[0].offset)]


class Shard:
    """The letters of one shard, one after the other: `process`, and `end` after the last.

    A processor is done with a record when it has checkpointed it, which may be later.
    """

    def __init__(
        self,
        form: Form,
        make_handler: Callable[[Checkpointed], LaneHandler],
        done: Callable[[Letter], None],
        failed: Callable[[Letter, Failure], None],
        timeout_seconds: float | None,
    ) -> None:
        """`done` and `failed` are told once of each letter."""
        self._form, self._done, self._failed, self._timeout_seconds = form, done, failed, timeout_seconds
        self._waiting: dict[int, Letter] = {}
        self._handler = make_handler(self._checkpointed)

    def process(self, record: Original) -> None:
        """Hand it over. Raises Unavailable where its value cannot be decoded for now."""
        self._waiting[record.offset()] = record.letter
        failure, unavailable = self._call(record)
        if unavailable:
            raise Unavailable(unavailable, "Run it again: what was processed does not come again.")
        if failure is not None:
            # What the processor in it had not checkpointed is gone with its process.
            lost = list(self._waiting) if failure.died else [record.offset()]
            for offset in lost:
                if offset in self._waiting:
                    self._failed(self._waiting.pop(offset), failure)
        elif self._form is not Form.PROCESSOR:
            self._done(self._waiting.pop(record.offset()))

    def end(self) -> None:
        """Let a processor checkpoint what it has not yet; what it does not is failed."""
        try:
            self._handler.shutdown_requested()
            failure = NOT_CHECKPOINTED
        except Exception as error:
            failure = Failure.of(error)
        for letter in self._waiting.values():
            self._failed(letter, failure)
        self._waiting.clear()

    def kill(self) -> None:
        """End the handler's process, whatever it does."""
        self._handler.kill()

    def _call(self, record: Original) -> tuple[Failure | None, str]:
        self._handler.prepare()
        expired = Event()

        def expire() -> None:
            expired.set()
            self._handler.kill()

        timer = Timer(self._timeout_seconds or TIMEOUT_MAX, expire)
        timer.daemon = True
        timer.start()
        try:
            reply = self._handler.call([record], behind=False)
        finally:
            timer.cancel()
        failure = reply.error
        if reply.rejected:
            failure = reply.rejected[0][1]
        elif reply.failed:
            failure = Failure("PartialFailure", reply.reason)
        elif failure is not None and failure.died and expired.is_set():
            failure = Failure("HandlerTimeout", f"the handler took more than {self._timeout_seconds:g} s", died=True)
        return failure, reply.unavailable

    def _checkpointed(self, sequence_number: int) -> None:
        for offset in [one for one in self._waiting if one <= sequence_number]:
            self._done(self._waiting.pop(offset))


def handler_of(work: Work, consumer: Consumer, shard: tuple[str, int], checkpointed: Checkpointed) -> ProcessHandler:
    """In a process of its own."""
    topic, partition = shard
    opener = partial(open_consumer, work.pipeline, work.consumer, topic, work.registry_url)
    return ProcessHandler(consumer, f"{topic}-{partition}", checkpointed, opener)
