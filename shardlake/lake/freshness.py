"""How new the newest row of each table is that a reader sees: by the footers of files, each of which is read once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.parquet as pq

from shardlake.lake.remote import open_file
from shardlake.lake.tables import LakeTable, Range, begin_of
from shardlake.metric import Kind, Metric, Samples, Values
from shardlake.storage import Folder

FRESHNESS = Metric(
    "shardlake_lake_freshness_seconds",
    Kind.GAUGE,
    "Now - the newest event time that a reader of the table sees; absent while it has no row.",
    ("table",),
)
AHEAD = timedelta(hours=2)
"""An event's time is an hour after its arrival at most."""


class Freshness:
    """Of some tables, which are looked up when they are first asked. Not for several threads at once."""

    def __init__(self, look_up: Callable[[], list[LakeTable]]) -> None:
        self._look_up = look_up
        self._tables: list[LakeTable] | None = None
        self._newest: dict[str, datetime] = {}
        self._read: dict[str, set[Folder]] = {}

    def samples(self) -> Values:
        """As metrics, now."""
        now = datetime.now(UTC)
        ages: Samples = [((name,), max(0.0, (now - time).total_seconds())) for name, time in self.newest(now).items()]
        yield FRESHNESS, ages

    def newest(self, now: datetime) -> dict[str, datetime]:
        """The newest event time by table; one without a row is left out. Raises OSError or Unavailable where the lake
        is not there."""
        if self._tables is None:
            self._tables = self._look_up()
        for table in self._tables:
            known = self._newest.get(table.name)
            newest = self._of_new_files(table, Range(known, now + AHEAD)) if known else self._first(table)
            if newest:  # rows come to older hours too, and make nothing newer
                self._newest[table.name] = max(newest, known or newest)
        return dict(self._newest)

    def _first(self, table: LakeTable) -> datetime | None:
        """That of the last hour in which there is one."""
        for hour in reversed(list(table.hours())):
            begin = begin_of(hour)
            newest = self._of_new_files(table, Range(begin, begin)) if begin else None
            if newest:
                return newest
        return None

    def _of_new_files(self, table: LakeTable, within: Range) -> datetime | None:
        files = table.files(within)
        read = self._read.get(table.name, set())
        self._read[table.name] = set(files)
        return max(
            (time for file in files if file not in read and (time := _newest(file, table.time_column))), default=None
        )


def _newest(file: Folder, column: str) -> datetime | None:
    try:
        with open_file(file) as opened:
            footer = pq.read_metadata(opened)
    except (FileNotFoundError, pa.ArrowInvalid):  # it has gone since it was listed, or is no Parquet file
        return None
    index = footer.schema.names.index(column)
    groups = (footer.row_group(number).column(index).statistics for number in range(footer.num_row_groups))
    times = [group.max for group in groups if group is not None and group.has_min_max]
    if not times:
        return None
    newest: datetime = max(times)
    return newest if newest.tzinfo else newest.replace(tzinfo=UTC)
