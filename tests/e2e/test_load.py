"""Load on the real stack: what was sent is where it must be, and the report says so; what is wrong is said too."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from shardlake import groups, topics
from shardlake.load.problems import problems
from shardlake.load.result import Result, read_samples
from shardlake.testing.stack import RunningStack, free_port_base
from tests.e2e.loading import load
from tests.support import copy_pipeline

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
def loaded(
    shardlake_stack: RunningStack, tmp_path_factory: pytest.TempPathFactory
) -> tuple[RunningStack, Path, Result]:
    """A stack, and a run of load on it with most of what a scenario can do."""
    folder = copy_pipeline(tmp_path_factory.mktemp("pipeline"), partitions=4)
    scenario = folder / "some.yaml"
    scenario.write_text(SCENARIO)
    report = folder / "out"
    stack = shardlake_stack.emptied(folder)
    process = load(stack, "--scenario", str(scenario), "--report", str(report), "--json")
    result = Result.read(report)
    # On a busy machine the schedule may be missed, or a consumer fall behind: then the load says so, and no more.
    if process.returncode:
        assert process.returncode == 1
        assert problems(replace(result, void="", lag=[])) == []
        said = " ".join(process.stderr.split())
        assert all(" ".join(problem.split()) in said for problem in problems(result)), said
    assert json.loads(process.stdout)["events"] == EVENTS
    return stack, report, result


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
    assert not slow or max(slow) > 0  # a broker that was slow to answer just then says nothing
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
    counted = "select missed_table, count(*)::INT n from late_events group by 1 order by 1"
    late = json.loads(stack.shardlake("query", "--json", counted))
    assert late == [{"missed_table": table, "n": RATE * 2 * 0.2} for table in ("service_health", "sessions")]


def test_a_load_leaves_the_servers_as_it_found_them(loaded: tuple[RunningStack, Path, Result]) -> None:
    from confluent_kafka.admin import AdminClient

    stack, _, _ = loaded
    servers = stack.settings.kafka_bootstrap_servers
    assert "load.traffic" not in groups.names(AdminClient({"bootstrap.servers": servers}))
    assert not [name for name in topics.names(servers) if name.startswith("app-logs.load.")]
    jobs: list[dict[str, Any]] = json.loads(stack.shardlake("jobs", "list", "--json"))
    # The newest first; Flink also remembers those of earlier tests.
    assert jobs[0]["state"] == "FINISHED"
    assert not [job for job in jobs if job["state"] in ("RUNNING", "RESTARTING")]


def test_a_stack_that_is_not_up_is_said_to_be_so(tmp_path: Path) -> None:
    folder = copy_pipeline(tmp_path, partitions=1)
    environment = {"SHARDLAKE_STATE": str(tmp_path / "state")}
    told = shardlake(folder, environment, "load", "--rate", "5", "--report", str(tmp_path / "out"))
    assert told.returncode == 3
    assert "No stack is running here" in told.stderr
    assert not (tmp_path / "out").exists()


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
