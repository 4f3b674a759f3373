"""What a worker has processed, a line a record in a file of its own that is only appended to; and all files in order.

A line is `time process shard sequence-number =key`, the key escaped, or nothing where there is none. The time is the
machine's monotonic clock, the same for all of its processes, so that lines of several workers are put in the order in
which they were written. Written before the checkpoint, a line of what is committed is there also after `kill -9`.
"""

from __future__ import annotations

import heapq
import os
import re
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from shardlake.errors import BadInput
from shardlake.shards.processor import Record

SUFFIX = ".records"
LINE = re.compile(rb"([0-9]{20}) ([0-9]{1,10}) ([A-Za-z0-9._-]+) ([0-9]{1,19}) (?:=(.*))?\n")


class RecordFile:
    """For all threads of one process."""

    def __init__(self, folder: Path) -> None:
        """The file is named by the process; a folder holds the files of one run."""
        folder.mkdir(parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        self._file = os.open(folder / f"{os.getpid()}{SUFFIX}", flags, 0o644)
        self._process = os.getpid()
        self._lock = threading.Lock()

    def write(self, record: Record) -> None:
        """One line, out of this process when it returns."""
        key = record.partition_key
        named = b"" if key is None else b"=" + key.encode("unicode_escape")
        rest = f" {self._process} {record.shard_id} {record.sequence_number} ".encode() + named + b"\n"
        with self._lock:  # so that the lines of a file are in the order of their times
            os.write(self._file, f"{time.monotonic_ns():020d}".encode() + rest)


class Line(NamedTuple):
    """`at_ns` is of the monotonic clock, `key` escaped."""

    at_ns: int
    process: int
    shard: str
    number: int
    key: bytes | None


def read_lines(folder: Path) -> Iterator[Line]:
    """The lines of all files, in the order of time; one that its process did not end is left out, as its record was
    not committed either."""
    with ExitStack() as stack:
        files = [stack.enter_context(path.open("rb")) for path in sorted(folder.glob(f"*{SUFFIX}"))]
        # Times have one width, so lines in the order of their bytes are in the order of time.
        for line in heapq.merge(*files):
            if not line.endswith(b"\n"):
                continue
            match = LINE.fullmatch(line)
            if match is None:
                raise BadInput(f"A file of records in {folder} is damaged.", "Leave it out: a line of it is none.")
            at_ns, process, shard, number, key = match.groups()
            yield Line(int(at_ns), int(process), shard.decode(), int(number), key)


def read_all(folder: Path) -> Iterator[tuple[str, bytes | None, int]]:
    """As `read_lines`: shard, escaped key and sequence number, which is what `order.check` wants."""
    return ((line.shard, line.key, line.number) for line in read_lines(folder))
