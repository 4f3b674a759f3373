"""Where the jobs take up, from what they left behind."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from shardlake.flink.resume import FINISHED, STOPPED, LastEnd, newest_state, next_start
from shardlake.flink.submit import Start
from shardlake.settings import Settings

pytestmark = pytest.mark.unit

OFFSETS = {"app-logs": {1: 7, 0: 5}}


def completed(folder: Path, name: str, age_seconds: int) -> str:
    path = folder / name / "_metadata"
    path.parent.mkdir(parents=True)
    path.touch()
    os.utime(path, (1_000_000 - age_seconds, 1_000_000 - age_seconds))
    return f"file://{path.parent}"


def start(folder: Path) -> Start:
    return next_start(Settings.read(jobs_folder=str(folder)), OFFSETS)


def test_a_first_run_starts_at_the_beginning(tmp_path: Path) -> None:
    assert start(tmp_path) == Start()


def test_a_crashed_job_resumes_from_its_newest_completed_checkpoint(tmp_path: Path) -> None:
    completed(tmp_path, "checkpoints/job-a/chk-9", 50)
    newest = completed(tmp_path, "checkpoints/job-b/chk-2", 10)
    (tmp_path / "checkpoints/job-b/chk-3").mkdir()  # never completed
    assert start(tmp_path) == Start(resume_from=newest)


def test_a_stopped_job_resumes_from_its_savepoint(tmp_path: Path) -> None:
    completed(tmp_path, "checkpoints/job-a/chk-9", 50)
    savepoint = completed(tmp_path, "savepoints/savepoint-1", 10)
    LastEnd(STOPPED, savepoint).write(tmp_path)
    assert start(tmp_path) == Start(resume_from=savepoint)


def test_a_finished_job_starts_anew_after_what_the_lake_holds(tmp_path: Path) -> None:
    LastEnd(FINISHED, completed(tmp_path, "savepoints/savepoint-1", 10)).write(tmp_path)
    assert start(tmp_path) == Start(start_offsets={"app-logs": "partition:0,offset:5;partition:1,offset:7"})


def test_a_job_that_ran_after_the_finish_resumes_from_its_own_checkpoint(tmp_path: Path) -> None:
    LastEnd(FINISHED, completed(tmp_path, "savepoints/savepoint-1", 50)).write(tmp_path)
    newer = completed(tmp_path, "checkpoints/job-b/chk-1", 10)
    assert newest_state(tmp_path) == Path(newer.removeprefix("file://"))
    assert start(tmp_path) == Start(resume_from=newer)
