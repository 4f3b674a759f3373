"""Running a job's `build` in process: rows in, the rows of each insert out, on Flink's own mini cluster.

No Kafka, no registry: the views of events are files, read to their end, so that every window fires. Give events in the
order in which they come: what is further behind than the topic's `out_of_order_seconds` may be late, as on a stack.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from shardlake.errors import BadInput
from shardlake.flink.columns import PROVENANCE, columns
from shardlake.flink.endpoints import Endpoints
from shardlake.flink.gateway import guard
from shardlake.flink.tables import interval, table_definitions, view_name
from shardlake.pipeline import Pipeline, Topic
from shardlake.planner import planning_environment

Row = dict[str, Any]
KEY = "a key for tests"
"""What PII is masked with in such a run."""


@contextmanager
def mini_cluster_environment() -> Iterator[None]:
    """What PyFlink and the JVM that it starts find. Gone afterwards: a stack of the same test run would find it too."""
    before = dict(os.environ)
    os.environ.update(planning_environment())
    os.environ["SHARDLAKE_PII_KEY"] = KEY
    guard()
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@mini_cluster_environment()
def run_job(
    pipeline: Pipeline,
    job: str,
    events: Mapping[str, Sequence[Row]],
    options: Mapping[str, str] | None = None,
    closed: Mapping[str, int] | None = None,
) -> dict[str, list[Row]]:
    """Run one job over `events`, a list of records for each topic of events; the rows that each sink would get.

    A record may lack nullable fields and the provenance (`topic`, `partition`, `offset`, and `arrival_time`, which then
    is its event time), but not its event time: Flink takes a null one from Kafka, not from a file. Times go in and come
    out as aware datetimes. `closed` is what an earlier finish closed, as `Tables` has it.

    Raises BadInput as the real application does, and for a record without its event time.
    """
    from pyflink.table import EnvironmentSettings, TableEnvironment

    environment = TableEnvironment.create(EnvironmentSettings.in_streaming_mode())
    for name, value in {"table.local-time-zone": "UTC", "parallelism.default": "1"}.items():
        environment.get_config().set(name, value)
    with tempfile.TemporaryDirectory() as folder:
        for topic in pipeline.sources:
            _write(Path(folder) / f"{topic.name}.json", _arrived(topic, events.get(topic.name, [])))
        sinks = _define(environment, pipeline, Path(folder))
        from shardlake.flink.inserts import built, compiled, execute

        all_of_them = built(environment, pipeline, {job: options or {}}, {job: closed or {}})
        inserts = [(one, insert) for one, insert in all_of_them if _plain(insert.sink) in sinks]
        execute(environment, compiled(environment, pipeline, inserts)).wait()
        return {insert.sink: _read(*sinks[_plain(insert.sink)]) for _, insert in inserts}


def _define(environment: Any, pipeline: Pipeline, folder: Path) -> dict[str, tuple[Path, list[str]]]:
    """The same tables as in production, each a folder of JSON instead; by name each sink's folder and columns of
    times."""
    sinks = {}
    for statement in table_definitions(pipeline, Endpoints("", "", f"file://{folder}")):
        if not statement.startswith("CREATE TABLE"):
            environment.execute_sql(statement)
            continue
        name = _plain(statement.split()[2])
        head = statement[: statement.rindex(" WITH (")].replace(" METADATA", "").replace(" VIRTUAL", "")
        path = folder / name
        if name.startswith("decoded."):
            topic = next(topic for topic in pipeline.sources if name == f"decoded.{view_name(topic)}")
            head, path = _source(pipeline, topic), folder / f"{topic.name}.json"
        elif "headers MAP" not in head:
            sinks[name] = path, re.findall(r"(\w+)`? TIMESTAMP", head)
        environment.execute_sql(
            f"{head} WITH ('connector' = 'filesystem', 'path' = '{path}', 'format' = 'json', "
            "'json.timestamp-format.standard' = 'ISO-8601')"
        )
    return sinks


def _plain(name: str) -> str:
    """A table's name without the quotes that a job may write or leave out."""
    return name.replace("`", "")


def _arrived(topic: Topic, rows: Sequence[Row]) -> list[Row]:
    if topic.event_time is None:
        return list(rows)
    if any(row.get(topic.event_time) is None for row in rows):
        msg = f"A record of {topic.name} lacks its {topic.event_time}, which a job in process cannot take."
        raise BadInput(msg, "Test such records on a stack: see shardlake.testing.stack.")
    return [{"arrival_time": row[topic.event_time], **row} for row in rows]


def _source(pipeline: Pipeline, topic: Topic) -> str:
    fields = [f"`{column.name}` {column.type}" for column in columns(pipeline.schema_of(topic))]
    fields += [*PROVENANCE, "kafka_key BYTES", "headers MAP<STRING, BYTES>"]
    fields += ["error STRING", "error_message STRING", "raw_value BYTES", "closed_until TIMESTAMP_LTZ(3)"]
    if topic.event_time:
        delay = interval(topic.out_of_order_seconds)
        fields.append(f"WATERMARK FOR `{topic.event_time}` AS `{topic.event_time}` - {delay}")
    return f"CREATE TABLE decoded.`{view_name(topic)}` ({', '.join(fields)})"


def _write(path: Path, rows: Iterable[Row]) -> None:
    def plain(value: Any) -> Any:
        return value.strftime("%Y-%m-%dT%H:%M:%S.%fZ") if isinstance(value, datetime) else value

    path.write_text("".join(json.dumps({k: plain(v) for k, v in row.items()}) + "\n" for row in rows))


def _read(folder: Path, times: Sequence[str]) -> list[Row]:
    lines = [line for file in sorted(folder.rglob("*")) if file.is_file() for line in file.read_text().splitlines()]
    rows: list[Row] = [json.loads(line) for line in lines]
    for row in rows:
        row.update({name: datetime.fromisoformat(row[name]).replace(tzinfo=UTC) for name in times if row[name]})
    return rows
