"""One set of containers for all tests, with the jobs running and one run of ledgers: each test ends with `verify`."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from shardlake import ledger, topics
from shardlake.lake.accounting import account
from shardlake.lake.verdict import VERDICT_FILE
from shardlake.testing.containers import SERVERS, RunningContainers, running_containers
from shardlake.testing.plugin import skip_without_engine
from tests.support import PATIENCE_SECONDS, ROOT, json_in, wait_for


@dataclass(frozen=True, slots=True)
class Way:
    """The way from producers to the lake, in containers."""

    containers: RunningContainers
    run: Path

    @property
    def servers(self) -> str:
        """The brokers, as this machine reaches them."""
        return self.containers.settings.kafka_bootstrap_servers

    def produce(self, *arguments: str) -> list[str]:
        """Arguments of `produce` that keep a ledger in the run."""
        return ["produce", *arguments, "--ledger", str(self.run), "--json"]

    def stopped(self, producing: subprocess.Popen[str]) -> int:
        """End a producer that runs until then; how many events it has sent, all of them acknowledged."""
        producing.terminate()
        output, _ = producing.communicate(timeout=PATIENCE_SECONDS)
        assert producing.returncode == 130, output
        summary = json_in(output)
        assert summary["acknowledged"] == summary["sent"]
        return int(summary["sent"])

    def acknowledged(self) -> int:
        """How many events the ledgers say were acknowledged, so far."""
        return sum(len(ledger.read(file).acknowledged) for file in self.ledgers() if file.stat().st_size)

    def ledgers(self) -> list[Path]:
        """The files of the run's; none before the first producer has begun."""
        return ledger.paths(self.run)

    def rows(self, sql: str) -> list[dict[str, Any]]:
        """A query over the lake in S3."""
        found: list[dict[str, Any]] = json.loads(self.containers.shardlake("query", "--json", sql))
        return found

    def ends(self) -> dict[int, int]:
        """The end offset of each partition of the topic of events."""
        offsets = topics.offsets(self.servers, self.containers.pipeline.events_topic.name)
        return {partition: end for partition, (_, end) in offsets.items()}

    def await_accounted_for(self) -> None:
        """Until every record of the topic is a row in S3 or a dead letter, exactly once."""
        topic, lake = self.containers.pipeline.events_topic, self.containers.settings.lake
        wait_for(lambda: all(one.holds for one in account(self.servers, topic, lake)), "the sum")

    def verify(self) -> dict[str, Any]:
        """`verify`, of everything that was sent since the containers came up, must hold; what it says."""

        def concludes() -> bool:
            """Exit code 3: the jobs have not committed yet how far their last checkpoint has come."""
            done = self.containers.run("verify", str(self.run))
            assert done.returncode in (0, 3), done.stdout + done.stderr
            return done.returncode == 0

        wait_for(concludes, "a verdict")
        found: dict[str, Any] = json.loads((self.run / VERDICT_FILE).read_text())
        assert found["conclusion"] == "holds"
        return found

    def job(self) -> dict[str, Any]:
        """The application, as `jobs list` tells of it; a job manager that was just started may know of none yet."""

        def jobs() -> Any:
            done = self.containers.run("jobs", "list", "--json")
            assert done.returncode in (0, 3), done.stdout + done.stderr
            return done.returncode == 0 and json.loads(done.stdout)

        found: dict[str, Any] = wait_for(jobs, "a job in `jobs list`")[0]
        return found


@pytest.fixture(scope="package")
def way(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Way]:
    """The containers with the jobs running; gone after the last test of this folder, as others need the cores."""
    skip_without_engine()
    with running_containers(ROOT, tmp_path_factory.mktemp("containers")) as containers:
        containers.shardlake("jobs", "run")
        yield Way(containers, tmp_path_factory.mktemp("ledgers") / "run")


@pytest.fixture(autouse=True)
def all_servers_again(way: Way) -> Iterator[None]:
    """A test that fails half-way leaves no killed server to those after it."""
    yield
    down = [name for name in SERVERS if way.containers.container(name).state != "running"]
    for name in down:
        way.containers.start_again(name)
