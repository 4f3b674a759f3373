"""What Flink, consumers and producers tell Prometheus, against what the broker says."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from shardlake import topics
from shardlake.testing.stack import RunningStack, free_port_base, running_stack
from tests.support import Topic, by, copy_pipeline, event, labels, scrape, wait_for

pytestmark = pytest.mark.e2e

EVENTS = 2_000
RECORDS = "shardlake_consumer_records_total"
BEHIND = "shardlake_consumer_behind_latest_seconds"
SENT, WAITING = "shardlake_producer_events_total", "shardlake_producer_waiting_events"
RECORDS_IN = "flink_taskmanager_job_task_operator_numRecordsIn"


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """A stack with some events and a record that is none, in three partitions."""
    folder = copy_pipeline(tmp_path_factory.mktemp("pipeline"), partitions=3)
    with running_stack(folder, tmp_path_factory.mktemp("state")) as stack:
        Topic(stack).send_events([event(number) for number in range(EVENTS)])
        Topic(stack).send([b"not an event"], [b"any"])
        yield stack


def grown(stack: RunningStack) -> int:
    offsets = topics.offsets(stack.settings.kafka_bootstrap_servers, "app-logs")
    return sum(end for _, end in offsets.values()) - EVENTS - 1


def test_consumers_tell_of_the_shards_that_they_hold_and_of_no_other(told: RunningStack) -> None:
    servers, port = told.settings.kafka_bootstrap_servers, free_port_base() + 1
    first = told.start("consume", "traffic", "--metrics-port", str(port))

    def processed() -> Counter[str]:
        return by(scrape(port), RECORDS, "partition", group="traffic", topic="app-logs")

    wait_for(lambda: processed().total() == EVENTS + 1, 60, "all to be processed")
    assert by(scrape(port), RECORDS, "outcome") == {"done": EVENTS, "dead_letter": 1}

    def committed() -> Counter[str]:
        return Counter({str(shard): end for shard, end in topics.committed(servers, "traffic", "app-logs").items()})

    wait_for(lambda: committed().total() == EVENTS + 1, 30, "all to be committed")
    assert processed() == committed()
    assert by(scrape(port), "shardlake_consumer_in_flight_records", "group") == {"traffic": 0}
    wait_for(lambda: list(scrape(port).get(BEHIND, {}).values()) == [0, 0, 0], 30, "the ends of the shards")

    second = told.start("consume", "traffic", "--workers", "2", "--metrics-port", str(port + 1))

    def held() -> list[set[str]]:
        return [set(by(scrape(port + number), BEHIND, "partition")) for number in range(3)]

    wait_for(lambda: [len(shards) for shards in held()] == [1, 1, 1], 60, "each to hold a shard")
    assert set.union(*held()) == {"0", "1", "2"}
    assert set(by(scrape(port), RECORDS, "partition")) == held()[0]
    assert by(scrape(port), "shardlake_consumer_rebalances_total", "group")["traffic"] >= 2
    for process in (first, second):
        process.terminate()
        process.communicate(timeout=60)
        assert process.returncode == 0


def test_a_follower_tells_what_the_broker_has_acknowledged(told: RunningStack, tmp_path: Path) -> None:
    log, port, before = tmp_path / "web.log", free_port_base() + 1, grown(told)
    log.write_text("one line\n" * 100)
    state = ("--state", str(tmp_path / "state.json"))
    follower = told.start("produce", "--follow", str(log), *state, "--metrics-port", str(port))

    def acknowledged() -> int:
        return by(scrape(port), SENT, "outcome")["acknowledged"]

    wait_for(lambda: acknowledged() == 100, 30, "the lines that are there")
    assert grown(told) - before == 100
    with log.open("a") as file:
        file.write("another\n" * 50)
    wait_for(lambda: acknowledged() == 150, 30, "those that came")
    assert grown(told) - before == 150
    assert scrape(port)[WAITING] == {labels(topic="app-logs"): 0}
    follower.terminate()
    follower.communicate(timeout=30)


def test_a_producer_is_never_ahead_of_the_broker_nor_behind_it_by_more_than_what_waits(told: RunningStack) -> None:
    port, before = free_port_base() + 1, grown(told)
    options = ("--synthetic", "--rate", "500", "--duration", "inf", "--metrics-port", str(port))
    producer = told.start("produce", *options)

    def acknowledged() -> int:
        return by(scrape(port), SENT, "outcome")["acknowledged"]

    for least in (1, 500, 1000):
        wait_for(partial(lambda least: acknowledged() >= least, least), 30, f"{least} events")
        earlier, sent, later = acknowledged(), grown(told) - before, scrape(port)
        assert earlier <= sent <= by(later, SENT, "outcome").total() + by(later, WAITING, "topic").total()
    producer.terminate()
    producer.communicate(timeout=30)


def test_a_taken_port_ends_both_at_once(told: RunningStack) -> None:
    taken = str(told.stack.ports.kafka)
    for command in (("consume", "traffic", "--workers", "2"), ("produce", "--synthetic")):
        output = told.shardlake(*command, "--metrics-port", taken, exit_code=3)
        assert f"127.0.0.1:{taken}" in output
        assert "worker" not in output


def test_flink_tells_of_the_running_job_also_after_a_task_manager_was_killed(told: RunningStack) -> None:
    ports, records = told.stack.ports, grown(told) + EVENTS + 1
    told.shardlake("jobs", "run", "archive")

    def read() -> bool:
        by_operator = by(scrape(ports.flink_taskmanager_metrics), RECORDS_IN, "operator_id")
        return max(by_operator.values(), default=0) == records

    wait_for(read, 60, "metrics of the job's operators")
    (running,) = scrape(ports.flink_jobmanager_metrics)["flink_jobmanager_numRunningJobs"].values()
    assert running == 1
    told.stack.restart("taskmanager")
    wait_for(lambda: scrape(ports.flink_taskmanager_metrics), 30, "metrics of the new task manager")


def test_the_lag_exporter_tells_of_the_jobs_and_of_what_a_reader_of_the_lake_sees(told: RunningStack) -> None:
    """After the test before: its job runs, on a task manager that was killed and came back."""
    port = free_port_base() + 1
    exporter = told.start("lag", "--serve", "--port", str(port))

    def one(name: str, **of: str) -> float | None:
        return scrape(port).get(name, {}).get(labels(**of))

    wait_for(lambda: one("shardlake_flink_running_jobs") == 1, 30, "the jobs")
    wait_for(lambda: one("shardlake_flink_restarts"), 60, "the restart")
    # A source that has read nothing since its start does not say how much there is.
    Topic(told).send_events([event(number) for number in range(EVENTS, EVENTS + 100)])
    wait_for(lambda: one("shardlake_flink_pending_records") == 0, 60, "all to be read")
    # The kill's own time is in it until the first checkpoint after it.
    wait_for(lambda: (age := one("shardlake_flink_checkpoint_age_seconds")) is not None and age < 30, 60, "checkpoints")

    def freshness_is_right() -> bool:
        """Both are of moments: the lake is looked at every few seconds."""
        (newest,) = json.loads(told.shardlake("query", "--json", "select max(event_time) as newest from app_logs"))
        truth = datetime.now(UTC) - datetime.fromisoformat(newest["newest"]).replace(tzinfo=UTC)
        fresh = one("shardlake_lake_freshness_seconds", table="app_logs")
        return fresh is not None and abs(fresh - truth.total_seconds()) < 30

    wait_for(freshness_is_right, 90, "the age of the newest event in the lake")

    told.shardlake("jobs", "stop")
    wait_for(lambda: one("shardlake_flink_running_jobs") == 0, 30, "the jobs to be gone")
    assert one("shardlake_flink_up") == 1
    assert one("shardlake_flink_checkpoint_age_seconds") is None
    told.stack.servers["jobmanager"].kill()
    wait_for(lambda: one("shardlake_flink_up") == 0, 40, "Flink to be gone")
    assert one("shardlake_lag_up") == 1
    assert one("shardlake_flink_running_jobs") is None
    exporter.terminate()
    assert "No Flink answers" in exporter.communicate(timeout=30)[0]
