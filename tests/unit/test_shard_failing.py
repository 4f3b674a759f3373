"""A consumer that fails at every record ends; one that fails at some, or meets what is no record, does not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, TopicPartition

from shardlake.avro.codec import Undecodable
from shardlake.errors import ShardlakeError
from shardlake.shards import worker as module
from shardlake.shards import workers
from shardlake.shards.contract import Contract
from shardlake.shards.counts import Counts
from shardlake.shards.failing import EXIT_CODE, FEW_RECORDS, RECORDS, SECONDS, AllFailed, Failing, Tally
from shardlake.shards.feed import Options
from shardlake.shards.handler import Consumer, Form, Handler
from shardlake.shards.processor import Checkpointer, Record, RecordProcessor
from shardlake.shards.supervisor import Supervisor, _Slot
from shardlake.shards.worker import Worker
from shardlake.shards.workers import Work, ended, run_workers
from tests.support import wait_for
from tests.unit.shard_case import Buried, ShardCase
from tests.unit.shard_messages import message, messages

pytestmark = pytest.mark.unit

ALL = RECORDS


@pytest.mark.parametrize(
    ("handled", "failed", "after_seconds", "ends"),
    [
        (0, 0, 1000, False),  # nothing has come
        (0, ALL - 1, 0, False),  # it may be the first ones alone
        (0, ALL, 0, True),
        (1, 50 * ALL, 1000, False),  # one went well
        (0, FEW_RECORDS, SECONDS - 1, False),
        (0, FEW_RECORDS, SECONDS + 1, True),  # each takes long to fail
        (0, FEW_RECORDS - 1, 1000, False),
    ],
)
def test_when_a_worker_ends(handled: int, failed: int, after_seconds: float, *, ends: bool) -> None:
    watched = Failing(Tally([0, 0]))
    watched.look(Counts(handled=handled, failed=min(failed, 1)), 7.0)
    then = Counts(handled=handled, failed=failed, last_failure="KeyError at a.py:3")
    if not ends:
        watched.look(then, 7.0 + after_seconds)
        return
    with pytest.raises(AllFailed, match=f"Every record has failed so far, all {failed}: KeyError at a"):
        watched.look(then, 7.0 + after_seconds)


def test_what_another_worker_handles_is_the_same_consumer_s() -> None:
    numbers = [0] * 4
    Failing(Tally(numbers, 2)).look(Counts(handled=1), 0)
    Failing(Tally(numbers, 1)).look(Counts(failed=ALL), 0)
    tally = Tally(numbers)
    assert (tally.handled, tally.failed, tally.is_all_failed) == (1, ALL, False)


def decode(value: bytes) -> dict[str, Any]:
    if value == b"poison":
        raise Undecodable("NoSchemaId", "no")
    return {}


def a_thread(consumer: Consumer, shard_id: str, checkpointed: Callable[[int], None]) -> Handler:
    return Handler(consumer, shard_id, decode, checkpointed)


def fails(_: Record) -> None:
    raise LookupError


def test_what_is_no_record_or_too_old_is_no_failure_of_the_handler() -> None:
    case = ShardCase(Consumer(Form.RECORD, fails), a_thread, factor=1, retries=0, max_age_seconds=100)
    case.shard.feed(
        [message(0, value=b"poison"), message(1, age_seconds=1000), message(2), message(3, value=b"poison")]
    )
    assert case.settles() == 4
    counts = case.shard.counts
    assert (counts.dead_letters, counts.failed, counts.handled) == (4, 1, 0)
    assert counts.last_failure.startswith("LookupError at test_shard_failing.py:")


class Late(RecordProcessor):
    """Checkpoints when it ends."""

    def process_records(self, records: Sequence[Record], checkpointer: Checkpointer) -> None:
        if any(record.sequence_number == 1 for record in records):
            raise LookupError

    def shutdown_requested(self, checkpointer: Checkpointer) -> None:
        checkpointer.checkpoint()


def test_what_a_processor_has_not_checkpointed_yet_is_handled() -> None:
    case = ShardCase(Consumer(Form.PROCESSOR, Late), a_thread, factor=1, retries=0)
    case.shard.feed(messages([b"a"] * 4))
    counts = case.shard.counts
    wait_for(lambda: counts.failed == 1 and counts.handled == 3, "the others to be handled")
    assert counts.done == 0
    assert case.end()


class Client:
    """In place of confluent_kafka's Consumer: one partition with so many records, and its end."""

    records = 0

    def __init__(self, _: Any) -> None:
        self._left: list[Any] = [*messages([b"k"] * self.records), End(self.records)]

    def subscribe(self, _: Any, on_assign: Any, **__: Any) -> None:
        on_assign(self, [TopicPartition("t", 0)])

    def incremental_assign(self, _: Any) -> None:
        pass

    def committed(self, places: list[Any], **_: Any) -> list[Any]:
        return places

    def get_watermark_offsets(self, *_: Any, **__: Any) -> tuple[int, int]:
        return 0, self.records

    def commit(self, **_: Any) -> None:
        pass

    def poll(self, _: float) -> Any:
        return self._left.pop(0) if self._left else None

    def consume(self, *_: Any, **__: Any) -> list[Any]:
        left, self._left = self._left, []
        return left

    def close(self) -> None:
        pass


class End:
    """The partition's."""

    def __init__(self, offset: int) -> None:
        self._offset = offset

    def error(self) -> KafkaError:
        return KafkaError(KafkaError._PARTITION_EOF)  # noqa: SLF001

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self._offset


def a_worker(monkeypatch: pytest.MonkeyPatch, records: int, function: Any, tally: Tally) -> tuple[Worker, Buried]:
    monkeypatch.setattr(module, "KafkaConsumer", Client)
    monkeypatch.setattr(Client, "records", records)
    buried = Buried()
    options = Options(make_handler=a_thread, contract=Contract(retries=1, backoff_seconds=0.01))
    worker = Worker(
        {}, "t", Consumer(Form.RECORD, function), options, say=lambda _: None, owner="me",
        dead_letters=buried, tally=tally,  # type: ignore[arg-type]
    )  # fmt: skip
    return worker, buried


def test_a_worker_whose_every_record_fails_ends_and_goes_on_with_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    worker, buried = a_worker(monkeypatch, 5000, fails, tally := Tally([0, 0]))
    with pytest.raises(AllFailed, match=r"all \d+: LookupError at test_shard_failing\.py:"):
        worker.run()
    assert RECORDS <= len(buried.letters) < 5000
    assert tally.is_all_failed


def test_a_worker_that_handles_some_reads_to_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    def some(record: Record) -> None:
        if record.sequence_number != 3:
            raise LookupError

    worker, buried = a_worker(monkeypatch, 3 * RECORDS, some, tally := Tally([0, 0]))
    worker.run(until_caught_up=True)
    assert len(buried.letters) == 3 * RECORDS - 1
    assert (tally.handled, tally.failed) == (1, 3 * RECORDS - 1)


def run_with(monkeypatch: pytest.MonkeyPatch, *workers_: tuple[int, int, int], until_caught_up: bool = True) -> None:
    """`run_workers` with workers that have handled and failed so many, and ended with an exit code."""

    def start(_: Work, number: int, numbers: Any) -> Any:
        handled, failed, exit_code = workers_[number - 1]
        Tally(numbers, number).tell(handled, failed)
        return SimpleNamespace(join=lambda: None, exitcode=exit_code)

    monkeypatch.setattr(workers, "start_worker", start)
    monkeypatch.setattr(workers, "signal", SimpleNamespace(signal=lambda *_: None, SIGTERM=0, SIGINT=0))
    work = Work(
        pipeline=Path(), settings={}, consumer="c", topic="t", group="g", dead_letters="t.g.dlq",
        until_caught_up=until_caught_up,
    )  # fmt: skip
    run_workers(work, len(workers_))


ADVICE = "Mend the handler, then process its dead letters: `shardlake dlq redrive t.g.dlq`."


def test_a_command_whose_every_record_failed_says_so_and_exits_with_1(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ShardlakeError, match=r"Every record has failed, all 5\.") as error:
        run_with(monkeypatch, (0, 3, 0), (0, 2, 0))
    assert (error.value.hint, error.value.exit_code) == (ADVICE, 1)
    with pytest.raises(ShardlakeError, match=r"Worker 2 \(every record has failed\) of 2 failed") as error:
        run_with(monkeypatch, (0, 0, 0), (0, ALL, EXIT_CODE), until_caught_up=False)
    assert (error.value.hint, error.value.exit_code) == (ADVICE, 1)


def test_a_command_that_has_handled_something_or_was_stopped_has_not_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    run_with(monkeypatch, (1, 0, 0), (0, 2, 0))
    run_with(monkeypatch, (0, 0, 0))
    run_with(monkeypatch, (0, 1, 0), until_caught_up=False)


def test_a_worker_that_fails_at_everything_is_not_started_again() -> None:
    supervisor = Supervisor.__new__(Supervisor)
    supervisor._leaving = []  # noqa: SLF001
    supervisor._slots = [_Slot(1, SimpleNamespace(is_alive=lambda: False, exitcode=EXIT_CODE))]  # noqa: SLF001
    supervisor._work = SimpleNamespace(dead_letters="t.g.dlq")  # type: ignore[assignment] # noqa: SLF001
    with pytest.raises(ShardlakeError, match="Worker 1 has ended: every record has failed") as error:
        supervisor._reap()  # noqa: SLF001
    assert (error.value.hint, ended(EXIT_CODE)) == (ADVICE, "every record has failed")
