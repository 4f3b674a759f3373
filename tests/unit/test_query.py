"""SQL over a lake of Hive folders, reading only what it must; and other readers on the same folders."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import polars
import pyarrow.dataset
import pyarrow.parquet
import pytest

from shardlake.errors import BadInput, Unavailable
from shardlake.lake.accounting import rows_by_partition
from shardlake.lake.query import TableRead, query
from shardlake.lake.tables import LakeTable, Range, lake_tables
from shardlake.pipeline import Pipeline
from tests.support import ROOT

pytestmark = pytest.mark.unit

START = datetime(2026, 10, 31, 22, 0)  # noqa: DTZ001 - Parquet has UTC without a zone
HOURS = 6
PER_HOUR = 10


@pytest.fixture
def tables(tmp_path: Path) -> list[LakeTable]:
    """Six hours of events over the end of a month, and a file that a job is still writing."""
    for hour in range(HOURS):
        begin = START + timedelta(hours=hour)
        folder = tmp_path / "app_logs" / begin.strftime("year=%Y/month=%m/day=%d/hour=%H")
        folder.mkdir(parents=True)
        numbers = range(hour * PER_HOUR, (hour + 1) * PER_HOUR)
        rows = {
            "event_id": [str(n) for n in numbers],
            "event_time": [begin + timedelta(minutes=n % PER_HOUR) for n in numbers],
            "service": ["web" if n % 2 else "api" for n in numbers],
            "topic": ["app-logs"] * PER_HOUR,
            "partition": [n % 3 for n in numbers],
            "offset": [n // 3 for n in numbers],
        }
        pyarrow.parquet.write_table(pyarrow.table(rows), folder / f"part-{hour}.parquet")
        (folder / ".part-9.parquet.inprogress").write_bytes(b"half a file")
    return lake_tables(tmp_path, Pipeline.load(ROOT))


def count(tables: list[LakeTable], where: str) -> tuple[int, TableRead]:
    answer = query(f"SELECT count(*) FROM app_logs WHERE {where}", tables, count_reads=True)
    return answer.rows[0][0], answer.reads[0]


@pytest.mark.parametrize(
    ("where", "rows", "hours"),
    [
        ("true", 60, 6),
        ("event_time >= '2026-10-31 23:00' AND event_time < '2026-11-01 01:00'", 20, 2),
        ("event_time BETWEEN '2026-10-31 23:05' AND '2026-10-31 23:06'", 2, 1),
        ("event_time = '2026-11-01 00:03'", 1, 1),
        ("event_time <= '2026-10-31 23:00'", 11, 2),
        ("event_time > '2026-11-01 03:08'", 1, 1),
        ("date_trunc('hour', event_time) = '2026-11-01 00:00' AND service = 'web'", 5, 1),
        ("event_time >= '2030-01-01'", 0, 0),
        ("event_time >= '2026-11-01 03:00' OR service = 'web'", 35, 6),
        ("hour = '03'", 10, 6),
        ("service = 'event_time >= ''2030-01-01''::TIMESTAMP'", 0, 6),
        ("event_time + INTERVAL 1 HOUR > '2026-11-01 04:00'", 9, 6),
        # Times that DuckDB has and Python has not leave out no file.
        ("event_time < 'infinity' AND event_time >= '2026-11-01 03:00'", 10, 1),
        ("event_time > '-infinity'", 60, 6),
        ("event_time <= '12026-01-01'", 60, 6),
        ("event_time >= '0044-03-15 (BC)'", 60, 6),
        ("event_time < '0001-01-01'", 0, 0),
    ],
)
def test_a_range_reads_only_its_hours(tables: list[LakeTable], where: str, rows: int, hours: int) -> None:
    found, read = count(tables, where)
    assert found == rows
    assert (read.hours, read.files, read.of_hours, read.of_files) == (hours, hours, HOURS, HOURS)


def test_two_scans_of_one_table_read_what_both_need(tables: list[LakeTable]) -> None:
    answer = query(
        "SELECT (SELECT count(*) FROM app_logs WHERE event_time < '2026-10-31 23:00'), "
        "(SELECT count(*) FROM app_logs WHERE event_time >= '2026-11-01 03:00')",
        tables,
        count_reads=True,
    )
    assert answer.rows == [(10, 10)]
    assert answer.reads[0].hours == HOURS


def test_a_table_without_a_file_is_empty_with_its_columns(tables: list[LakeTable]) -> None:
    assert query("SELECT sum(events), count(latency_p99_ms) FROM service_health", tables).rows == [(None, 0)]


def test_files_of_older_and_newer_schemas_are_one_table(tables: list[LakeTable]) -> None:
    assert query("SELECT count(*), count(status) FROM app_logs", tables).rows == [(60, 0)]
    newest = tables[0].folder / "year=2026/month=11/day=01/hour=03/part-newer.parquet"
    rows = {"event_id": ["new"], "event_time": [START + timedelta(hours=5)], "status": [200], "to_come": ["x"]}
    pyarrow.parquet.write_table(pyarrow.table(rows), newest)
    assert query("SELECT count(*), sum(status) FROM app_logs", tables).rows == [(61, 200)]
    assert query("SELECT count(*) FROM app_logs WHERE status IS NULL AND hour = '03'", tables).rows == [(10,)]
    with pytest.raises(BadInput, match="to_come"):
        query("SELECT to_come FROM app_logs", tables)


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("SELEC 1", "syntax error"),
        ("SELECT nope FROM app_logs", "nope"),
        ("SELECT * FROM nowhere", "nowhere"),
        ("COPY (SELECT 1) TO 'x.csv'", "Only one SELECT"),
        ("SELECT 1; SELECT 2", "Only one SELECT"),
        ("", "Only one SELECT"),
        ("SELECT '\udcff'", "its character 9 is a byte that is not UTF-8"),
    ],
)
def test_a_wrong_query_is_refused_in_a_sentence(tables: list[LakeTable], sql: str, words: str) -> None:
    with pytest.raises(BadInput, match=words) as refused:
        query(sql, tables)
    assert "\n" not in refused.value.message


def test_no_lake_is_said(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="no lake"):
        lake_tables(tmp_path / "nowhere", Pipeline.load(ROOT))


def test_hours_of_a_range_are_found_by_their_folders(tables: list[LakeTable]) -> None:
    late = Range(start=datetime(2026, 11, 1, 2, tzinfo=UTC))
    assert [folder.name for folder in tables[0].hours(late)] == ["hour=02", "hour=03"]


def test_rows_are_counted_by_partition_and_doubles_seen(tables: list[LakeTable]) -> None:
    folder = tables[0].folder.parent
    before = rows_by_partition(folder, "app_logs")
    assert {place: (rows.count, rows.distinct, rows.min_offset, rows.max_offset) for place, rows in before.items()} == {
        ("app-logs", 0): (20, 20, 0, 19), ("app-logs", 1): (20, 20, 0, 19), ("app-logs", 2): (20, 20, 0, 19),
    }  # fmt: skip
    first = tables[0].files()[0]
    (first.parent / "part-copy.parquet").write_bytes(first.read_bytes())
    after = rows_by_partition(folder, "app_logs")
    assert sum(rows.count for rows in after.values()) == 70
    assert sum(rows.distinct for rows in after.values()) == 60
    assert rows_by_partition(folder, "service_health") == {}


def test_duckdb_polars_and_pyarrow_read_the_folders_too(tables: list[LakeTable]) -> None:
    folder = tables[0].folder
    plain = duckdb.execute(
        "SELECT count(*), min(event_time), count(DISTINCT hour) FROM read_parquet(?, hive_partitioning = true)",
        [f"{folder}/**/*.parquet"],
    ).fetchall()
    assert plain == [(60, START, HOURS)]
    frame = polars.scan_parquet(f"{folder}/**/*.parquet", hive_partitioning=True).collect()
    assert (frame.height, frame["event_time"].min(), frame["day"].n_unique()) == (60, START, 2)
    dataset = pyarrow.dataset.dataset(folder, format="parquet", partitioning="hive")
    assert dataset.count_rows() == 60
    assert dataset.to_table(filter=pyarrow.dataset.field("day") == 31).num_rows == 20
