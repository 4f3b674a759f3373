"""What a scrape says, from a given sample."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from shardlake.errors import Unavailable
from shardlake.lag.exporter import LagCollector
from shardlake.lag.rules import Lag, State
from shardlake.lag.sampling import PartitionLag, Sample

pytestmark = pytest.mark.unit

BEHIND = PartitionLag("g", "t", 0, 60, 100, "client-1", Lag(State.BEHIND, 40, 12.5))
UNKNOWN = PartitionLag("g", "t", 1, 60, 100, "", Lag(State.BEHIND, 40, None))
NOT_STARTED = PartitionLag("g", "t", 2, None, 7, "", Lag(State.NOT_STARTED, 7, 3.0))
SAMPLE = Sample(0, (BEHIND, UNKNOWN, NOT_STARTED), {"g": 1}, {"g": "STABLE"}, {("t", 0): 5}, {("t", 0): 100})


def scrape(collector: LagCollector) -> dict[str, dict[tuple[str, ...], float]]:
    """By metric and label values; the labels are in the order of their names."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(collector)
    text = generate_latest(registry).decode()
    return {
        family.name: {tuple(sample.labels.values()): sample.value for sample in family.samples}
        for family in text_string_to_metric_families(text)
    }


def test_both_families_tell_the_same_lag_and_not_started_is_minus_one() -> None:
    found = scrape(LagCollector(lambda: SAMPLE))
    assert found["kafka_consumergroup_lag"] == {("g", "0", "t"): 40, ("g", "1", "t"): 40, ("g", "2", "t"): -1}
    assert list(found["kafka_consumergroup_group_lag"].values()) == [40, 40, -1]
    assert found["kafka_consumergroup_current_offset"] == {("g", "0", "t"): 60, ("g", "1", "t"): 60}
    assert found["kafka_consumergroup_members"] == {("g",): 1}
    assert found["kafka_topic_partition_current_offset"] == {("0", "t"): 100}
    assert found["kafka_topic_partition_oldest_offset"] == {("0", "t"): 5}
    assert found["shardlake_lag_up"] == {(): 1}


def test_seconds_that_are_unknown_are_absent_not_zero() -> None:
    found = scrape(LagCollector(lambda: SAMPLE))
    seconds = {labels[3]: value for labels, value in found["kafka_consumergroup_group_lag_seconds"].items()}
    assert seconds == {"0": 12.5, "2": -1}
    assert list(found["kafka_consumergroup_group_max_lag_seconds"].values()) == [12.5]


def test_a_group_that_goes_leaves_no_series_behind() -> None:
    samples = [SAMPLE, Sample(1, (), {}, {}, {}, {})]
    collector = LagCollector(lambda: samples.pop(0))
    assert scrape(collector)["kafka_consumergroup_lag"]
    assert not scrape(collector)["kafka_consumergroup_lag"]


def test_a_broker_that_is_down_is_said_and_no_lag_is_claimed() -> None:
    said: list[str] = []

    def take() -> Sample:
        raise Unavailable("No Kafka broker answers at nowhere.")

    found = scrape(LagCollector(take, said.append))
    assert found == {"shardlake_lag_up": {(): 0}}
    assert said == ["No Kafka broker answers at nowhere."]
