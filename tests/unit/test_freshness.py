"""The newest event time that a reader of a table sees."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shardlake.lake import freshness
from shardlake.lake.freshness import Freshness
from shardlake.lake.tables import LakeTable
from shardlake.storage import Folder

pytestmark = pytest.mark.unit

NOON = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)


def write(lake: Path, table: str, name: str, *times: datetime) -> Path:
    """A file of rows in the hour of the first."""
    first = times[0] if times else NOON
    file = lake / table / f"year={first:%Y}/month={first:%m}/day={first:%d}/hour={first:%H}" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    column = pa.array([time.replace(tzinfo=None) for time in times], pa.timestamp("ms"))
    pq.write_table(pa.table({"event_time": column, "n": pa.array(range(len(times)))}), file)
    return file


def fails(_: object) -> None:
    raise PermissionError


def of(lake: Path, *tables: str) -> Freshness:
    return Freshness(lambda: [LakeTable(name, lake / name, "event_time", ()) for name in tables])


def test_the_newest_of_all_files_whatever_hour_they_came_to_last(tmp_path: Path) -> None:
    one = of(tmp_path, "logs", "windows", "empty")
    write(tmp_path, "logs", "a.parquet", NOON - timedelta(days=400))
    write(
        tmp_path,
        "logs",
        "b.parquet",
        NOON - timedelta(minutes=50),
        NOON - timedelta(minutes=5),
        NOON - timedelta(hours=1),
    )
    write(tmp_path, "windows", "c.parquet", NOON - timedelta(hours=3))
    assert one.newest(NOON) == {"logs": NOON - timedelta(minutes=5), "windows": NOON - timedelta(hours=3)}
    write(tmp_path, "logs", "late.parquet", NOON - timedelta(hours=5))
    assert one.newest(NOON)["logs"] == NOON - timedelta(minutes=5)
    write(tmp_path, "logs", "d.parquet", NOON - timedelta(minutes=1))
    write(tmp_path, "windows", "e.parquet", NOON)
    assert one.newest(NOON) == {"logs": NOON - timedelta(minutes=1), "windows": NOON}


def test_a_time_to_come_hides_nothing_and_counts_when_it_has_come(tmp_path: Path) -> None:
    one = of(tmp_path, "logs")
    write(tmp_path, "logs", "ahead.parquet", NOON + timedelta(minutes=59))
    assert one.newest(NOON) == {}
    write(tmp_path, "logs", "a.parquet", NOON - timedelta(minutes=1))
    for _ in range(2):
        assert one.newest(NOON) == {"logs": NOON - timedelta(minutes=1)}
    assert one.newest(NOON + timedelta(minutes=59)) == {"logs": NOON + timedelta(minutes=59)}


def test_what_a_reader_does_not_see_makes_nothing_newer(tmp_path: Path) -> None:
    one = of(tmp_path, "logs")
    write(tmp_path, "logs", "a.parquet", NOON - timedelta(minutes=9))
    write(tmp_path, "logs", ".in-progress.parquet", NOON)
    write(tmp_path, "logs", "none.parquet")
    (tmp_path / "logs" / f"year={NOON:%Y}/month={NOON:%m}/day={NOON:%d}/hour=12" / "broken.parquet").write_bytes(
        b"PAR1"
    )
    assert one.newest(NOON) == {"logs": NOON - timedelta(minutes=9)}


def test_a_file_that_cannot_be_read_now_is_read_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = of(tmp_path, "logs")
    write(tmp_path, "logs", "a.parquet", NOON - timedelta(minutes=9))
    write(tmp_path, "logs", "ahead.parquet", NOON + timedelta(minutes=9))
    assert one.newest(NOON) == {"logs": NOON - timedelta(minutes=9)}
    write(tmp_path, "logs", "b.parquet", NOON - timedelta(minutes=1))
    with monkeypatch.context() as broken:
        broken.setattr(freshness, "open_file", fails)
        with pytest.raises(PermissionError):
            one.newest(NOON)
    assert one.newest(NOON) == {"logs": NOON - timedelta(minutes=1)}
    assert one.newest(NOON + timedelta(minutes=9)) == {"logs": NOON + timedelta(minutes=9)}


def test_a_file_of_somebody_else_has_no_time(tmp_path: Path) -> None:
    write(tmp_path, "logs", "a.parquet", NOON - timedelta(minutes=9))
    other = write(tmp_path, "logs", "other.parquet", NOON)
    pq.write_table(pa.table({"n": [1]}), other)
    assert of(tmp_path, "logs").newest(NOON) == {"logs": NOON - timedelta(minutes=9)}


def test_a_footer_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    newest = freshness._newest  # noqa: SLF001

    def watched(file: Folder, column: str) -> datetime | None:
        read.append(file.name)
        return newest(file, column)

    monkeypatch.setattr(freshness, "_newest", watched)
    one = of(tmp_path, "logs")
    write(tmp_path, "logs", "a.parquet", NOON)
    for _ in range(3):
        one.newest(NOON)
    write(tmp_path, "logs", "b.parquet", NOON + timedelta(minutes=1))
    for _ in range(3):
        one.newest(NOON)
    assert read == ["a.parquet", "b.parquet"]


def test_a_table_without_rows_that_have_passed_has_no_age(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    write(tmp_path, "logs", "a.parquet", now - timedelta(minutes=30))
    write(tmp_path, "soon", "a.parquet", now + timedelta(minutes=30))
    ((metric, ages),) = of(tmp_path, "logs", "soon", "empty").samples()
    assert metric.name == "shardlake_lake_freshness_seconds"
    assert [of_table for of_table, _ in ages] == [("logs",)]
    assert ages[0][1] == pytest.approx(1800, abs=60)
