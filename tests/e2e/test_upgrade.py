"""Jobs are stopped, changed, added, removed, resumed: nothing is lost or doubled, and what cannot resume is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from shardlake import topics
from shardlake.flink.tables import GROUP
from shardlake.storage import remove
from shardlake.testing.stack import RunningStack
from tests.e2e.lake import all_accounted_for, rows
from tests.support import Topic, copy_pipeline, event, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.thorough]


def savepoint_of(said: str) -> str:
    return said.split("savepoint ")[1].strip()


def test_jobs_change_between_stop_and_run(shardlake_stack: RunningStack, tmp_path: Path) -> None:
    folder = copy_pipeline(tmp_path / "pipeline", partitions=4)
    health = folder / "flink_jobs" / "service_health.py"
    stack = shardlake_stack.emptied(folder)
    topic = Topic(stack)

    def send(first: int, end: int) -> None:
        topic.send_events([event(number) for number in range(first, end)])

    # The stop is in the middle of the second minute.
    send(0, 90)
    assert "from the start" in stack.shardlake("jobs", "run", "archive", "service_health")
    wait_until_archived(stack, 90)
    first_savepoint = savepoint_of(stack.shardlake("jobs", "stop"))

    # What is counted as an error changes, and sessions are new: windows go on in the middle of their minute.
    original = health.read_text()
    health.write_text(original.replace("`status` >= 500", "`status` >= 600"))
    send(90, 150)
    said = stack.shardlake("jobs", "run", "archive", "service_health", "sessions")
    assert "resumed from" in said
    assert "new here: lake.sessions" in said
    wait_until_archived(stack, 150)
    stack.shardlake("jobs", "stop")

    # Another aggregate is another layout of what open windows keep.
    health.write_text(original.replace("AVG(`latency_ms`)", "MAX(`latency_ms`)"))
    said = stack.shardlake("jobs", "run", "archive", "service_health", exit_code=2)
    assert "the job service_health (behind lake.service_health, topics.service-health) keeps has changed" in said
    assert "was AVG(app_logs.latency_ms) (DOUBLE of DOUBLE), is MAX(app_logs.latency_ms)" in " ".join(said.split())
    assert "jobs finish" in said
    health.write_text(original)

    # Older state would write again what is there.
    said = stack.shardlake("jobs", "run", "archive", "--from", first_savepoint, exit_code=2)
    assert "is older than the lake" in said
    assert "jobs rewind" in said

    # Sessions go again, and a job in Python comes.
    send(150, 240)
    said = stack.shardlake("jobs", "run", "archive", "error_alerts", "service_health")
    assert "no longer written: lake.sessions" in said
    assert "new here: lake.alerts, topics.alerts" in said
    stack.shardlake("jobs", "finish")
    assert all_accounted_for(stack)
    per_minute = rows(
        stack, "SELECT window_start, sum(events)::INT, sum(errors)::INT FROM service_health GROUP BY 1 ORDER BY 1"
    )
    assert [events for _, events, _ in per_minute] == [60, 60, 60, 60]
    # Every tenth failed; from the 90th on none counts as an error, until the definition is back at the 150th.
    assert [errors for _, _, errors in per_minute] == [6, 3, 3, 6]


def test_a_lake_without_its_state_is_not_written_twice_but_anew_on_purpose(stack: RunningStack) -> None:
    jobs = ("archive", "service_health")
    Topic(stack).send_events([event(number) for number in range(240)])
    stack.shardlake("jobs", "run", *jobs)
    wait_until_archived(stack, 240)
    # Commits come after a checkpoint, and the first ones may be refused by a group whose coordinator is new.
    wait_for(lambda: sum(committed(stack).values()) == 240, "the jobs' offsets")
    stack.shardlake("jobs", "stop")
    before = rows(stack, "SELECT event_id FROM app_logs ORDER BY 1")
    remove(stack.settings.jobs)
    said = stack.shardlake("jobs", "run", exit_code=2)
    assert "no savepoint or checkpoint to go on from" in said
    assert "jobs rewind" in said
    assert "writes them again" in stack.shardlake("jobs", "rewind", "--yes")
    assert rows(stack, "SELECT count(*) FROM app_logs") == [(0,)]
    assert committed(stack) == {}
    assert "from the start of the topic" in stack.shardlake("jobs", "run", *jobs)
    assert "are running" in stack.shardlake("jobs", "rewind", "--yes", exit_code=1)
    stack.shardlake("jobs", "finish")
    assert rows(stack, "SELECT event_id FROM app_logs ORDER BY 1") == before
    assert all_accounted_for(stack)
    found = {one["table"]: one for one in json.loads(stack.shardlake("lake", "recount", "--json"))}
    assert found["service_health"]["differences"] == []


def committed(stack: RunningStack) -> dict[int, int]:
    return topics.committed(stack.settings.kafka_bootstrap_servers, GROUP, "app-logs")


def wait_until_archived(stack: RunningStack, count: int) -> None:
    wait_for(lambda: rows(stack, "SELECT count(*) FROM app_logs")[0][0] >= count, f"{count} rows")
