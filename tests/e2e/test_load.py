"""Load on the real stack: what was sent is where it must be, and the report says so; what is wrong is said too."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from shardlake import groups, ledger, topics
from shardlake.load.result import Result, read_samples
from shardlake.testing.stack import RunningStack, free_port_base, running_stack
from tests.support import copy_pipeline, small_disk, wait_for

pytestmark = pytest.mark.e2e

RATE, SECONDS, POISON = 200, 24, 40
SCENARIO = f"""
rate: {RATE}
duration: {SECONDS}
warm_up: 4
workers: 1
timeline:
  - {{at: 5, hot_key: {{share: 0.5, for: 5}}}}
  - {{at: 8, add_consumer: {{count: 1}}}}
  - {{at: 10, burst: {{factor: 3, for: 2}}}}
  - {{at: 13, poison: {{count: {POISON}, for: 2}}}}
  - {{at: 15, slow_consumer: {{wait_us: 2000, for: 2}}}}
  - {{at: 18, late: {{share: 0.2, by: 600, for: 2}}}}
"""
EVENTS = RATE * (SECONDS + 2 * 2) + POISON


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningStack, Path, Result]]:
    """A stack, and a run of load on it with most of what a scenario can do."""
    folder = copy_pipeline(tmp_path_factory.mktemp("pipeline"), partitions=4)
    scenario = folder / "some.yaml"
    scenario.write_text(SCENARIO)
    report = folder / "out"
    with running_stack(folder, tmp_path_factory.mktemp("state")) as stack:
        process = run(stack, "--scenario", str(scenario), "--report", str(report), "--json")
        result = Result.read(report)
        # On a busy machine the schedule may be missed: then it says so, and that is the only complaint.
        if process.returncode:
            assert process.returncode == 1
            assert result.void
            assert result.void in process.stderr
        assert json.loads(process.stdout)["events"] == EVENTS
        yield stack, report, result


def run(stack: RunningStack, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        stack.command("load", *arguments), env=stack.environment, text=True, capture_output=True, check=False,
        timeout=280,
    )  # fmt: skip


def test_every_event_is_accounted_for_and_verified(loaded: tuple[RunningStack, Path, Result]) -> None:
    stack, _, result = loaded
    assert (result.events, result.acknowledged, result.failed, result.unknown) == (EVENTS, EVENTS, 0, 0)
    offsets = topics.offsets(stack.settings.kafka_bootstrap_servers, "app-logs")
    assert sum(end - first for first, end in offsets.values()) == EVENTS
    assert (result.verified, result.anomalies, result.partial) == ("holds", {}, "")


def test_latencies_are_of_every_event_after_the_warm_up(loaded: tuple[RunningStack, Path, Result]) -> None:
    _, _, result = loaded
    after = EVENTS - 4 * RATE
    found = result.latencies
    assert (found["acknowledged"].count, found["acknowledged"].unknown) == (after, 0)
    assert (found["visible in the lake"].count, found["visible in the lake"].unknown) == (after - POISON, POISON)
    # For a consumer an event of the year 9999 is one; and it is the only one such of the first forty.
    assert (found["consumed"].count, found["consumed"].unknown) == (after - POISON + 1, POISON - 1)
    for one in found.values():
        assert 0 <= one.p50_ms <= one.p90_ms <= one.p99_ms <= one.p999_ms <= one.max_ms
    # A row's file shows up with a checkpoint, and those come every second.
    assert found["visible in the lake"].p50_ms > found["acknowledged"].p50_ms
    assert found["visible in the lake"].max_ms > 500


def test_lag_is_known_by_shard_for_consumers_and_jobs(loaded: tuple[RunningStack, Path, Result]) -> None:
    _, report, result = loaded
    assert {slope.group for slope in result.lag} == {"load.traffic", "jobs"}
    told = read_samples(report)
    samples = [sample for sample in told if sample.lag]  # a broker that is slow to answer says nothing
    assert len(samples) > len(told) / 2
    assert {tuple(sample.lag["load.traffic"]) for sample in samples} == {tuple(f"app-logs-{n}" for n in range(4))}
    assert min(value for s in samples for shards in s.lag.values() for value in shards.values()) >= 0
    slow = [sum(s.lag["load.traffic"].values()) for s in samples if 15.5 <= s.at_seconds < 18]
    # Two workers that wait 2 ms for each record do 1,000 a second at most, and read on when it is over.
    assert max(slow) > 0
    assert sum(samples[-1].lag["load.traffic"].values()) == 0
    assert sum(samples[-1].lag["jobs"].values()) == 0
    assert sum(sample.sent for sample in told) == EVENTS


def test_what_was_done_and_what_it_took_is_told(loaded: tuple[RunningStack, Path, Result]) -> None:
    _, report, result = loaded
    assert [act.name.split()[0] for act in result.acts] == [
        "hot_key", "add_consumer", "burst", "poison", "slow_consumer", "late",
    ]  # fmt: skip
    assert result.acts[1].said == "2 workers"
    roles = {usage.role: usage for usage in result.usage}
    assert {"kafka", "registry", "jobmanager", "taskmanager", "producers", "consumers", "measuring"} <= roles.keys()
    assert roles["consumers"].processes >= 2
    assert roles["taskmanager"].max_memory_mb > 100
    assert all(usage.cpu_seconds > 0 for name, usage in roles.items() if name != "registry")
    (handler,) = result.handlers
    assert handler.consumer == "traffic"
    assert handler.us_per_record > 0
    page, summary = (report / "report.html").read_text(), (report / "report.md").read_text()
    assert f"{EVENTS:,}" in page
    assert "--scenario" in summary
    assert not list(report.glob("*.ledger"))  # it holds


def test_the_hot_key_was_hot_and_the_late_events_were_late(loaded: tuple[RunningStack, Path, Result]) -> None:
    stack, _, _ = loaded
    rows = json.loads(
        stack.shardlake("query", "--json", "select client_address, count(*) n from app_logs group by 1 order by 2 desc")
    )
    assert rows[0]["n"] >= RATE * 5 / 2 * 0.9  # one of the pool's addresses, which some log lines lack
    late = json.loads(stack.shardlake("query", "--json", "select count(*) n from late_events"))
    assert late[0]["n"] == RATE * 2 * 0.2


def test_a_load_leaves_the_servers_as_it_found_them(loaded: tuple[RunningStack, Path, Result]) -> None:
    from confluent_kafka.admin import AdminClient

    stack, _, _ = loaded
    servers = stack.settings.kafka_bootstrap_servers
    assert "load.traffic" not in groups.names(AdminClient({"bootstrap.servers": servers}))
    assert not [name for name in topics.names(servers) if name.startswith("app-logs.load.")]
    jobs: list[dict[str, Any]] = json.loads(stack.shardlake("jobs", "list", "--json"))
    assert [job["state"] for job in jobs] == ["FINISHED"]


class Begun:
    """A load of 100 events a second without the jobs that is under way, five seconds old."""

    def __init__(self, stack: RunningStack, folder: Path, *arguments: str) -> None:
        self.folder = folder
        fixed = ("load", "--rate", "100", "--warm-up", "1", "--no-jobs", "--report", str(folder))
        self.process = subprocess.Popen(
            stack.command(*fixed, *arguments), env=stack.environment, text=True, stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        samples = folder / "samples.jsonl"
        wait_for(lambda: samples.exists() and samples.read_text().count("\n") > 5, 60, "five seconds of load")

    def kill(self, that_writes: str) -> None:
        """The child that has a file of this name's end open is killed."""
        for child in psutil.Process(self.process.pid).children():
            files = [Path(file.path) for file in child.open_files()]
            if any(self.folder in file.parents and file.name.endswith(that_writes) for file in files):
                child.kill()
                return
        raise AssertionError(f"nobody writes {that_writes}")

    def end(self) -> tuple[int, str, Result]:
        """Its exit code, what it said, and what it left."""
        _, said = self.process.communicate(timeout=240)
        return self.process.returncode, said, Result.read(self.folder)


def test_ctrl_c_leaves_a_partial_report_marked_so(loaded: tuple[RunningStack, Path, Result], tmp_path: Path) -> None:
    begun = Begun(loaded[0], tmp_path / "out", "--duration", "600")
    wait_for(lambda: sum(one.stat().st_size for one in begun.folder.glob("*.rows")), 60, "records that were handled")
    begun.process.send_signal(signal.SIGINT)
    code, said, result = begun.end()
    assert code == 130, said
    assert result.partial.startswith("interrupted")
    assert 0 < result.events == result.acknowledged < 60_000
    assert result.latencies["consumed"].count > 0
    assert result.verified == "not checked"
    assert "partial" in (begun.folder / "report.md").read_text().lower()


def test_ctrl_c_after_the_load_keeps_what_was_sent(loaded: tuple[RunningStack, Path, Result], tmp_path: Path) -> None:
    scenario = tmp_path / "slow.yaml"
    scenario.write_text("rate: 100\ntimeline:\n  - {at: 0, slow_consumer: {wait_us: 100000, for: 3600}}\n")
    begun = Begun(loaded[0], tmp_path / "out", "--duration", "8", "--scenario", str(scenario))
    assert begun.process.stderr is not None
    while "the load is over" not in begun.process.stderr.readline():
        assert begun.process.poll() is None
    begun.process.send_signal(signal.SIGINT)
    code, said, result = begun.end()
    assert code == 130, said
    assert result.partial == "interrupted before all that was sent was read"
    assert (result.events, result.acknowledged, result.unknown) == (800, 800, 0)
    assert 0 < result.latencies["consumed"].count < 700  # a worker that waits 100 ms for each has read a tenth


def test_a_worker_that_is_killed_is_told_and_no_event_is_missed(
    loaded: tuple[RunningStack, Path, Result], tmp_path: Path
) -> None:
    begun = Begun(loaded[0], tmp_path / "out", "--duration", "14")
    begun.kill("workers.log")
    code, said, result = begun.end()
    assert code == 1
    assert result.partial.startswith("worker 1 has ended: killed by SIGKILL")
    assert "load.traffic has not caught up, and is waited for no longer" in said
    assert read_samples(begun.folder)[-1].at_seconds < 50  # for a reader that lives it would be 88 s
    assert (result.events, result.acknowledged, result.verified) == (1400, 1400, "holds")
    consumed = result.latencies["consumed"]
    assert consumed.count + consumed.unknown == 1300
    assert consumed.unknown > 0


def test_a_producer_that_is_killed_is_told_and_its_ledger_stays(
    loaded: tuple[RunningStack, Path, Result], tmp_path: Path
) -> None:
    begun = Begun(loaded[0], tmp_path / "out", "--duration", "600")
    begun.kill(".ledger")
    code, said, result = begun.end()
    assert code == 1, said
    assert "A producer of the load has died (exit code -9)" in result.partial
    assert result.verified == "not checked"
    assert list(begun.folder.glob("*.ledger"))


def test_a_full_disk_under_the_report_is_named_and_no_sent_event_is_without_its_line(
    loaded: tuple[RunningStack, Path, Result], tmp_path: Path
) -> None:
    stack, folder = loaded[0], tmp_path / "disk"
    servers = stack.settings.kafka_bootstrap_servers
    before = {partition: end for partition, (_, end) in topics.offsets(servers, "app-logs").items()}
    with small_disk(folder, 1):
        report = folder / "out"
        alone = ("--no-jobs", "--workers", "0", "--report", str(report))
        process = run(stack, "--rate", "2000", "--duration", "30", *alone)
        assert process.returncode == 3, process.stderr
        assert f"The disk is full: {report}" in process.stderr
        (found,) = ledger.of_run(report)
    sent = [ledger.digest(message.key(), message.value()) for message in topics.read(servers, "app-logs", before)]
    assert 0 < len(sent) < 2000 * 30
    assert set(sent) <= set(found.digests.tolist())


def test_what_cannot_be_is_refused_before_anything_is_sent(
    loaded: tuple[RunningStack, Path, Result], tmp_path: Path
) -> None:
    stack, report, _ = loaded
    before = topics.offsets(stack.settings.kafka_bootstrap_servers, "app-logs")
    full = run(stack, "--rate", "5", "--report", str(report))
    assert (full.returncode, "is not empty" in full.stderr) == (2, True)
    typo = tmp_path / "typo.yaml"
    typo.write_text("rate: 5\nduraton: 9\n")
    told = run(stack, "--scenario", str(typo), "--report", str(tmp_path / "a"))
    assert told.returncode == 2
    assert "typo.yaml:2" in told.stderr
    assert "Did you mean duration?" in told.stderr
    typo.write_text("rate: 5\ntimeline:\n  - {at: 1, restart_broker: }\n")
    others = run(stack, "--scenario", str(typo), "--report", str(tmp_path / "b"))
    assert (others.returncode, "restart_broker is for the stack of" in others.stderr) == (2, True)
    nobody = run(stack, "--rate", "5", "--consumer", "nobody", "--report", str(tmp_path / "c"))
    assert (nobody.returncode, "There is no consumer 'nobody'" in nobody.stderr) == (2, True)
    assert topics.offsets(stack.settings.kafka_bootstrap_servers, "app-logs") == before
    assert not [name for name in "abc" if (tmp_path / name).exists()]


def test_a_stack_that_is_not_up_is_said_to_be_so(tmp_path: Path) -> None:
    folder = copy_pipeline(tmp_path, partitions=1)
    environment = {"SHARDLAKE_STATE": str(tmp_path / "state")}
    told = shardlake(folder, environment, "load", "--rate", "5", "--report", str(tmp_path / "out"))
    assert told.returncode == 3
    assert "No stack is running here" in told.stderr
    assert not (tmp_path / "out").exists()


def test_a_rate_that_cannot_be_made_voids_the_latencies(
    loaded: tuple[RunningStack, Path, Result], tmp_path: Path
) -> None:
    stack, _, _ = loaded
    folder = tmp_path / "out"
    arguments = ("--rate", "500000", "--duration", "4", "--warm-up", "1", "--workers", "0", "--no-jobs")
    told = run(stack, *arguments, "--report", str(folder))
    assert told.returncode == 1
    assert "was not offered as intended, and the latencies are void" in told.stderr
    result = Result.read(folder)
    assert result.schedule is not None
    assert not result.schedule.kept
    assert result.schedule.reached_per_second < 0.9 * 500_000
    assert result.verified == "holds"  # what was sent is there all the same


@pytest.mark.slow
def test_a_broker_that_is_restarted_under_load_costs_time_and_no_event(tmp_path: Path) -> None:
    folder = copy_pipeline(tmp_path, partitions=4)
    scenario = folder / "some.yaml"
    scenario.write_text("rate: 500\nduration: 30\nwarm_up: 5\ntimeline:\n  - {at: 12, restart_broker: {down: 2}}\n")
    environment = {"SHARDLAKE_STATE": str(tmp_path / "state"), "SHARDLAKE_CHECKPOINT_SECONDS": "1"}
    shardlake(folder, environment, "up", "--detach", "--port-base", str(free_port_base()))
    try:
        told = shardlake(folder, environment, "load", "--scenario", str(scenario), "--report", str(folder / "out"))
    finally:
        shardlake(folder, environment, "down")
    assert "verify: holds" in told.stdout, told.stderr
    result = Result.read(folder / "out")
    assert (result.events, result.acknowledged, result.verified) == (15_000, 15_000, "holds")
    assert [act.said for act in result.acts] == ["killed (-9)", "started again"]
    assert result.latencies["acknowledged"].max_ms > 2000


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_highest_rate_is_what_the_handler_allows(tmp_path: Path) -> None:
    folder = copy_pipeline(tmp_path, partitions=1)
    scenario = folder / "slow.yaml"
    scenario.write_text("rate: 50\ntimeline:\n  - {at: 0, slow_consumer: {wait_us: 5000}}\n")
    environment = {"SHARDLAKE_STATE": str(tmp_path / "state")}
    arguments = ("--find-max", "--only", "consumers=1", "--scenario", str(scenario), "--report", str(folder / "out"))
    told = shardlake(folder, environment, "load", *arguments, "--port-base", str(free_port_base()))
    assert told.returncode == 0, told.stderr
    (found,) = json.loads((folder / "out" / "capacity.json").read_text())["found"]
    # A record waits for 5 ms, and a sleep takes a little longer than it is asked for.
    assert 150 < found["rate"] <= 202
    assert (found["limit"], found["verified"]) == ("lag", "holds")
    assert found["confirmed"] >= 2


def shardlake(pipeline: Path, environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "shardlake", "--pipeline", str(pipeline), *arguments]
    return subprocess.run(command, env={**os.environ, **environment}, text=True, capture_output=True, check=False)
