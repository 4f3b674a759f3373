"""Whether events that came late explain a cell, and what is seen of the lake's files as files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shardlake.lake.files import SEEN_FILE, check_files
from shardlake.lake.recount import Difference
from shardlake.lake.recount import is_late as explained
from shardlake.lake.tables import LakeTable

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("what", "in_table", "recounted", "without_late", "is_late"),
    [
        ("events", 7, 10, {"events": 7}, True),
        ("events", 8, 10, {"events": 7}, True),  # one of them was in time after all
        ("events", 6, 10, {"events": 7}, False),  # it lacks more than came late
        ("events", 11, 10, {"events": 7}, False),
        ("events", 9, 10, {"events": 10}, False),  # none came late
        ("events", 9, 10, None, False),
        ("error_ratio", 0.1, 0.2, {"error_ratio": 0.15}, True),
        ("error_ratio", 0.1, 0.2, {"error_ratio": 0.2}, False),
        ("missing", None, {}, None, True),  # all of its events came late
        ("missing", None, {}, {"events": 1}, False),
        ("alien", {}, None, {"events": 1}, True),  # a late event joins two sessions in the recount
        ("alien", {}, None, None, False),
    ],
)
def test_a_cell_is_late_between_what_it_is_with_and_without_late_events(
    what: str, in_table: Any, recounted: Any, without_late: dict[str, Any] | None, is_late: bool
) -> None:
    assert explained(Difference(("w",), what, in_table, recounted), without_late) is is_late


def test_files_that_are_empty_cut_gone_or_of_another_size(tmp_path: Path) -> None:
    hour = tmp_path / "t" / "year=2026" / "month=03" / "day=01" / "hour=12"
    hour.mkdir(parents=True)
    for name, rows in (("whole", 3), ("grown", 3), ("empty", 0), ("cut", 3)):
        pq.write_table(pa.table({"x": pa.array(range(rows), pa.int64())}), hour / f"{name}.parquet")
    (hour / "cut.parquet").write_bytes((hour / "cut.parquet").read_bytes()[:-9])
    (hour / ".part.inprogress.parquet").write_bytes(b"nobody reads it")
    sizes = {name: (hour / f"{name}.parquet").stat().st_size for name in ("whole", "grown")}
    place = hour.relative_to(tmp_path)
    (tmp_path / SEEN_FILE).write_text(
        f"{sizes['whole']} {place}/whole.parquet\n{sizes['grown'] - 1} {place}/grown.parquet\n5 {place}/gone.parquet\n7"
    )
    found, unreadable, _ = check_files(tmp_path, [LakeTable("t", tmp_path / "t", "x", ("x BIGINT",))], [tmp_path])
    assert found.checked == 4
    assert sorted((one.name, Path(one.where).stem) for one in found.anomalies) == [
        ("empty-file", "empty"), ("unreadable-file", "cut"), ("vanished", "gone"), ("vanished", "grown"),
    ]  # fmt: skip
    assert unreadable == {hour / "cut.parquet"}
