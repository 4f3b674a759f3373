"""The connector `lake` in process: rows that are spread over many hours, in whatever order they come."""

from __future__ import annotations

import json
import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shardlake.testing.jobs import mini_cluster_environment

pytestmark = pytest.mark.pipeline

START = datetime(2024, 2, 1, tzinfo=UTC)
HOURS, ROWS, TEXT = 300, 6_000, 4_000
"""24 MB: more than waits in memory."""


def folder_of(time: datetime) -> str:
    return time.strftime("year=%Y/month=%m/day=%d/hour=%H")


def test_rows_of_many_hours_are_each_in_their_hour_once_in_one_file_an_hour(tmp_path: Path) -> None:
    chance = random.Random(7)
    rows: list[dict[str, Any]] = [
        {
            "n": n,
            "t": START + timedelta(minutes=chance.randrange(60 * HOURS), milliseconds=n % 1000),
            "s": str(n).ljust(TEXT, "x"),
        }
        for n in range(ROWS)
    ]
    source = tmp_path / "rows.json"
    source.write_text(
        "".join(json.dumps({**row, "t": row["t"].strftime("%Y-%m-%dT%H:%M:%S.%fZ")}) + "\n" for row in rows)
    )
    write(source, tmp_path / "lake")

    files = sorted((tmp_path / "lake").rglob("*.parquet"))
    hours = Counter(str(file.parent.relative_to(tmp_path / "lake")) for file in files)
    assert hours == dict.fromkeys({folder_of(row["t"]) for row in rows}, 1)
    assert not list((tmp_path / "lake").rglob(".*"))
    found = {}
    for file in files:
        for row in pq.read_table(file).to_pylist():
            assert row["n"] not in found
            assert file.parent == tmp_path / "lake" / folder_of(row["t"])
            found[row["n"]] = row
    for row in rows:
        assert found[row["n"]]["t"] == row["t"]
        assert found[row["n"]]["s"] == row["s"]
    assert len(found) == ROWS


def test_times_are_instants_to_the_microsecond_in_the_hour_of_their_own_unit(tmp_path: Path) -> None:
    """An event time of microseconds, which was read as one of milliseconds once, and lay in 1974."""
    source, lake = tmp_path / "rows.json", tmp_path / "lake"
    times = [START + timedelta(hours=1, microseconds=123_456), datetime(1969, 12, 31, 23, 59, 59, 999_999, UTC)]
    lines = [{"n": n, "t": time.strftime("%Y-%m-%dT%H:%M:%S.%fZ"), "s": None} for n, time in enumerate(times)]
    source.write_text("".join(json.dumps(line) + "\n" for line in lines))
    write(source, lake, time_type="TIMESTAMP_LTZ(6)", schema='{"name": "It\'s", "type": "record"}')
    for number, time in enumerate(times):
        (file,) = (lake / folder_of(time)).glob("*.parquet")
        table = pq.read_table(file, partitioning=None)
        assert table.schema.field("t").type == pa.timestamp("us", "UTC")
        assert table.to_pylist() == [{"n": number, "t": time, "s": None}]
        assert pq.read_metadata(file).metadata[b"shardlake.schema"] == b'{"name": "It\'s", "type": "record"}'


def test_a_table_of_an_older_version_keeps_its_form(tmp_path: Path) -> None:
    """Some readers take the times of one form for those of a zone: a table never has both."""
    source, lake = tmp_path / "rows.json", tmp_path / "lake"
    older = lake / folder_of(START - timedelta(days=400)) / "part-0.parquet"
    older.parent.mkdir(parents=True)
    (older.parent / ".part-1.parquet.inprogress.1").write_bytes(b"PAR1")
    (older.parent / "a.parquet").write_bytes(b"not Parquet at all")
    pq.write_table(pa.table({"t": pa.array([0], pa.timestamp("us"))}), older, store_schema=False)
    source.write_text(json.dumps({"n": 1, "t": START.strftime("%Y-%m-%dT%H:%M:%SZ"), "s": "x"}) + "\n")
    write(source, lake)
    (file,) = (lake / folder_of(START)).glob("*.parquet")
    table = pq.read_table(file, partitioning=None)
    assert table.schema.field("t").type == pa.timestamp("us")
    assert table.column("t").to_pylist() == [START.replace(tzinfo=None)]


@mini_cluster_environment()
def write(source: Path, lake: Path, time_type: str = "TIMESTAMP_LTZ(3)", schema: str | None = None) -> None:
    """Write a file of JSON rows through the connector."""
    from pyflink.table import EnvironmentSettings, TableEnvironment

    environment = TableEnvironment.create(EnvironmentSettings.in_streaming_mode())
    for name, value in {"table.local-time-zone": "UTC", "parallelism.default": "1"}.items():
        environment.get_config().set(name, value)
    columns = f"n INT, t {time_type}, s STRING"
    environment.execute_sql(
        f"CREATE TABLE given ({columns}) WITH ('connector' = 'filesystem', 'path' = '{source}', 'format' = 'json', "
        "'json.timestamp-format.standard' = 'ISO-8601')"
    )
    kept = "" if schema is None else ", 'schema' = '{}'".format(schema.replace("'", "''"))
    environment.execute_sql(
        f"CREATE TABLE kept ({columns}) WITH ('connector' = 'lake', 'path' = '{lake}', 'partition-time' = 't'{kept})"
    )
    environment.execute_sql("INSERT INTO kept SELECT * FROM given").wait()
