"""A lake whose schema has changed three times: jobs, `query`, `verify`, and the lines of docs/use.md for other readers
agree on every row, before `lake migrate` and after it."""

from __future__ import annotations

import ast
import json
import os
import pathlib
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet
import pytest

from bench.environment import environment
from shardlake import topics
from shardlake.dead_letter import DeadLetter
from shardlake.install import layout
from shardlake.pipeline import Pipeline
from shardlake.testing.stack import RunningStack
from tests.e2e.checking import verify
from tests.e2e.lake import has_rows, rows
from tests.support import ROOT, Topic, copy_pipeline, event, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.thorough]

NEW_SYMBOL = range(90, 93)
LATENCY, BIG = 0.1, 2**40
SECONDS_SHOWN = "%Y-%m-%d %H:%M:%S"
Fields = dict[str, dict[str, Any]]
Row = tuple[str, str | None, int | None, str | None, str | None]
"""Time, region, status, hostname and user agent of an event."""


def second(fields: Fields) -> Fields:
    """A field with a default is added, one is renamed, an int becomes a long."""
    fields["hostname"] = {**fields.pop("host"), "name": "hostname", "aliases": ["host"]}
    fields["status"] = {"name": "status", "type": ["null", "long"], "default": None}
    return fields | {"region": {"name": "region", "type": "string", "default": "eu"}}


def third(fields: Fields) -> Fields:
    """A symbol of an enum is added, a field is removed, and a field that was not PII is hashed."""
    level = fields["level"]["type"][1]
    fields["level"]["type"] = ["null", {**level, "symbols": [*level["symbols"], "NOTICE"]}]
    fields["hostname"]["pii"] = "hash"
    del fields["user_agent"]
    return fields


def fourth(fields: Fields) -> Fields:
    """The field that was removed comes back."""
    return fields | {"user_agent": {"name": "user_agent", "type": ["null", "string"], "default": None}}


@dataclass(frozen=True, slots=True)
class Evolved:
    """The stack with the newest pipeline, and what the lake must hold by event."""

    stack: RunningStack
    expected: dict[str, Row]

    @property
    def table(self) -> Path:
        lake = self.stack.settings.lake
        assert isinstance(lake, Path)
        return lake / "app_logs"


def changed(stack: RunningStack, folder: Path, change: Callable[[Fields], Fields]) -> RunningStack:
    """The same stack with the next version of its pipeline."""
    copy_pipeline(folder, 4)
    schema = stack.pipeline.schema_of(stack.pipeline.events_topic)
    fields = change({field["name"]: field for field in json.loads(json.dumps(schema["fields"]))})
    (folder / "schemas" / "app_log.avsc").write_text(json.dumps({**schema, "fields": list(fields.values())}))
    return replace(stack, pipeline=Pipeline.load(folder))


def archive(stack: RunningStack, count: int) -> None:
    """Let the jobs of a version archive what there is."""
    stack.shardlake("jobs", "run", "archive")
    wait_for(has_rows(stack, count), "the rows of all events")
    stack.shardlake("jobs", "stop")


def shown(number: int) -> str:
    return f"{event(number)['event_time']:{SECONDS_SHOWN}}"


@pytest.fixture(scope="module")
def evolved(shardlake_stack: RunningStack, tmp_path_factory: pytest.TempPathFactory) -> Evolved:
    folder = tmp_path_factory.mktemp("versions")
    first = shardlake_stack.emptied(copy_pipeline(folder / "first", 4))
    expected: dict[str, Row] = {}

    def send(stack: RunningStack, numbers: range, **fields: Any) -> None:
        Topic(stack).send_events([event(n, **fields, user_agent=f"agent-{n}") for n in numbers])

    send(first, range(10), host="one")
    archive(first, 10)
    expected |= {f"event-{n}": (shown(n), None, event(n)["status"], "one", None) for n in range(10)}

    two = changed(first, folder / "second", second)
    two.shardlake("schema", "register")
    send(first, range(10, 20), host="one")  # a producer of the first version: the jobs take the default
    send(two, range(20, 30), hostname="two", region="us", status=BIG)
    three = changed(two, folder / "third", third)
    three.shardlake("schema", "register")
    send(three, NEW_SYMBOL, hostname="three", region="us", level="NOTICE")  # no symbol of the jobs that run now
    archive(two, 30)
    expected |= {f"event-{n}": (shown(n), "eu", event(n)["status"], "one", None) for n in range(10, 20)}
    expected |= {f"event-{n}": (shown(n), "us", BIG, "two", None) for n in range(20, 30)}

    send(three, range(30, 40), hostname="three", region="us", level="NOTICE")
    archive(three, 40)
    four = changed(three, folder / "fourth", fourth)
    four.shardlake("schema", "register")
    send(four, range(40, 50), hostname="four", region="us")
    archive(four, 50)
    hashed = dict(rows(four, "SELECT event_id, hostname FROM app_logs"))
    for n in range(30, 50):
        agent = f"agent-{n}" if n >= 40 else None
        expected[f"event-{n}"] = (shown(n), "us", event(n)["status"], hashed[f"event-{n}"], agent)
    return Evolved(four, expected)


def of_table(found: Any) -> dict[str, Row]:
    """Index the rows that a reader gives by their event, in the form of the expected rows."""
    return {
        row["event_id"]: (
            row["event_time"].astimezone(UTC).strftime(SECONDS_SHOWN),
            *(None if pd.isna(row[name]) else row[name] for name in ("region", "status", "hostname", "user_agent")),
        )
        for row in found
    }


def test_a_query_has_every_version_under_the_newest_names(evolved: Evolved) -> None:
    sql = "SELECT event_id, event_time, region, status, hostname, user_agent FROM app_logs"
    found = {name: (time.strftime(SECONDS_SHOWN), *more) for name, time, *more in rows(evolved.stack, sql)}
    with_agents = {f"event-{n}": f"agent-{n}" for n in range(30)}
    hashed = {name: row[4] for name, row in found.items()}
    assert all(hashed[name] not in (None, agent) for name, agent in with_agents.items())
    assert {
        name: (*row[:4], None if name in with_agents else row[4]) for name, row in found.items()
    } == evolved.expected
    assert {row[3] for row in found.values()} >= {"one", "two"}
    assert not {"three", "four"} & {row[3] for row in found.values()}


def test_verify_judges_each_row_by_the_schema_of_its_file(evolved: Evolved) -> None:
    found = verify(evolved.stack, 0, [])
    assert found["conclusion"] == "holds"
    assert any("3 dead letters are events by now" in note for one in found["checks"] for note in one["notes"])


def test_jobs_of_an_older_schema_make_dead_letters_of_a_new_symbol(evolved: Evolved) -> None:
    letters = topics.read(evolved.stack.settings.kafka_bootstrap_servers, "app-logs.dlq")
    found = [DeadLetter.from_headers(letter.headers()) for letter in letters]
    assert [letter.error_class.rpartition(".")[2] for letter in found] == ["SchemaMismatch"] * len(NEW_SYMBOL)
    assert {letter.error_message for letter in found} == {
        "the jobs' schema lacks an enum's symbol or a union's branch of it, or has a field that it lacks"
    }


def documented() -> list[ast.stmt]:
    """The statements of docs/use.md that open a table with other readers."""
    (block,) = re.findall(r"```python\n(files = .*?)```", (ROOT / "docs" / "use.md").read_text(), re.DOTALL)
    found: list[ast.stmt] = ast.parse(block).body
    return found


def read_as_documented(table: Path) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Run the lines of docs/use.md over a table; yield the name of each reader, and the rows that it gives."""
    names: dict[str, Any] = {"duckdb": duckdb, "pandas": pd, "pathlib": pathlib, "polars": pl, "pyarrow": pa}
    for statement in documented():
        code = ast.unparse(statement).replace("lake/app_logs", str(table))
        if not isinstance(statement, ast.Expr):
            exec(code, names)
            continue
        found = eval(code, names)
        reader = code.partition(".")[0]
        if isinstance(found, duckdb.DuckDBPyRelation):
            found = found.to_arrow_table()
        elif isinstance(found, pl.LazyFrame):
            found = found.collect().to_arrow()
        elif isinstance(found, ds.Dataset):
            found = found.to_table()
        yield reader, found.to_dict("records") if isinstance(found, pd.DataFrame) else found.to_pylist()


def with_older_names(row: dict[str, Any]) -> dict[str, Any]:
    """A reader that knows no aliases has the older name beside the newer one."""
    return {**row, "hostname": row["host"] if pd.isna(row["hostname"]) else row["hostname"]}


def test_the_documented_lines_of_other_readers_give_every_row(evolved: Evolved) -> None:
    readers = dict(read_as_documented(evolved.table))
    assert list(readers) == ["duckdb", "polars", "pyarrow", "pandas"]
    agents = {f"event-{n}" for n in range(30)}
    for reader, found in readers.items():
        by_event = of_table(with_older_names(row) for row in found)
        by_event |= {name: (*row[:4], None) for name, row in by_event.items() if name in agents}
        assert by_event == evolved.expected, reader


def test_after_a_migration_each_reader_has_the_newest_names_and_types(evolved: Evolved) -> None:
    before = rows(evolved.stack, "SELECT * FROM app_logs ORDER BY event_id")
    evolved.stack.shardlake("lake", "migrate")
    assert rows(evolved.stack, "SELECT * FROM app_logs ORDER BY event_id") == before
    kinds = {str(ds.dataset(file).schema.field("status").type) for file in evolved.table.rglob("[!.]*.parquet")}
    assert kinds == {"int64"}
    agents = {f"event-{n}" for n in range(30)}
    for reader, found in read_as_documented(evolved.table):
        assert "host" not in found[0], reader
        by_event = of_table(found)
        by_event |= {name: (*row[:4], None) for name, row in by_event.items() if name in agents}
        assert by_event == evolved.expected, reader
    assert verify(evolved.stack, 0, [])["conclusion"] == "holds"


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_spark_in_two_zones_datafusion_and_chdb_agree_after_a_migration(evolved: Evolved) -> None:
    """Before it, Spark and DataFusion refuse a table in which a column has two types."""
    evolved.stack.shardlake("lake", "migrate")
    python = environment(ROOT / "tests" / "readers" / "requirements.lock", "readers") / "bin" / "python"
    columns = ("event_id", "region", "status", "hostname", "user_agent")
    done = subprocess.run(
        [python, ROOT / "tests" / "readers" / "program.py", evolved.table, *columns],
        env={**os.environ, "JAVA_HOME": str(layout.JAVA_HOME), "TZ": "America/New_York"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    names = ", ".join(columns)
    wanted = rows(evolved.stack, f"SELECT epoch_us(event_time), {names} FROM app_logs ORDER BY event_id")
    for reader, found in json.loads(done.stdout.splitlines()[-1]).items():
        assert sorted(map(tuple, found), key=lambda row: str(row[1])) == wanted, reader
