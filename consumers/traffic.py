"""Requests and bytes by service, one line every few seconds: the smallest consumer that is of use."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Sequence

from shardlake.shards.processor import Checkpointer, Record, RecordProcessor
from shardlake.terminal import visible

SAY_EVERY_SECONDS = 5


class Traffic(RecordProcessor):
    """Counts one shard's records. The counts are since the start; what is committed is how far they go."""

    def initialize(self, shard_id: str) -> None:
        self.shard_id = shard_id
        self.requests: Counter[str] = Counter()
        self.bytes: Counter[str] = Counter()
        self.said = time.monotonic()

    def process_records(self, records: Sequence[Record], checkpointer: Checkpointer) -> None:
        for record in records:
            self.requests[record.data["service"]] += 1
            self.bytes[record.data["service"]] += record.data["response_bytes"] or 0
        checkpointer.checkpoint()
        if time.monotonic() - self.said > SAY_EVERY_SECONDS:
            self.say()

    def shutdown_requested(self, checkpointer: Checkpointer) -> None:
        checkpointer.checkpoint()
        self.say()

    def say(self) -> None:
        """One line of totals."""
        self.said = time.monotonic()
        totals = ", ".join(
            f"{visible(name)} {n:,} ({self.bytes[name] / 1e6:.1f} MB)" for name, n in self.requests.most_common(4)
        )
        sys.stdout.write(f"{self.shard_id}: {totals or 'nothing yet'}\n")
        sys.stdout.flush()
