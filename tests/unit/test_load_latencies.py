"""Latencies, event by event: what a producer notes, what a consumer notes, and how they meet."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shardlake.load import handled, latencies, times
from shardlake.load.handled import Watched
from shardlake.load.scenario import Step
from shardlake.load.scenario_file import make_scenario
from shardlake.load.times import Sent, TimedLedger
from shardlake.shards.handler import Consumer, Form
from shardlake.shards.processor import PartialFailure, Record, RecordProcessor
from tests.unit.shard_messages import message

pytestmark = pytest.mark.unit

MS = 1_000_000


def sent(*events: tuple[int, int, int, int]) -> Sent:
    """From partition, offset, and milliseconds: intended and acknowledged. Each was handed over a millisecond late."""
    partitions, offsets, intended, acknowledged = np.array(events, np.int64).T
    slip = np.full(len(events), MS, np.int64)
    return Sent(partitions, offsets, MS * intended, MS * acknowledged, slip, MS * intended + slip)


def test_a_producer_notes_when_each_event_was_due_sent_and_acknowledged(tmp_path: Path) -> None:
    ledger = TimedLedger(tmp_path, "load-0", "t", "id", events=10)
    for number in range(4):
        ledger.due_ns = 1000 + number
        assert ledger.intend(b"k", b"v%d" % number) == number
    before_ns = time.time_ns()
    ledger.handed_over(4)
    # In any order, one of them never, one of them refused.
    ledger.acknowledged(2, 1, 7)
    ledger.acknowledged(0, 0, 3)
    ledger.failed(1)
    ledger.close()
    found = times.read(tmp_path)
    assert found.partitions.tolist() == [1, 0]
    assert found.offsets.tolist() == [7, 3]
    assert found.intended_ns.tolist() == [1002, 1000]
    assert (found.acknowledged_ns >= before_ns).all()
    assert len(found.slip_ns) == 4
    assert (found.handed_over_ns - found.slip_ns).tolist() == [1000, 1001, 1002, 1003]
    assert found.since(1001).offsets.tolist() == [7]
    assert len(found.since(1001).slip_ns) == 3
    slips, at_ns = times.take_slips(tmp_path)
    assert (slips == found.slip_ns).all()
    assert (at_ns >= before_ns).all()
    assert not list(tmp_path.glob("*.npy"))


def test_a_producer_that_was_killed_leaves_a_ledger_and_no_times(tmp_path: Path) -> None:
    killed = TimedLedger(tmp_path, "load-0", "t", "id", events=10)
    killed.intend(b"k", b"v")
    killed.acknowledged(0, 0, 0)
    killed._reported = float("-inf")  # noqa: SLF001
    killed.flush()
    found = times.read(tmp_path)
    assert len(found.offsets) == len(found.slip_ns) == 0


def test_latencies_are_counted_from_the_intended_time() -> None:
    found = latencies.acknowledged(sent(*((0, n, 100 * n, 100 * n + (2 if n % 100 else 50)) for n in range(1000))))
    assert (found.count, found.unknown) == (1000, 0)
    assert found.p50_ms == pytest.approx(2, rel=0.001)
    assert found.p90_ms == pytest.approx(2, rel=0.001)
    assert found.p999_ms == found.max_ms == pytest.approx(50, rel=0.001)


def test_a_record_is_consumed_when_its_call_has_returned_and_the_first_time_counts() -> None:
    events = sent((0, 10, 0, 1), (0, 11, 5, 6), (0, 12, 10, 11), (1, 10, 0, 1), (2, 0, 0, 1))
    rows = np.array(
        [
            (0, 10, 2, 15 * MS, 20 * MS),
            (0, 11, 2, 90 * MS, 95 * MS),  # a rebalance brought 11 again
            (1, 10, 1, 30 * MS, 31 * MS),
        ],
        np.int64,
    )
    found = latencies.consumed(events, rows)
    assert (found.count, found.unknown) == (4, 1)
    assert found.max_ms == 85  # 12: 95 - 10
    waits = sorted([20, 15, 85, 31])
    assert found.p50_ms == pytest.approx(waits[1], rel=0.001)


def test_without_any_note_all_are_unknown() -> None:
    found = latencies.consumed(sent((0, 1, 0, 1)), np.zeros((0, 5), np.int64))
    assert (found.count, found.unknown, found.max_ms) == (0, 1, 0)


def test_a_row_is_visible_when_its_file_is() -> None:
    lake = np.array([[0, 0, 3], [5, 6, 5], [100 * MS, 100 * MS, 70 * MS]], np.int64)
    found = latencies.visible(sent((0, 5, 0, 1), (0, 6, 60, 61), (3, 5, 50, 51), (3, 6, 0, 0)), lake, 0.2)
    assert (found.count, found.unknown) == (3, 1)
    assert found.max_ms == 100
    assert found.p50_ms == pytest.approx(40, rel=0.001)
    assert "every 0.2 s" in found.note


def record(partition: int, offset: int) -> Record:
    return Record(f"app-logs-{partition}", message(offset), {})


class Keeps(RecordProcessor):
    def __init__(self) -> None:
        self.heard: list[Any] = []

    def initialize(self, shard_id: str) -> None:
        self.heard.append(shard_id)

    def process_records(self, records: Any, checkpointer: Any) -> None:
        self.heard += [one.sequence_number for one in records]
        checkpointer(records[-1].sequence_number)


def test_every_form_of_consumer_is_watched_and_works_as_before(tmp_path: Path) -> None:
    around = Watched(tmp_path)
    heard: list[Record] = []
    one = around(Consumer(Form.RECORD, heard.append)).call
    one(record(1, 5))
    one(record(1, 6))
    several = around(Consumer(Form.RECORDS, lambda records: [7] if records[0].sequence_number == 7 else [])).call
    assert several([record(2, 7), record(2, 8), record(2, 9)]) == [7]  # which failed, and is not done
    assert several([record(2, 20), record(2, 25)]) == []  # a lane has some of a shard's keys
    inner = Keeps()
    processor = around(Consumer(Form.PROCESSOR, lambda: inner)).call()
    processor.initialize("app-logs-3")
    checkpoints: list[int] = []
    processor.process_records([record(3, 0), record(3, 1)], checkpoints.append)
    assert inner.heard == ["app-logs-3", 0, 1]
    assert checkpoints == [1]
    assert [one.sequence_number for one in heard] == [5, 6]
    rows = written(tmp_path)
    assert rows[:, :3].tolist() == [[1, 5, 1], [1, 6, 1], [2, 8, 2], [2, 20, 1], [2, 25, 1], [3, 0, 2]]
    assert (rows[:, 4] >= rows[:, 3]).all()
    assert rows[4, 3] == rows[4, 4]  # the call's time was told by its first record


def test_what_fails_was_not_handled(tmp_path: Path) -> None:
    def fails(_: Any) -> None:
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011
        Watched(tmp_path)(Consumer(Form.RECORD, fails)).call(record(0, 1))
    assert len(written(tmp_path)) == 0


def test_of_a_partial_failure_the_others_are_done(tmp_path: Path) -> None:
    def fails(records: Any) -> None:
        raise PartialFailure([records[1].sequence_number])

    with pytest.raises(PartialFailure):
        Watched(tmp_path)(Consumer(Form.RECORDS, fails)).call([record(0, 1), record(0, 2), record(0, 3)])
    assert written(tmp_path)[:, :3].tolist() == [[0, 1, 1], [0, 3, 1]]


def test_a_handler_is_slower_only_while_the_scenario_says_so(tmp_path: Path) -> None:
    scenario = make_scenario(
        rate=1,
        duration=100,
        timeline=(Step(10, "slow_consumer", {"factor": 20.0, "wait_us": 300_000.0, "for": 5.0}),),
    )

    def works(_: Any) -> None:
        until = time.perf_counter() + 0.01
        while time.perf_counter() < until:
            pass

    def took(begin_ns: int) -> float:
        handle = Watched.of(tmp_path, scenario, begin_ns)(Consumer(Form.RECORD, works)).call
        before = time.perf_counter()
        handle(record(0, 0))
        return time.perf_counter() - before

    now_ns = time.time_ns()
    assert took(now_ns - 12 * 1000 * MS) >= 0.5  # 10 ms of work twenty times, and 300 ms of waiting
    assert took(now_ns - 50 * 1000 * MS) < 0.2
    rows = written(tmp_path)
    assert rows[0, 4] - rows[0, 3] >= 500 * MS  # what is noted has it in it
    assert 10 * MS <= rows[1, 4] - rows[1, 3] < 200 * MS


def written(folder: Path) -> Any:
    """What a process leaves at its end."""
    from multiprocessing.util import _run_finalizers  # type: ignore[attr-defined]

    _run_finalizers(10)
    return handled.read(folder)
