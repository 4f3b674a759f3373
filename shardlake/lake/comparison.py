"""Comparing two large sets of records by their places, without joining them.

Each side is summed by partition and chunk of offsets: how many, and the sum of a 64-bit hash of each record. Sums of
equal multisets are equal, in whatever order; where they differ, and there only, records are compared one by one. Two
different chunks agree by chance with a probability of about 2^-64.
"""

from __future__ import annotations

from collections.abc import Mapping

import duckdb
import pyarrow as pa

CHUNK_BITS = 14


def differing_chunks(connection: duckdb.DuckDBPyConnection, left: str, right: str, table: str) -> int:
    """Make `table` of the chunks in which two queries of ("partition", "offset", h) differ; how many these are."""
    one, other = (
        f'SELECT "partition", "offset" >> {CHUNK_BITS} AS chunk, count(*) AS n, sum(h) AS s FROM ({query}) GROUP BY ALL'
        for query in (left, right)
    )
    connection.execute(
        f'CREATE OR REPLACE TEMP TABLE {table} AS SELECT "partition", chunk FROM ({one}) l FULL JOIN ({other}) r '
        'USING ("partition", chunk) WHERE l.n IS DISTINCT FROM r.n OR l.s IS DISTINCT FROM r.s'
    )
    return number(connection, f"SELECT count(*) FROM {table}")


def by_partition(**columns: Mapping[int, int]) -> pa.Table:
    """A table of "partition" and a column for each of these offsets, 0 where there is none."""
    partitions = sorted({partition for column in columns.values() for partition in column})
    offsets = {
        name: pa.array([column.get(one, 0) for one in partitions], pa.int64()) for name, column in columns.items()
    }
    return pa.table({"partition": pa.array(partitions, pa.int32()), **offsets})


def within(query: str, table: str) -> str:
    """Those rows of a query with "partition" and "offset" that are in the chunks of `table`."""
    return (
        f'SELECT * FROM ({query}) q SEMI JOIN {table} c ON q."partition" = c."partition" '
        f'AND q."offset" >> {CHUNK_BITS} = c.chunk'
    )


def number(connection: duckdb.DuckDBPyConnection, query: str) -> int:
    """The one number that a query gives; NULL is 0."""
    ((found,),) = connection.execute(query).fetchall()
    return int(found or 0)
