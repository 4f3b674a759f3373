"""The pipeline of `shardlake demo-scale`: a topic of bytes, and a processor that writes down what it has processed."""

from __future__ import annotations

from pathlib import Path

TOPIC = "demo-scale"
CONSUMER = "slow"
SHARDS = 6
WORK_MS = 2

TOPICS = f"""
[{TOPIC}]
partitions = {SHARDS}
"""
PROCESSOR = f'''
"""A few milliseconds of work a record, which a worker does one after the other, as on one connection to a database."""

import threading
import time
from pathlib import Path

from shardlake.shards.processor import RecordProcessor
from shardlake.shards.record_file import RecordFile

RECORDS = Path(__file__).parents[1] / "records"


class Connection:
    """Shared by all shards of a worker; each waits for its turn, in the order in which they asked."""

    def __init__(self):
        self._lock = threading.Lock()
        self._free = 0.0
        self._file = None

    def store(self, record):
        with self._lock:
            self._file = self._file or RecordFile(RECORDS)
            self._free = max(self._free, time.monotonic()) + {WORK_MS / 1000}
            until = self._free
        time.sleep(max(0.0, until - time.monotonic()))
        self._file.write(record)


CONNECTION = Connection()


class Slow(RecordProcessor):
    def process_records(self, records, checkpointer):
        for record in records:
            CONNECTION.store(record)
            checkpointer.checkpoint(record.sequence_number)
'''


def write(folder: Path) -> Path:
    """Write it; the folder of what its workers write down."""
    for name, text in (("schemas/topics.toml", TOPICS), (f"consumers/{CONSUMER}.py", PROCESSOR)):
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text.lstrip())
    return folder / "records"
