"""The topics that jobs write, held against the lake's tables of the same records: each row is in both, as often.

A topic's records are read again, committed ones only; fields that are PII are left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from shardlake import topics
from shardlake.avro.batch import column_types
from shardlake.avro.codec import Decoder, Undecodable
from shardlake.avro.registry import Registry
from shardlake.lake.sql import named
from shardlake.lake.unchecked import say_unchecked
from shardlake.lake.verdict import Anomaly, Findings
from shardlake.pipeline import Pipeline, Topic
from shardlake.settings import Settings

PUBLISHED = "published"
"""The folder of the evidence that holds them."""
WITHOUT_TABLE = "without_table.json"
"""In that folder: the topics that have records, and no table of the lake to be held against."""


def published(pipeline: Pipeline) -> list[Topic]:
    """The topics whose records are in a table of the lake too, written by jobs."""
    return [
        topic for topic in pipeline.on_broker if topic.schema and topic.lake_table and topic not in pipeline.sources
    ]


def without_table(pipeline: Pipeline) -> list[Topic]:
    """The topics that jobs may write which have no table of the lake: nothing tells what should be in them."""
    letters = {topic.dead_letters for topic in pipeline.sources}
    return [
        topic
        for topic in pipeline.on_broker
        if topic not in pipeline.sources and topic.name not in letters and not (topic.schema and topic.lake_table)
    ]


def collect_published(settings: Settings, pipeline: Pipeline, folder: Path) -> None:
    """Read them into `folder`, a Parquet file each. Raises Unavailable where broker or registry are not there."""
    folder.mkdir(parents=True, exist_ok=True)
    registry = Registry(settings.schema_registry_url)
    servers = settings.kafka_bootstrap_servers
    offsets = {topic.name: topics.offsets(servers, topic.name) for topic in without_table(pipeline)}
    counts = {name: sum(end - first for first, end in found.values()) for name, found in offsets.items()}
    (folder / WITHOUT_TABLE).write_text(json.dumps({name: count for name, count in counts.items() if count}))
    for topic in published(pipeline):
        if any(first for first, _ in topics.offsets(settings.kafka_bootstrap_servers, topic.name).values()):
            continue  # retention has taken some: the lake has more
        schema = pipeline.schema_of(topic)
        types = {name: kind for name, kind in column_types(schema).items() if name in _open(pipeline, topic)}
        decoder = Decoder(schema, registry, topic.subject)
        rows: list[dict[str, object]] = []
        for message in topics.read(settings.kafka_bootstrap_servers, topic.name):
            try:
                record = decoder.decode(message.value())
            except Undecodable:
                record = {}  # it is no row of the lake, whatever it is
            rows.append({name: record.get(name) for name in types})
        columns = [
            pa.array([row[name] for row in rows], pa.timestamp("us", "UTC") if pa.types.is_timestamp(kind) else kind)
            for name, kind in types.items()
        ]
        file = pa.table([column.cast(kind) for column, kind in zip(columns, types.values(), strict=True)], list(types))
        pq.write_table(file, folder / f"{topic.lake_table}.parquet")


def check_published(connection: duckdb.DuckDBPyConnection, pipeline: Pipeline, folder: Path) -> Iterator[Findings]:
    """Hold the topics against the lake. Needs a view of each lake table."""
    filled = json.loads((folder / WITHOUT_TABLE).read_text()) if (folder / WITHOUT_TABLE).exists() else {}
    for topic in without_table(pipeline):
        if topic.name in filled:
            found = Findings(f"the topic {topic.name}, against nothing")
            say_unchecked(found, topic, f"the topic {topic.name} has no table in the lake to be held against")
            yield found
    for topic in published(pipeline):
        table, file = str(topic.lake_table), folder / f"{topic.lake_table}.parquet"
        found = Findings(f"the topic {topic.name}, against the lake")
        if not file.exists():
            found.notes.append(f"retention has taken some of {topic.name}: it was not held against the lake")
            yield found
            continue
        names = _open(pipeline, topic)
        columns = ", ".join(f'"{name}"' for name in names)
        same = " AND ".join(f't."{name}" IS NOT DISTINCT FROM l."{name}"' for name in names)
        connection.register("published", pq.read_table(file))
        found.checked = pq.read_metadata(file).num_rows
        for in_topic, in_lake, *values in connection.execute(f"""
            SELECT coalesce(t.n, 0), coalesce(l.n, 0), {", ".join(f'coalesce(t."{n}", l."{n}")' for n in names)}
            FROM (SELECT {columns}, count(*) AS n FROM published GROUP BY ALL) t
            FULL JOIN (SELECT {columns}, count(*) AS n FROM {named(table)} GROUP BY ALL) l ON {same}
            WHERE t.n IS DISTINCT FROM l.n ORDER BY ALL
        """).fetchall():
            key = ", ".join(str(value) for name, value in zip(names, values, strict=True) if name in _key(topic))
            name = "lost-write" if in_topic < in_lake else "duplicate" if in_lake else "unexpected"
            words = f"is {in_topic} times in the topic and {in_lake} times in the lake"
            found.add(Anomaly(name, f"{topic.name}: {key}", words))
        connection.unregister("published")
        yield found


def _open(pipeline: Pipeline, topic: Topic) -> list[str]:
    return [field["name"] for field in pipeline.schema_of(topic)["fields"] if "pii" not in field]


def _key(topic: Topic) -> tuple[str | None, str | None]:
    return topic.event_time, topic.key
