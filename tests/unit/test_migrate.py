"""Files of older versions written anew: the same rows under the same names, with times that are instants."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shardlake import storage
from shardlake.errors import BadInput, ShardlakeError
from shardlake.lake import migrate as migrating
from shardlake.lake.files import check_files
from shardlake.lake.migrate import migrate, sizes
from shardlake.lake.query import query
from shardlake.lake.tables import LakeTable, lake_tables, must_be_in_place
from shardlake.pipeline import Pipeline
from tests.support import ROOT, has_instants

pytestmark = pytest.mark.unit

START = datetime(2026, 3, 1, 23, 30, tzinfo=UTC)
LOCAL = pa.schema([("window_start", pa.timestamp("us")), ("service", pa.string()), ("latency_p50_ms", pa.float64())])


def older(lake: Path, *, hours: int = 3, rows: int = 4) -> list[LakeTable]:
    """A lake whose service_health an older version wrote, a file an hour."""
    for hour in range(hours):
        begin = START + hour * timedelta(hours=1)
        folder = lake / "service_health" / begin.strftime("year=%Y/month=%m/day=%d/hour=%H")
        folder.mkdir(parents=True)
        times = [(begin + timedelta(minutes=n)).replace(tzinfo=None) for n in range(rows)]
        values = {
            "window_start": times,
            "service": ["a", None, "c", "d"],
            "latency_p50_ms": [math.nan, 0.1, None, hour],
        }
        pq.write_table(pa.table(values, LOCAL), folder / f"part-{hour}.parquet", store_schema=False)
    return lake_tables(lake, Pipeline.load(ROOT))


def all_rows(tables: list[LakeTable]) -> list[tuple[object, ...]]:
    sql = "SELECT window_start, service, latency_p50_ms::varchar, hour FROM service_health ORDER BY ALL"
    return query(sql, tables).rows


def test_rows_stay_and_times_become_instants_under_the_same_names(tmp_path: Path) -> None:
    tables = older(tmp_path)
    before, files = all_rows(tables), {file.name for file in (tmp_path / "service_health").rglob("*.parquet")}
    assert before[0][0] == START.replace(tzinfo=None)
    (done,) = migrate(tmp_path, tables, print)
    assert (done.table, done.files) == ("service_health", 3)
    found = list((tmp_path / "service_health").rglob("*.parquet"))
    assert {file.name for file in found} == files
    assert all_rows(tables) == before
    first = pq.read_table(min(found), partitioning=None)
    assert first.schema.field("window_start").type == pa.timestamp("us", "UTC")
    assert first.column("window_start")[0].as_py() == START
    assert {file.name for file in Path(str(done.aside)).rglob("*.parquet")} == files
    assert not any(has_instants(file) for file in Path(str(done.aside)).rglob("*.parquet"))
    assert not (tmp_path / ".migrating").exists()
    assert list(migrate(tmp_path, tables, print)) == []


def test_both_forms_in_one_table_are_the_same_times_in_any_zone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = older(tmp_path / "lake")
    before = all_rows(tables)
    other = older(tmp_path / "other")
    list(migrate(tmp_path / "other", other, print))
    part = "year=2026/month=03/day=02/hour=00/part-1.parquet"
    mixed = tmp_path / "lake" / "service_health" / part
    mixed.write_bytes((tmp_path / "other" / "service_health" / part).read_bytes())
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    assert all_rows(tables) == before
    sql = "SELECT count(*) FROM service_health WHERE window_start >= '2026-03-02 00:30'"
    assert query(sql, tables).rows == [(8,)]
    (done,) = migrate(tmp_path / "lake", tables, print)
    assert done.files == 3
    assert all_rows(tables) == before


def test_columns_get_the_names_and_types_that_the_schema_has_now(tmp_path: Path) -> None:
    folder = tmp_path / "t" / "year=2026" / "month=03" / "day=01" / "hour=23"
    folder.mkdir(parents=True)
    given = {"t": [START], "n": [7], "big": [2**53 + 1], "x": [0.1], "host": ["h"], "same": ["s"]}
    types = [pa.timestamp("us", "UTC"), pa.int32(), pa.int64(), pa.float32(), pa.string(), pa.string()]
    form = pa.schema(zip(given, types, strict=True), {"shardlake.schema": "{}"})
    pq.write_table(pa.table(given, form), folder / "a.parquet")
    columns = ("t TIMESTAMP", "n BIGINT", "big DOUBLE", "x DOUBLE", "hostname VARCHAR", "same VARCHAR", "new VARCHAR")
    older_names = (("hostname", "host"), ("hostname", "same"), ("same", "other"))
    table = LakeTable("t", tmp_path / "t", "t", columns, aliases=older_names)
    (done,) = migrate(tmp_path, [table], print)
    assert done.files == 1
    found = pq.read_table(folder / "a.parquet", partitioning=None)
    wide = [pa.timestamp("us", "UTC"), pa.int64(), pa.float64(), pa.float64(), pa.string(), pa.string()]
    assert found.schema == pa.schema(zip(["t", "n", "big", "x", "hostname", "same"], wide, strict=True))
    assert pq.read_metadata(folder / "a.parquet").metadata[b"shardlake.schema"] == b"{}"
    assert found.to_pylist() == [
        {"t": START, "n": 7, "big": float(2**53), "x": float(np.float32(0.1)), "hostname": "h", "same": "s"}
    ]
    assert list(migrate(tmp_path, [table], print)) == []


def test_whoever_saw_the_old_files_misses_none(tmp_path: Path) -> None:
    lake, run = tmp_path / "lake", tmp_path / "run"
    tables = older(lake)
    run.mkdir()
    old = {str(f.relative_to(lake)): f.stat().st_size for f in (lake / "service_health").rglob("*.parquet")}
    (run / "visible.txt").write_text("".join(f"{size} {name}\n" for name, size in old.items()))
    list(migrate(lake, tables, print))
    new = {str(f.relative_to(lake)): f.stat().st_size for f in (lake / "service_health").rglob("*.parquet")}
    assert sizes(lake) == {name: (size, new[name]) for name, size in old.items()}
    assert check_files(lake, tables, [run])[0].counts == {}
    gone = lake / next(iter(old))
    gone.unlink()
    assert check_files(lake, tables, [run])[0].counts == {"vanished": 1}


@pytest.mark.parametrize("moves", [0, 1])
def test_what_is_cut_off_while_tables_change_places_is_refused_and_then_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moves: int
) -> None:
    tables = older(tmp_path)
    before = all_rows(tables)
    done: list[tuple[Path, ...]] = []
    move = storage.move

    def cut_off(*folders: Path) -> None:
        if len(done) == moves:
            raise KeyboardInterrupt
        done.append(folders)
        move(*folders)

    monkeypatch.setattr(migrating, "move", cut_off)
    with pytest.raises(KeyboardInterrupt):
        list(migrate(tmp_path, tables, print))
    with pytest.raises(BadInput, match="was cut off"):
        must_be_in_place(tmp_path)
    with pytest.raises(BadInput, match="was cut off"):
        lake_tables(tmp_path, Pipeline.load(ROOT))
    monkeypatch.undo()
    assert [one.table for one in migrate(tmp_path, tables, print)] == ["service_health"]
    must_be_in_place(tmp_path)
    assert all_rows(tables) == before
    assert all(map(has_instants, (tmp_path / "service_health").rglob("*.parquet")))


def test_a_copy_that_is_not_as_its_file_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tables = older(tmp_path)
    before = all_rows(tables)
    write = pq.ParquetWriter.write_table
    monkeypatch.setattr(
        pq.ParquetWriter, "write_table", lambda self, rows: write(self, pa.concat_tables([rows[1:], rows[1:2]]))
    )
    with pytest.raises(ShardlakeError, match="is not as"):
        list(migrate(tmp_path, tables, print))
    assert all_rows(tables) == before
    assert not list(tmp_path.glob(".migrated*"))
    must_be_in_place(tmp_path)


def test_a_file_that_is_none_is_named_and_nothing_changes(tmp_path: Path) -> None:
    tables = older(tmp_path)
    broken = max((tmp_path / "service_health").rglob("*.parquet"))
    broken.write_bytes(broken.read_bytes()[:-20])
    with pytest.raises(ShardlakeError, match=r"part-2\.parquet is no whole Parquet file"):
        list(migrate(tmp_path, tables, print))
    assert not (tmp_path / ".migrating").exists()


def test_the_note_of_sizes_says_where_the_old_files_are(tmp_path: Path) -> None:
    (done,) = migrate(tmp_path, older(tmp_path), print)
    (note,) = (tmp_path / ".migrated").iterdir()
    assert note.name == f"{Path(str(done.aside)).parent.name.removeprefix('.migrated-')}-service_health.json"
    assert len(json.loads(note.read_text())) == 3


def test_a_move_that_was_cut_off_in_the_middle_is_finished_before_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S3 has no folders that could be renamed: each object is copied, then removed."""
    tables = older(tmp_path)
    before = all_rows(tables)
    moves: list[Path] = []

    def as_in_s3(folder: Path, target: Path) -> None:
        moves.append(target)
        for number, file in enumerate(sorted(file for file in folder.rglob("*") if file.is_file())):
            if len(moves) == 2 and number == 1:
                raise KeyboardInterrupt
            (target / file.relative_to(folder)).parent.mkdir(parents=True, exist_ok=True)
            (target / file.relative_to(folder)).write_bytes(file.read_bytes())
        storage.remove(folder)

    monkeypatch.setattr(migrating, "move", as_in_s3)
    with pytest.raises(KeyboardInterrupt):
        list(migrate(tmp_path, tables, print))
    (done,) = migrate(tmp_path, tables, print)
    assert len(moves) == 3
    assert all_rows(tables) == before
    assert all(map(has_instants, (tmp_path / "service_health").rglob("*.parquet")))
    aside = list(Path(str(done.aside)).rglob("*.parquet"))
    assert len(aside) == 3
    assert not any(map(has_instants, aside))
