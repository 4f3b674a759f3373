"""What consumers and producers tell Prometheus, against what the broker says."""

from __future__ import annotations

from collections import Counter
from functools import partial
from pathlib import Path

import pytest

from shardlake import topics
from shardlake.testing.stack import RunningStack, free_port_base
from tests.support import PATIENCE_SECONDS, Topic, by, copy_pipeline, event, labels, scrape, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.thorough]

EVENTS = 2_000
RECORDS = "shardlake_consumer_records_total"
BEHIND = "shardlake_consumer_behind_latest_seconds"
SENT, WAITING = "shardlake_producer_events_total", "shardlake_producer_waiting_events"


@pytest.fixture(scope="module")
def told(shardlake_broker: RunningStack, tmp_path_factory: pytest.TempPathFactory) -> RunningStack:
    """Some events and a record that is none, in three partitions."""
    folder = copy_pipeline(tmp_path_factory.mktemp("pipeline"), partitions=3)
    broker = shardlake_broker.emptied(folder)
    Topic(broker).send_events([event(number) for number in range(EVENTS)])
    Topic(broker).send([b"not an event"], [b"any"])
    return broker


def grown(stack: RunningStack) -> int:
    offsets = topics.offsets(stack.settings.kafka_bootstrap_servers, "app-logs")
    return sum(end for _, end in offsets.values()) - EVENTS - 1


def test_consumers_tell_of_the_shards_that_they_hold_and_of_no_other(told: RunningStack) -> None:
    servers, port = told.settings.kafka_bootstrap_servers, free_port_base() + 1
    first = told.start("consume", "traffic", "--metrics-port", str(port))

    def processed() -> Counter[str]:
        return by(scrape(port), RECORDS, "partition", group="traffic", topic="app-logs")

    wait_for(lambda: processed().total() == EVENTS + 1, "all to be processed")
    assert by(scrape(port), RECORDS, "outcome") == {"done": EVENTS, "dead_letter": 1}

    def committed() -> Counter[str]:
        return Counter({str(shard): end for shard, end in topics.committed(servers, "traffic", "app-logs").items()})

    wait_for(lambda: committed().total() == EVENTS + 1, "all to be committed")
    assert processed() == committed()
    assert by(scrape(port), "shardlake_consumer_in_flight_records", "group") == {"traffic": 0}
    wait_for(lambda: list(scrape(port).get(BEHIND, {}).values()) == [0, 0, 0], "the ends of the shards")

    second = told.start("consume", "traffic", "--workers", "2", "--metrics-port", str(port + 1))

    def held() -> list[set[str]]:
        return [set(by(scrape(port + number), BEHIND, "partition")) for number in range(3)]

    wait_for(lambda: [len(shards) for shards in held()] == [1, 1, 1], "each to hold a shard")
    assert set.union(*held()) == {"0", "1", "2"}
    assert set(by(scrape(port), RECORDS, "partition")) == held()[0]
    assert by(scrape(port), "shardlake_consumer_rebalances_total", "group")["traffic"] >= 2
    for process in (first, second):
        process.terminate()
        process.communicate(timeout=PATIENCE_SECONDS)
        assert process.returncode == 0


def test_a_follower_tells_what_the_broker_has_acknowledged(told: RunningStack, tmp_path: Path) -> None:
    log, port, before = tmp_path / "web.log", free_port_base() + 1, grown(told)
    log.write_text("one line\n" * 100)
    state = ("--state", str(tmp_path / "state.json"))
    follower = told.start("produce", "--follow", str(log), *state, "--metrics-port", str(port))

    def acknowledged() -> int:
        return by(scrape(port), SENT, "outcome")["acknowledged"]

    wait_for(lambda: acknowledged() == 100, "the lines that are there")
    assert grown(told) - before == 100
    with log.open("a") as file:
        file.write("another\n" * 50)
    wait_for(lambda: acknowledged() == 150, "those that came")
    assert grown(told) - before == 150
    assert scrape(port)[WAITING] == {labels(topic="app-logs"): 0}
    follower.terminate()
    follower.communicate(timeout=PATIENCE_SECONDS)


def test_a_producer_is_never_ahead_of_the_broker_nor_behind_it_by_more_than_what_waits(told: RunningStack) -> None:
    port, before = free_port_base() + 1, grown(told)
    options = ("--synthetic", "--rate", "500", "--duration", "inf", "--metrics-port", str(port))
    producer = told.start("produce", *options)

    def acknowledged() -> int:
        return by(scrape(port), SENT, "outcome")["acknowledged"]

    for least in (1, 500, 1000):
        wait_for(partial(lambda least: acknowledged() >= least, least), f"{least} events")
        earlier, sent, later = acknowledged(), grown(told) - before, scrape(port)
        assert earlier <= sent <= by(later, SENT, "outcome").total() + by(later, WAITING, "topic").total()
    producer.terminate()
    producer.communicate(timeout=PATIENCE_SECONDS)


def test_a_taken_port_ends_both_at_once(told: RunningStack) -> None:
    taken = str(told.stack.ports.kafka)
    for command in (("consume", "traffic", "--workers", "2"), ("produce", "--synthetic")):
        output = told.shardlake(*command, "--metrics-port", taken, exit_code=3)
        assert f"127.0.0.1:{taken}" in output
        assert "worker" not in output
