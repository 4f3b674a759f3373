"""A shop's two topics, planted: what was read of each, the lake's tables, windows of one of them, and its ledgers.

Nothing runs: files are written as the jobs and `evidence.collect` write them, so that a test may do harm to any.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from shardlake.avro.batch import column_types
from shardlake.lake.counting import Counting
from shardlake.lake.evidence import DEAD_LETTER_FIELDS, FILE, Evidence
from shardlake.lake.masks import Masks
from shardlake.lake.reread import Share
from shardlake.lake.source import Source
from shardlake.lake.tables import lake_tables
from shardlake.lake.verdict import Findings, Verdict
from shardlake.lake.verify import Jobs, verify
from shardlake.ledger import Ledger, Run, digest
from shardlake.pipeline import Pipeline, Topic

TIME = {"type": "long", "logicalType": "timestamp-millis"}
SCHEMAS = {
    "order": {"order_id": "string", "country": "string", "cents": "long", "created_at": TIME},
    "payment": {"order_id": "string", "method": "string", "cents": "long", "paid_at": TIME},
    "revenue": {"window_start": TIME, "window_end": TIME, "method": "string", "payments": "long", "cents": "long"},
    "risk": {"order_id": "string", "created_at": TIME, "score": "double"},
    "late_event": {
        "event_time": TIME, "order_id": "string", "missed_table": "string", "window_start": TIME, "window_end": TIME,
        "closed_until": TIME, "topic": "string", "partition": "int", "offset": "long",
    },
}  # fmt: skip
TOPICS = {
    "orders": 'schema = "order"\nkey = "order_id"\nevent_time = "created_at"\npartitions = 2\nlake_table = "orders"\n'
    'dead_letters = "orders.dlq"\nout_of_order_seconds = 60',
    "payments": 'schema = "payment"\nkey = "order_id"\nevent_time = "paid_at"\npartitions = 2\n'
    'lake_table = "payments"\ndead_letters = "payments.dlq"\nout_of_order_seconds = 60',
    "orders.dlq": "partitions = 1",
    "payments.dlq": "partitions = 1",
    "revenue": 'schema = "revenue"\nkey = "method"\nevent_time = "window_start"\nlake_table = "revenue"',
    "risk": 'schema = "risk"\nkey = "order_id"\nevent_time = "created_at"\nlake_table = "risk"',
    "late-events": 'schema = "late_event"\nevent_time = "event_time"\nlake_table = "late_events"',
}
MINUTES = """
    SELECT time_bucket(INTERVAL 1 MINUTE, paid_at) AS window_start,
        time_bucket(INTERVAL 1 MINUTE, paid_at) + INTERVAL 1 MINUTE AS window_end,
        method, count(*) AS payments, sum(cents)::BIGINT AS cents
    FROM {} GROUP BY ALL
"""
REVENUE = Counting("revenue", "revenue", MINUTES.format("in_time"))
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
EVENTS, POISON = 240, 3
"""Of each topic: an event a second, and records that are none, in two partitions."""
Row = dict[str, Any]


@dataclass
class Shop:
    """The planted shop. `evidence` is by topic; `closed` as the jobs' last finish has left it."""

    folder: Path
    pipeline: Pipeline
    evidence: dict[str, Evidence] = field(default_factory=dict)
    runs: dict[str, tuple[Path, ...]] = field(default_factory=dict)

    @property
    def lake(self) -> Path:
        return self.folder / "lake"

    @property
    def closed(self) -> dict[str, dict[str, int]]:
        last_ms = int((NOON + timedelta(seconds=EVENTS - 1)).timestamp() * 1000)
        return {"revenue": {"orders": last_ms, "payments": last_ms}}

    def verdict(
        self, *countings: Counting, unread: str = "", strays: Iterable[Path] = (), left_out: Iterable[str] = ()
    ) -> Verdict:
        """What `verify` concludes, where `unread` names a topic that could not be read, `left_out` jobs left out."""
        sources = [
            Source(topic, None, unread="the broker is gone")
            if topic.name == unread
            else Source(topic, self.evidence[topic.name], self.runs.get(topic.name, ()))
            for topic in self.pipeline.sources
        ]
        tables = lake_tables(self.lake, self.pipeline)
        jobs = Jobs(countings or (REVENUE,), self.closed, [*left_out])
        return verify(self.pipeline, self.lake, tables, sources, jobs, self.folder / "no topics", [*strays])

    def file(self, table: str) -> Path:
        """The one file of a table."""
        (found,) = (self.lake / table).rglob("*.parquet")
        return found

    def write(self, table: str, rows: list[Row], name: str = "part-0") -> None:
        """Write a file of a table, in the hour of noon."""
        (topic,) = [one for one in self.pipeline.topics.values() if one.lake_table == table]
        types = column_types(self.pipeline.schema_of(topic))
        if topic in self.pipeline.sources:
            types |= {"topic": pa.string(), "partition": pa.int32(), "offset": pa.int64()}
            types |= {"arrival_time": pa.timestamp("us")}
        kinds = {one: pa.timestamp("us", "UTC") if pa.types.is_timestamp(kind) else kind for one, kind in types.items()}
        file = self.lake / table / f"{NOON:year=%Y/month=%m/day=%d/hour=%H}" / f"{name}.parquet"
        file.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(rows, pa.schema(kinds)), file)

    def change(self, table: str, harm: Callable[[list[Row]], object]) -> None:
        """Write the one file of a table anew, once something was done to its rows."""
        rows = pq.read_table(self.file(table)).to_pylist()
        harm(rows)
        self.write(table, rows)

    def keep(self, topic: str, folder: Path) -> None:
        """Lay what was read of a topic into a folder, as an earlier `verify` has."""
        evidence = replace(self.evidence[topic], folder=folder)
        self.evidence[topic].folder.rename(folder)
        content = {name: value for name, value in asdict(evidence).items() if name != "folder"}
        (folder / FILE).write_text(json.dumps(content))


def topics_toml(topics: dict[str, str]) -> str:
    return "\n\n".join(f'["{name}"]\n{settings}' for name, settings in topics.items())


def pipeline(folder: Path, topics: dict[str, str]) -> Pipeline:
    """The shop's pipeline, its topics in the order that is given."""
    schemas = folder / "schemas"
    schemas.mkdir(parents=True, exist_ok=True)
    for name, fields in SCHEMAS.items():
        listed = [{"name": one, "type": kind} for one, kind in fields.items()]
        (schemas / f"{name}.avsc").write_text(json.dumps({"type": "record", "name": name, "fields": listed}))
    (schemas / "topics.toml").write_text(topics_toml(topics))
    return Pipeline.load(folder)


def events(topic: Topic) -> list[Row]:
    """Its events, in order, with their places."""
    found = []
    for number in range(EVENTS):
        moment = NOON + timedelta(seconds=number)
        row: Row = {"order_id": f"o{number}", "cents": 100 + number, str(topic.event_time): moment}
        row |= {"country": "DE"} if topic.name == "orders" else {"method": ("CARD", "INVOICE")[number % 3 == 0]}
        place = {"topic": topic.name, "partition": number % 2, "offset": number // 2}
        found.append({**row, **place, "arrival_time": moment + timedelta(seconds=1)})
    return found


def plant(folder: Path, topics: dict[str, str] | None = None) -> Shop:
    """A shop in which everything is where it must be."""
    shop = Shop(folder, pipeline(folder / "pipeline", topics or TOPICS))
    windows: dict[tuple[datetime, str], list[int]] = {}
    for topic in shop.pipeline.sources:
        rows = events(topic)
        shop.write(str(topic.lake_table), rows)
        shop.evidence[topic.name] = _evidence(shop, topic, rows)
        if topic.name == "payments":
            for row in rows:
                windows.setdefault((row["paid_at"].replace(second=0), row["method"]), []).append(row["cents"])
    shop.write(
        "revenue",
        [
            {
                "window_start": start, "window_end": start + timedelta(minutes=1), "method": method,
                "payments": len(cents), "cents": sum(cents),
            }
            for (start, method), cents in windows.items()
        ],
    )  # fmt: skip
    return shop


def ledger(shop: Shop, topic: str) -> Path:
    """The folder of a run that sent all events of a topic."""
    run = shop.folder / f"run-{topic}"
    Run(topic, f"id-{topic}", {0: 0, 1: 0}, 0.0).join(run)
    writer = Ledger(run, "p", topic, f"id-{topic}")
    for number, row in enumerate([*events(shop.pipeline.topic(topic)), *_poison(topic)]):
        writer.intend(_key(row), _value(row), ("log", number))
        writer.acknowledged(number, row["partition"], row["offset"])
    writer.close()
    return run


def found_in(verdict: Verdict) -> list[tuple[str, str]]:
    """Names and places of anomalies."""
    return [(one.name, one.where) for found in verdict.findings for one in found.anomalies]


def unchecked(verdict: Verdict) -> list[str]:
    return [words for found in verdict.findings for words in found.unchecked]


def notes(verdict: Verdict) -> list[str]:
    return [words for found in verdict.findings for words in found.notes]


def check(verdict: Verdict, name: str, source: str | None = None) -> Findings:
    """The one check of that name."""
    (found,) = [one for one in verdict.findings if one.check == name and source in (None, one.source)]
    return found


def _key(row: Row) -> bytes:
    return f"{row['topic']}-{row['partition']}".encode()


def _value(row: Row) -> bytes:
    return f"{row['topic']}/{row['partition']}/{row['offset']}".encode()


def _poison(topic: str) -> list[Row]:
    return [{"topic": topic, "partition": 0, "offset": EVENTS // 2 + number} for number in range(POISON)]


def _evidence(shop: Shop, topic: Topic, rows: list[Row]) -> Evidence:
    folder, schema = shop.folder / f"evidence-{topic.name}", shop.pipeline.schema_of(topic)
    for name in ("topic", "dead_letters"):
        (folder / name).mkdir(parents=True)
    fields = Share("", "", topic, schema, {}, Masks(schema, []), folder).fields
    poison = _poison(topic.name)
    records = [{**row, "state": "event"} for row in rows] + [
        {**row, "state": "poison", "arrival_time": NOON} for row in poison
    ]
    naive = [{name: _naive(value) for name, value in row.items()} for row in records]
    with_digests = [{**row, "digest": digest(_key(row), _value(row))} for row in naive]
    pq.write_table(pa.Table.from_pylist(with_digests, fields), folder / "topic" / "0.parquet")
    letters = [
        {**row, "digest": digest(_key(row), _value(row)), "state": "poison", "dlq_partition": 0, "dlq_offset": number}
        for number, row in enumerate(poison)
    ]
    pq.write_table(pa.Table.from_pylist(letters, DEAD_LETTER_FIELDS), folder / "dead_letters" / "0.parquet")
    ends = {0: EVENTS // 2 + POISON, 1: EVENTS // 2}
    return Evidence(
        topic=topic.name, topic_id=f"id-{topic.name}", first={0: 0, 1: 0}, end=ends, starts={0: 0, 1: 0}, covered=ends,
        events=len(rows), poison=POISON, nulls=0, dead_letters=POISON, key_ids=[], uncompared=[], collected=0.0,
        seconds=0.0, folder=folder,
    )  # fmt: skip


def _naive(value: Any) -> Any:
    return value.replace(tzinfo=None) if isinstance(value, datetime) else value
