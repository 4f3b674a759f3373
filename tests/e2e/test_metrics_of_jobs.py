"""What Flink and the exporter tell Prometheus of the jobs and the lake, against what the broker and the lake say."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from shardlake.testing.stack import RunningStack, free_port_base
from tests.support import PATIENCE_SECONDS, Topic, by, event, labels, scrape, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.thorough]

EVENTS = 2_000
RECORDS_IN = "flink_taskmanager_job_task_operator_numRecordsIn"


def test_flink_and_the_exporter_tell_of_the_job_and_of_the_lake_also_after_a_kill(stack: RunningStack) -> None:
    ports, records = stack.stack.ports, EVENTS + 1
    Topic(stack).send_events([event(number) for number in range(EVENTS)])
    Topic(stack).send([b"not an event"], [b"any"])
    stack.shardlake("jobs", "run", "archive")

    def read() -> bool:
        by_operator = by(scrape(ports.flink_taskmanager_metrics), RECORDS_IN, "operator_id")
        return max(by_operator.values(), default=0) == records

    wait_for(read, "metrics of the job's operators")
    (running,) = scrape(ports.flink_jobmanager_metrics)["flink_jobmanager_numRunningJobs"].values()
    assert running == 1
    stack.stack.restart("taskmanager")
    wait_for(lambda: scrape(ports.flink_taskmanager_metrics), "metrics of the new task manager")

    port = free_port_base() + 1
    exporter = stack.start("lag", "--serve", "--port", str(port))

    def one(name: str, **of: str) -> float | None:
        return scrape(port).get(name, {}).get(labels(**of))

    wait_for(lambda: one("shardlake_flink_running_jobs") == 1, "the jobs")
    wait_for(lambda: one("shardlake_flink_restarts"), "the restart")
    # A source that has read nothing since its start does not say how much there is.
    Topic(stack).send_events([event(number) for number in range(EVENTS, EVENTS + 100)])
    wait_for(lambda: one("shardlake_flink_pending_records") == 0, "all to be read")
    # The kill's own time is in it until the first checkpoint after it.
    wait_for(lambda: (age := one("shardlake_flink_checkpoint_age_seconds")) is not None and age < 30, "checkpoints")

    def freshness_is_right() -> bool:
        """Both are of moments: the lake is looked at every few seconds."""
        (newest,) = json.loads(stack.shardlake("query", "--json", "select max(event_time) as newest from app_logs"))
        if newest["newest"] is None:  # the kill came before the first checkpoint
            return False
        truth = datetime.now(UTC) - datetime.fromisoformat(newest["newest"]).replace(tzinfo=UTC)
        fresh = one("shardlake_lake_freshness_seconds", table="app_logs")
        return fresh is not None and abs(fresh - truth.total_seconds()) < 30

    wait_for(freshness_is_right, "the age of the newest event in the lake")

    stack.shardlake("jobs", "stop")
    wait_for(lambda: one("shardlake_flink_running_jobs") == 0, "the jobs to be gone")
    assert one("shardlake_flink_up") == 1
    assert one("shardlake_flink_checkpoint_age_seconds") is None
    stack.stack.servers["jobmanager"].kill()
    wait_for(lambda: one("shardlake_flink_up") == 0, "Flink to be gone")
    assert one("shardlake_lag_up") == 1
    assert one("shardlake_flink_running_jobs") is None
    exporter.terminate()
    assert "No Flink answers" in exporter.communicate(timeout=PATIENCE_SECONDS)[0]
