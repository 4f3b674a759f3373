"""What the lake holds of each partition of a topic, counted in its files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import duckdb


@dataclass(frozen=True, slots=True)
class Rows:
    """`distinct` offsets among `count` rows: fewer than rows where one was written twice."""

    count: int
    distinct: int
    min_offset: int
    max_offset: int


def rows_by_partition(lake: Path, table: str) -> dict[tuple[str, int], Rows]:
    """By topic and partition, what the files of `table` hold. A table without files holds nothing."""
    files = [str(path) for path in sorted((lake / table).rglob("[!._]*.parquet"))]
    if not files:
        return {}
    found = duckdb.connect().execute(
        'SELECT topic, "partition", count(*), count(DISTINCT "offset"), min("offset"), max("offset") '
        "FROM read_parquet(?) GROUP BY ALL ORDER BY ALL",
        [files],
    )
    return {(row[0], row[1]): Rows(*row[2:]) for row in found.fetchall()}
