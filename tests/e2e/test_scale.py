"""Leases tell who holds what; workers come with lag and go without it; and the demo's sum holds."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import psutil
import pytest
from confluent_kafka import Producer

from shardlake.testing.stack import RunningStack, free_port_base
from tests.support import PATIENCE_SECONDS, ROOT, copy_pipeline, wait_for

pytestmark = pytest.mark.e2e

SHARDS = 4
# Work of a few milliseconds, one record after the other in each worker; but for the shard of the stuck ones.
SLOW = """
import threading, time
from shardlake.shards.processor import RecordProcessor

LOCK = threading.Lock()
free = 0.0

class Slow(RecordProcessor):
    def process_records(self, records, checkpointer):
        global free
        for record in records:
            while record.value == b"stuck":
                time.sleep(0.1)
            with LOCK:
                free = until = max(free, time.monotonic()) + 0.002
            time.sleep(max(0.0, until - time.monotonic()))
            checkpointer.checkpoint(record.sequence_number)
"""
DYING = "import os\n\n\ndef process_record(record):\n    os._exit(7)\n"
TOPICS = "".join(f"\n[{name}]\npartitions = {SHARDS}\n" for name in ("burst", "stuck", "held"))
LIMITS = ["--max-workers", "3", "--drain-seconds", "5", "--cooldown-seconds", "4", "--hold-seconds", "3"]


@pytest.fixture(scope="module")
def scaling(shardlake_broker: RunningStack, tmp_path_factory: pytest.TempPathFactory) -> RunningStack:
    folder = copy_pipeline(tmp_path_factory.mktemp("pipeline"), partitions=4)
    (folder / "consumers" / "slow.py").write_text(SLOW)
    (folder / "consumers" / "dying.py").write_text(DYING)
    with (folder / "schemas" / "topics.toml").open("a") as file:
        file.write(TOPICS)
    return shardlake_broker.emptied(folder)


def send(stack: RunningStack, topic: str, count: int, value: bytes = b"record", partition: int | None = None) -> None:
    producer = Producer({"bootstrap.servers": stack.settings.kafka_bootstrap_servers})
    for number in range(count):
        producer.produce(topic, value, partition=number % SHARDS if partition is None else partition)
        producer.poll(0)
    assert producer.flush(30) == 0


def leases(stack: RunningStack, group: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(stack.shardlake("leases", group, "--json"))
    return found


class Supervisor:
    """`shardlake scale`, and what it has said."""

    def __init__(self, stack: RunningStack, topic: str, consumer: str, *arguments: str) -> None:
        command = ["scale", consumer, "--topic", topic, "--group", topic, "--no-dead-letters", *LIMITS, *arguments]
        self.process = stack.start(*command)
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.lines.extend(self.process.stdout)

    def said(self, words: str) -> list[str]:
        return [line for line in list(self.lines) if line.startswith("scale: ") and words in line]

    def wait_for(self, words: str) -> None:
        wait_for(lambda: self.said(words), f"{words!r}, among {self.lines}")

    def ended(self) -> int:
        """Its exit code; asked to end, or by itself."""
        code = self.process.wait(PATIENCE_SECONDS)
        self._reader.join(10)
        return code


def test_a_takeover_raises_the_epoch(scaling: RunningStack) -> None:
    send(scaling, "held", 400)
    assert "'held'" in scaling.shardlake("leases", "held", exit_code=2)
    consume = ["consume", "slow", "--topic", "held", "--group", "held", "--no-dead-letters"]
    first = scaling.start(*consume)
    wait_for(lambda: "held" in json.dumps(scaling.shardlake("lag", "--json")), "the group")
    held = wait_for(
        lambda: (one := leases(scaling, "held")) and all(lease["behind"] == 0 for lease in one) and one, "all done"
    )
    assert [(lease["shard"], lease["state"], lease["epoch"], lease["checkpoint"]) for lease in held] == [
        (f"held-{number}", "held", 1, 100) for number in range(SHARDS)
    ]
    assert {lease["in_flight"] for lease in held} == {0}
    (owner,) = {lease["owner"] for lease in held}
    (worker,) = [p.pid for p in psutil.Process(first.pid).children() if owner.endswith(f":{p.pid}")]
    os.kill(worker, signal.SIGKILL)
    first.communicate(timeout=PATIENCE_SECONDS)
    second = scaling.start(*consume)

    def second_epoch() -> list[dict[str, Any]]:
        return [one for one in leases(scaling, "held") if (one["epoch"], one["state"]) == (2, "held")]

    taken = wait_for(lambda: len(found := second_epoch()) == SHARDS and found, "all of epoch 2")
    assert taken[0]["owner"] != owner
    second.terminate()
    assert second.wait(PATIENCE_SECONDS) == 0
    assert {lease["state"] for lease in leases(scaling, "held")} == {"free"}
    assert "free" in scaling.shardlake("leases", "held")


@pytest.mark.thorough
def test_a_burst_brings_workers_a_stuck_shard_none_and_they_go(scaling: RunningStack) -> None:
    send(scaling, "burst", 12_000)
    # The other group's shard 3 cannot go on; what the rest of it has to do is done in no time.
    send(scaling, "stuck", 300)
    send(scaling, "stuck", 5_000, b"stuck", partition=3)
    stuck = Supervisor(scaling, "stuck", "slow", "--stuck-seconds", "8")
    burst = Supervisor(scaling, "burst", "slow")
    burst.wait_for("2 workers instead of 1: ")
    stuck.wait_for("stuck-3 is stuck: 5,000 records behind")
    burst.wait_for("1 worker instead of 2: ")
    assert "records a second arrive" in burst.said("1 worker instead of 2: ")[0]
    assert not stuck.said("instead of")
    wait_for(lambda: [lease["behind"] for lease in leases(scaling, "burst")] == [0] * SHARDS, "all to be done")
    # The stuck handler would be waited for a minute; its worker ends with its supervisor, however that ends.
    stuck.process.kill()
    assert stuck.ended() == -signal.SIGKILL
    burst.process.send_signal(signal.SIGINT)
    assert burst.ended() == 0
    assert not [line for line in burst.lines if "interrupted" in line]


def test_it_ends_when_all_is_done(scaling: RunningStack) -> None:
    supervisor = Supervisor(scaling, "held", "slow", "--until-caught-up", "--group", "again")
    assert supervisor.ended() == 0
    assert supervisor.said("all shards are at their ends")
    assert [lease["behind"] for lease in leases(scaling, "again")] == [0] * SHARDS


@pytest.mark.thorough
def test_a_worker_that_always_dies_ends_the_command(scaling: RunningStack) -> None:
    supervisor = Supervisor(scaling, "held", "dying", "--group", "dying")
    assert supervisor.ended() == 1
    assert len(supervisor.said("it is started again in")) == 4
    assert "has died 5 times" in "".join(supervisor.lines)


@pytest.mark.slow
def test_what_workers_wrote_down_is_the_topic(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "shardlake", "--pipeline", str(ROOT), "demo-scale"]
    environment = {**os.environ, "SHARDLAKE_STATE": str(tmp_path), "COLUMNS": "200"}
    done = subprocess.run(
        [*command, "--port-base", str(free_port_base())],
        capture_output=True, text=True, env=environment, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    last = done.stdout.splitlines()[-1]
    found = re.fullmatch(r"records seen ([\d,]+) = records produced ([\d,]+), order breaks 0", last)
    assert found, last
    assert found[1] == found[2]
    for words in ("2 workers instead of 1", "3 workers instead of 2", "kill -9", "is started again"):
        assert words in done.stderr
