"""How long a wait lasts, and what is said meanwhile; the clock is ours."""

from __future__ import annotations

import pytest

from shardlake.errors import Unavailable
from shardlake.patience import LONGEST_STRETCH, STILL_SECONDS, in_sight, insist, patiently, stretch
from tests.unit.clock import Clock

pytestmark = pytest.mark.unit


def test_a_wait_lasts_as_long_as_something_moves() -> None:
    clock = Clock()
    patience = clock.patience()
    while clock.now < 100_000:
        assert patience.goes_on("it", int(clock.now) // 50)
        clock.now += 1
    while patience.goes_on("it", "the last"):
        clock.now += 1
    assert STILL_SECONDS <= clock.now - 100_000 < STILL_SECONDS + 3
    assert patience.still_for in {"60 s", "61 s", "62 s"}


def test_what_was_there_before_is_no_progress() -> None:
    clock = Clock()
    patience = clock.patience()
    rounds = 0
    while patience.goes_on("it", ("FAILED", "CREATED", "DEPLOYING")[rounds % 3]):
        rounds += 1
        clock.now += 1
    assert clock.now < STILL_SECONDS + 10


def test_a_machine_with_too_much_to_do_gets_more_time() -> None:
    clock = Clock(stretch=4)
    patience = clock.patience()
    while patience.goes_on("it"):
        clock.now += 1
    assert 4 * STILL_SECONDS <= clock.now < 4 * STILL_SECONDS + 5


def test_time_in_which_nobody_looked_is_not_held_against_anybody() -> None:
    clock = Clock()
    patience = clock.patience()
    assert patience.goes_on("it", 1)
    clock.now += 8 * 3600
    assert patience.goes_on("it", 1)


def test_it_says_what_it_waits_for_and_not_at_once() -> None:
    clock = Clock()
    patience = clock.patience()
    while clock.now < 9:
        patience.goes_on("the broker", int(clock.now))
    assert clock.said == []
    while clock.now < 31:
        patience.goes_on("the broker", min(int(clock.now), 12))
    assert clock.said == [
        "waiting for the broker (10 s)",
        "waiting for the broker (20 s)",
        "waiting for the broker (30 s, nothing new for 18 s)",
    ]


def test_a_busy_server_is_asked_again_and_one_that_refuses_is_not() -> None:
    clock = Clock()
    asked = 0

    def ask() -> str:
        nonlocal asked
        asked += 1
        if asked < 50:
            raise Unavailable("It does not answer.")
        return "well"

    assert insist(ask, "it", clock.patience(), signs=lambda: asked // 10) == "well"

    def refuse() -> str:
        raise Unavailable("It refuses.")

    began = clock.now
    with pytest.raises(Unavailable, match="refuses"):
        insist(refuse, "it", clock.patience(), passes=lambda _: False)
    assert clock.now == began
    with pytest.raises(Unavailable, match="refuses"):
        insist(refuse, "it", clock.patience())
    assert clock.now - began >= STILL_SECONDS


def test_an_answer_that_is_late_is_asked_for_again_and_who_refuses_is_not_there() -> None:
    answers: list[str | Unavailable] = [Unavailable("No broker answers: Local: Timed out."), "well"]

    def ask() -> str:
        answer = answers.pop(0)
        if isinstance(answer, Unavailable):
            raise answer
        return answer

    assert patiently(ask, "the broker") == "well"
    answers += [Unavailable("No broker answers: Local: Broker transport failure."), "well"]
    with pytest.raises(Unavailable, match="transport"):
        patiently(ask, "the broker")
    assert answers == ["well"]


def test_where_it_is_seen_who_starves_a_busy_machine_needs_no_more_time() -> None:
    assert 1.0 <= stretch() <= LONGEST_STRETCH
    assert in_sight() == 1.0
