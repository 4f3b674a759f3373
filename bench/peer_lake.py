"""What `make bench-peers` finds in the end: the files of a folder beside the topic, by partition and offset."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import duckdb
import fastavro
import pyarrow as pa
import pyarrow.parquet as pq

from shardlake import topics
from shardlake.avro.wire import HEADER_BYTES
from shardlake.lake.tables import VISIBLE
from shardlake.testing.stack import RunningStack

POISON_HEADER = "poison"
"""Of a record that is no valid event: its kind. No program looks at it."""


@dataclass(frozen=True, slots=True)
class Found:
    """Of the records of a topic: healthy ones that no file holds, that files hold more than once, and whose values
    are not those that were sent, with rows of no record at all; and what became of the poison."""

    lost: int
    twice: int
    wrong: int
    poison_as_rows: int
    poison_as_dead_letters: int
    poison_without_trace: int


@dataclass(frozen=True, slots=True)
class Files:
    """The files that a reader of a folder sees."""

    readable: list[str]
    unreadable: list[str]

    @classmethod
    def below(cls, folder: Path) -> Files:
        """Those whose names do not begin with a dot or an underscore, as readers of such folders have it."""
        paths = [str(path) for path in sorted(folder.rglob(VISIBLE))]
        readable = [path for path in paths if _is_readable(path)]
        return cls(readable, [path for path in paths if path not in readable])

    @property
    def size_bytes(self) -> int:
        """Of all of them."""
        return sum(Path(path).stat().st_size for path in (*self.readable, *self.unreadable))

    def records(self) -> int:
        """How many records of the topic they hold, each counted once."""
        if not self.readable:
            return 0
        found = duckdb.execute(
            'SELECT count(DISTINCT ("partition", "offset")) FROM read_parquet(?)', [self.readable]
        ).fetchone()
        return int(found[0]) if found else 0


def _is_readable(path: str) -> bool:
    try:
        pq.read_metadata(path)
    except (pa.ArrowInvalid, OSError):
        return False
    return True


def sent(stack: RunningStack, topic: str, *, values: bool) -> Any:
    """The topic, read again: an Arrow table of places and kinds of poison, and of the healthy ones' values if asked."""
    schema = fastavro.parse_schema(stack.pipeline.schema_of(stack.pipeline.events_topic))
    rows = []
    for message in topics.read(stack.settings.kafka_bootstrap_servers, topic):
        kind = dict(message.headers() or ()).get(POISON_HEADER)
        row: dict[str, Any] = {"partition": message.partition(), "offset": message.offset(), "poison": kind}
        if values and kind is None:
            event: Any = fastavro.schemaless_reader(BytesIO(message.value()[HEADER_BYTES:]), schema, None)
            row |= event
        rows.append(row)
    fields = [field["name"] for field in stack.pipeline.schema_of(stack.pipeline.events_topic)["fields"]]
    columns = ["partition", "offset", "poison", *(fields if values else ())]
    return pa.table({name: [row.get(name) for row in rows] for name in columns})


def compare(topic: Any, files: Files, dead_letters: Iterable[tuple[int, int]] = ()) -> Found:
    """`topic` is as `sent` gives it, `dead_letters` are the places of those records that have one."""
    base = duckdb.connect()
    base.register("topic", topic)
    base.execute("CREATE TABLE sent AS SELECT * FROM topic")
    base.execute('CREATE TABLE letters ("partition" INTEGER, "offset" BIGINT)')
    for place in set(dead_letters):
        base.execute("INSERT INTO letters VALUES (?, ?)", place)
    if files.readable:
        base.execute(
            "CREATE TABLE found AS SELECT * FROM read_parquet(?, union_by_name = true, hive_partitioning = false)",
            [files.readable],
        )
    else:
        base.execute("CREATE TABLE found AS SELECT * EXCLUDE poison FROM sent LIMIT 0")

    def count(sql: str) -> int:
        answer = base.execute(sql).fetchone()
        return int(answer[0]) if answer else 0

    by_place = 'USING ("partition", "offset")'
    differing = [_differs(name) for name in topic.column_names[3:]]
    return Found(
        lost=count(f"SELECT count(*) FROM sent ANTI JOIN found {by_place} WHERE poison IS NULL"),
        twice=count(
            'SELECT count(*) - count(DISTINCT ("partition", "offset")) FROM found '
            f"SEMI JOIN (FROM sent WHERE poison IS NULL) {by_place}"
        ),
        wrong=count(f"SELECT count(*) FROM found ANTI JOIN sent {by_place}")
        + count(
            f"SELECT count(*) FROM sent JOIN found {by_place} WHERE sent.poison IS NULL AND ({' OR '.join(differing)})"
            if differing
            else "SELECT 0"
        ),
        poison_as_rows=count(f"SELECT count(*) FROM sent SEMI JOIN found {by_place} WHERE poison IS NOT NULL"),
        poison_as_dead_letters=count(
            f"SELECT count(*) FROM sent SEMI JOIN letters {by_place} WHERE poison IS NOT NULL"
        ),
        poison_without_trace=count(
            f"SELECT count(*) FROM sent ANTI JOIN found {by_place} ANTI JOIN letters {by_place} "
            "WHERE poison IS NOT NULL"
        ),
    )


def _differs(name: str) -> str:
    kept = f'found."{name}"'
    if name == "event_time":  # with or without a zone, in milliseconds or microseconds
        return f"epoch_us({kept}) IS DISTINCT FROM epoch_us(sent.{name})"
    return f'{kept} IS DISTINCT FROM sent."{name}"'
