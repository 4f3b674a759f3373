"""A worker and its batches, with a client that is made up."""

from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka import KafkaError

from shardlake.shards import worker as module
from shardlake.shards.processor import RecordProcessor
from shardlake.shards.worker import Worker

pytestmark = pytest.mark.unit


class Message:
    """A record of a partition, or its end."""

    def __init__(self, partition: int, offset: int | None) -> None:
        self._partition, self._offset = partition, offset

    def error(self) -> KafkaError | None:
        return KafkaError(KafkaError._PARTITION_EOF) if self._offset is None else None  # noqa: SLF001

    def partition(self) -> int:
        return self._partition

    def offset(self) -> int | None:
        return self._offset

    def value(self) -> bytes | None:
        return b"value"

    def key(self) -> bytes | None:
        return None

    def timestamp(self) -> tuple[int, int]:
        return 1, 0


class Client:
    """In place of confluent_kafka's Consumer."""

    def __init__(self, _: Any) -> None:
        pass

    def incremental_assign(self, _: Any) -> None:
        pass


class Anything:
    """A decoder that takes all."""

    def decode(self, _: bytes) -> dict[str, Any]:
        return {}


class Processor(RecordProcessor):
    def process_records(self, records: Any, checkpointer: Any) -> None:
        pass


class Place:
    def __init__(self, partition: int) -> None:
        self.partition = partition


@pytest.mark.parametrize(
    ("batch", "at_end"),
    [
        ([Message(0, 5), Message(0, None)], [True, False]),
        ([Message(1, 5), Message(0, 6), Message(0, None), Message(1, 7)], [True, False]),
        ([Message(0, None), Message(1, None), Message(0, 8)], [False, True]),
        ([Message(0, None), Message(3, None)], [True, False]),  # 3 is not held
    ],
)
def test_a_batch_may_end_with_the_end_of_a_partition(
    batch: list[Message], at_end: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "Consumer", Client)
    worker = Worker({}, "t", Anything(), Processor, lambda _: None)  # type: ignore[arg-type]
    worker._on_assign(Client(None), [Place(0), Place(1)])  # noqa: SLF001
    worker._process(batch)  # noqa: SLF001
    assert [worker._shards[number].at_end for number in (0, 1)] == at_end  # noqa: SLF001
