"""What a job is: a pure function from tables to inserts.

    def build(tables: Tables) -> list[Insert]: ...

in a file of `flink_jobs/`. It sees one view for each topic of events, named as the topic with `-` and `.` as `_`: the
valid events, unmasked, with `topic`, `partition`, `offset` and `arrival_time`. What it returns is inserted into
tables that the engine makes from the schemas: `lake.<lake_table>`, and ``topics.`<topic>` ``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shardlake.flink.columns import columns
from shardlake.pipeline import Pipeline

if TYPE_CHECKING:
    from pyflink.table import Table, TableEnvironment


@dataclass(frozen=True, slots=True)
class Insert:
    """The rows of `table` go into `sink`, column by column in the sink's order."""

    sink: str
    table: Table


@dataclass(frozen=True, slots=True)
class Tables:
    """What a job may use."""

    environment: TableEnvironment
    pipeline: Pipeline

    def query(self, sql: str) -> Table:
        """A table from a query over the views of events."""
        return self.environment.sql_query(sql)

    def masked(self, topic: str) -> str:
        """The select list of a topic's fields with PII masked, as the lake gets them."""
        schema = self.pipeline.schema_of(self.pipeline.topic(topic))
        return ", ".join(column.masked for column in columns(schema))
