"""Synthetic events: the same for the same seed, and shaped as they should be."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import islice

import pytest

from producers.access_log import parse_line
from producers.sample_log import lines_of_access_log
from producers.synthetic import events
from shardlake.avro.codec import encoder
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
