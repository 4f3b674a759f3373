"""SQL over the lake: each table a view over just the files that the query can need.

DuckDB is first asked for its plan over empty tables of the same columns: the filters that it pushes down to a scan
tell which range of the table's time column is wanted. The view is then made over the files of those hours alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from tempfile import TemporaryDirectory
from typing import Any

import duckdb

from shardlake.errors import BadInput
from shardlake.lake.closed import CONFIG, check, close
from shardlake.lake.remote import ListedFiles
from shardlake.lake.sql import named, quoted
from shardlake.lake.tables import LakeTable, Range
from shardlake.storage import Folder, failure, is_remote

EVERYTHING = Range()
EARLIEST = datetime.min.replace(tzinfo=UTC) + timedelta.resolution
THREADS = 2
REMOTE_THREADS = 8
"""They wait for answers most of the time."""
COMPARISON = re.compile(r"\(*(\w+) (>=|<=|>|<|=) '([^']+)'::TIMESTAMP\)*")


@dataclass(frozen=True, slots=True)
class TableRead:
    """How much of a table a query reads."""

    table: str
    files: int
    of_files: int
    hours: int
    of_hours: int


@dataclass(frozen=True, slots=True)
class Answer:
    """Rows in order, and what was read for them where that was asked for."""

    columns: list[str]
    rows: list[tuple[Any, ...]]
    reads: list[TableRead]


def query(sql: str, tables: list[LakeTable], *, count_reads: bool = False) -> Answer:
    """Run one SELECT over the tables; times are UTC. Partition columns are text, zero-padded: hour = '05'.

    With `count_reads` whole tables are listed, to tell how much of them was read. Raises BadInput with DuckDB's own
    words where the statement is wrong, or would write.
    """
    try:
        with _planner(tables) as planner:
            check(planner, sql)
            ranges = _ranges(planner, sql, tables)
        read = {table: table.files(within) for table, within in ranges.items()}
        columns, rows = _run(sql, read)
    except duckdb.Error as error:
        if of_s3 := failure(error):
            raise of_s3 from None
        words = " ".join(str(error).split("\n\n")[0].split())
        hint = f"A query reads the lake's tables alone: {', '.join(table.name for table in tables)}."
        raise BadInput(f"The query is wrong: {words}", hint) from error
    return Answer(columns, rows, [_count(table, within) for table, within in ranges.items()] if count_reads else [])


def _run(sql: str, read: dict[LakeTable, list[Folder]]) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Run the query over these files of tables, the only ones that it can open; columns and rows."""
    with (
        TemporaryDirectory(prefix="shardlake-query-") as spill,
        database(table.folder for table in read) as connection,
    ):
        close(connection, (str(file) for files in read.values() for file in files), spill)
        for table, files in read.items():
            connection.execute(_definition(table, files))
        connection.execute("BEGIN TRANSACTION READ ONLY")
        found = connection.execute(sql)
        return [column[0] for column in found.description or []], found.fetchall()


def database(folders: Iterable[Folder]) -> duckdb.DuckDBPyConnection:
    """An empty DuckDB that reads files below these folders, also where they are in S3."""
    remote = next((folder for folder in folders if is_remote(folder)), None)
    threads = THREADS if remote is None else REMOTE_THREADS
    connection = duckdb.connect(config={**CONFIG, "threads": threads, "preserve_insertion_order": False})
    # An instant is shown, and cast to a plain time, in the session's zone: by default that of this machine.
    connection.execute("SET TimeZone = 'UTC'")
    if remote is not None:
        connection.register_filesystem(ListedFiles(remote.fs))
    return connection


def connect(tables: list[LakeTable]) -> duckdb.DuckDBPyConnection:
    """A connection with each table as a view over all its files."""
    connection = database(table.folder for table in tables)
    for table in tables:
        connection.execute(_definition(table, table.files()))
    return connection


@contextmanager
def connected(tables: list[LakeTable]) -> Iterator[duckdb.DuckDBPyConnection]:
    """`connect`, with a folder of its own for what memory does not hold.

    By default DuckDB takes `.tmp` where the program runs, and two programs there would share that folder.
    """
    with TemporaryDirectory(prefix="shardlake-lake-") as spill, connect(tables) as connection:
        connection.execute(f"SET temp_directory = {quoted(spill)}")
        yield connection


def empty(tables: list[LakeTable]) -> duckdb.DuckDBPyConnection:
    """A connection with the tables, empty, and no file."""
    connection = duckdb.connect(config=CONFIG)
    for table in tables:
        connection.execute(_definition(table, []))
    return connection


def _definition(table: LakeTable, files: list[Folder]) -> str:
    """The table over these files; without any, an empty one of the same columns."""
    name = named(table.name)
    if not files:
        return f"CREATE TABLE {name} ({', '.join(table.columns)})"
    return f"CREATE VIEW {name} AS {selection(table, files)}"


def selection(table: LakeTable, files: list[Folder], *more: str) -> str:
    """A query for the table's columns over some of its files; `more` may be filename and file_row_number."""
    names = ", ".join(quoted(str(path)) for path in files)
    types = "year: VARCHAR, month: VARCHAR, day: VARCHAR, hour: VARCHAR"
    options = ["hive_partitioning = true", f"hive_types = {{{types}}}", "union_by_name = true"]
    source = f"read_parquet([{names}], {', '.join([*options, *(f'{name} = true' for name in more)])})"
    # Files that were written with an older schema lack its newer columns; a newer one's may have more.
    columns = [column.split(" ", 1) for column in table.columns]
    older = [(f'"{name}"', f'"{before}"') for name, before in table.aliases]
    kinds = dict(columns)
    declared = [*columns, *((before, kinds[name]) for name, before in older)]
    nothing = ", ".join(f"NULL::{kind} AS {name}" for name, kind in declared)
    selected = ", ".join([*(_read(name, kind, older) for name, kind in columns), *more])
    return f"SELECT {selected} FROM (SELECT {nothing} WHERE false UNION ALL BY NAME SELECT * FROM {source})"


def _read(name: str, kind: str, older: list[tuple[str, str]]) -> str:
    """A column as files of any version have it."""
    names = [name, *(before for now, before in older if now == name)]
    found = f"coalesce({', '.join(names)})" if len(names) > 1 else name
    # A time is an instant, or, as older versions of this project wrote it, has no zone: here it is one in UTC.
    return f"{found}::{kind} AS {name}" if kind == "TIMESTAMP" else f"{found} AS {name}"


def _planner(tables: list[LakeTable]) -> duckdb.DuckDBPyConnection:
    """The tables, empty, and no file."""
    planner = empty(tables)
    # It would see that they are empty, and plan nothing.
    planner.execute("SET disabled_optimizers = 'statistics_propagation,empty_result_pullup'")
    close(planner)
    return planner


def _ranges(planner: duckdb.DuckDBPyConnection, sql: str, tables: list[LakeTable]) -> dict[LakeTable, Range]:
    """For each table that the query reads, the range that holds all its scans'."""
    plan = planner.execute(f"EXPLAIN (FORMAT json) {sql}").fetchall()[-1][1]
    # DuckDB quotes a name only where it must.
    by_name = {f"memory.main.{name}": table for table in tables for name in (table.name, named(table.name))}
    found: dict[LakeTable, Range] = {}
    for scan in _scans(json.loads(plan)):
        table = by_name[scan["Table"]]
        within = _range(scan.get("Filters", ""), table.time_column)
        found[table] = found[table].join(within) if table in found else within
    return found


def _scans(nodes: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for node in nodes:
        extra = node.get("extra_info", {})
        if "Table" in extra:
            yield extra
        yield from _scans(node.get("children", []))


def _range(filters: str | list[str], column: str) -> Range:
    """What a scan's pushed-down filters, which all must hold, say of the column; everything where they say nothing
    plain."""
    within = EVERYTHING
    for one in [filters] if isinstance(filters, str) else filters:
        for part in one.split(" AND "):
            match = COMPARISON.fullmatch(part)
            if match is None or match[1] != column:
                continue
            try:
                moment = datetime.fromisoformat(match[3]).replace(tzinfo=UTC)
            except ValueError:  # 'infinity', and the years before 1 and after 9999, which DuckDB has
                continue
            if match[2] in (">", ">=", "="):
                within = Range(max(filter(None, (within.start, moment))), within.end)
            if match[2] in ("<", "<=", "="):
                last = max(moment, EARLIEST) - timedelta.resolution if match[2] == "<" else moment
                within = Range(within.start, min(filter(None, (within.end, last))))
    return within


def _count(table: LakeTable, within: Range) -> TableRead:
    return TableRead(
        table.name,
        files=len(table.files(within)),
        of_files=len(table.files()),
        hours=len(list(table.hours(within))),
        of_hours=len(list(table.hours())),
    )
