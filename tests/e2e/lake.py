"""What is in the lake and among the dead letters of a stack."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from shardlake.lake.accounting import account, dead_letter_places
from shardlake.lake.query import query
from shardlake.lake.tables import lake_tables
from shardlake.storage import Folder
from shardlake.testing.stack import RunningStack


def rows(stack: RunningStack, sql: str) -> list[tuple[Any, ...]]:
    """The rows of a query over the lake."""
    return query(sql, lake_tables(stack.settings.lake, stack.pipeline)).rows


def has_rows(stack: RunningStack, count: int) -> Callable[[], bool]:
    """Asks whether the archive has so many rows at least."""

    def ask() -> bool:
        return bool(rows(stack, "SELECT count(*) FROM app_logs")[0][0] >= count)

    return ask


def all_accounted_for(stack: RunningStack) -> bool:
    """Whether every record of the topic is a row or a dead letter, exactly once."""
    servers, lake = stack.settings.kafka_bootstrap_servers, stack.settings.lake
    return all(one.holds for one in account(servers, stack.pipeline.events_topic, lake))


def dead_letters(stack: RunningStack) -> int:
    """How many dead letters the jobs have written."""
    return len(dead_letter_places(stack.settings.kafka_bootstrap_servers, stack.pipeline.events_topic))


def as_older_versions_wrote(file: Folder) -> None:
    """The same rows in a file whose times are called local ones."""
    table, written = pq.read_table(io.BytesIO(file.read_bytes())), io.BytesIO()
    local = [f.with_type(pa.timestamp("us")) if pa.types.is_timestamp(f.type) else f for f in table.schema]
    pq.write_table(table.cast(pa.schema(local)), written, compression="zstd", store_schema=False)
    file.write_bytes(written.getvalue())
