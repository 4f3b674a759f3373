"""How new the newest row of each table is that a reader sees: by the footers of files, each of which is read once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from shardlake.lake import footer
from shardlake.lake.remote import open_file
from shardlake.lake.tables import LakeTable, Range, begin_of
from shardlake.metric import Kind, Metric, Samples, Values
from shardlake.storage import Folder, is_remote

FRESHNESS = Metric(
    "shardlake_lake_freshness_seconds",
    Kind.GAUGE,
    "Now - the newest event time, of those that have passed, that a reader of the table sees; absent without one.",
    ("table",),
)
AHEAD = timedelta(hours=2)
"""An event's time is an hour after its arrival at most."""
CLOCKS = timedelta(seconds=1)
"""By so much a producer's clock may be ahead of ours."""


class Freshness:
    """Of some tables, which are looked up when they are first asked. Not for several threads at once."""

    def __init__(self, look_up: Callable[[], list[LakeTable]]) -> None:
        self._look_up = look_up
        self._tables: list[LakeTable] | None = None
        self._newest: dict[str, datetime] = {}
        self._read: dict[str, set[Folder]] = {}
        self._to_come: dict[str, list[datetime]] = {}

    def samples(self) -> Values:
        """As metrics, now."""
        now = datetime.now(UTC)
        ages: Samples = [((name,), max(0.0, (now - time).total_seconds())) for name, time in self.newest(now).items()]
        yield FRESHNESS, ages

    def newest(self, now: datetime) -> dict[str, datetime]:
        """The newest event time that has passed, by table; one without is left out. Raises OSError or Unavailable where
        the lake is not there."""
        if self._tables is None:
            self._tables = self._look_up()
        for table in self._tables:
            known = self._newest.get(table.name)
            # Rows come to older hours too, and make nothing newer.
            found = self._of_new_files(table, Range(known, now + AHEAD)) if known else self._first(table, now)
            # One row of a time to come would hide for an hour that no others come.
            self._to_come[table.name] = [time for time in found if time > now + CLOCKS]
            passed = [time for time in found if time <= now + CLOCKS]
            if passed:
                self._newest[table.name] = max([*passed, *([known] if known else [])])
        return dict(self._newest)

    def _first(self, table: LakeTable, now: datetime) -> list[datetime]:
        """Those down to the last hour in which there is one that has passed."""
        found: list[datetime] = []
        for hour in reversed(list(table.hours())):
            begin = begin_of(hour)
            found += self._of_new_files(table, Range(begin, begin)) if begin else []
            if any(time <= now + CLOCKS for time in found):
                break
        return found

    def _of_new_files(self, table: LakeTable, within: Range) -> list[datetime]:
        """The newest event time of each file that was not read before, and of those that were to come."""
        files = table.files(within)
        read = self._read.get(table.name, set())
        new = [_newest(file, table.time_column) for file in files if file not in read]
        self._read[table.name] = set(files)  # only now: where one cannot be read, all are asked again
        if is_remote(table.folder):
            table.folder.fs.listed.clear()  # it keeps every file that was ever listed
        return [*self._to_come.pop(table.name, []), *(time for time in new if time)]


def _newest(file: Folder, column: str) -> datetime | None:
    try:
        with open_file(file) as opened:
            return footer.newest(opened, column)
    except (FileNotFoundError, footer.NoParquet):  # it has gone since it was listed, or is no Parquet file
        return None
