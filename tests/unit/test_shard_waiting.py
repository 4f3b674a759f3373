"""Which records may be processed next: one key is never in two lanes, and no lane waits while a key is free."""

from __future__ import annotations

import random
from collections import defaultdict

import pytest

from shardlake.shards.waiting import ByKey, InOrder, Task, offsets
from tests.unit.shard_messages import messages

pytestmark = pytest.mark.unit


def taken(task: Task | None) -> list[int]:
    assert task is not None
    return offsets(task.messages)


def test_one_lane_gets_a_shard_in_order() -> None:
    waiting = InOrder()
    waiting.put(messages([b"a", b"b", b"a"]))
    assert [taken(waiting.take(2)), taken(waiting.take(2)), waiting.take(2)] == [[0, 1], [2], None]


def test_a_held_key_waits_and_others_do_not() -> None:
    waiting = ByKey(lanes=4)
    waiting.put(messages([b"a", b"b", b"a", b"c"]))
    first = waiting.take(500)
    assert taken(first) == [0]  # its share of four records in four lanes
    assert [taken(waiting.take(500)), taken(waiting.take(500))] == [[1], [3]]
    assert waiting.take(500) is None
    waiting.put(messages([b"a"], first=4))
    assert waiting.take(500) is None
    assert first is not None
    waiting.release(first)
    later = waiting.take(500)
    assert taken(later) == [2]
    assert waiting.take(500) is None


def test_records_without_a_key_wait_for_nobody() -> None:
    waiting = ByKey(lanes=3)
    waiting.put(messages([None, None, None]))
    assert [taken(waiting.take(500)) for _ in range(3)] == [[0], [1], [2]]


def test_a_lane_takes_its_share_by_rising_offset() -> None:
    waiting = ByKey(lanes=2)
    waiting.put(messages([b"a", b"b", b"c", b"a", b"b", b"c", b"d", b"d"]))
    assert taken(waiting.take(500)) == [0, 1, 3, 4]
    assert taken(waiting.take(500)) == [2, 5]


def test_others_may_be_made_to_wait_for_what_is_left_of_a_key() -> None:
    waiting = ByKey(lanes=2)
    waiting.put(messages([b"a", b"b", b"a", b"a", b"c", b"a"]))
    assert [waiting.longest(before) for before in (0, 1, 3, 4, 100)] == [0, 1, 2, 3, 4]
    first = waiting.take(2)
    assert taken(first) == [0, 2]
    assert first is not None
    assert taken(waiting.take(500, before=4)) == [1]
    assert waiting.take(500, before=4) is None  # a is held, c is beyond
    assert waiting.longest(4) == 1
    waiting.release(first)
    assert taken(waiting.take(500, before=4)) == [3]
    assert taken(waiting.take(500)) == [4]
    in_order = InOrder()
    in_order.put(messages([b"a", b"a"]))
    assert in_order.longest(100) == 0


def test_dropped_records_do_not_come_after_their_key_is_free_and_those_before_do() -> None:
    waiting = ByKey(lanes=1)
    waiting.put(messages([b"a", b"a", b"b", b"a", b"c"]))
    task = waiting.take(1)
    assert taken(task) == [0]
    waiting.drop_from(3)
    assert task is not None
    assert taken(waiting.take(1)) == [2]
    waiting.release(task)
    later = waiting.take(1)
    assert taken(later) == [1]
    assert later is not None
    waiting.release(later)
    assert waiting.take(1) is None


def test_any_interleaving_keeps_each_key_in_order_and_loses_none() -> None:
    for seed in range(100):
        chance = random.Random(seed)
        waiting = ByKey(lanes=chance.randint(1, 8))
        most = chance.randint(1, 20)
        keys = [chance.choice([b"hot", b"%d" % chance.randrange(20), None]) for _ in range(400)]
        to_come = messages(keys)
        running: list[Task] = []
        seen: dict[bytes | None, list[int]] = defaultdict(list)
        while sum(map(len, seen.values())) < len(keys):
            if to_come and chance.random() < 0.3:
                count = chance.randint(1, 50)
                waiting.put(to_come[:count])
                del to_come[:count]
            if (task := waiting.take(most)) is not None:
                assert not {key for one in running for key in one.keys} & set(task.keys)
                running.append(task)
            if running and chance.random() < 0.5:
                done = running.pop(chance.randrange(len(running)))
                for message in done.messages:
                    seen[message.key()].append(message.offset())
                waiting.release(done)
        for key, numbers in seen.items():
            assert key is None or numbers == sorted(numbers)
        assert sorted(number for numbers in seen.values() for number in numbers) == list(range(400))
