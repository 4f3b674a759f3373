"""What becomes of records that fail: a handler that fails for some of them, played through to the end."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from confluent_kafka import Message

from shardlake.errors import BadInput
from shardlake.shards.contract import Attempts, Contract, Failure, Reply
from tests.unit.shard_messages import message, messages

pytestmark = pytest.mark.unit

Numbers = list[int]
BAD = Failure("ValueError", "bad")
POISON = Failure("NoSchemaId", "no record", can_pass=False)
DIED = Failure("ProcessDied", "SIGSEGV", died=True)


def play(
    call: Callable[[Numbers], Reply], count: int, **contract: float | bool | None
) -> tuple[Numbers, dict[int, int], list[Numbers], list[float]]:
    """Those done, the attempts of those dead, the calls, and the waits between them."""
    attempts = Attempts(messages([None] * count), Contract(**contract))  # type: ignore[arg-type]
    done: Numbers = []
    dead: dict[int, int] = {}
    calls, waits = [], []
    while (unit := attempts.next()) is not None:
        numbers = [one.offset() for one in unit.messages]
        calls.append(numbers)
        settled = attempts.settle(unit, call(numbers))
        done += [one.offset() for one in settled.done]
        dead |= {one.offset(): failure.attempts for one, failure in settled.dead}
        waits.append(settled.wait_seconds)
    return done, dead, calls, waits


def one_by_one(bad: Callable[[int, int], Failure | None]) -> Callable[[Numbers], Reply]:
    """A function of one record; `bad` is asked with the number and which attempt it is."""
    tried: dict[int, int] = {}

    def call(numbers: Numbers) -> Reply:
        for index, number in enumerate(numbers):
            tried[number] = tried.get(number, 0) + 1
            if failure := bad(number, tried[number]):
                return Reply(index, error=failure, blames=True)
        return Reply(len(numbers))

    return call


def together(*bad: int, failure: Failure = BAD) -> Callable[[Numbers], Reply]:
    """A function of several, which raises if one of them is bad."""
    return lambda numbers: Reply(0, error=failure) if set(bad) & set(numbers) else Reply(len(numbers))


def test_all_well_is_one_call() -> None:
    assert play(together(), 4) == ([0, 1, 2, 3], {}, [[0, 1, 2, 3]], [0.0])


def test_one_record_is_tried_again_with_backoff_while_none_overtakes_it() -> None:
    done, dead, calls, waits = play(one_by_one(lambda n, t: BAD if n == 1 and t < 3 else None), 4)
    assert (done, dead) == ([0, 1, 2, 3], {})
    assert calls == [[0, 1, 2, 3], [1], [1], [2, 3]]
    assert waits == [0.2, 0.4, 0.0, 0.0]


def test_retries_that_are_used_up_make_a_dead_letter_and_the_rest_goes_on() -> None:
    done, dead, calls, _ = play(one_by_one(lambda n, _: BAD if n == 1 else None), 4, retries=2)
    assert (done, dead) == ([0, 2, 3], {1: 3})
    assert calls == [[0, 1, 2, 3], [1], [1], [2, 3]]


def test_no_retries_is_one_attempt() -> None:
    done, dead, calls, _ = play(one_by_one(lambda n, _: BAD if n in (0, 3) else None), 4, retries=0)
    assert (done, dead) == ([1, 2], {0: 1, 3: 1})
    assert calls == [[0, 1, 2, 3], [1, 2, 3]]


def test_bisecting_finds_the_bad_ones_and_all_others_are_done_once() -> None:
    done, dead, calls, _ = play(together(2, 6), 8, retries=1)
    assert (sorted(done), dead) == ([0, 1, 3, 4, 5, 7], {2: 2, 6: 2})
    assert calls[:4] == [[0, 1, 2, 3, 4, 5, 6, 7], [0, 1, 2, 3], [0, 1], [2, 3]]


def test_without_bisecting_a_batch_lives_or_dies_together() -> None:
    done, dead, calls, _ = play(together(2), 4, retries=2, bisect=False)
    assert (done, dead) == ([], {0: 3, 1: 3, 2: 3, 3: 3})
    assert calls == [[0, 1, 2, 3]] * 3


def test_only_the_reported_ones_are_tried_again() -> None:
    def call(numbers: Numbers) -> Reply:
        failed = tuple(index for index, number in enumerate(numbers) if number in (1, 3))
        return Reply(len(numbers), failed=failed if len(numbers) > 1 else ())

    done, dead, calls, waits = play(call, 5, retries=1)
    assert calls == [[0, 1, 2, 3, 4], [1, 3]]
    assert (sorted(done), dead) == ([0, 2, 4], {1: 2, 3: 2})
    assert waits == [0.2, 0.0]


def test_what_will_never_be_a_record_is_not_tried_again() -> None:
    def call(numbers: Numbers) -> Reply:
        return Reply(len(numbers), rejected=tuple((i, POISON) for i, number in enumerate(numbers) if number == 2))

    assert play(call, 4) == ([0, 1, 3], {2: 1}, [[0, 1, 2, 3]], [0.0])


def test_a_rejected_record_and_a_failed_one_do_not_hide_each_other() -> None:
    def call(numbers: Numbers) -> Reply:
        rejected = tuple((i, POISON) for i, number in enumerate(numbers) if number == 0)
        at = numbers.index(2) if 2 in numbers else None
        return Reply(len(numbers) if at is None else at, rejected, error=None if at is None else BAD, blames=True)

    done, dead, _, _ = play(call, 4, retries=1)
    assert (sorted(done), dead) == ([1, 3], {0: 1, 2: 2})


def test_a_record_that_ends_its_process_twice_is_not_tried_again() -> None:
    done, dead, calls, _ = play(one_by_one(lambda n, _: DIED if n == 1 else None), 3, retries=10)
    assert (done, dead) == ([0, 2], {1: 2})
    assert calls == [[0, 1, 2], [1], [2]]


def test_a_batch_that_ends_its_process_is_bisected() -> None:
    done, dead, _, _ = play(together(3, failure=DIED), 4, retries=10)
    assert (sorted(done), dead) == ([0, 1, 2], {3: 2})


def test_a_call_that_was_cut_short_goes_on_where_it_stopped() -> None:
    def call(numbers: Numbers) -> Reply:
        return Reply(1, unavailable="the registry" if len(numbers) > 1 else "")

    assert play(call, 3) == ([0, 1, 2], {}, [[0, 1, 2], [1, 2], [2]], [0.0] * 3)


def test_a_record_that_is_too_old_is_dead_without_being_tried() -> None:
    old, young = message(0, age_seconds=100), message(1, age_seconds=1)
    attempts = Attempts([old, young], Contract(max_age_seconds=50))
    found: list[tuple[Message, Failure]] = attempts.too_old(young.timestamp()[1] + 1000)
    assert [(one.offset(), failure.error_class, failure.attempts) for one, failure in found] == [(0, "RecordTooOld", 0)]
    unit = attempts.next()
    assert unit is not None
    assert [one.offset() for one in unit.messages] == [1]
    assert len(attempts.too_old(young.timestamp()[1] + 60_000)) == 1
    assert attempts.next() is None


def test_the_backoff_doubles_and_has_an_end() -> None:
    contract = Contract(backoff_seconds=0.5)
    assert [contract.wait_seconds(n) for n in (1, 2, 3, 5, 6, 1000)] == [0.5, 1.0, 2.0, 8.0, 10.0, 10.0]


@pytest.mark.parametrize(
    "wrong", [{"retries": -1}, {"backoff_seconds": -1}, {"timeout_seconds": 0}, {"max_age_seconds": float("nan")}]
)
def test_a_contract_that_makes_no_sense_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(BadInput, match=next(iter(wrong))):
        Contract(**wrong)  # type: ignore[arg-type]
