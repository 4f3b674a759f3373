"""What a worker tells Prometheus, from shards with real lanes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from shardlake.shards.handler import Consumer, Form, Handler, LaneHandler
from shardlake.shards.metrics import ConsumerCollector, behind_latest_seconds
from shardlake.shards.processor import Checkpointer, Record, RecordProcessor
from shardlake.shards.shard import Shard
from tests.support import PATIENCE_SECONDS, collected, labels, wait_for
from tests.unit.shard_case import ShardCase
from tests.unit.shard_messages import message

pytestmark = pytest.mark.unit

SHARD = {"group": "g", "topic": "t", "partition": "0"}


class Case(ShardCase):
    """Lanes that are threads."""

    def __init__(self, consumer: Consumer, factor: int = 1, **contract: Any) -> None:
        def make(consumer: Consumer, shard_id: str, checkpointed: Callable[[int], None]) -> LaneHandler:
            return Handler(consumer, shard_id, None, checkpointed)

        super().__init__(consumer, make, factor, **contract)


@dataclass
class Worker:
    """What a collector reads of one."""

    shards: list[Shard]
    rebalances: int = 0


def scraped(*shards: Shard, rebalances: int = 0) -> dict[str, dict[frozenset[tuple[str, str]], float]]:
    return collected(ConsumerCollector(Worker(list(shards), rebalances), "g"))  # type: ignore[arg-type]


def outcomes(shard: Shard) -> tuple[float, float]:
    found = scraped(shard)["shardlake_consumer_records_total"]
    return found[labels(**SHARD, outcome="done")], found[labels(**SHARD, outcome="dead_letter")]


def test_records_retries_and_dead_letters_are_counted_one_by_one() -> None:
    tries = 0

    def handle(record: Record) -> None:
        nonlocal tries
        if record.sequence_number == 3:
            raise ValueError
        if record.sequence_number == 6:
            tries += 1
            if tries == 1:
                raise OSError

    case = Case(Consumer(Form.RECORD, handle), retries=2)
    case.shard.feed([message(offset) for offset in range(10)])
    assert case.settles() == 10
    assert outcomes(case.shard) == (9, 1)
    found = scraped(case.shard, rebalances=5)
    assert found["shardlake_consumer_retries_total"] == {labels(**SHARD): 3}  # two of 3, one of 6
    assert found["shardlake_consumer_in_flight_records"] == {labels(**SHARD): 0}
    assert found["shardlake_consumer_rebalances_total"] == {labels(group="g"): 5}
    assert case.end()


def test_a_batch_that_is_tried_again_whole_counts_each_of_its_records() -> None:
    calls = 0

    def handle(records: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise OSError

    case = Case(Consumer(Form.RECORDS, handle), bisect=False)
    case.shard.feed([message(offset) for offset in range(4)])
    assert case.settles() == 4
    assert scraped(case.shard)["shardlake_consumer_retries_total"] == {labels(**SHARD): 4}
    assert outcomes(case.shard) == (4, 0)
    assert case.end()


def test_what_a_processor_has_not_checkpointed_is_in_flight() -> None:
    class Half(RecordProcessor):
        def process_records(self, records: Any, checkpointer: Checkpointer) -> None:
            checkpointer.checkpoint(records[0].sequence_number + 1)

    case = Case(Consumer(Form.PROCESSOR, Half))
    case.shard.feed([message(offset) for offset in range(5)])
    wait_for(lambda: case.shard.in_flight == 3, "the checkpoint")
    assert outcomes(case.shard) == (2, 0)
    assert scraped(case.shard)["shardlake_consumer_in_flight_records"] == {labels(**SHARD): 3}
    case.end()


def test_a_shard_that_is_given_away_takes_its_series_with_it() -> None:
    case = Case(Consumer(Form.RECORD, lambda _: None))
    worker = Worker([case.shard])
    collector = ConsumerCollector(worker, "g")  # type: ignore[arg-type]
    assert labels(**SHARD) in collected(collector)["shardlake_consumer_in_flight_records"]
    worker.shards = []
    assert collected(collector) == {"shardlake_consumer_rebalances_total": {labels(group="g"): 0}}
    assert case.end()


def test_behind_latest_is_the_age_of_the_record_at_hand_and_zero_at_the_end() -> None:
    may_go = threading.Event()
    case = Case(Consumer(Form.RECORD, lambda _: may_go.wait(PATIENCE_SECONDS)), timeout_seconds=None)

    def behind() -> float | None:
        return behind_latest_seconds(case.shard, time.time_ns() // 1_000_000)

    assert behind() is None
    case.shard.feed([message(0, age_seconds=60), message(1, age_seconds=50)])
    wait_for(lambda: behind() is not None, "the first record")
    assert behind() == pytest.approx(60, abs=5)
    may_go.set()
    assert case.settles() == 2
    # More may be there that was not fetched yet: the age is that of the last one, until the end is told.
    wait_for(lambda: (behind() or 0) < 55, "the second record")
    assert behind() == pytest.approx(50, abs=5)
    case.shard.reach_end(2)
    assert behind() == 0
    assert case.end()


def test_of_several_lanes_the_one_furthest_behind_counts_also_while_it_waits_to_try_again() -> None:
    def handle(record: Record) -> None:
        if record.sequence_number == 0:
            raise OSError

    case = Case(Consumer(Form.RECORD, handle), factor=4, backoff_seconds=5)
    ages = (60, 20, 10, 5)
    case.shard.feed([message(n, b"%d" % n, age_seconds=age) for n, age in enumerate(ages)])
    wait_for(lambda: case.shard.counts.done == 3, "the others to be done")
    case.shard.reach_end(4)
    assert behind_latest_seconds(case.shard, time.time_ns() // 1_000_000) == pytest.approx(60, abs=5)
    case.shard.request_end(lost=True)
    assert case.shard.await_end(5)
