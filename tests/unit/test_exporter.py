"""What a scrape says, from given answers of the broker."""

from __future__ import annotations

import math
import urllib.error
import urllib.request
from threading import Event, Thread

import pytest
from prometheus_client.parser import text_string_to_metric_families

from shardlake.errors import Unavailable
from shardlake.lag import metrics
from shardlake.lag.answers import Answers, Member
from shardlake.lag.exporter import Exporter, serve
from shardlake.lag.families import FAMILIES
from shardlake.lag.sampling import Sample, Sampler
from shardlake.metric import Metric
from tests.unit.lag_case import NOW_MS, Records, answers, clock, sampler

pytestmark = pytest.mark.unit
__all__ = ["clock"]

OWNER = Member("client-1", "client-1-abc", "/10.0.0.1")
ANSWERS = answers(
    {"g": {("t", 0): 60, ("t", 1): 60}, "idle": {("u", 0): 7}},
    {"t": [100, 100, 7], "u": [7], "t.dlq": [3]},
    NOW_MS,
    {"t": [5, 0, 0]},
    {"g": {("t", 0): OWNER}},
    under_replicated=frozenset({("t", 1)}),
    retention_ms={"t": 100_000},
)
RECORDS = {(("t", 0), 60): NOW_MS - 12_500, (("t", 2), 0): NOW_MS - 3000}


def scrape(exporter: Exporter, *names: str) -> dict[str, dict[tuple[str, ...], float]]:
    """By metric and label values; the labels are in the order of their names."""
    return {
        family.name: {tuple(sample.labels.values()): sample.value for sample in family.samples}
        for family in text_string_to_metric_families(exporter.text(names))
    }


def exporter(*said: Answers | Exception) -> Exporter:
    return of(sampler(*said, records=Records(RECORDS)))


def of(one: Sampler) -> Exporter:
    return Exporter(one.sample)


def test_both_families_tell_the_same_lag_and_not_started_is_minus_one() -> None:
    found = scrape(exporter(ANSWERS))
    lag = {("g", "t", "0"): 40, ("g", "t", "1"): 40, ("g", "t", "2"): -1, ("idle", "u", "0"): 0}
    assert found["kafka_consumergroup_lag"] == lag
    held = {("g", "t", "0"): ("/10.0.0.1", "client-1-abc", "client-1")}
    assert found["kafka_consumergroup_group_lag"] == {
        ("shardlake", *place, *held.get(place, ("", "", ""))): value for place, value in lag.items()
    }
    assert found["kafka_consumergroup_current_offset"] == {
        ("g", "t", "0"): 60, ("g", "t", "1"): 60, ("idle", "u", "0"): 7
    }  # fmt: skip
    assert found["kafka_consumergroup_lag_sum"] == {("g", "t"): 80, ("idle", "u"): 0}
    assert found["kafka_consumergroup_group_topic_sum_lag"] == {
        ("shardlake", "g", "t"): 80,
        ("shardlake", "idle", "u"): 0,
    }
    assert found["kafka_consumergroup_group_sum_lag"] == {("shardlake", "g"): 80, ("shardlake", "idle"): 0}
    assert found["kafka_consumergroup_group_max_lag"] == {("shardlake", "g"): 40, ("shardlake", "idle"): 0}
    assert found["kafka_consumergroup_members"] == {("g",): 1, ("idle",): 0}
    assert found["kafka_consumergroup_group_state"] == {
        ("shardlake", "g", "STABLE"): 1,
        ("shardlake", "idle", "STABLE"): 1,
    }
    assert found["shardlake_lag_up"] == {(): 1}


def test_topics_that_no_group_reads_are_told_of_too() -> None:
    found = scrape(exporter(ANSWERS))
    ends = {("t", "0"): 100, ("t", "1"): 100, ("t", "2"): 7, ("u", "0"): 7, ("t.dlq", "0"): 3}
    assert found["kafka_topic_partition_current_offset"] == ends
    assert found["kafka_topic_partition_oldest_offset"] == dict.fromkeys(ends, 0) | {("t", "0"): 5}
    assert found["kafka_topic_partition_under_replicated_partition"] == dict.fromkeys(ends, 0) | {("t", "1"): 1}
    assert found["kafka_topic_partitions"] == {("t",): 3, ("u",): 1, ("t.dlq",): 1}
    assert found["kafka_brokers"] == {(): 1}


def test_seconds_that_are_unknown_are_absent_not_zero() -> None:
    found = scrape(exporter(ANSWERS))
    seconds = {labels[1:4]: value for labels, value in found["kafka_consumergroup_group_lag_seconds"].items()}
    assert seconds == {("g", "t", "0"): 12.5, ("g", "t", "2"): -1, ("idle", "u", "0"): 0}
    assert found["kafka_consumergroup_group_max_lag_seconds"][("shardlake", "g")] == 12.5
    assert found["shardlake_iterator_age_measured_seconds"].keys() == {
        ("g", "t", "0"), ("g", "t", "2"), ("idle", "u", "0")
    }  # fmt: skip
    assert found["shardlake_iterator_age_measured_age_seconds"] == {
        ("g", "t", "0"): 0, ("g", "t", "2"): 0, ("idle", "u", "0"): 0
    }  # fmt: skip
    assert found["shardlake_iterator_age_interpolated_seconds"] == {("idle", "u", "0"): 0}
    assert ("g", "t", "0") not in found["shardlake_time_to_drain_seconds"]
    assert found["shardlake_retention_risk_ratio"][("g", "t", "0")] == 0.125


def test_status_and_what_does_not_drain() -> None:
    later = answers(
        {"g": {("t", 0): 60}}, {"t": [1000]}, NOW_MS + 30_000, owners={"g": {("t", 0): OWNER}}
    )  # fmt: skip
    one = sampler(answers({"g": {("t", 0): 60}}, {"t": [100]}, NOW_MS - 90_000), later, records=Records(RECORDS))
    one.sample()
    found = scrape(of(one))
    assert found["shardlake_shard_status"] == {("g", "t", "0", "STALL"): 1}
    assert found["shardlake_time_to_drain_seconds"] == {("g", "t", "0"): math.inf}


def test_the_difference_is_of_one_record() -> None:
    first = answers({"g": {("t", 0): 40}}, {"t": [50]}, NOW_MS - 20_000)
    second = answers({"g": {("t", 0): 60}}, {"t": [100]}, NOW_MS - 5_000)
    for waits, difference in ((40, {}), (60, {("g", "t", "0"): pytest.approx(16.85 - 10)})):
        one = sampler(first, second, records=Records({(("t", 0), waits): NOW_MS - 10_000}))
        one.sample()
        assert scrape(of(one)).get("shardlake_iterator_age_difference_seconds", {}) == difference


def test_a_hot_shard_is_told_of_and_no_other() -> None:
    said = answers({"g": {("t", 0): 0, ("t", 1): 0, ("t", 2): 0}}, {"t": [1000, 10, 10]}, NOW_MS)
    one = sampler(said, records=Records({(("t", 0), 0): NOW_MS - 60_000}))
    assert scrape(of(one))["shardlake_hot_shard_ratio"] == {("g", "t", "0"): 100}


def test_more_committed_than_there_is_is_no_lag_of_zero() -> None:
    found = scrape(exporter(answers({"g": {("t", 0): 100}}, {"t": [20]}, NOW_MS)))
    assert found["shardlake_shard_status"] == {("g", "t", "0", "AHEAD"): 1}
    for name in ("kafka_consumergroup_lag", "kafka_consumergroup_lag_sum", "kafka_consumergroup_group_sum_lag"):
        assert name not in found
    assert "shardlake_time_to_drain_seconds" not in found


def test_what_an_open_transaction_holds_back_is_no_lag_and_is_told() -> None:
    said = answers({"g": {("t", 0): 94, ("t", 1): 100}}, {"t": [94, 94]}, NOW_MS, highs={"t": [100, 100]})
    found = scrape(of(sampler(said, uncommitted=Records({(("t", 0), 94): NOW_MS - 90_000}))))
    assert found["kafka_consumergroup_lag"] == {("g", "t", "0"): 0, ("g", "t", "1"): 0}
    assert found["shardlake_held_back_records"] == {("g", "t", "0"): 6}
    assert found["shardlake_open_transaction_seconds"] == {("g", "t", "0"): 90}
    assert found["shardlake_shard_status"] == {("g", "t", "0", "WARN"): 1, ("g", "t", "1", "OK"): 1}
    assert "shardlake_held_back_records" not in scrape(exporter(ANSWERS))


def test_what_has_not_started_is_no_risk_of_retention() -> None:
    assert ("g", "t", "2") not in scrape(exporter(ANSWERS))["shardlake_retention_risk_ratio"]


def test_a_scrape_does_not_wait_for_ever_for_another_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shardlake.lag.exporter.SCRAPE_SECONDS", 0.1)
    is_asked, goes_on = Event(), Event()

    def take() -> Sample:
        is_asked.set()
        goes_on.wait(60)
        return sampler(ANSWERS).sample()

    one = Exporter(take)
    first = Thread(target=one.text)
    first.start()
    assert is_asked.wait(60)
    assert scrape(one) == {"shardlake_lag_up": {(): 0}}
    goes_on.set()
    first.join()
    assert scrape(one)["kafka_consumergroup_lag"]
    one.close()
    assert scrape(one) == {"shardlake_lag_up": {(): 0}}


def test_a_group_that_goes_leaves_no_series_behind() -> None:
    one = exporter(ANSWERS, answers({}, {}))
    assert scrape(one)["kafka_consumergroup_lag"]
    gone = scrape(one)
    assert gone.keys() == {"shardlake_lag_up", "shardlake_lag_collect_seconds", "kafka_brokers"}


def test_a_broker_that_is_down_is_said_and_no_lag_is_claimed_until_it_is_back() -> None:
    said: list[str] = []
    one = Exporter(
        sampler(ANSWERS, Unavailable("No Kafka broker answers at nowhere."), ANSWERS).sample, say=said.append
    )
    assert scrape(one)["kafka_consumergroup_lag"]
    assert scrape(one) == {"shardlake_lag_up": {(): 0}}
    assert said == ["No Kafka broker answers at nowhere."]
    assert scrape(one)["kafka_consumergroup_lag"]


def test_other_metrics_are_told_of_also_where_the_broker_is_down() -> None:
    other = Metric("other_seconds", metrics.UP.kind, "Of another.", ("table",))
    one = Exporter(
        sampler(Unavailable("gone")).sample, [lambda: [(other, [(("a",), 1.5)])]]
    )  # fmt: skip
    assert scrape(one) == {"shardlake_lag_up": {(): 0}, "other_seconds": {("a",): 1.5}}


def test_only_the_metrics_that_are_asked_for() -> None:
    assert scrape(exporter(ANSWERS), "kafka_brokers", "nonsense") == {"kafka_brokers": {(): 1}}


def test_labels_that_need_escaping() -> None:
    odd = 'a"b\\c\nd'
    found = scrape(exporter(answers({odd: {("t", 0): 1}}, {"t": [3]}, NOW_MS)))
    assert found["kafka_consumergroup_lag"] == {(odd, "t", "0"): 2}


def test_every_metric_is_exported_once_and_has_the_labels_that_it_names() -> None:
    named = [value for value in vars(metrics).values() if isinstance(value, Metric)]
    exported = [metric for metric, _ in FAMILIES]
    assert sorted(metric.name for metric in exported) == sorted(
        metric.name for metric in named if metric not in (metrics.UP, metrics.COLLECT_SECONDS)
    )
    for family in text_string_to_metric_families(exporter(ANSWERS).text()):
        (metric,) = [one for one in named if one.name == family.name]
        assert all(tuple(sample.labels) == metric.labels for sample in family.samples), metric.name
        assert (family.documentation, family.type) == (metric.help, metric.kind)


def test_it_is_served_over_http() -> None:
    server = serve(exporter(ANSWERS), "127.0.0.1", 0)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        base = f"http://127.0.0.1:{server.server_address[1]}"
        with urllib.request.urlopen(f"{base}/metrics?name[]=kafka_brokers", timeout=10) as answer:
            assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
            assert answer.read().decode().splitlines()[-1] == "kafka_brokers 1"
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"{base}/other", timeout=10)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
