"""When each row became visible in the lake: its file's first sight, by somebody who lists the table again and again."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from threading import Event, Thread

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from shardlake.errors import ShardlakeError
from shardlake.lake.remote import open_file
from shardlake.lake.tables import LakeTable, Range
from shardlake.storage import Folder, is_remote

LOOK_SECONDS = 0.2
LOOK_SECONDS_REMOTE = 1.0
Columns = np.ndarray[tuple[int, int], np.dtype[np.int64]]


class LakeWatch:
    """Looks in a thread of its own, from now on; files that are there already are not of this run."""

    def __init__(self, table: LakeTable, earliest: timedelta) -> None:
        """Events may be `earliest` older than the moment at which they are sent."""
        self._table = table
        self._range = Range(datetime.now(UTC) - earliest, datetime.now(UTC) + timedelta(days=2))
        self.look_seconds = LOOK_SECONDS_REMOTE if is_remote(table.folder) else LOOK_SECONDS
        self._before = set(table.files(self._range))
        self._seen: dict[Folder, int] = {}
        self._closing = Event()
        self._thread = Thread(target=self._watch, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """A last look, and no more."""
        self._closing.set()
        self._thread.join()
        self._look()

    def rows(self) -> Columns:
        """Of all files seen: partition, offset, and when its file was seen in nanoseconds since 1970; shape (3, n)."""
        return np.concatenate([np.zeros((3, 0), np.int64), *self._columns()], axis=1)

    def _columns(self) -> Iterator[Columns]:
        for file, seen_ns in self._seen.items():
            try:
                with open_file(file) as opened:
                    found = pq.ParquetFile(opened).read(columns=["partition", "offset"])
            except (OSError, pa.ArrowException):  # `verify` tells of those
                continue
            places = [found.column(name).to_numpy().astype(np.int64) for name in ("partition", "offset")]
            yield np.stack([*places, np.full(len(places[0]), seen_ns)])

    def _look(self) -> None:
        # What shows up while the lake is away is seen later, as by any reader.
        with suppress(OSError, ShardlakeError):
            for file in self._table.files(self._range):
                if file not in self._seen and file not in self._before:
                    self._seen[file] = time.time_ns()

    def _watch(self) -> None:
        while not self._closing.wait(self.look_seconds):
            self._look()
