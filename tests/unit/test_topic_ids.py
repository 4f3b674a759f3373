"""A topic that was made anew is another one: what is noted of ids, and what `jobs run` refuses for it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from shardlake import topic_ids
from shardlake.errors import BadInput
from shardlake.flink.resume import FINISHED, STOPPED, LastEnd
from shardlake.flink.taking_up import TakingUp
from shardlake.pipeline import Pipeline
from shardlake.settings import Settings
from shardlake.topic_ids import FILE, NO_ID, Noted, made_anew, of_table
from tests.support import ROOT

pytestmark = pytest.mark.unit

IDS = {"app-logs": "first", "app-logs.dlq": "letters", "alerts": "alerts-1"}
ANEW = {**IDS, "app-logs": "second"}


def state_in(folder: Path, name: str) -> Path:
    """A checkpoint or savepoint that is complete."""
    (folder / name).mkdir(parents=True)
    (folder / name / "_metadata").touch()
    return folder / name


@pytest.fixture
def first_run(tmp_path: Path) -> TakingUp:
    """A `jobs run` where there is nothing yet."""
    settings = Settings.read(jobs_folder=str(tmp_path / "jobs"), lake_url=str(tmp_path / "lake"))
    return TakingUp(Pipeline.load(ROOT), settings, IDS, {"app-logs": {0: 3, 1: 0}}, {})


def test_a_first_run_notes_the_ids_with_the_state_and_the_lake_and_says_nothing(
    first_run: TakingUp, tmp_path: Path
) -> None:
    first_run.must_be_the_same_topics()
    assert first_run.note() == []
    noted = topic_ids.read(tmp_path / "jobs" / FILE)
    assert {name: one.topic_id for name, one in noted.items()} == IDS
    assert noted["app-logs"].firsts == {0: 3, 1: 0}
    in_lake = topic_ids.read(of_table(tmp_path / "lake", "app_logs"))
    assert {name: one.topic_id for name, one in in_lake.items()} == {"app-logs": "first"}
    assert not (tmp_path / "lake" / "app_logs").exists()  # polars reads no folder that has other files


@pytest.mark.parametrize("how", [STOPPED, FINISHED, "crashed"])
def test_another_topic_of_the_same_name_is_refused_however_the_jobs_have_ended(
    first_run: TakingUp, tmp_path: Path, how: str
) -> None:
    first_run.note()
    jobs = tmp_path / "jobs"
    state = state_in(jobs, "checkpoints/a/chk-1" if how == "crashed" else "savepoints/savepoint-1")
    if how != "crashed":
        LastEnd(how, str(state)).write(jobs)
    first_run.must_be_the_same_topics()
    before = (jobs / FILE).read_text()
    with pytest.raises(BadInput, match="app-logs is another topic of the same name") as refused:
        replace(first_run, ids=ANEW).must_be_the_same_topics()
    assert "the id second, the one noted 20" in refused.value.message
    assert "had first" in refused.value.message
    assert "jobs rewind" in refused.value.hint
    assert first_run.settings.kafka_bootstrap_servers in refused.value.hint
    assert (jobs / FILE).read_text() == before


def test_a_lake_refuses_another_topic_where_the_jobs_folder_has_no_note(first_run: TakingUp, tmp_path: Path) -> None:
    first_run.note()
    (tmp_path / "jobs" / FILE).unlink()
    again = replace(first_run, ids=ANEW, held={"app-logs": {0: 7}})
    with pytest.raises(BadInput, match="than the one that the table app_logs of the lake is of"):
        again.must_be_the_same_topics()


def test_a_savepoint_that_comes_back_is_of_the_topics_of_its_day(first_run: TakingUp, tmp_path: Path) -> None:
    first_run.note()
    jobs, copy = tmp_path / "jobs", state_in(tmp_path / "backup", "savepoint-1")
    topic_ids.keep_with(jobs, copy)
    anew = replace(first_run, ids=ANEW)
    anew.note()  # after a rewind
    with pytest.raises(BadInput, match=r"the one that the savepoint .*backup/savepoint-1 is of"):
        replace(anew, savepoint=str(copy)).must_be_the_same_topics()
    replace(first_run, savepoint=str(copy)).must_be_the_same_topics()


def test_state_of_an_older_version_takes_the_ids_and_says_so(first_run: TakingUp, tmp_path: Path) -> None:
    state_in(tmp_path / "jobs", "checkpoints/a/chk-1")
    first_run.must_be_the_same_topics()
    (said,) = first_run.note()
    assert "taken to be of app-logs (first)" in said
    assert first_run.note() == []
    with pytest.raises(BadInput, match="another topic"):
        replace(first_run, ids=ANEW).must_be_the_same_topics()


def test_a_topic_that_the_jobs_write_is_told_and_not_refused(first_run: TakingUp, tmp_path: Path) -> None:
    first_run.note()
    state_in(tmp_path / "jobs", "checkpoints/a/chk-1")
    again = replace(first_run, ids={**IDS, "app-logs.dlq": "letters-2"})
    again.must_be_the_same_topics()
    (said,) = again.note()
    assert said.startswith("app-logs.dlq was made anew: the broker's has the id letters-2")
    assert again.note() == []


def test_where_nothing_is_left_to_go_on_from_any_topic_is_new(first_run: TakingUp, tmp_path: Path) -> None:
    first_run.note()
    anew = replace(first_run, ids=ANEW)
    anew.must_be_the_same_topics()
    assert anew.note() == []
    assert topic_ids.read(tmp_path / "jobs" / FILE)["app-logs"].topic_id == "second"
    assert topic_ids.read(of_table(tmp_path / "lake", "app_logs"))["app-logs"].topic_id == "second"


def test_a_note_keeps_the_time_at_which_the_id_was_first_seen(
    first_run: TakingUp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first_run.note()
    noted = topic_ids.read(tmp_path / "jobs" / FILE)["app-logs"].noted
    monkeypatch.setattr(topic_ids, "now", lambda: "later")
    replace(first_run, firsts={"app-logs": {0: 9}}).note()
    assert topic_ids.read(tmp_path / "jobs" / FILE)["app-logs"] == Noted("first", noted, {0: 9})


@pytest.mark.parametrize(
    ("noted", "now", "is_anew"),
    [("a", "a", False), ("a", "b", True), ("a", NO_ID, False), (NO_ID, "b", False), (None, "b", False)],
)
def test_ids_are_compared_where_both_are_known(noted: str | None, now: str, is_anew: bool) -> None:
    notes = {"t": Noted(noted, "then")} if noted else {}
    assert bool(list(made_anew(notes, {"t": now}))) == is_anew


def test_the_note_is_json_that_others_can_read(tmp_path: Path) -> None:
    topic_ids.write(tmp_path / FILE, {"t": Noted("id", "2026-11-30T16:00:00Z", {10: 1, 2: 0})})
    assert json.loads((tmp_path / FILE).read_text()) == {
        "t": {"id": "id", "noted": "2026-11-30T16:00:00Z", "firsts": {"10": 1, "2": 0}}
    }
    assert topic_ids.read(tmp_path / FILE)["t"].firsts == {10: 1, 2: 0}
    assert topic_ids.read(tmp_path / "none") == {}
