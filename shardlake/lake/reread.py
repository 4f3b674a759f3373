"""A topic of events read again and judged, record by record, by none of the jobs' code, into a Parquet file.

A record is an event where it decodes and its event time is possible, poison where not, or null. Batches are decoded at
once; what that does not take is given to the strict decoder one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from shardlake import topics
from shardlake.avro.batch import BatchDecoder, Numbers, column_types
from shardlake.avro.codec import Decoder, Record, Undecodable
from shardlake.avro.registry import Registry
from shardlake.dead_letter import redriven_from
from shardlake.lake.masks import Masks
from shardlake.ledger import digest
from shardlake.pipeline import Topic

EVENT, POISON, NULL = "event", "poison", "null"
STATES = pa.array([EVENT, POISON, NULL])
FUTURE_MICROS = 3_600_000_000
BATCH_RECORDS = 20_000
BATCH_BYTES = 1 << 25
ROW_GROUP_ROWS = 122_880
ROW_GROUP_BYTES = 1 << 27


class Judge:
    """What a value is. Raises Unavailable where the registry is needed and down."""

    def __init__(self, topic: Topic, schema: dict[str, Any], registry: Registry) -> None:
        self._event_time = topic.event_time
        self._decoder = Decoder(schema, registry, topic.subject)
        self._types = column_types(schema)
        self._batches = BatchDecoder(schema, registry.schema_id(topic.subject, schema))

    def judge(self, values: Sequence[bytes | None], arrivals: Numbers) -> tuple[dict[str, pa.Array], Numbers]:
        """The fields of many values, null where one is no event, and the state of each as an index of STATES.

        `arrivals` are microseconds since 1970.
        """
        columns, valid = self._batches.decode([value or b"" for value in values])
        rest = np.flatnonzero(~valid)
        strict = {int(row): self._decode(values[row]) for row in rest}
        if any(strict.values()):
            columns = {name: self._mended(name, column, strict) for name, column in columns.items()}
            valid[[row for row, record in strict.items() if record]] = True
        if self._event_time:
            moments = columns[self._event_time].cast(pa.int64())
            latest = pa.array(arrivals + FUTURE_MICROS)
            possible = pc.and_(pc.greater_equal(moments, 0), pc.less_equal(moments, latest)).fill_null(True)
            valid &= possible.to_numpy(zero_copy_only=False)
            if not pc.all(possible).as_py():
                columns = {
                    name: pc.if_else(possible, column, pa.scalar(None, column.type)) for name, column in columns.items()
                }
        states = np.where(valid, 0, 1).astype(np.int8)
        states[[row for row in strict if values[row] is None]] = 2
        return columns, states

    def _decode(self, value: bytes | None) -> Record | None:
        try:
            return None if value is None else self._decoder.decode(value)
        except Undecodable:
            return None

    def _mended(self, name: str, column: pa.Array, strict: dict[int, Record | None]) -> pa.Array:
        """The column with the values that the strict decoder found."""
        kind = self._types[name]
        found = {row: record[name] for row, record in strict.items() if record}
        is_found = np.zeros(len(column), bool)
        is_found[list(found)] = True
        with_zone = pa.timestamp("us", "UTC") if pa.types.is_timestamp(kind) else kind
        values = pa.array([found[row] for row in sorted(found)], with_zone).cast(kind)
        return pc.replace_with_mask(column, pa.array(is_found), values)


@dataclass(frozen=True, slots=True)
class Share:
    """What one process reads, offsets [start, end) by partition, and the file it writes."""

    bootstrap_servers: str
    registry_url: str
    topic: Topic
    schema: dict[str, Any]
    ranges: dict[int, tuple[int, int]]
    masks: Masks
    file: Path

    @property
    def fields(self) -> pa.Schema:
        """The file's columns."""
        place = {"partition": pa.int32(), "offset": pa.int64(), "arrival_time": pa.timestamp("us")}
        redriven = {"redriven_partition": pa.int32(), "redriven_offset": pa.int64()}
        events = {
            column: kind for name, kind in column_types(self.schema).items() for column in self.masks.columns_of(name)
        }
        return pa.schema({**place, "digest": pa.uint64(), "state": pa.string(), **redriven, **events})


def read_share(share: Share) -> dict[str, int]:
    """Read, judge and write a share; how many records of each state there are. Raises Unavailable."""
    judge = Judge(share.topic, share.schema, Registry(share.registry_url))
    counts = np.zeros(len(STATES), np.int64)
    waiting: list[pa.Table] = []
    with pq.ParquetWriter(share.file, share.fields, compression="lz4") as file:

        def write() -> None:
            if waiting:
                file.write_table(pa.concat_tables(waiting), row_group_size=ROW_GROUP_ROWS)
                waiting.clear()

        for batch in _batches(share):
            table, states = _table(share, judge, batch)
            counts += np.bincount(states, minlength=len(STATES))
            waiting.append(table)
            rows, size = sum(map(len, waiting)), sum(one.nbytes for one in waiting)
            if rows >= ROW_GROUP_ROWS or size >= ROW_GROUP_BYTES:
                write()
        write()
    return dict(zip(STATES.to_pylist(), counts.tolist(), strict=True))


def _batches(share: Share) -> Any:
    """Records in lists of about a size: small ones cost as much as large ones to decode."""
    batch: list[Any] = []
    size = 0
    for messages in topics.read_batches(share.bootstrap_servers, share.topic.name, share.ranges):
        for message in messages:
            batch.append(message)
            size += len(message)
            if len(batch) >= BATCH_RECORDS or size >= BATCH_BYTES:
                yield batch
                batch, size = [], 0
    if batch:
        yield batch


def _redriven_from(topic: str, headers: Any) -> tuple[int, int] | None:
    """The partition and offset of the topic's record that a redriven one says it was."""
    found = redriven_from(headers)
    return found[1:] if found and found[0] == topic and found[1] < 1 << 31 and found[2] < 1 << 63 else None


def _table(share: Share, judge: Judge, batch: list[Any]) -> tuple[pa.Table, Numbers]:
    values = [message.value() for message in batch]
    keys = [message.key() for message in batch]
    arrivals = 1000 * np.fromiter((message.timestamp()[1] for message in batch), np.int64, len(batch))
    fields, states = judge.judge(values, arrivals)
    columns = {
        "partition": pa.array([message.partition() for message in batch], pa.int32()),
        "offset": pa.array([message.offset() for message in batch], pa.int64()),
        "arrival_time": pa.array(arrivals).view(pa.timestamp("us")),
        "digest": pa.array(map(digest, keys, values), pa.uint64(), size=len(batch)),
        "state": STATES.take(pa.array(states)),
    }
    # Asked of every record, and hardly one has headers.
    froms = [_redriven_from(share.topic.name, found) if (found := m.headers()) else None for m in batch]
    columns["redriven_partition"] = pa.array([one and one[0] for one in froms], pa.int32())
    columns["redriven_offset"] = pa.array([one and one[1] for one in froms], pa.int64())
    for name, column in fields.items():
        columns |= share.masks.apply(name, column)
    return pa.table(columns, share.fields), states
