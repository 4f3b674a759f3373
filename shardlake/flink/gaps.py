"""Records that the jobs have not read and that are no longer in the topic: retention, or somebody, has taken them.

Flink reads on at the first offset that is left (`auto.offset.reset=earliest`) and says nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Gap:
    """From the offset at which the jobs would go on to before the partition's first one."""

    topic: str
    partition: int
    goes_on_at: int
    first: int

    @property
    def words(self) -> str:
        """The partition, and which offsets are gone; some of these may have been a transaction's markers."""
        count = self.first - self.goes_on_at
        return f"{count:,} of {self.topic}-{self.partition} (offsets {self.goes_on_at} to {self.first - 1})"


def gaps(topic: str, firsts: Mapping[int, int], read: Mapping[int, int], begins: Mapping[int, int]) -> Iterator[Gap]:
    """`firsts` are the partitions' first offsets now, `read` the next offsets where something was read, `begins` the
    first offsets when the jobs were started last: there they began to read what has come since."""
    for partition, first in sorted(firsts.items()):
        # A partition that was not there then has begun with its first record; where nothing is noted, nothing is known.
        unread = begins.get(partition, 0) if begins else first
        if (goes_on_at := read.get(partition, unread)) < first:
            yield Gap(topic, partition, goes_on_at, first)


def listed(found: Iterable[Gap]) -> str:
    """All of them, in words."""
    return ", ".join(gap.words for gap in found)
