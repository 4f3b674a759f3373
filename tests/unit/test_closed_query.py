"""`query` reads the lake's tables and nothing else, writes nothing, and loads nothing."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow
import pyarrow.parquet
import pytest
from fsspec import AbstractFileSystem

from shardlake.errors import BadInput
from shardlake.lake import closed
from shardlake.lake.query import connect, query
from shardlake.lake.remote import ListedFiles
from shardlake.lake.tables import LakeTable, lake_tables
from shardlake.pipeline import Pipeline
from tests.support import ROOT

pytestmark = pytest.mark.unit

HOUR = "year=2026/month=11/day=01/hour=03"


@pytest.fixture
def tables(tmp_path: Path) -> list[LakeTable]:
    folder = tmp_path / "the 'lake" / "app_logs" / HOUR
    folder.mkdir(parents=True)
    pyarrow.parquet.write_table(pyarrow.table({"event_id": ["a", "b"]}), folder / "part.parquet")
    return lake_tables(tmp_path / "the 'lake", Pipeline.load(ROOT))


def file_of(tables: list[LakeTable]) -> Path:
    (file,) = tables[0].files()
    return Path(str(file))


@pytest.mark.parametrize(
    "source",
    [
        "read_text('/proc/self/environ')", "read_blob('/etc/hostname')", "read_csv('/etc/passwd')", "glob('/etc/*')",
        "'/etc/passwd'", "'https://example.com/x.parquet'", "sniff_csv('/etc/passwd')",
        "parquet_metadata('/x.parquet')",
        "read_duckdb('/tmp/x.db')", "query_table('/etc/passwd')", "query('FROM read_text(''/proc/self/environ'')')",
        "sqlite_scan('/tmp/x', 'y')", "enable_logging(storage_path = '/tmp/x')", "duckdb_secrets()", "pandas_scan(1)",
        "(SELECT * FROM app_logs, LATERAL (FROM read_text('/etc/hostname')))",
    ],
)  # fmt: skip
def test_no_file_and_no_function_that_reaches_one_is_let_into_a_query(tables: list[LakeTable], source: str) -> None:
    with pytest.raises(BadInput) as refused:
        query(f"SELECT * FROM {source}", tables)
    assert "app_logs" in refused.value.hint or "it may call" in refused.value.hint


def test_the_environment_of_the_process_is_not_read(tables: list[LakeTable], monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even where a function has been forgotten: DuckDB itself opens the tables' files alone."""
    monkeypatch.setattr(closed, "ROWS_OF", closed.ROWS_OF | {"read_text", "glob", "query", "read_parquet"})
    for source in ("read_text('/proc/self/environ')", "glob('/etc/*')", "query('FROM glob(''/etc/*'')')"):
        with pytest.raises(BadInput, match="Permission Error"):
            query(f"SELECT * FROM {source}", tables)


COPY = "COPY (SELECT 42 AS event_id) TO '{file}' (FORMAT parquet, USE_TMP_FILE false)"


@pytest.mark.parametrize(
    "sql",
    [
        f"WITH x AS ({COPY}) FROM x",
        f"SELECT * FROM (WITH x AS ({COPY}) FROM x)",
        "WITH x AS (INSERT INTO app_logs (event_id) VALUES ('c') RETURNING *) FROM x",
        "WITH x AS (DELETE FROM app_logs RETURNING *) FROM x",
        "WITH x AS (UPDATE app_logs SET event_id = 'c' RETURNING *) FROM x",
        COPY, "INSTALL httpfs", "LOAD httpfs", "ATTACH '{file}' AS x", "SET enable_external_access = true",
        "PRAGMA database_list", "CALL pragma_version()",
    ],
)  # fmt: skip
def test_a_query_writes_nothing_and_loads_nothing(tables: list[LakeTable], sql: str, tmp_path: Path) -> None:
    file = file_of(tables)
    before, there = file.read_bytes(), sorted(tmp_path.rglob("*"))
    for target in (file, file.with_name("new.parquet"), tmp_path / "new.parquet"):
        with pytest.raises(BadInput, match="Only one SELECT"):
            query(sql.format(file=str(target).replace("'", "''")), tables)
    assert file.read_bytes() == before
    assert sorted(tmp_path.rglob("*")) == there


def test_sql_that_is_handed_over_as_text_is_not_run(tables: list[LakeTable]) -> None:
    file = file_of(tables)
    before = file.read_bytes()
    copy = f"WITH x AS ({COPY.format(file=str(file).replace(chr(39), chr(39) * 2))}) FROM x"
    (handed,) = duckdb.execute("SELECT json_serialize_sql(?::VARCHAR)", [copy]).fetchall()[0]
    handed = handed.replace("'", "''")
    with pytest.raises(BadInput, match="'json_execute_serialized_sql'"):
        query(f"FROM JSON_execute_serialized_SQL('{handed}')", tables)
    assert file.read_bytes() == before


def test_a_variable_of_this_program_is_no_table(tables: list[LakeTable]) -> None:
    with pytest.raises(BadInput, match="frame"):
        _with_a_frame(tables)


def _with_a_frame(tables: list[LakeTable]) -> Any:
    frame = pyarrow.table({"secret": [1]})
    assert frame.num_rows
    return query("FROM frame", tables)


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("SELECT event_id FROM app_logs ORDER BY 1", [("a",), ("b",)]),
        ("WITH one AS (FROM app_logs) SELECT count(*) FROM one UNION ALL SELECT 7 FROM sessions", [(2,)]),
        ("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3) SELECT sum(i) FROM n", [(6,)]),
        ("SELECT * FROM range(2)", [(0,), (1,)]),
        ("SELECT unnest([1, 2])", [(1,), (2,)]),
        ("FROM app_logs PIVOT (count(*) FOR event_id IN ('a', 'b') GROUP BY hour)", [("03", 1, 1)]),
        ('SELECT \'{"type": "COPY_QUERY_NODE"}\'', [('{"type": "COPY_QUERY_NODE"}',)]),
        ("SELECT count(*) FROM app_logs -- the end", [(2,)]),
        ("SELECT count(*) FROM app_logs;", [(2,)]),
    ],
)
def test_what_a_query_is_for_goes_on(tables: list[LakeTable], sql: str, rows: list[tuple[Any, ...]]) -> None:
    assert query(sql, tables).rows == rows


def test_a_lake_behind_a_link_is_read(tables: list[LakeTable], tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(str(tables[0].folder.parent))
    linked = lake_tables(tmp_path / "link", Pipeline.load(ROOT))
    assert query("SELECT count(*) FROM app_logs", linked).rows == [(2,)]


def test_what_memory_does_not_hold_is_removed_in_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is written to a folder of the query's own, not to `.tmp` where the user happens to be."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("shardlake.lake.query.CONFIG", {**closed.CONFIG, "memory_limit": "100MB"})
    sql = "SELECT count(*) FROM (SELECT hash(i) AS h, i FROM range(10000000) t(i) ORDER BY h LIMIT 9999999)"
    (tmp_path / "lake").mkdir()
    tables = lake_tables(tmp_path / "lake", Pipeline.load(ROOT))
    assert query(sql, tables).rows == [(9999999,)]
    assert sorted(tmp_path.iterdir()) == [tmp_path / "lake"]


def test_deep_nesting_is_refused_in_a_sentence(tables: list[LakeTable]) -> None:
    with pytest.raises(BadInput):
        query(f"SELECT {'(' * 5000}1{')' * 5000}", tables)


class _Objects(AbstractFileSystem):  # type: ignore[misc]  # it has no types
    """As the file system for S3 that `ListedFiles` reads through."""

    def __init__(self, objects: dict[str, bytes]) -> None:
        super().__init__()
        self.objects = objects
        self.listed: dict[str, Any] = {}

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        return {"name": path, "size": len(self.objects[path]), "type": "file", "LastModified": datetime.now(UTC)}

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **_: Any) -> bytes:
        return self.objects[path][start:end]


def test_in_s3_the_tables_files_alone_are_read(tables: list[LakeTable]) -> None:
    content = file_of(tables).read_bytes()
    connection, name = connect([]), f"b/lake/t/{HOUR}/a.parquet"
    connection.register_filesystem(ListedFiles(_Objects({name: content, "b/other.parquet": content})))
    closed.close(connection, [f"s3://{name}"])
    connection.execute(f"CREATE VIEW t AS FROM read_parquet(['s3://{name}'])")
    connection.execute("BEGIN TRANSACTION READ ONLY")
    assert connection.execute("SELECT event_id FROM t ORDER BY 1").fetchall() == [("a",), ("b",)]
    others = ("s3://b/other.parquet", "s3a://b/other.parquet", "s3://b/lake/t/../../other.parquet", file_of(tables))
    for other in map(str, others):
        with pytest.raises(duckdb.PermissionException):
            connection.execute("FROM read_parquet(?)", [other]).fetchall()


def test_what_verifies_reads_its_own_files_as_before_and_loads_nothing(tables: list[LakeTable]) -> None:
    connection = connect(tables)
    found = connection.execute("SELECT event_id FROM read_parquet(?) ORDER BY 1", [str(file_of(tables))]).fetchall()
    assert found == [("a",), ("b",)]
    settings = dict(connection.execute("SELECT name, value FROM duckdb_settings()").fetchall())
    assert (settings["autoload_known_extensions"], settings["autoinstall_known_extensions"]) == ("false", "false")
    assert json.loads(settings["enable_external_access"])
