"""Where the jobs take up, from what they left behind."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest

from shardlake.errors import BadInput
from shardlake.flink.resume import (
    FINISHED,
    FINISHING,
    STOPPED,
    LastEnd,
    must_have_ended,
    newest_state,
    next_start,
    offsets_in,
    settle,
    write_end,
)
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


def start(folder: Path, wanted: str | None = None) -> Start:
    return next_start(Settings.read(jobs_folder=str(folder)), {"app-logs": {0: 3, 1: 0, 2: 4}}, OFFSETS, wanted)


def write_split(state: str, partition: int, offset: int) -> None:
    """As Flink's KafkaPartitionSplitSerializer, in the middle of something else."""
    split = b"\x00\x08app-logs" + struct.pack(">iqq", partition, offset, -(2**63))
    (Path(state.removeprefix("file://")) / "_metadata").write_bytes(b"\x00\x08app-logs???" + split + b"...")


def test_a_first_run_starts_at_the_beginning(tmp_path: Path) -> None:
    assert next_start(Settings.read(jobs_folder=str(tmp_path)), {"app-logs": {0: 3}}, {}) == Start()


def test_a_lake_without_any_state_is_not_written_again(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no savepoint or checkpoint to go on from") as refused:
        start(tmp_path)
    assert "jobs rewind" in refused.value.hint


@pytest.mark.parametrize(("offset", "is_older"), [(4, True), (5, False), (6, False)])
def test_state_older_than_the_lake_is_refused(tmp_path: Path, offset: int, is_older: bool) -> None:
    state = completed(tmp_path, "checkpoints/job-a/chk-9", 50)
    write_split(state, 0, offset)
    assert offsets_in(Path(state.removeprefix("file://")), "app-logs") == {0: offset}
    if is_older:
        with pytest.raises(BadInput, match="older than the lake: it goes on at offset 4 of app-logs-0"):
            start(tmp_path)
    else:
        assert start(tmp_path) == Start(resume_from=state)


def test_a_savepoint_that_is_gone_is_not_replaced_by_an_older_checkpoint(tmp_path: Path) -> None:
    completed(tmp_path, "checkpoints/job-a/chk-9", 50)
    LastEnd(STOPPED, f"file://{tmp_path}/savepoints/savepoint-1").write(tmp_path)
    with pytest.raises(BadInput, match=r"stopped is gone: .*savepoint-1"):
        start(tmp_path)


def test_a_folder_that_is_no_savepoint_is_refused(tmp_path: Path) -> None:
    newest = completed(tmp_path, "checkpoints/job-a/chk-9", 50)
    with pytest.raises(BadInput, match="is no savepoint") as refused:
        start(tmp_path, wanted=str(tmp_path))
    assert newest.removeprefix("file://") in refused.value.hint


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


def test_a_finished_job_starts_anew_after_what_it_has_read_whatever_the_lake_holds(tmp_path: Path) -> None:
    savepoint = completed(tmp_path, "savepoints/savepoint-1", 10)
    write_split(savepoint, 0, 9)
    os.utime(tmp_path / "savepoints/savepoint-1/_metadata", (999_990, 999_990))
    LastEnd(FINISHED, savepoint, closed={"sessions": {"app-logs": 17}}).write(tmp_path)
    assert start(tmp_path) == Start(
        start_offsets={"app-logs": "partition:0,offset:9;partition:1,offset:0;partition:2,offset:4"},
        closed={"sessions": {"app-logs": 17}},
    )


def test_a_job_that_an_older_version_finished_starts_anew_after_what_the_lake_holds(tmp_path: Path) -> None:
    LastEnd(FINISHED, completed(tmp_path, "savepoints/savepoint-1", 10)).write(tmp_path)
    assert start(tmp_path) == Start(
        start_offsets={"app-logs": "partition:0,offset:5;partition:1,offset:7;partition:2,offset:4"}
    )


def test_a_job_that_ran_after_the_finish_resumes_from_its_own_checkpoint(tmp_path: Path) -> None:
    LastEnd(FINISHED, completed(tmp_path, "savepoints/savepoint-1", 50)).write(tmp_path)
    newer = completed(tmp_path, "checkpoints/job-b/chk-1", 10)
    assert newest_state(tmp_path) == Path(newer.removeprefix("file://"))
    assert start(tmp_path) == Start(resume_from=newer)


def with_latest(state: str, text: bytes) -> str:
    (Path(state.removeprefix("file://")) / "_metadata").write_bytes(b"...\x22" + text + b"\x01...")
    return state


def test_a_finish_closes_the_windows_of_its_jobs_up_to_the_latest_event_and_never_fewer(tmp_path: Path) -> None:
    first = with_latest(completed(tmp_path, "savepoints/savepoint-1", 50), b"latest-event-time/app-logs/7000;")
    write_end(tmp_path, FINISHED, first, {"sessions": {"gap_minutes": "3"}, "archive": {}}, drained=True)
    assert LastEnd.read(tmp_path) == LastEnd(
        FINISHED,
        first,
        {"sessions": {"gap_minutes": "3"}, "archive": {}},
        {"sessions": {"app-logs": 7000}, "archive": {"app-logs": 7000}},
    )
    second = with_latest(
        completed(tmp_path, "savepoints/savepoint-2", 40),
        b"latest-event-time/app-logs/5000;..latest-event-time/app-logs/6000;latest-event-time/pay.ments/1;",
    )
    write_end(tmp_path, STOPPED, second, {"archive": {}}, drained=False)
    closed = {"sessions": {"app-logs": 7000}, "archive": {"app-logs": 7000}}
    assert LastEnd.read(tmp_path) == LastEnd(STOPPED, second, {"archive": {}}, closed)
    write_end(tmp_path, FINISHED, second, {"health": {}, "archive": {}}, drained=True)
    last = LastEnd.read(tmp_path)
    assert last
    assert last.closed == {
        "sessions": {"app-logs": 7000},
        "archive": {"app-logs": 7000, "pay.ments": 1},
        "health": {"app-logs": 6000, "pay.ments": 1},
    }


def test_a_run_after_a_stop_or_a_crash_knows_what_earlier_finishes_closed(tmp_path: Path) -> None:
    closed = {"sessions": {"app-logs": 17}}
    savepoint = completed(tmp_path, "savepoints/savepoint-1", 50)
    LastEnd(STOPPED, savepoint, closed=closed).write(tmp_path)
    assert start(tmp_path) == Start(resume_from=savepoint, closed=closed)
    newer = completed(tmp_path, "checkpoints/job-b/chk-1", 10)
    assert start(tmp_path) == Start(resume_from=newer, closed=closed)


def test_the_end_of_an_older_version_is_taken_up(tmp_path: Path) -> None:
    (tmp_path / "last.json").write_text('{"how": "stopped", "savepoint": "/a/savepoint-1"}')
    assert LastEnd.read(tmp_path) == LastEnd(STOPPED, "/a/savepoint-1", {}, {})


def test_a_drain_that_was_killed_is_taken_up_and_its_windows_stay_closed(tmp_path: Path) -> None:
    before = completed(tmp_path, "savepoints/savepoint-1", 50)
    LastEnd(FINISHING, before, {"sessions": {}}).write(tmp_path)
    assert not settle(tmp_path)
    assert start(tmp_path) == Start(resume_from=before)
    completed(tmp_path, "checkpoints/job-b/chk-1", 40)
    assert not settle(tmp_path)
    drained = with_latest(completed(tmp_path, "savepoints/savepoint-2", 30), b"latest-event-time/app-logs/7000;")
    assert settle(tmp_path)
    closed = {"sessions": {"app-logs": 7000}}
    assert LastEnd.read(tmp_path) == LastEnd(STOPPED, drained, {"sessions": {}}, closed)
    assert start(tmp_path) == Start(resume_from=drained, closed=closed)
    assert not settle(tmp_path)
    LastEnd(STOPPED, before).write(tmp_path)
    assert not settle(tmp_path)


@pytest.mark.parametrize(
    ("how", "lake", "said"),
    [
        (FINISHED, "/lake", ""),
        (FINISHED, "s3://bucket/lake", ""),
        (STOPPED, "/lake", ""),
        (STOPPED, "s3://bucket/lake", "The jobs were stopped"),
    ],
)
def test_files_may_be_written_anew_where_no_state_names_one_that_is_to_come(
    tmp_path: Path, how: str, lake: str, said: str
) -> None:
    settings = Settings.read(jobs_folder=str(tmp_path), lake_url=lake)
    must_have_ended(settings)  # nothing has ever run
    LastEnd(how, completed(tmp_path, "savepoints/savepoint-1", 5)).write(tmp_path)
    if said:
        with pytest.raises(BadInput, match=said):
            must_have_ended(settings)
    else:
        must_have_ended(settings)
    completed(tmp_path, "checkpoints/job/chk-3", 1)
    with pytest.raises(BadInput, match=r"were not ended, and .*chk-3 may name files"):
        must_have_ended(settings)
