"""What became of a shard's records since its worker has it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Counts:
    """Raised by the shard, once for all records of a call, and read from any thread."""

    done: int = 0
    dead_letters: int = 0
    retries: int = 0
    """Records that are tried again, each time."""
