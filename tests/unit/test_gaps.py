"""What a topic lost while no job ran: `jobs run` names it, and passes over it only where it is told to."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path

import pytest

from shardlake.errors import BadInput
from shardlake.flink.gaps import Gap, gaps
from shardlake.flink.resume import EARLIEST, FINISHED, LastEnd, offsets_in, splits_in
from shardlake.flink.submit import Start
from shardlake.flink.taking_up import TakingUp
from shardlake.pipeline import Pipeline
from shardlake.settings import Settings
from tests.support import ROOT

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("first", "read", "begins", "at"),
    [
        (500, {0: 500}, {0: 0}, None),
        (500, {0: 600}, {0: 0}, None),
        (500, {0: 300}, {0: 0}, 300),
        (500, {0: 300}, {}, 300),  # as an older version left it
        (500, {1: 7}, {0: 100}, 100),  # nothing was read of it since it began at 100
        (500, {1: 7}, {0: 500}, None),  # retention took these before the jobs came
        (500, {1: 7}, {1: 0}, 0),  # a partition that came later
        (500, {1: 7}, {}, None),  # nobody knows
    ],
)
def test_a_gap_is_what_was_to_be_read_and_is_not_there(
    first: int, read: dict[int, int], begins: dict[int, int], at: int | None
) -> None:
    expected = [] if at is None else [Gap("t", 0, at, first)]
    assert list(gaps("t", {0: first}, read, begins)) == expected


def test_a_gap_is_told_with_its_count_and_offsets() -> None:
    assert Gap("t", 3, 300, 1500).words == "1,200 of t-3 (offsets 300 to 1499)"


@pytest.fixture
def taking_up(tmp_path: Path) -> TakingUp:
    """A `jobs run` after one that has noted first offsets of 0."""
    settings = Settings.read(jobs_folder=str(tmp_path / "jobs"), lake_url=str(tmp_path / "lake"))
    before = TakingUp(Pipeline.load(ROOT), settings, {"app-logs": "id"}, {"app-logs": dict.fromkeys(range(3), 0)}, {})
    before.note()
    return replace(before, firsts={"app-logs": {0: 40, 1: 0, 2: 25}})


def state_in(folder: Path, offsets: dict[int, int]) -> Path:
    """A state as Flink writes it: a split for each partition."""
    folder.mkdir(parents=True)
    splits = (b"\x00\x08app-logs" + struct.pack(">iqq", *one, -(2**63)) for one in offsets.items())
    (folder / "_metadata").write_bytes(b"??".join(splits))
    return folder


def test_a_state_knows_partitions_of_which_nothing_was_read(tmp_path: Path) -> None:
    state = state_in(tmp_path / "state", {0: 30, 1: 12, 2: EARLIEST})
    assert splits_in(state, "app-logs") == {0: 30, 1: 12, 2: EARLIEST}
    assert offsets_in(state, "app-logs") == {0: 30, 1: 12}


def test_what_is_gone_before_the_state_goes_on_is_refused(taking_up: TakingUp, tmp_path: Path) -> None:
    state = state_in(tmp_path / "jobs" / "checkpoints" / "a" / "chk-1", {0: 30, 1: 12, 2: EARLIEST})
    begin = Start(resume_from=f"file://{state}")
    with pytest.raises(BadInput, match="Lost while the jobs were down: records that the jobs have not read") as refused:
        taking_up.must_have_lost_nothing(begin, skip=False)
    assert "10 of app-logs-0 (offsets 30 to 39), 25 of app-logs-2 (offsets 0 to 24)" in refused.value.message
    assert "--skip-lost" in refused.value.hint
    (said,) = taking_up.must_have_lost_nothing(begin, skip=True)
    assert said.startswith("going on without records that the jobs have not read")
    assert "10 of app-logs-0" in said


def test_after_a_finish_what_the_jobs_covered_counts_as_read(taking_up: TakingUp, tmp_path: Path) -> None:
    # Null values and dead letters come after the last row: the savepoint says how far the jobs had read.
    savepoint = state_in(tmp_path / "jobs" / "savepoints" / "savepoint-1", {0: 40, 1: 12, 2: 20})
    LastEnd(FINISHED, str(savepoint)).write(tmp_path / "jobs")
    begin = Start(start_offsets={"app-logs": "partition:0,offset:35;partition:1,offset:12;partition:2,offset:30"})
    after = replace(taking_up, held={"app-logs": {0: 35, 1: 12, 2: 30}})
    assert after.gaps(begin) == []
    assert replace(after, held={"app-logs": {0: 35, 1: 12}}).gaps(begin) == [Gap("app-logs", 2, 20, 25)]


def test_a_first_run_and_a_topic_that_no_job_has_read_begin_with_what_there_is(
    taking_up: TakingUp, tmp_path: Path
) -> None:
    assert taking_up.gaps(Start()) == []
    state = tmp_path / "jobs" / "checkpoints" / "a" / "chk-1"
    state.mkdir(parents=True)
    (state / "_metadata").write_bytes(b"of another topic")
    assert taking_up.gaps(Start(resume_from=f"file://{state}")) == []
