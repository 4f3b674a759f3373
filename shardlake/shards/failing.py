"""A consumer that fails at every record ends: it would only make a dead letter of each.

The handler's work alone counts. A record that is none, or is too old to be tried, says nothing about it.
"""

from __future__ import annotations

from collections.abc import MutableSequence

from shardlake.errors import ShardlakeError
from shardlake.shards.counts import Counts

RECORDS = 20
"""So many dead letters, and nothing handled, are enough."""
FEW_RECORDS = 2
SECONDS = 60.0
"""Where records take long to fail, so few are enough after so long."""
EXIT_CODE = 86
"""A worker's, by which whoever started it knows why it has ended: to start it again makes more dead letters."""


class AllFailed(ShardlakeError):
    """Raised to end a worker."""


class Tally:
    """How many records all workers of a command have handled, and failed at. Each worker writes its own two numbers.

    `numbers` may be shared by processes, and has two for each worker.
    """

    def __init__(self, numbers: MutableSequence[int], worker: int = 1) -> None:
        """`worker` counts from 1."""
        self._numbers = numbers
        self._at = 2 * (worker - 1) % len(numbers)

    def tell(self, handled: int, failed: int) -> None:
        """Write down how far this worker is."""
        self._numbers[self._at], self._numbers[self._at + 1] = handled, failed

    @property
    def handled(self) -> int:
        """Records that all workers have handled."""
        return sum(self._numbers[0::2])

    @property
    def failed(self) -> int:
        """Records at which all workers have failed."""
        return sum(self._numbers[1::2])

    @property
    def is_all_failed(self) -> bool:
        """True where there was something, and nothing of it went well."""
        return self.failed > 0 and self.handled == 0


class Failing:
    """Watches one worker; `look` now and then."""

    def __init__(self, tally: Tally) -> None:
        """The tally is of all workers: where another one handles records, it is not the consumer that is at fault."""
        self._tally = tally
        self._since: float | None = None

    def tell(self, counts: Counts) -> None:
        """Take what became of this worker's records so far."""
        self._tally.tell(counts.handled, counts.failed)

    def look(self, counts: Counts, now: float) -> None:
        """Do as `tell`. Raises AllFailed where every one of so many has failed."""
        self.tell(counts)
        if not counts.failed or not self._tally.is_all_failed:
            return
        if self._since is None:
            self._since = now
        if counts.failed >= RECORDS or (counts.failed >= FEW_RECORDS and now - self._since > SECONDS):
            raise AllFailed(f"Every record has failed so far, all {counts.failed:,}: {counts.last_failure}.")


def advice(dead_letters: str | None) -> str:
    """The hint of an error that says so."""
    return f"Mend the handler, then process its dead letters: `shardlake dlq redrive {dead_letters}`."
