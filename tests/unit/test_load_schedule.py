"""When events are due, and whether lag grows: pure functions."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest

from shardlake.load.scenario import Scenario, Step
from shardlake.load.scenario_file import make_scenario
from shardlake.load.schedule import due, pieces, total
from shardlake.load.slope import fit

pytestmark = pytest.mark.unit


def times(scenario: Scenario, number: int = 0, of: int = 1) -> list[float]:
    return [second for chunk in due(scenario, number, of) for second in chunk.tolist()]


def test_a_steady_rate_has_equal_gaps_from_the_begin_on() -> None:
    found = times(make_scenario(rate=4, duration=3))
    assert found == pytest.approx([n / 4 for n in range(12)])


def test_several_producers_share_one_schedule() -> None:
    scenario = make_scenario(rate=1000, duration=50)
    shares = [times(scenario, number, 3) for number in range(3)]
    assert [round(share[0] * 1000) for share in shares] == [0, 1, 2]
    assert sorted(second for share in shares for second in share) == pytest.approx(times(scenario))
    assert sum(map(len, shares)) == total(scenario) == 50_000


def test_a_ramp_has_no_steps_and_the_area_below_it_is_the_number_of_events() -> None:
    scenario = make_scenario(rate=100, duration=30, timeline=(Step(10, "ramp", {"to": 300, "over": 10}),))
    assert total(scenario) == 100 * 10 + 200 * 10 + 300 * 10
    found = times(scenario)
    assert len(found) == 6000
    gaps = [later - earlier for earlier, later in pairwise(found)]
    rates = {at: 1 / gaps[int(np.searchsorted(found, at))] for at in (5, 10.001, 15, 19.99, 25)}
    assert rates == pytest.approx({5: 100, 10.001: 100, 15: 200, 19.99: 300, 25: 300}, rel=0.01)
    assert all(gap > 0 for gap in gaps)


def test_a_burst_multiplies_what_a_ramp_has_led_to() -> None:
    scenario = make_scenario(
        rate=10,
        duration=40,
        timeline=(Step(0, "ramp", {"to": 20, "over": 10}), Step(20, "burst", {"factor": 5, "for": 10})),
    )
    assert [(p.begin, p.end, p.first_rate, p.last_rate) for p in pieces(scenario)] == [
        (0, 10, 10, 20), (10, 20, 20, 20), (20, 30, 100, 100), (30, 40, 20, 20),
    ]  # fmt: skip
    found = np.array(times(scenario))
    assert ((found >= 20) & (found < 30)).sum() == 1000


def test_a_second_ramp_begins_where_the_first_one_is() -> None:
    steps = (Step(0, "ramp", {"to": 20, "over": 10}), Step(20, "ramp", {"to": 10, "over": 10}))
    found = pieces(make_scenario(rate=10, duration=40, timeline=steps))
    assert [(p.first_rate, p.last_rate) for p in found] == [(10, 20), (20, 20), (20, 10), (10, 10)]


def test_poisson_arrivals_have_the_rate_and_its_spread_and_the_seed_says_which() -> None:
    scenario = make_scenario(rate=1000, duration=100, arrivals="poisson", seed=3)
    found = times(scenario, 1, 2)
    assert len(found) == pytest.approx(50_000, abs=5 * math.sqrt(50_000))
    gaps = np.diff(found)
    assert gaps.std() / gaps.mean() == pytest.approx(1, abs=0.02)  # of an exponential distribution
    assert found == times(scenario, 1, 2)
    assert found != times(scenario, 0, 2)


SECONDS = list(range(40))


def test_a_lag_that_does_not_grow_holds_and_one_that_does_is_seen() -> None:
    draw = np.random.default_rng(1)
    noise = draw.normal(0, 200, 40)
    flat = fit("g", SECONDS, 500 + noise, 10_000)
    grows = fit("g", SECONDS, 500 + noise + 1000 * np.array(SECONDS), 10_000)
    assert flat is not None
    assert grows is not None
    assert (flat.conclusion, grows.conclusion) == ("holds", "grows")
    assert grows.records_per_second == pytest.approx(1000, abs=20)
    assert grows.low < grows.records_per_second < grows.high
    assert grows.share == pytest.approx(0.1, abs=0.002)


def test_a_slope_that_the_noise_hides_is_undecided() -> None:
    noise = np.random.default_rng(2).normal(0, 2000, 40)
    found = fit("g", SECONDS, 5000 + noise + 100 * np.array(SECONDS), 10_000)
    assert found is not None
    assert found.conclusion == "undecided"
    assert found.low < 100 < found.high


def test_neighbours_that_are_alike_make_the_bounds_wider() -> None:
    draw = np.random.default_rng(3)
    steps = draw.normal(0, 100, 40)
    apart = fit("g", SECONDS, steps, 10_000)
    waves = np.convolve(draw.normal(0, 100, 47), np.ones(8) / math.sqrt(8), "valid")
    alike = fit("g", SECONDS, waves, 10_000)
    assert apart is not None
    assert alike is not None
    assert (alike.high - alike.low) > 1.5 * (apart.high - apart.low)


def test_a_lag_that_is_always_the_same_has_no_slope_at_all() -> None:
    found = fit("g", SECONDS, [0] * 40, 100)
    assert found is not None
    assert (found.records_per_second, found.low, found.high, found.conclusion) == (0, 0, 0, "holds")


def test_a_few_samples_say_nothing() -> None:
    assert fit("g", [1, 2, 3], [1, 2, 3], 100) is None
