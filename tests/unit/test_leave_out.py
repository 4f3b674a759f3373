"""Leaving a job out: in which order things happen, what is kept, and what is undone where the others cannot go on."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from shardlake.cli import leave_out as command
from shardlake.cli.turn import turn
from shardlake.errors import BadInput, ShardlakeError
from shardlake.flink import precommitted, submit
from shardlake.flink.apart import left_out
from shardlake.flink.precommitted import Outcome, Precommitted
from shardlake.flink.submit import Plans, Start
from shardlake.pipeline import Pipeline
from shardlake.settings import Settings
from tests.support import ROOT

pytestmark = pytest.mark.unit

JOB_ID = "0123456789abcdef" * 2
WRITERS = {"lake.app_logs": ("archive",), "lake.sessions": ("sessions",), "topics.ends": ("sessions",)}
PIPELINE = Pipeline.load(ROOT)


@dataclass
class Stack:
    """A running application of archive and sessions, in place of Flink and a broker; what is done is `done`."""

    settings: Settings
    begin: Start
    name: str = "shardlake: archive, sessions(gap_minutes=10)"
    refused: BadInput | None = None
    open_transactions: tuple[Precommitted, ...] = ()
    done: list[str] = field(default_factory=list)

    def cancel(self, job_id: str) -> None:
        self.done.append(f"cancel {job_id[:4]}, left out: {list(left_out(self.settings.jobs))}")

    def await_ended(self, job_id: str) -> None:
        self.done.append(f"ended {job_id[:4]}")

    def submission(self, _: Pipeline, settings: Settings, jobs: dict[str, Any], log: Path, **given: Any) -> Any:
        self.done.append(f"plan {', '.join(jobs)} from {given['start_offsets']}, closed {given['closed']}")
        return jobs

    def submit(self, _: Any, jobs: Any, begin: Start, *, leaves_out: bool) -> tuple[str, str]:
        assert leaves_out
        self.done.append(f"submit from {begin.resume_from}, left out: {list(left_out(self.settings.jobs))}")
        if self.refused:
            raise self.refused
        return "new", "resumed"


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stack:
    monkeypatch.setenv("SHARDLAKE_STATE", str(tmp_path / "state"))
    jobs = tmp_path / "jobs"
    state = jobs / "checkpoints" / JOB_ID / "chk-7"
    state.mkdir(parents=True)
    (state / "_metadata").write_bytes(b"")
    found = Stack(Settings.read(jobs_folder=str(jobs)), Start(resume_from=f"file://{state}", closed={"sessions": {}}))
    Plans(jobs).keep(JOB_ID, "a plan", WRITERS)
    monkeypatch.setattr(command, "cluster_of", lambda _: found)
    monkeypatch.setattr(command, "running", lambda _: SimpleNamespace(job_id=JOB_ID, name=found.name))
    monkeypatch.setattr(command, "begin_of", lambda *_: found.begin)
    monkeypatch.setattr(command, "topics_of", lambda *_: ({"app-logs": {0: 3}}, {}))
    monkeypatch.setattr(command, "submit", found.submit)
    monkeypatch.setattr(submit, "Submission", found.submission)
    monkeypatch.setattr(precommitted, "outcomes", lambda *_: dict.fromkeys(found.open_transactions, Outcome.OPEN))
    return found


def test_both_go_on_from_one_state_which_is_kept_before_the_others_start(stack: Stack) -> None:
    assert command.leave_out(PIPELINE, stack.settings, "sessions", "KeyError: 'a'") == ("new", "resumed")
    assert stack.done == [
        "cancel 0123, left out: []",
        "ended 0123",
        "plan archive from None, closed {'sessions': {}}",
        f"submit from {stack.begin.resume_from}, left out: ['sessions']",
    ]
    one = left_out(stack.settings.jobs)["sessions"]
    assert (one.begin, one.options, one.why) == (stack.begin, {"gap_minutes": "10"}, "KeyError: 'a'")
    assert one.sinks == ("lake.sessions", "topics.ends")
    assert not one.is_taken_up


def test_without_a_state_the_job_keeps_where_its_topics_begin_now(stack: Stack) -> None:
    stack.begin = Start()
    command.leave_out(PIPELINE, stack.settings, "sessions")
    one = left_out(stack.settings.jobs)["sessions"]
    assert one.begin == Start(start_offsets={"app-logs": "partition:0,offset:3"})
    assert str(one).endswith("by hand; it goes on at app-logs/0/3")
    assert stack.done[-1] == "submit from None, left out: ['sessions']"


def test_where_the_others_cannot_go_on_alone_all_may_go_on_together(stack: Stack) -> None:
    stack.refused = BadInput("The job archive keeps something else now.", "")
    with pytest.raises(BadInput, match="The others cannot go on without sessions: The job archive keeps"):
        command.leave_out(PIPELINE, stack.settings, "sessions")
    assert left_out(stack.settings.jobs) == {}
    assert list((stack.settings.jobs / "apart").iterdir()) == []


def test_what_the_job_has_written_is_committed_first(stack: Stack) -> None:
    stack.open_transactions = (Precommitted("ends", "shardlake-ends-0-1", 7, 0),)
    with pytest.raises(ShardlakeError, match="What sessions wrote last is not committed yet"):
        command.leave_out(PIPELINE, stack.settings, "sessions")
    assert stack.done == []


@pytest.mark.parametrize(
    ("job", "name", "words"),
    [
        ("archive", "shardlake: archive, sessions", "by which it is known what all jobs have read"),
        ("alarms", "shardlake: archive, sessions", "The job alarms is not in the application"),
        ("sessions", "shardlake: sessions", "No other job than sessions is running"),
    ],
)
def test_what_cannot_be_left_out_ends_nothing(stack: Stack, job: str, name: str, words: str) -> None:
    stack.name = name
    with pytest.raises(BadInput, match=words):
        command.leave_out(PIPELINE, stack.settings, job)
    assert stack.done == []


def test_two_commands_do_not_start_jobs_at_once(stack: Stack) -> None:
    with turn(), pytest.raises(ShardlakeError, match=f"process {os.getpid()}"):
        command.leave_out(PIPELINE, stack.settings, "sessions")
    assert stack.done == []
