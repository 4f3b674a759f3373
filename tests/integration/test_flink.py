"""Task managers and the job manager killed: the lake is exact, and the jobs come back by themselves."""

from __future__ import annotations

import pytest

from tests.integration.conftest import Way
from tests.support import json_in, wait_for

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1200)]


def test_killed_task_managers_leave_the_lake_exact(way: Way) -> None:
    before = way.job()
    producing = way.containers.start(*way.produce("--synthetic", "--rate", "300", "--duration", "25", "--seed", "21"))
    wait_for(lambda: way.job()["checkpoints"] > before["checkpoints"], 30, "a checkpoint under load")
    for manager in ("taskmanager-1", "taskmanager-2"):
        way.containers.crash(manager)
        wait_for(lambda: way.containers.container(manager).restarts, 30, f"{manager} to be started again")  # noqa: B023
        restarts = way.job()["restarts"]
        wait_for(lambda: way.job()["restarts"] >= max(restarts, 1), 60, "the jobs to restart")  # noqa: B023
    assert json_in(producing.communicate(timeout=60)[0])["acknowledged"] == 7500
    way.await_accounted_for()
    assert way.job()["job_id"] == before["job_id"]
    assert way.verify()["counts"] == {}


def test_a_killed_job_manager_brings_its_jobs_back(way: Way) -> None:
    before = way.job()
    producing = way.containers.start(*way.produce("--synthetic", "--rate", "300", "--duration", "25", "--seed", "22"))
    wait_for(lambda: way.job()["checkpoints"] > before["checkpoints"], 30, "a checkpoint under load")
    way.containers.crash("jobmanager")
    wait_for(lambda: way.containers.container("jobmanager").restarts, 30, "the job manager to be started again")
    way.containers.await_healthy("jobmanager")
    back = wait_for(lambda: (job := way.job())["state"] == "RUNNING" and job, 60, "the jobs to run")
    assert back["job_id"] == before["job_id"]
    assert json_in(producing.communicate(timeout=60)[0])["acknowledged"] == 7500
    way.await_accounted_for()

    # Every window has fired once, with what it must hold: counted again from S3.
    way.containers.shardlake("jobs", "finish")
    checked = {check["check"]: check for check in way.verify()["checks"]}
    assert checked["service_health, counted again"]["checked"] > 0
    assert checked["the topic service-health, against the lake"]["anomalies"] == []
    way.containers.shardlake("jobs", "run")
