"""A shard with real lanes and made-up messages: what handlers do, and what is done, dead and committed then."""

from __future__ import annotations

import random
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import pytest

from shardlake.avro.codec import Undecodable
from shardlake.errors import ShardlakeError, Unavailable
from shardlake.shards.handler import Consumer, Form, Handler, LaneHandler
from shardlake.shards.processor import Checkpointer, PartialFailure, Record, RecordProcessor
from tests.support import PATIENCE_SECONDS, wait_for
from tests.unit.shard_case import ShardCase
from tests.unit.shard_messages import message, messages

pytestmark = pytest.mark.unit


class Case(ShardCase):
    """Lanes that are threads."""

    def __init__(self, consumer: Consumer, decode: Any = None, factor: int = 1, **contract: Any) -> None:
        def make(consumer: Consumer, shard_id: str, checkpointed: Callable[[int], None]) -> LaneHandler:
            return Handler(consumer, shard_id, decode, checkpointed)

        super().__init__(consumer, make, factor, **{"timeout_seconds": 60, **contract})


def of_one(function: Callable[[Record], Any]) -> Consumer:
    return Consumer(Form.RECORD, function)


def of_some(function: Callable[[Sequence[Record]], Any]) -> Consumer:
    return Consumer(Form.RECORDS, function)


def test_lanes_keep_each_key_in_order_under_jitter_and_failures() -> None:
    seen: dict[str | None, list[int]] = defaultdict(list)
    chance = random.Random(1)
    fails = set(chance.sample(range(3000), 60))

    def handle(record: Record) -> None:
        if chance.random() < 0.05:
            time.sleep(chance.random() * 0.005)
        if record.sequence_number in fails:
            fails.remove(record.sequence_number)
            raise OSError
        seen[record.partition_key].append(record.sequence_number)

    case = Case(of_one(handle), factor=16)
    keys = [b"%d" % min(chance.randrange(40), chance.randrange(40)) for _ in range(3000)]
    for first in range(0, 3000, 250):
        case.shard.feed(messages(keys[first : first + 250], first))
    assert case.settles() == 3000
    assert not fails
    assert sum(map(len, seen.values())) == 3000
    assert all(numbers == sorted(numbers) for numbers in seen.values())
    assert case.end()


def test_the_position_waits_for_a_slow_record_and_the_rest_does_not() -> None:
    go, seen = threading.Event(), []

    def handle(record: Record) -> None:
        if record.sequence_number == 2:
            go.wait(5)
        seen.append(record.sequence_number)

    case = Case(of_one(handle), factor=4, timeout_seconds=None)
    case.shard.feed(messages([b"a", b"b", b"c", b"d", b"e", b"c"]))
    wait_for(lambda: len(seen) == 4, "the others")
    wait_for(lambda: case.shard.position == 2, "its position")
    assert sorted(seen) == [0, 1, 3, 4]
    go.set()
    assert case.settles() == 6
    assert seen[4:] == [2, 5]


@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(3), KeyboardInterrupt(), MemoryError()])
def test_whatever_a_handler_raises_costs_its_record_alone(error: BaseException) -> None:
    seen = []

    def handle(record: Record) -> None:
        if record.sequence_number == 1:
            raise error
        seen.append(record.sequence_number)

    case = Case(of_one(handle), retries=1)
    case.shard.feed(messages([b"a", b"a", b"a"]))
    assert case.settles() == 3
    assert seen == [0, 2]
    (failure,) = case.buried.letters.values()
    assert (failure.error_class, failure.attempts) == (type(error).__name__, 2)
    assert case.said == [
        f"t-0: {type(error).__name__} at {failure.where}, sequence number 1",
        f"t-0: sequence number 1 is a dead letter after 2 attempts, {type(error).__name__}",
    ]


def test_a_handler_that_hangs_is_timed_out_and_its_late_end_changes_nothing() -> None:
    go, seen = threading.Event(), []

    def handle(record: Record) -> None:
        if record.sequence_number == 1:
            go.wait(PATIENCE_SECONDS)
        seen.append(record.sequence_number)

    case = Case(of_one(handle), retries=0, timeout_seconds=1)
    case.shard.feed(messages([b"a"] * 4))
    assert case.settles() == 4
    assert seen == [0, 2, 3]
    assert case.buried.letters[1].error_class == "HandlerTimeout"
    go.set()
    wait_for(lambda: 1 in seen, "the one that hung")
    assert (case.settles(), list(case.buried.letters)) == (4, [1])
    assert case.end()


def test_a_late_end_takes_nothing_from_the_lane_that_has_the_rest() -> None:
    late, go_on, seen = threading.Event(), threading.Event(), []

    def handle(record: Record) -> None:
        seen.append(record.sequence_number)
        if record.sequence_number == 0:
            late.wait(PATIENCE_SECONDS)
        if record.sequence_number == 1:
            go_on.wait(PATIENCE_SECONDS)

    case = Case(of_one(handle), retries=0, timeout_seconds=3)
    case.shard.feed(messages([b"a"] * 5))

    def other_lane_is_at_it() -> bool:
        case.shard.look_after_lanes(time.monotonic())
        return 1 in seen

    wait_for(other_lane_is_at_it, "the other lane")
    late.set()
    time.sleep(0.2)  # for what the first lane would do now
    go_on.set()
    assert case.settles() == 5
    assert seen == [0, 1, 2, 3, 4]
    assert list(case.buried.letters) == [0]


def test_many_hanging_handlers_end_the_worker_with_advice() -> None:
    case = Case(of_one(lambda _: time.sleep(60)), retries=0, factor=20, timeout_seconds=0.05)
    case.shard.feed(messages([b"%d" % n for n in range(20)]))
    with pytest.raises(ShardlakeError, match="handlers hang") as raised:
        case.settles()
    assert "--lanes process" in raised.value.hint


def test_a_batch_reports_which_have_failed() -> None:
    calls = []

    def handle(records: Sequence[Record]) -> list[int]:
        calls.append([record.sequence_number for record in records])
        if len(calls) == 2:
            raise PartialFailure([3], "still no")
        return [1, 3] if len(calls) == 1 else []

    case = Case(of_some(handle))
    case.shard.feed(messages([b"a"] * 5))
    assert case.settles() == 5
    assert calls == [[0, 1, 2, 3, 4], [1, 3], [3]]
    assert not case.buried.letters


def test_a_batch_that_reports_what_it_was_not_given_has_failed() -> None:
    case = Case(of_some(lambda _: [77]), retries=0, bisect=False)
    case.shard.feed(messages([b"a"] * 2))
    assert case.settles() == 2
    assert {failure.message for failure in case.buried.letters.values()} == {
        "the handler reports [77], which it was not given"
    }


def decode(value: bytes) -> dict[str, Any]:
    if value == b"poison":
        raise Undecodable("NoSchemaId", "no")
    return {"value": value}


@pytest.mark.parametrize("form", [Form.RECORD, Form.RECORDS])
def test_poison_is_a_dead_letter_and_its_neighbours_have_their_values(form: Form) -> None:
    seen: list[tuple[int, Any]] = []

    def handle(given: Any) -> None:
        records = [given] if form is Form.RECORD else given
        seen.extend((record.sequence_number, record.data) for record in records)

    case = Case(Consumer(form, handle), decode)
    values = [b"a", b"poison", None, b"d"]
    case.shard.feed([message(offset, b"k", value) for offset, value in enumerate(values)])
    assert case.settles() == 4
    assert seen == [(0, {"value": b"a"}), (3, {"value": b"d"})]
    assert {offset: failure.error_class for offset, failure in case.buried.letters.items()} == {1: "NoSchemaId"}


def test_a_registry_that_is_down_is_waited_for() -> None:
    down, seen = [True], []

    def needs_registry(value: bytes) -> dict[str, Any]:
        if down:
            down.pop()
            raise Unavailable("The registry is down.")
        return {}

    case = Case(of_one(lambda record: seen.append(record.sequence_number)), needs_registry, retries=0)
    case.shard.feed(messages([b"a", b"a"]))
    assert case.settles() == 2
    assert (seen, case.buried.letters) == ([0, 1], {})
    assert case.said == ["t-0: The registry is down. Waiting for it."]


def test_a_dead_letter_topic_that_is_down_stops_the_shard_and_skips_nothing() -> None:
    seen = []

    def handle(record: Record) -> None:
        if record.sequence_number == 1:
            raise ValueError
        seen.append(record.sequence_number)

    case = Case(of_one(handle), retries=0)
    case.buried.down = True
    case.shard.feed(messages([b"a"] * 4))
    wait_for(lambda: case.shard.position == 1, "what can be done")
    time.sleep(0.5)
    assert (case.shard.position, seen) == (1, [0])
    case.buried.down = False
    assert case.settles() == 4
    assert (list(case.buried.letters), seen) == ([1], [0, 2, 3])


def test_a_shard_that_goes_while_its_dead_letters_are_down_commits_nothing_past_them() -> None:
    def handle(_: Record) -> None:
        raise ValueError

    case = Case(of_one(handle), retries=0)
    case.buried.down = True
    case.shard.feed(messages([b"a"] * 4))
    time.sleep(0.1)
    assert case.end()
    assert case.shard.position == 0


class Summing(RecordProcessor):
    """Checkpoints at every third record only."""

    events: ClassVar[list[Any]] = []

    def initialize(self, shard_id: str) -> None:
        self.events.append(("initialize", shard_id))
        self.seen = 0

    def process_records(self, records: Sequence[Record], checkpointer: Checkpointer) -> None:
        for record in records:
            self.seen += 1
            if record.value == b"bad":
                raise ValueError
            if self.seen % 3 == 0:
                checkpointer.checkpoint(record.sequence_number)

    def shutdown_requested(self, checkpointer: Checkpointer) -> None:
        self.events.append(("shutdown", self.seen))
        checkpointer.checkpoint()


def test_a_processor_is_done_as_far_as_it_has_checkpointed() -> None:
    Summing.events.clear()
    case = Case(Consumer(Form.PROCESSOR, Summing))
    case.shard.feed(messages([b"a"] * 5))
    wait_for(lambda: case.shard.position == 3, "its checkpoint")
    assert (case.shard.in_flight, case.shard.is_full) == (2, False)
    assert case.end()
    assert case.shard.position == 5
    assert Summing.events == [("initialize", "t-0"), ("shutdown", 5)]


def test_a_processor_that_fails_goes_on_after_its_checkpoint_and_past_the_dead_letter() -> None:
    Summing.events.clear()
    case = Case(Consumer(Form.PROCESSOR, Summing), retries=1)
    case.shard.feed([message(offset, b"a", b"bad" if offset == 4 else b"good") for offset in range(7)])
    wait_for(lambda: 4 in case.buried.letters, "the dead letter")
    assert case.end()
    assert (list(case.buried.letters), case.shard.position) == ([4], 7)


def test_a_checkpoint_of_what_was_not_handed_over_is_refused() -> None:
    class Eager(RecordProcessor):
        def process_records(self, records: Sequence[Record], checkpointer: Checkpointer) -> None:
            checkpointer.checkpoint(records[-1].sequence_number + 1)

    case = Case(Consumer(Form.PROCESSOR, Eager), retries=0)
    case.shard.feed(messages([b"a"]))
    assert case.settles() == 1
    assert case.buried.letters[0].message == "t-0: 1 was not handed over yet"


def test_a_lost_shard_is_told_and_asks_for_no_checkpoint() -> None:
    told = []

    class Losing(RecordProcessor):
        def process_records(self, records: Sequence[Record], checkpointer: Checkpointer) -> None:
            pass

        def lease_lost(self) -> None:
            told.append("lost")

        def shutdown_requested(self, checkpointer: Checkpointer) -> None:
            told.append("shutdown")

    case = Case(Consumer(Form.PROCESSOR, Losing))
    case.shard.feed(messages([b"a"]))
    case.shard.request_end(lost=True)
    assert case.shard.await_end(2)
    assert told == ["lost"]


def test_a_full_shard_says_so_until_half_is_free() -> None:
    go = threading.Event()
    case = Case(of_one(lambda _: go.wait(5)), timeout_seconds=None)
    case.shard.feed([message(offset, b"a", bytes(1 << 20)) for offset in range(63)])
    assert (case.shard.is_full, case.shard.has_room) == (False, False)
    case.shard.feed([message(63, b"a", bytes(1 << 20))])
    assert case.shard.is_full
    go.set()
    case.settles()
    wait_for(lambda: case.shard.has_room, "room")


def test_when_a_shard_goes_nothing_is_done_beyond_what_can_be_committed() -> None:
    for seed in range(12):
        chance = random.Random(seed)
        seen: list[int] = []

        def handle(record: Record, seen: list[int] = seen, chance: random.Random = chance) -> None:
            time.sleep(chance.random() * 0.004)
            seen.append(record.sequence_number)

        case = Case(of_one(handle), factor=5)
        keys = [b"%d" % chance.choice([0, 0, 0, *range(12)]) for _ in range(600)]
        case.shard.feed(messages(keys))
        time.sleep(0.05 + chance.random() * 0.1)
        assert case.end()
        assert sorted(seen) == list(range(case.shard.position))


def test_what_waits_is_not_begun_when_the_shard_goes() -> None:
    seen = []

    def handle(record: Record) -> None:
        time.sleep(0.05)
        seen.append(record.sequence_number)

    case = Case(of_one(handle))
    case.shard.feed(messages([b"a"] * 100))
    time.sleep(0.12)
    assert case.end()
    assert case.shard.position == len(seen)
    assert len(seen) < 10


@pytest.mark.parametrize("bad", [{4}, {0, 1}, {2, 7}, set(range(8))])
def test_a_checkpoint_does_not_pass_what_is_no_dead_letter_yet(bad: set[int]) -> None:
    seen: list[int] = []

    class Processor(RecordProcessor):
        def process_records(self, records: Sequence[Record], checkpointer: Checkpointer) -> None:
            seen.extend(record.sequence_number for record in records)
            checkpointer.checkpoint()

        def shutdown_requested(self, checkpointer: Checkpointer) -> None:
            checkpointer.checkpoint()

    def decode(value: bytes) -> dict[str, Any]:
        if int(value) in bad:
            raise Undecodable("NoSchemaId", "none")
        return {}

    def case(*, down: bool) -> Case:
        seen.clear()
        made = Case(Consumer(Form.PROCESSOR, Processor), decode)
        made.buried.down = down
        made.shard.feed([message(offset, value=b"%d" % offset) for offset in range(8)])
        return made

    one = case(down=True)
    wait_for(lambda: seen == list(range(min(bad))), "what is before it")
    assert one.end()
    assert one.shard.position == min(bad)

    other = case(down=False)
    assert other.settles() == 8
    assert seen == sorted(set(range(8)) - bad)
    assert set(other.buried.letters) == bad
    assert (other.shard.counts.done, other.shard.counts.dead_letters) == (8 - len(bad), len(bad))
    assert other.end()


def test_the_last_checkpoint_does_not_pass_a_failed_record_that_is_no_dead_letter() -> None:
    class Processor(RecordProcessor):
        def process_records(self, records: Sequence[Record], checkpointer: Checkpointer) -> None:
            checkpointer.checkpoint(1)
            raise OSError

        def shutdown_requested(self, checkpointer: Checkpointer) -> None:
            checkpointer.checkpoint()

    case = Case(Consumer(Form.PROCESSOR, Processor), retries=0)
    case.buried.down = True
    case.shard.feed([message(offset) for offset in range(5)])
    wait_for(lambda: case.shard.position == 2, "the first checkpoint")
    assert case.end()
    assert case.shard.position == 2
