"""`flink_jobs/error_alerts.py`: which minute is alarming against its own past."""

from __future__ import annotations

import random

import pytest

from flink_jobs.error_alerts import judge

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("past", "last", "alarms"),
    [
        # (events, errors) a minute.
        ([(1000, 5)] * 10, (1000, 300), True),  # a burst
        ([(1000, 5)] * 10, (1000, 5), False),  # as ever
        ([(1000, 5)] * 10, (1000, 12), False),  # more, as chance makes it
        ([(1000, 0)] * 10, (1000, 4), False),  # a service that never fails may fail a little
        ([(1000, 0)] * 10, (1000, 40), True),
        ([(1000, 200), (1000, 260)] * 5, (1000, 240), False),  # one that always fails
        ([(1000, 10), (1000, 300), *[(1000, 10)] * 8], (1000, 300), True),  # one burst in the past hides no second
        ([(10, 0)] * 10, (10, 4), False),  # few events say little
        ([(1000, 5)] * 4, (1000, 300), False),  # no past to speak of
        ([(5000, 25)] * 10, (3, 0), False),  # a quiet minute
    ],
)
def test_a_minute_is_judged_by_those_before(past: list[tuple[int, int]], last: tuple[int, int], alarms: bool) -> None:
    events, errors = zip(*past, last, strict=True)
    assert (judge(list(events), list(errors)) is not None) == alarms


def test_the_score_is_the_distance_in_deviations() -> None:
    # Ratios 0.1, 0.2, 0.3, 0.4, 0.5: median 0.3, median deviation 0.1; chance alone makes less, 0.0145.
    found = judge([1000] * 6, [100, 200, 300, 400, 500, 1000])
    assert found is None  # (1.0 - 0.3) / 0.148 = 4.7
    found = judge([1000] * 6, [290, 295, 300, 305, 310, 500])
    assert found is not None
    usual, score = found
    assert usual == pytest.approx(0.3)
    assert score == pytest.approx(0.2 / (0.3001 * 0.6999 / 1000) ** 0.5, rel=1e-2)


def test_a_day_without_a_burst_raises_nothing() -> None:
    draw = random.Random(7)
    events = [draw.randrange(200, 2000) for _ in range(24 * 60)]
    errors = [sum(draw.random() < 0.01 for _ in range(n)) for n in events]
    alarms = [m for m in range(1, len(events)) if judge(events[max(0, m - 30) : m + 1], errors[max(0, m - 30) : m + 1])]
    assert alarms == []
