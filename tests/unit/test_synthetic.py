"""Synthetic events: the same for the same seed, and shaped as they should be."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import islice, takewhile
from math import pi

import pytest

from producers.access_log import parse_line
from producers.sample_log import lines_of_access_log
from producers.synthetic import Event, Load, events, sends
from shardlake.avro.codec import encoder
from shardlake.errors import BadInput
from shardlake.pipeline import Pipeline
from tests.support import ROOT

pytestmark = pytest.mark.unit

START = datetime(2026, 1, 1, tzinfo=UTC)


def test_the_same_seed_gives_the_same_events_and_another_seed_others() -> None:
    first, again, other = (list(islice(events(seed, START, 100), 500)) for seed in (3, 3, 4))
    assert first == again
    assert first != other


def test_every_event_fits_the_schema_and_is_a_step_after_the_one_before() -> None:
    encode = encoder(Pipeline.load(ROOT).schemas["app_log"], 1)
    some = list(islice(events(1, START, 50), 1_000))
    for number, event in enumerate(some):
        encode(event)
        assert event["event_time"] == START + timedelta(seconds=number / 50)
    assert len({event["event_id"] for event in some}) == 1_000


def test_few_clients_ask_much_and_errors_come_in_bursts() -> None:
    some = list(islice(events(1, START, 1_000), 40_000))
    clients = Counter(event["client_address"] for event in some if "client_address" in event)
    assert clients.most_common(1)[0][1] > 20 * clients.total() / len(clients)
    # The first burst is in the first 4 of each 20 s.
    errors = Counter(int((event["event_time"] - START).total_seconds()) for event in some if event.get("status") == 503)
    in_burst = sum(count for second, count in errors.items() if second % 20 < 4)
    assert in_burst > 0.6 * errors.total() > 0


ALL = Load.of(
    [
        "zipf=1.4", "clients=100", "day_seconds=40", "burst_factor=5", "burst_seconds=2", "burst_every_seconds=10",
        "duplicates=0.02", "out_of_order=0.1", "late=0.01", "late_seconds=250",
    ]
)  # fmt: skip


def first(seconds: float, load: Load, start: datetime = START, seed: int = 1) -> list[tuple[float, Event]]:
    return [(due, dict(event)) for due, event in takewhile(lambda one: one[0] < seconds, sends(seed, start, 500, load))]


def test_the_same_seed_gives_the_same_load_at_any_time_of_the_clock() -> None:
    later = START + timedelta(days=77, seconds=1.5)
    some, again = first(60, ALL), first(60, ALL, later)
    for _, event in again:
        event["event_time"] -= later - START
    assert some == again
    assert some != first(60, ALL, seed=2)
    assert [due for due, _ in some] == sorted(due for due, _ in some)


def test_a_share_of_events_is_sent_again_unchanged_and_a_while_later() -> None:
    sent: dict[str, list[tuple[float, Event]]] = {}
    for due, event in first(60, Load(duplicates=0.05, duplicate_seconds=3)):
        sent.setdefault(event["event_id"], []).append((due, event))
    assert len(sent) == 30_000
    doubled = [times for times in sent.values() if len(times) > 1]
    assert 0.04 < len(doubled) / len(sent) < 0.06
    for once, again in doubled:
        assert again[1] == once[1]
        assert again[0] - once[0] == pytest.approx(3)


def test_late_and_out_of_order_events_happened_before_they_are_sent() -> None:
    some = first(60, Load(late=0.02, late_seconds=300, out_of_order=0.10, out_of_order_seconds=30))
    behind = [(START + timedelta(seconds=due) - event["event_time"]).total_seconds() for due, event in some]
    late = [seconds for seconds in behind if abs(seconds - 300) < 0.001]
    mixed = [seconds for seconds in behind if 0 < seconds < 299]
    assert 0.015 < len(late) / len(some) < 0.025
    assert 0.09 < len(mixed) / len(some) < 0.11
    assert 29 < max(mixed) <= 30
    assert behind.count(0) == len(some) - len(late) - len(mixed)


def test_the_rate_follows_a_day_and_has_bursts() -> None:
    a_day = Counter(int(due // 10) for due, _ in first(40, Load(day_seconds=40, day_swing=0.8)))
    low, high = a_day[0] + a_day[3], a_day[1] + a_day[2]
    assert low + high == pytest.approx(40 * 500, rel=0.01)
    assert high / low == pytest.approx((1 + 0.8 * 2 / pi) / (1 - 0.8 * 2 / pi), rel=0.02)
    bursts = Counter(int(due) for due, _ in first(60, Load(burst_factor=4, burst_seconds=5, burst_every_seconds=30)))
    for second in range(60):
        expected = 2_000 if second % 30 in range(15, 20) else 500
        assert bursts[second] == pytest.approx(expected, abs=2), second


def test_keys_follow_zipfs_law_by_its_exponent() -> None:
    def share_of_the_first(load: Load) -> float:
        clients = Counter(e["client_address"] for _, e in first(60, load) if "client_address" in e)
        return clients.most_common(1)[0][1] / clients.total()

    for exponent in (0.0, 1.0, 1.5):
        weights = [1 / rank**exponent for rank in range(1, 1001)]
        found = share_of_the_first(Load(zipf=exponent, clients=1000))
        assert found == pytest.approx(weights[0] / sum(weights), rel=0.1 if exponent else 2)


def test_a_wrong_option_is_named() -> None:
    for option, words in {
        "zip=1": "no option 'zip'",
        "late=1.5": "not a number from 0 to 1",
        "late=nan": "not a number",
        "clients=2.5": "not a number",
        "duplicates": "not a number",
    }.items():
        with pytest.raises(BadInput, match=words):
            Load.of([option])
    assert Load.of([]) == Load()


def test_the_sample_log_is_mostly_access_log_lines_and_ends_when_it_should() -> None:
    end = datetime(2026, 11, 3, 12, 0, tzinfo=UTC)
    lines = list(lines_of_access_log(10_000, end))
    parsed = [parse_line(line) for line in lines]
    assert len(lines) == 10_000
    assert 0 < parsed.count(None) < 50
    times = [one["event_time"] for one in parsed if one]
    assert max(times) <= end
    assert max(times) - min(times) < timedelta(minutes=11)
    assert lines == list(lines_of_access_log(10_000, end))
