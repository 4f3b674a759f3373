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
    handled: int = 0
    """Records of which a call came back well; a processor may not have checkpointed them yet."""
    failed: int = 0
    """Dead letters that the handler made: not those that are no record, or were too old to be tried."""
    last_failure: str = ""
    """The last one of these, for people."""

    def add(self, other: Counts) -> None:
        """Add another shard's, or those of the same at another time."""
        self.done += other.done
        self.dead_letters += other.dead_letters
        self.retries += other.retries
        self.handled += other.handled
        self.failed += other.failed
        self.last_failure = other.last_failure or self.last_failure
