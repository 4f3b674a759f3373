"""Ages by measuring and by samples, and what is kept from one sample to the next."""

from __future__ import annotations

import math

import pytest

from shardlake.lag.answers import Member
from shardlake.lag.arrivals import POINTS, Arrivals
from shardlake.lag.shard import Shard
from shardlake.lag.trend import arrow, lags, sparkline
from tests.unit.lag_case import NOW_MS, Records, answers, clock, last_sample, sampler

pytestmark = pytest.mark.unit
__all__ = ["clock"]

PLACE = ("t", 0)


def ms_ago(seconds: float) -> float:
    return NOW_MS - 1000 * seconds


def only(shards: list[Shard]) -> Shard:
    (one,) = shards
    return one


def table(*points: tuple[int, float]) -> Arrivals:
    found = Arrivals()
    for end, time_ms in points:
        found.add(end, time_ms)
    return found


@pytest.mark.parametrize(
    ("points", "offset", "arrival"),
    [
        pytest.param([(100, 0), (200, 1000)], 150, 505.0, id="in the middle of what came"),
        pytest.param([(100, 0), (200, 1000)], 100, 5.0, id="the first that came"),
        pytest.param([(100, 0), (200, 1000)], 199, 995.0, id="the last that came"),
        pytest.param([(100, 0), (200, 1000)], 99, None, id="before the first sample: unknown"),
        pytest.param([(100, 0), (200, 1000)], 200, None, id="it has not come"),
        pytest.param([], 0, None, id="no sample"),
        pytest.param([(100, 0), (100, 1000), (100, 60_000), (101, 61_000)], 100, 60_500.0, id="after a long idle time"),
        pytest.param([(100, 0), (200, 1000), (5, 2000), (10, 3000)], 150, None, id="made anew: what was is forgotten"),
        pytest.param([(100, 0), (200, 1000), (5, 2000), (10, 3000)], 5, 2100.0, id="made anew: and is followed again"),
        pytest.param(
            [(100, 0), (200, 1000), (300, 2000), (400, 3000), (5, 4000), (180, 5000)],
            150,
            4831.4,
            id="made anew: as far as it was",
        ),
    ],
)
def test_arrival(points: list[tuple[int, float]], offset: int, arrival: float | None) -> None:
    assert table(*points).at(offset) == (None if arrival is None else pytest.approx(arrival, abs=0.1))


def test_arrivals_of_long_ago_are_thinned_out_not_forgotten() -> None:
    """Forty records every four seconds, for 100 minutes: a tenth of the age is the worst, however old."""
    samples = 50 * POINTS
    many = table(*((40 * ((n + 3) // 4), 1000.0 * n) for n in range(samples)))
    for burst in range(1, samples // 4):
        arrival_ms, age_ms = 4000 * burst + 500, 1000 * samples - 4000 * burst
        found = many.at(40 * burst + 20)
        assert found is not None
        assert abs(found - arrival_ms) <= max(1000, age_ms / 10)


def test_the_record_that_waits_is_measured_and_the_difference_is_told() -> None:
    records = Records({(PLACE, 60): ms_ago(10)})
    shard = only(
        last_sample(
            answers({"g": {PLACE: 40}}, {"t": [50]}, ms_ago(20)),
            answers({"g": {PLACE: 60}}, {"t": [100]}, ms_ago(5)),
            records=records,
        ).shards
    )
    assert shard.records == 40
    assert shard.seconds == shard.measured_seconds == 10
    # Offset 60 is the eleventh of fifty that came in 15 s.
    assert shard.interpolated_seconds == 20 - 15 * 10.5 / 50
    assert shard.measured_age_seconds == 0


def test_what_was_measured_before_keeps_its_age_and_the_samples_tell_of_now() -> None:
    records = Records({(PLACE, 40): ms_ago(30)})
    shard = only(
        last_sample(
            answers({"g": {PLACE: 40}}, {"t": [50]}, ms_ago(20)),
            answers({"g": {PLACE: 60}}, {"t": [100]}, ms_ago(5)),
            records=records,
        ).shards
    )
    assert shard.measured is not None
    assert shard.measured.offset == 40
    assert not shard.is_measured
    assert (shard.measured_seconds, shard.measured_age_seconds) == (25, 5)
    assert shard.seconds == shard.interpolated_seconds != 25


def test_what_nobody_knows_is_unknown_not_zero() -> None:
    shard = only(last_sample(answers({"g": {PLACE: 60}}, {"t": [100]}, NOW_MS)).shards)
    assert shard.records == 40
    assert shard.seconds is shard.measured_seconds is shard.interpolated_seconds is None
    assert shard.retention_risk(60_000) is None


def test_each_record_is_read_once_and_for_all_groups_that_wait_for_it() -> None:
    records = Records({(PLACE, 60): ms_ago(10)})
    one = sampler(answers({"a": {PLACE: 60}, "b": {PLACE: 60}}, {"t": [100]}, NOW_MS), records=records)
    for _ in range(3):
        assert [shard.seconds for shard in one.sample().shards] == [10, 10]
    assert records.asked == [(PLACE, 60)]


def test_behind_by_markers_alone_is_caught_up_until_more_comes() -> None:
    records = Records({(PLACE, 99): None})
    one = sampler(
        answers({"g": {PLACE: 99}}, {"t": [100]}, ms_ago(10)),
        answers({"g": {PLACE: 99}}, {"t": [101]}, ms_ago(5)),
        records=records,
    )
    shard = only(one.sample().shards)
    assert (shard.records, shard.exported, shard.seconds, shard.verdict.reason) == (0, 0, 0.0, "caught up")
    assert shard.drain_seconds == 0
    records.arrivals[PLACE, 99] = ms_ago(7)
    shard = only(one.sample().shards)
    assert shard.records == 2
    assert shard.seconds == 7


def test_not_started_waits_for_all_that_is_there_and_is_exported_as_minus_one() -> None:
    records = Records({(PLACE, 30): ms_ago(50)})
    owners = {"g": {PLACE: Member("c", "c-1", "/h")}}
    shard = only(last_sample(answers({"g": {}}, {"t": [100]}, NOW_MS, {"t": [30]}, owners), records=records).shards)
    assert (shard.records, shard.exported, shard.owner.client_id) == (70, -1, "c")
    assert shard.seconds == 50


def test_committed_beyond_the_end_is_no_negative_lag_and_no_zero_age() -> None:
    shard = only(last_sample(answers({"g": {PLACE: 100}}, {"t": [20]}, NOW_MS)).shards)
    assert (shard.exported, shard.seconds, shard.drain_seconds, shard.verdict.status) == (None, None, None, "AHEAD")


BESIDE_A_TRANSACTION = answers(
    {"a": {PLACE: 6}, "b": {PLACE: 0}, "c": {PLACE: 2}}, {"t": [0]}, NOW_MS, highs={"t": [6]}
)
"""Of six offsets none is stable: a reads uncommitted records and has all, b may read none, c waits for four."""


def test_beside_an_open_transaction_each_group_is_judged_by_what_it_reads() -> None:
    uncommitted = Records({(PLACE, 0): ms_ago(75), (PLACE, 2): ms_ago(8)})
    at_end, stable, between = last_sample(BESIDE_A_TRANSACTION, uncommitted=uncommitted).shards
    assert (at_end.exported, at_end.seconds, at_end.held_back, at_end.verdict.status) == (0, 0.0, 0, "OK")
    assert (stable.exported, stable.seconds, stable.held_back, stable.open_seconds) == (0, 0.0, 6, 75)
    assert (stable.verdict.status, stable.verdict.reason) == (
        "WARN",
        "6 behind the end, and all that is committed is read: a transaction has been open since "
        "2027-01-15 07:58:45 UTC",
    )
    # Its record is read where it can be: a read-committed reader would say that there is none.
    assert (between.exported, between.seconds, between.held_back, between.verdict.status) == (4, 8, 0, "OK")


def test_the_begin_of_a_transaction_is_read_once_and_forgotten_with_it() -> None:
    uncommitted = Records({(PLACE, 0): ms_ago(75), (PLACE, 6): None})
    after = answers({"b": {PLACE: 0}}, {"t": [6]}, NOW_MS, highs={"t": [8]})
    one = sampler(
        BESIDE_A_TRANSACTION, BESIDE_A_TRANSACTION, after, answers({"b": {PLACE: 0}}, {"t": [9]}, NOW_MS),
        uncommitted=uncommitted,
    )  # fmt: skip
    assert [only(one.sample().of("b")).open_seconds for _ in range(2)] == [75, 75]
    assert uncommitted.asked.count((PLACE, 0)) == 1
    shard = only(one.sample().of("b"))
    assert (shard.records, shard.held_back, shard.open_seconds) == (6, 2, None)
    shard = only(one.sample().of("b"))
    assert (shard.records, shard.held_back, shard.open_seconds) == (9, 0, None)


def test_a_group_that_goes_back_beside_a_transaction_is_no_topic_made_anew() -> None:
    """It has read what is not committed: its end goes back with it, and the high watermark does not."""
    said = [
        answers({"g": {PLACE: offset}}, {"t": [94]}, ms_ago(10 - n), highs={"t": [100]})
        for n, offset in enumerate((100, 50))
    ]
    shard = only(last_sample(*said).shards)
    assert (shard.records, shard.held_back, shard.verdict.status) == (44, 6, "REWIND")


def test_a_topic_made_anew_takes_no_arrival_of_the_old_one() -> None:
    records = Records({(PLACE, 60): ms_ago(1000)})
    one = sampler(
        answers({"g": {PLACE: 60}}, {"t": [1000]}, ms_ago(20)),
        answers({"g": {PLACE: 60}}, {"t": [70]}, ms_ago(10)),
        records=records,
    )
    one.sample()
    records.arrivals[PLACE, 60] = ms_ago(2)
    assert only(one.sample().shards).seconds == 2


def test_groups_topics_and_partitions_come_and_go() -> None:
    one = sampler(
        answers({"a": {PLACE: 1}, "b": {PLACE: 1, ("u", 0): 1}}, {"t": [5, 5], "u": [5]}, ms_ago(30)),
        answers({"b": {PLACE: 1, ("u", 0): 1}, "c": {PLACE: 1}}, {"t": [5, 5, 5]}, ms_ago(20)),
    )

    def told() -> set[tuple[str, str, int]]:
        return {(shard.group, shard.topic, shard.partition) for shard in one.sample().shards}

    assert told() == {("a", "t", 0), ("a", "t", 1), ("b", "t", 0), ("b", "t", 1), ("b", "u", 0)}
    assert told() == {(group, "t", n) for group in "bc" for n in range(3)}


def test_a_group_that_comes_again_has_no_past() -> None:
    one = sampler(
        answers({"g": {PLACE: 50}, "h": {PLACE: 50}}, {"t": [60]}, ms_ago(30)),
        answers({"h": {("u", 0): 1}}, {"t": [60], "u": [1]}, ms_ago(20)),
        answers({"g": {PLACE: 10}, "h": {PLACE: 10}}, {"t": [60]}, ms_ago(10)),
    )
    for _ in range(2):
        one.sample()
    assert [shard.verdict.status for shard in one.sample().shards] == ["OK", "OK"]


def test_a_commit_in_a_partition_that_is_gone_is_passed_over() -> None:
    told = last_sample(answers({"g": {PLACE: 1, ("t", 7): 5}}, {"t": [3]}, NOW_MS)).shards
    assert [(shard.partition, shard.records) for shard in told] == [(0, 2)]


def test_a_partition_whose_leader_does_not_tell_is_left_out_this_time() -> None:
    told = last_sample(answers({"g": {PLACE: 1, ("t", 1): 1}}, {"t": [-1, 5]}, NOW_MS)).shards
    assert [(shard.partition, shard.records) for shard in told] == [(1, 4)]


def test_a_partition_that_was_unknown_at_first_has_no_past() -> None:
    said = [
        answers({"g": {PLACE: 900}}, {"t": [end]}, ms_ago(60 - 15 * n), {"t": [first]})
        for n, (first, end) in enumerate([(-1, -1), (0, -1), (0, 1000), (0, 1000)])
    ]
    shard = only(last_sample(*said).shards)
    assert (shard.records, shard.drain_seconds) == (100, math.inf)
    assert shard.track.at(0)[1:] == (900, 1000)


def test_trend_of_the_last_minute() -> None:
    said = [answers({"g": {PLACE: 0}}, {"t": [1 + 100 * n]}, ms_ago(55 - 5 * n)) for n in range(12)]
    shard = only(last_sample(*said).shards)
    values = lags(shard.track, said[-1].taken_ms)
    assert values == pytest.approx([1 + 100 * n for n in range(12)])
    assert (arrow(values), sparkline(values)) == ("↑", "▁▁▂▃▃▄▅▆▆▇██")
    assert arrow(values[::-1]) == "↓"
    assert arrow([100, 101]) == "→"
    assert (arrow([]), sparkline([])) == ("", "")
    assert sparkline([0, 0]) == "▁▁"


def test_one_sample_is_no_trend() -> None:
    said = answers({"g": {PLACE: 0}}, {"t": [100]}, NOW_MS)
    assert lags(only(last_sample(said).shards).track, said.taken_ms) == []
