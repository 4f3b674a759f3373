"""Workers share the shards, take over from one that dies, and commit only what was processed; lag tells how far they
are."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from pathlib import Path

import psutil
import pytest

from shardlake import topics
from shardlake.errors import Unavailable
from shardlake.lag.sampling import Sampler
from shardlake.testing.stack import RunningStack
from tests.support import PATIENCE_SECONDS, Topic, by, copy_pipeline, event, scrape, wait_for

pytestmark = pytest.mark.e2e

EVENTS, MORE_EVENTS = 3_000, 1_000
AGE = "kafka_consumergroup_group_lag_seconds"
RECORDER = '''
"""Writes down what it processed, and is slow enough to be watched."""
import os, time
from pathlib import Path
from shardlake.shards.processor import RecordProcessor

class Recorder(RecordProcessor):
    def initialize(self, shard_id):
        Path(os.environ["RECORDED"], str(os.getpid())).touch()

    def process_records(self, records, checkpointer):
        for record in records:
            assert record.data["event_id"].startswith("event-")
            with Path(os.environ["RECORDED"], str(os.getpid())).open("a") as file:
                file.write(f"{record.shard_id} {record.sequence_number} {record.partition_key}\\n")
            time.sleep(0.005)
        checkpointer.checkpoint()
'''
FAILING = """
from shardlake.shards.processor import RecordProcessor

class Failing(RecordProcessor):
    def process_records(self, records, checkpointer):
        for record in records:
            if record.sequence_number == 7:
                raise RuntimeError("the seventh")
            checkpointer.checkpoint(record.sequence_number)
"""


@pytest.fixture(scope="module")
def consuming(shardlake_broker: RunningStack, tmp_path_factory: pytest.TempPathFactory) -> RunningStack:
    """A stack with some events in four partitions, and two more consumers."""
    folder = copy_pipeline(tmp_path_factory.mktemp("pipeline"), partitions=4)
    (folder / "consumers" / "recorder.py").write_text(RECORDER)
    (folder / "consumers" / "failing.py").write_text(FAILING)
    broker = shardlake_broker.emptied(folder)
    Topic(broker).send_events([event(number) for number in range(EVENTS)])
    Topic(broker).send([b"not an event"], [b"any"])
    return broker


def committed(stack: RunningStack, group: str) -> int:
    return sum(topics.committed(stack.settings.kafka_bootstrap_servers, group, "app-logs").values())


def there(stack: RunningStack) -> int:
    offsets = topics.offsets(stack.settings.kafka_bootstrap_servers, "app-logs")
    return sum(end - start for start, end in offsets.values())


def test_workers_take_over_and_nothing_is_passed_over(
    consuming: RunningStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECORDED", str(tmp_path))
    first = consuming.start("consume", "consumers/recorder.py", "--workers", "1")
    wait_for(lambda: committed(consuming, "recorder") > 0, "the first commit")
    second = consuming.start("consume", "recorder", "--workers", "2")
    wait_for(lambda: len(list(tmp_path.iterdir())) == 3, "three workers with a shard")

    # One worker of the second command is killed in the middle of a batch.
    victim = next(p for p in psutil.Process(second.pid).children() if (tmp_path / str(p.pid)).exists())
    done = (tmp_path / str(victim.pid)).stat().st_size
    Topic(consuming).send_events([event(number) for number in range(EVENTS, EVENTS + MORE_EVENTS)])
    wait_for(lambda: (tmp_path / str(victim.pid)).stat().st_size > done, "work of the second command")
    os.kill(victim.pid, signal.SIGKILL)
    wait_for(lambda: committed(consuming, "recorder") == there(consuming), "all committed")
    for process in (first, second):
        process.terminate()
    first.communicate(timeout=PATIENCE_SECONDS)
    assert first.returncode == 0
    output = second.communicate(timeout=PATIENCE_SECONDS)[0]
    assert second.returncode == 1
    assert "failed" in output

    lines = [line.split() for file in tmp_path.iterdir() for line in file.read_text().splitlines()]
    processed = Counter((shard, int(number)) for shard, number, _ in lines)
    sent = {
        (f"app-logs-{m.partition()}", m.offset())
        for m in topics.read(consuming.settings.kafka_bootstrap_servers, "app-logs")
        if m.value() != b"not an event"
    }
    assert processed.keys() == sent
    assert len(sent) == EVENTS + MORE_EVENTS
    # Only the killed worker's batch came again; order is kept in each worker's hands.
    assert processed.total() - len(processed) <= 500
    for file in tmp_path.iterdir():
        by_shard: dict[str, list[int]] = {}
        for line in file.read_text().splitlines():
            shard, number, _ = line.split()
            by_shard.setdefault(shard, []).append(int(number))
        assert all(numbers == sorted(numbers) for numbers in by_shard.values())


def test_a_processor_that_fails_ends_its_worker_and_commits_nothing_past_the_record(consuming: RunningStack) -> None:
    said = consuming.shardlake("consume", "failing", "--no-dead-letters", "--retries", "0", exit_code=1)
    assert "the seventh" in said
    assert "Worker 1 (its error is above) of 1 failed" in said
    for offset in topics.committed(consuming.settings.kafka_bootstrap_servers, "failing", "app-logs").values():
        assert offset <= 7


def test_traffic_counts_and_lag_falls_to_nothing(consuming: RunningStack) -> None:
    said = consuming.shardlake("consume", "traffic", "--workers", "2", "--until-caught-up")
    assert "NoSchemaId" in said
    found = json.loads(consuming.shardlake("lag", "--group", "traffic", "--json"))
    assert [(one["lag"], one["seconds"], one["reason"]) for one in found["partitions"]] == [(0, 0.0, "caught up")] * 4
    assert sum(one["committed"] for one in found["partitions"]) == there(consuming)


def test_lag_is_exported_and_not_started_is_no_zero(consuming: RunningStack) -> None:
    from confluent_kafka import Consumer, TopicPartition

    servers = consuming.settings.kafka_bootstrap_servers
    ends = topics.offsets(servers, "app-logs")
    consumer = Consumer({"bootstrap.servers": servers, "group.id": "half", "enable.auto.commit": False})
    consumer.commit(offsets=[TopicPartition("app-logs", 0, 10)], asynchronous=False)
    consumer.close()
    port = consuming.stack.ports.flink_taskmanager_data + 1
    exporter = consuming.start("lag", "--serve", "--port", str(port))
    try:
        assert exporter.stdout is not None
        assert any("/metrics" in line for line in exporter.stdout)
        # The first scrapes may come before the broker has answered, and before the record that waits was read.
        told = wait_for(
            lambda: "0" in by(found := scrape(port), AGE, "partition", group="half") and found, "the age of half"
        )
    finally:
        exporter.terminate()
        exporter.communicate(timeout=PATIENCE_SECONDS)
    lag = by(told, "kafka_consumergroup_lag", "partition", consumergroup="half", topic="app-logs")
    assert lag == {"0": ends[0][1] - 10, "1": -1, "2": -1, "3": -1}
    seconds = by(told, AGE, "partition", group="half")
    assert 0 < seconds.pop("0") < 600
    assert seconds == {"1": -1, "2": -1, "3": -1}
    assert "not started" in consuming.shardlake("lag", "--group", "half")
    assert "no consumer group 'nobody'" in consuming.shardlake("lag", "--group", "nobody", exit_code=2)


def test_lag_is_told_again_once_a_broker_that_was_killed_is_back(consuming: RunningStack) -> None:
    group = "before-and-after"
    consuming.shardlake("consume", "traffic", "--group", group, "--until-caught-up")
    sampler = Sampler.of(consuming.settings.kafka_bootstrap_servers)
    assert sum(shard.track.end for shard in sampler.sample().of(group)) == there(consuming)
    consuming.stack.restart("kafka")

    def told() -> bool:
        try:
            return [shard.track.committed == shard.track.end for shard in sampler.sample().of(group)] == [True] * 4
        except Unavailable:
            return False

    wait_for(told, "the lag from the same sampler")
    sampler.close()
