"""The search for the highest rate that holds, and what one probe says."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import pytest

from shardlake.load.result import Probe, Slope
from shardlake.load.search import conclude, search

pytestmark = pytest.mark.unit

Asked = Callable[[float], Probe]


def probe_of(capacity: float, flaky: Sequence[float] = (), offered: float = math.inf) -> tuple[list[float], Asked]:
    asked: list[float] = []

    def probe(rate: float) -> Probe:
        asked.append(rate)
        conclusion = "holds" if rate <= capacity else "grows"
        if asked.count(rate) > 1 and rate in flaky:
            conclusion = "grows"
        if rate > offered:
            conclusion = "not offered"
        return Probe(rate=rate, slope=None, reached_per_second=rate, slip_p99_ms=1, conclusion=conclusion)

    return asked, probe


@pytest.mark.parametrize("capacity", [1234.0, 10_000.0, 99_999.0, 150.0])
def test_the_search_finds_the_highest_rate_that_holds_to_five_per_cent(capacity: float) -> None:
    asked, probe = probe_of(capacity)
    found = search(probe, 4000, 2)
    assert 0.94 * capacity <= found.rate <= capacity < found.bounds[1]
    assert (found.limit, found.confirmed, found.repeats) == ("lag", 2, 2)
    assert [one.rate for one in found.probes] == asked
    assert asked.count(found.rate) == 3


def test_where_the_load_cannot_be_made_that_is_the_limit() -> None:
    _, probe = probe_of(1e9, offered=30_000)
    found = search(probe, 4000, 1)
    assert 28_000 < found.rate <= 30_000
    assert found.limit == "the load itself"


def test_a_rate_that_held_by_chance_is_not_the_answer() -> None:
    _, probe = probe_of(10_000)
    lucky = search(probe, 4000, 2).rate
    _, probe = probe_of(10_000, flaky=[lucky])
    found = search(probe, 4000, 2)
    assert found.rate < lucky
    assert found.bounds[1] <= lucky


def test_repeats_end_once_most_cannot_hold() -> None:
    _, probe = probe_of(10_000)
    lucky = search(probe, 4000, 0).rate
    asked, probe = probe_of(10_000, flaky=[lucky])
    found = search(probe, 4000, 5)
    assert asked.count(lucky) == 1 + 3  # of five: the fourth and fifth could not turn it
    assert (found.confirmed, asked.count(found.rate)) == (5, 1 + 5)


def test_where_the_first_rate_alone_held_and_by_chance_the_search_goes_on_below() -> None:
    asked: list[float] = []

    def probe(rate: float) -> Probe:
        asked.append(rate)
        lucky = rate == 4000 and asked.count(4000) == 1
        conclusion = "holds" if lucky or rate <= 3000 else "grows"
        return Probe(rate=rate, slope=None, reached_per_second=rate, slip_p99_ms=1, conclusion=conclusion)

    found = search(probe, 4000, 2)
    assert 0.94 * 3000 <= found.rate <= 3000
    assert found.confirmed == 2
    assert asked.count(4000) == 2  # on the way and once more: what did not hold is not tried again


def test_where_nothing_holds_the_answer_is_none() -> None:
    _, probe = probe_of(0.0)
    found = search(probe, 4000, 2)
    assert (found.rate, found.confirmed) == (0, 0)


def test_nothing_is_tried_above_what_there_is_memory_for() -> None:
    asked, probe = probe_of(1e9)
    found = search(probe, 4000, 1, highest=10_000)
    assert asked == [4000, 8000, 10_000, 10_000]
    assert (found.rate, found.limit) == (10_000, "none was found")
    asked, probe = probe_of(1e9)
    assert search(probe, 4000, 1, highest=3000).rate == 3000
    assert set(asked) == {3000}


def line(conclusion: str, share: float) -> Slope:
    return Slope(
        group="g", records_per_second=share * 1000, low=0, high=0, share=share, mean_lag=1, max_lag=2,
        conclusion=conclusion,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("through", "reached", "is_cut", "said"),
    [
        (line("holds", 0.0), 1000, False, "holds"),
        (line("holds", 0.0), 989, False, "not offered"),
        (line("holds", 0.0), 990, False, "holds"),
        (line("grows", 0.2), 1000, False, "grows"),
        (line("grows", 0.2), 500, False, "grows"),  # it would have grown the more
        (line("undecided", 0.0099), 1000, False, "holds"),
        (line("undecided", 0.01), 1000, False, "grows"),
        (line("undecided", 0.0), 500, False, "not offered"),
        (None, 1000, True, "grows"),
        (None, 500, True, "grows"),
        (None, 1000, False, "undecided"),
        (None, 500, False, "not offered"),
    ],
)
def test_what_a_probe_says(through: Slope | None, reached: float, is_cut: bool, said: str) -> None:
    assert conclude(through, reached, 1000, has_lag=True, is_cut=is_cut) == said


def test_producers_alone_have_no_lag_to_grow() -> None:
    assert conclude(None, 1000, 1000, has_lag=False, is_cut=False) == "holds"
    assert conclude(None, 900, 1000, has_lag=False, is_cut=False) == "not offered"
