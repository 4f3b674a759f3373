"""Jobs that were left out: where each goes on, what refuses it, and when it is one of the others again."""

from __future__ import annotations

import os
import struct
from dataclasses import replace
from pathlib import Path

import pytest

from shardlake.errors import BadInput
from shardlake.flink.apart import (
    LEFT_OUT,
    LeftOut,
    begin_of,
    explicit,
    folders,
    forget,
    held_by,
    keep,
    left_out,
    must_be_separable,
    offsets_of,
    settings_of,
    unite,
    without_left_out,
)
from shardlake.flink.resume import FINISHED, STOPPED, LastEnd
from shardlake.flink.submit import Plans, Start
from shardlake.pipeline import Pipeline
from shardlake.settings import Settings
from tests.support import ROOT

pytestmark = pytest.mark.unit

JOB_ID = "0123456789abcdef" * 2
FIRSTS = {"app-logs": {0: 3, 1: 0}}
WRITERS = {
    "lake.app_logs": ("archive",),
    "topics.alerts": ("alarms", "error_alerts"),
    "lake.late_events": ("service_health", "sessions"),
    "lake.sessions": ("sessions",),
}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.read(jobs_folder=str(tmp_path), parallelism=2)


def state_in(folder: Path, name: str, offsets: dict[int, int], age_seconds: int = 50) -> str:
    """A state as Flink writes it: a split of app-logs for each partition."""
    path = folder / name / "_metadata"
    path.parent.mkdir(parents=True)
    splits = (b"\x00\x08app-logs" + struct.pack(">iqq", *one, -(2**63)) for one in offsets.items())
    path.write_bytes(b"??".join(splits))
    os.utime(path, (1_000_000 - age_seconds, 1_000_000 - age_seconds))
    return f"file://{path.parent}"


def sessions(begin: Start) -> LeftOut:
    sinks = ("lake.late_events", "lake.sessions", "topics.session-ends")
    return LeftOut("sessions", {"gap_minutes": "10"}, "2026-11-30T20:00:00Z", "KeyError: 'a'", begin, sinks)


def test_a_job_goes_on_from_the_state_from_which_the_others_went_on(settings: Settings, tmp_path: Path) -> None:
    state = state_in(tmp_path, f"checkpoints/{JOB_ID}/chk-7", {0: 5})
    Plans(settings.jobs).keep(JOB_ID, "its plan", {"lake.sessions": ("sessions",)})
    one = sessions(Start(resume_from=state, closed={"sessions": {"app-logs": 17}}))
    one = replace(one, offsets=offsets_of(settings, one.begin, FIRSTS))
    keep(settings, one)
    assert left_out(settings.jobs) == {"sessions": one}
    assert str(one) == "sessions, since 2026-11-30T20:00:00Z: KeyError: 'a'; it goes on at app-logs/0/5"
    assert one.topics == {"session-ends"}
    own = settings_of(settings, "sessions")
    assert begin_of(own, one, FIRSTS) == one.begin
    assert Plans(own.jobs).of_state(state) == "its plan"
    assert LastEnd.read(own.jobs) == LastEnd(
        LEFT_OUT, state, {"sessions": {"gap_minutes": "10"}}, {"sessions": {"app-logs": 17}}
    )
    assert folders(settings.jobs) == [tmp_path, tmp_path / "apart" / "sessions"]
    assert own.parallelism == 1

    # Once it has run, its own state counts; what the others do meanwhile changes nothing.
    state_in(tmp_path, f"checkpoints/{JOB_ID}/chk-9", {0: 90}, age_seconds=5)
    newer = state_in(tmp_path, "apart/sessions/checkpoints/own/chk-1", {0: 6})
    os.utime(tmp_path / "apart/sessions/checkpoints/own/chk-1/_metadata")
    begin = begin_of(own, one, FIRSTS)
    assert begin == Start(resume_from=newer, closed={"sessions": {"app-logs": 17}})


def test_a_job_whose_state_is_gone_is_not_begun_anew(settings: Settings, tmp_path: Path) -> None:
    one = sessions(Start(resume_from=f"file://{tmp_path}/checkpoints/{JOB_ID}/chk-7"))
    keep(settings, one)
    own = settings_of(settings, "sessions")
    with pytest.raises(BadInput, match=r"The state from which sessions goes on is gone: .*chk-7"):
        begin_of(own, one, FIRSTS)
    LastEnd(FINISHED, f"file://{tmp_path}/apart/sessions/savepoints/savepoint-1").write(own.jobs)
    with pytest.raises(BadInput, match=r"The savepoint with which sessions has ended is gone: .*savepoint-1"):
        begin_of(own, one, FIRSTS)


def test_a_job_without_any_state_begins_where_the_topics_began_then(settings: Settings) -> None:
    begin = explicit(Start(), FIRSTS)
    assert begin == Start(start_offsets={"app-logs": "partition:0,offset:3;partition:1,offset:0"})
    assert held_by(begin) == FIRSTS
    after_finish = Start(start_offsets={"app-logs": "partition:0,offset:8"})
    assert explicit(after_finish, FIRSTS) == after_finish
    keep(settings, sessions(begin))
    assert begin_of(settings_of(settings, "sessions"), sessions(begin), {"app-logs": {0: 70}}) == begin
    assert explicit(Start(resume_from="file:///a/state"), FIRSTS) == Start(resume_from="file:///a/state")


def test_what_is_left_out_does_not_start_with_the_others(settings: Settings) -> None:
    chosen: dict[str, dict[str, str]] = {"archive": {}, "sessions": {}}
    assert without_left_out(settings.jobs, chosen, []) == chosen
    keep(settings, sessions(Start()))
    assert without_left_out(settings.jobs, chosen, []) == {"archive": {}}
    assert without_left_out(settings.jobs, chosen, ["archive"]) == {"archive": {}}
    for jobs, named in ((chosen, ["archive", "sessions"]), ({"sessions": {}}, [])):
        with pytest.raises(BadInput, match=r"A job is left out: sessions, since 2026.*: KeyError: 'a'") as refused:
            without_left_out(settings.jobs, jobs, named)
        assert "jobs take-up sessions" in refused.value.hint
    forget(settings, "sessions")
    assert without_left_out(settings.jobs, chosen, ["sessions"]) == chosen


def test_a_job_that_others_depend_on_is_not_left_out() -> None:
    pipeline = Pipeline.load(ROOT)
    must_be_separable(pipeline, WRITERS, "sessions")
    must_be_separable(pipeline, WRITERS, "service_health")
    for job, words in (
        ("archive", "by which it is known what all jobs have read"),
        ("error_alerts", "The jobs error_alerts and alarms write one topic, alerts"),
        ("unheard_of", "Nothing is known of what the job unheard_of writes"),
    ):
        with pytest.raises(BadInput, match=words):
            must_be_separable(pipeline, WRITERS, job)


@pytest.mark.parametrize(
    ("how", "offsets", "is_united"),
    [(FINISHED, {0: 8, 1: 4}, True), (FINISHED, {0: 8, 1: 3}, False), (STOPPED, {0: 8, 1: 4}, False)],
)
def test_a_job_is_one_of_the_others_once_all_have_finished_at_the_same_offsets(
    settings: Settings, tmp_path: Path, how: str, offsets: dict[int, int], is_united: bool
) -> None:
    keep(settings, sessions(Start(closed={"sessions": {"app-logs": 17}, "archive": {"app-logs": 17}})))
    finished = state_in(tmp_path, "savepoints/savepoint-1", {0: 8, 1: 4})
    LastEnd(FINISHED, finished, {"archive": {}}, {"archive": {"app-logs": 90}, "sessions": {"app-logs": 17}}).write(
        tmp_path
    )
    own = tmp_path / "apart" / "sessions"
    ended = state_in(own, "savepoints/savepoint-2", offsets)
    LastEnd(how, ended, {"sessions": {}}, {"sessions": {"app-logs": 95}}).write(own)
    assert unite(settings, ["app-logs"]) == (["sessions"] if is_united else [])
    assert bool(left_out(tmp_path)) is not is_united
    last = LastEnd.read(tmp_path)
    assert last
    assert last.closed == {"archive": {"app-logs": 90}, "sessions": {"app-logs": 95 if is_united else 17}}
