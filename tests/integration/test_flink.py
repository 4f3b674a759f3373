"""Task managers and the job manager killed: the lake is exact, and the jobs come back by themselves."""

from __future__ import annotations

import pytest

from tests.integration.conftest import Way
from tests.support import wait_for

pytestmark = [pytest.mark.integration, pytest.mark.thorough, pytest.mark.timeout(1200)]


def test_killed_task_managers_leave_the_lake_exact(way: Way) -> None:
    before = way.job()
    producing = way.containers.start(*way.produce("--synthetic", "--rate", "300", "--duration", "inf", "--seed", "21"))
    wait_for(lambda: way.job()["checkpoints"] > before["checkpoints"], "a checkpoint under load")
    for manager in ("taskmanager-1", "taskmanager-2"):
        way.containers.crash(manager)
        wait_for(lambda: way.containers.container(manager).restarts, f"{manager} to be started again")  # noqa: B023
        restarts = way.job()["restarts"]
        wait_for(lambda: way.job()["restarts"] >= max(restarts, 1), "the jobs to restart")  # noqa: B023
    assert way.stopped(producing) > 0
    way.await_accounted_for()
    assert way.job()["job_id"] == before["job_id"]
    assert way.verify()["counts"] == {}


def test_a_killed_job_manager_brings_its_jobs_back(way: Way) -> None:
    before = way.job()
    producing = way.containers.start(*way.produce("--synthetic", "--rate", "300", "--duration", "inf", "--seed", "22"))
    wait_for(lambda: way.job()["checkpoints"] > before["checkpoints"], "a checkpoint under load")
    way.containers.crash("jobmanager")
    wait_for(lambda: way.containers.container("jobmanager").restarts, "the job manager to be started again")
    way.containers.await_healthy("jobmanager")
    back = wait_for(lambda: (job := way.job())["state"] == "RUNNING" and job, "the jobs to run")
    assert back["job_id"] == before["job_id"]
    assert way.stopped(producing) > 0
    way.await_accounted_for()
    assert way.verify()["counts"] == {}
