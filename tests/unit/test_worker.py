"""A worker and its batches, with a client that is made up."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, TopicPartition

from shardlake.shards import worker as module
from shardlake.shards.feed import Options
from shardlake.shards.handler import Consumer, Form, Handler
from shardlake.shards.worker import Worker
from tests.support import wait_for

pytestmark = pytest.mark.unit


class Message:
    """A record of a partition, or its end."""

    def __init__(self, partition: int, offset: int, *, end: bool = False) -> None:
        self._partition, self._offset, self._end = partition, offset, end

    def error(self) -> KafkaError | None:
        return KafkaError(KafkaError._PARTITION_EOF) if self._end else None  # noqa: SLF001

    def partition(self) -> int:
        return self._partition

    def offset(self) -> int:
        return self._offset

    def value(self) -> bytes | None:
        return b"value"

    def key(self) -> bytes | None:
        return None

    def headers(self) -> None:
        return None

    def timestamp(self) -> tuple[int, int]:
        return 1, 0

    def __len__(self) -> int:
        return 5


class Client:
    """In place of confluent_kafka's Consumer."""

    def __init__(self, _: Any) -> None:
        self.commits: list[Any] = []

    def incremental_assign(self, _: Any) -> None:
        pass

    incremental_unassign = incremental_assign

    def committed(self, places: list[Any], **_: Any) -> list[Any]:
        return places

    def get_watermark_offsets(self, *_: Any, **__: Any) -> tuple[int, int]:
        return 0, 10

    def commit(self, offsets: list[Any], **_: Any) -> None:
        self.commits += offsets


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Iterator[Worker]:
    """One that holds partitions 0 and 1."""
    monkeypatch.setattr(module, "KafkaConsumer", Client)

    def make(consumer: Consumer, shard_id: str, checkpointed: Any) -> Handler:
        return Handler(consumer, shard_id, None, checkpointed)

    consumer = Consumer(Form.RECORD, lambda _: None)
    worker = Worker({}, "t", consumer, Options(make_handler=make), say=lambda _: None, owner="me")
    worker._on_assign(Client(None), [TopicPartition("t", 0), TopicPartition("t", 1)])  # noqa: SLF001
    yield worker
    worker._on_revoke(Client(None), [TopicPartition("t", 0), TopicPartition("t", 1)])  # noqa: SLF001


@pytest.mark.parametrize(
    ("batch", "at_end"),
    [
        ([Message(0, 5), Message(0, 6, end=True)], [True, False]),
        ([Message(1, 5), Message(0, 6), Message(0, 7, end=True), Message(1, 7)], [True, False]),
        ([Message(0, 8, end=True), Message(1, 8, end=True), Message(0, 8)], [False, True]),
        ([Message(0, 6, end=True), Message(3, 5, end=True)], [True, False]),  # 3 is not held
    ],
)
def test_a_batch_may_end_with_the_end_of_a_partition(batch: list[Message], at_end: list[bool], worker: Worker) -> None:
    worker._feed(batch)  # noqa: SLF001
    assert [worker._held[number].shard.at_end for number in (0, 1)] == at_end  # noqa: SLF001


def test_a_shard_that_goes_is_committed_with_its_lease(worker: Worker) -> None:
    worker._feed([Message(0, 5), Message(0, 6), Message(0, 9, end=True)])  # noqa: SLF001
    wait_for(lambda: not worker._held[0].shard.in_flight, "both to be done")  # noqa: SLF001
    worker._on_revoke(worker._consumer, [TopicPartition("t", 0)])  # noqa: SLF001
    last = worker._consumer.commits[-1]  # noqa: SLF001
    assert (last.partition, last.offset) == (0, 9)
    assert '"owner":"me","epoch":1,"in_flight":0' in last.metadata
    assert list(worker._held) == [1]  # noqa: SLF001


def test_a_worker_counts_its_rebalances_and_tells_the_shards_that_it_holds(worker: Worker) -> None:
    assert (worker.rebalances, [shard.shard_id for shard in worker.shards]) == (1, ["t-0", "t-1"])
    worker._on_revoke(worker._consumer, [TopicPartition("t", 0)])  # noqa: SLF001
    assert (worker.rebalances, [shard.shard_id for shard in worker.shards]) == (2, ["t-1"])
    worker._on_lost(worker._consumer, [TopicPartition("t", 1)])  # noqa: SLF001
    assert (worker.rebalances, worker.shards) == (3, [])


class Bystander(Client):
    """Of a group in which others have all shards: they have read half until this one has polled often enough."""

    polls = 0

    def subscribe(self, *_: Any, **__: Any) -> None:
        pass

    def list_topics(self, topic: str, **_: Any) -> Any:
        return SimpleNamespace(topics={topic: SimpleNamespace(partitions={0: None, 1: None})})

    def committed(self, places: list[Any], **_: Any) -> list[Any]:
        half = 5 if self.polls < 7 else 10
        return [TopicPartition("t", place.partition, 10 if place.partition else half) for place in places]

    def poll(self, _: float) -> None:
        self.polls += 1

    def close(self) -> None:
        pass


def test_who_has_no_shard_stays_until_the_others_have_read_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its shards may only be late in coming."""
    monkeypatch.setattr(module, "KafkaConsumer", Bystander)
    monkeypatch.setattr(module, "IDLE_SECONDS", 0)
    consumer = Consumer(Form.RECORD, lambda _: None)
    options = Options(make_handler=lambda *_: pytest.fail("it has no shard"))
    worker = Worker({}, "t", consumer, options, say=lambda _: None, owner="me")
    worker.run(until_caught_up=True)
    assert worker._consumer.polls == 7  # noqa: SLF001
