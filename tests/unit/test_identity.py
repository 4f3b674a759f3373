"""Lake, runs and topic are held against each other where they are of one topic: else that is what is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from shardlake import topic_ids
from shardlake.lake.identity import RECREATED, check_identity
from shardlake.lake.tables import LakeTable
from shardlake.ledger import Run
from shardlake.topic_ids import NO_ID, Noted, of_table

pytestmark = pytest.mark.unit


@pytest.fixture
def table(tmp_path: Path) -> LakeTable:
    """A table of the topic `t` with the id `one`."""
    topic_ids.write(of_table(tmp_path, "table"), {"t": Noted("one", "2026-11-30T16:00:00Z")})
    return LakeTable("table", tmp_path / "table", "x", ())


def run(folder: Path, topic: str, topic_id: str) -> Path:
    Run(topic, topic_id, {0: 0}, 0.0).join(folder)
    return folder


def test_one_topic_everywhere_is_no_anomaly(table: LakeTable, tmp_path: Path) -> None:
    runs = [run(tmp_path / "a", "t", "one"), run(tmp_path / "b", "t", "one")]
    found, is_lakes, same = check_identity("t", "one", table, runs)
    assert (found.counts, found.checked, is_lakes, same) == ({}, 3, True, runs)


def test_a_lake_of_another_topic_is_named_with_both_ids(table: LakeTable) -> None:
    found, is_lakes, _ = check_identity("t", "two", table, [])
    assert not is_lakes
    (one,) = found.anomalies
    assert (one.name, one.where) == (RECREATED, "t")
    assert "the table table is of the topic with the id one, noted 2026-11-30T16:00:00Z" in one.what
    assert "the one that was read has two" in one.what


def test_runs_of_another_topic_are_named_and_left_out(table: LakeTable, tmp_path: Path) -> None:
    before, after = run(tmp_path / "before", "t", "zero"), run(tmp_path / "after", "t", "one")
    found, is_lakes, same = check_identity("t", "one", table, [before, after])
    assert is_lakes
    assert same == [after]
    assert [(one.name, one.where) for one in found.anomalies] == [(RECREATED, str(before))]


@pytest.mark.parametrize(("noted", "now"), [(None, "two"), (NO_ID, "two"), ("one", NO_ID)])
def test_what_has_no_id_is_taken_as_it_is(table: LakeTable, noted: str | None, now: str) -> None:
    topic_ids.write(of_table(table.folder.parent, table.name), {"t": Noted(noted, "then")} if noted else {})
    found, is_lakes, _ = check_identity("t", now, table, [])
    assert is_lakes
    assert found.counts == {}
