"""What may be committed: never past a record that is open."""

from __future__ import annotations

import random

import pytest

from shardlake.shards.window import Window

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("handed", "finished", "position", "left"),
    [
        ([], [], 5, 0),
        ([5, 6, 7], [], 5, 3),
        ([5, 6, 7], [5], 6, 2),
        ([5, 6, 7], [6, 7], 5, 3),  # the first is open
        ([5, 6, 7], [7, 5], 6, 2),
        ([5, 6, 7], [7, 6, 5], 8, 0),
        ([5, 9, 12], [9, 5], 10, 1),  # 6 to 8 are no records
        ([9, 12], [9, 12], 13, 0),
    ],
)
def test_the_position_is_after_the_last_record_before_which_all_are_done(
    handed: list[int], finished: list[int], position: int, left: int
) -> None:
    window = Window(5)
    window.add(handed)
    for offset in finished:
        window.finish([offset])
    assert (window.position, len(window)) == (position, left)


def test_control_records_at_the_end_are_passed_when_nothing_is_open() -> None:
    window = Window(5)
    window.add([5, 6])
    window.reach(9)
    assert window.position == 5
    window.finish([6, 5])
    assert window.position == 9
    window.add([9])
    assert window.position == 9
    window.finish([9])
    assert window.position == 10


def test_any_order_of_finishing_commits_nothing_open_and_all_in_the_end() -> None:
    for seed in range(200):
        chance = random.Random(seed)
        offsets = sorted(chance.sample(range(1000), 60))
        window, still_open = Window(0), set(offsets)
        window.add(offsets)
        shuffled = chance.sample(offsets, len(offsets))
        while shuffled:
            some = [shuffled.pop() for _ in range(min(len(shuffled), chance.randint(1, 9)))]
            window.finish(some)
            still_open -= set(some)
            done = [offset for offset in offsets if offset < min(still_open, default=1000)]
            assert window.position == (done[-1] + 1 if done else 0)
        assert window.position == offsets[-1] + 1
