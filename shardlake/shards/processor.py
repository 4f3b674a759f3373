"""The record processor, in the words of the Kinesis Client Library. A shard is a partition here.

A processor never sees a partition as anything but a shard's name. The worker makes one processor for each shard it
holds, calls it from one thread, and commits nothing that the processor has not checkpointed: after a crash the
records since then come again (at least once, in order).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Record:
    """One event. `data` are its fields; `approximate_arrival` is the broker's time, UTC."""

    shard_id: str
    partition_key: str | None
    sequence_number: int
    approximate_arrival: datetime
    data: dict[str, Any]


class Checkpointer(Protocol):
    """Says how far a shard is done."""

    def checkpoint(self, sequence_number: int | None = None) -> None:
        """All records up to this one are done; without a number, all that were handed over. Does not block."""


class RecordProcessor:
    """What a consumer implements. An exception from any of these ends the worker, and nothing past it is committed."""

    def initialize(self, shard_id: str) -> None:
        """Called once, before the first record."""

    def process_records(self, records: Sequence[Record], checkpointer: Checkpointer) -> None:
        """Called with the next records of the shard, in order, some 500 at most. May block for minutes, not longer."""
        raise NotImplementedError

    def lease_lost(self) -> None:
        """Another worker has the shard already: nothing can be checkpointed any more."""

    def shutdown_requested(self, checkpointer: Checkpointer) -> None:
        """The shard goes to another worker, or the worker stops: the last chance to checkpoint."""
