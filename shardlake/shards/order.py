"""Whether every record was processed, in the order of its key: what workers wrote down, against the topic. Pure.

The checker streams: it keeps a byte for each record of a shard and a number for each key. At least once is what is
promised, so a record that came again is counted and is no fault; its first time is what order is about. An order break
is a record that was processed for the first time after a later one of its key was.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

PRODUCED, SEEN = 1, 2
EXAMPLES = 10
"""So many of each kind are named; all are counted."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """`lost` were produced and never seen, `unknown` seen and never produced; the examples are (shard, sequence
    number)."""

    produced: int
    seen: int
    """Distinct records."""
    duplicates: int
    lost: int
    unknown: int
    breaks: int
    first_lost: tuple[tuple[str, int], ...] = ()
    first_breaks: tuple[tuple[str, int], ...] = ()
    duplicates_by_shard: tuple[tuple[str, int], ...] = ()

    @property
    def holds(self) -> bool:
        """Whether exactly what was produced was seen, in order."""
        return not (self.lost or self.unknown or self.breaks)


class _Shard:
    """A byte for each sequence number from `base` on."""

    __slots__ = ("base", "duplicates", "last", "marks")

    def __init__(self, base: int) -> None:
        self.base = base
        self.marks = bytearray()
        self.last: dict[bytes, int] = {}
        self.duplicates = 0

    def room_for(self, number: int) -> int:
        """The index of its mark."""
        if number < self.base:
            self.marks[:0] = bytes(self.base - number)
            self.base = number
        index = number - self.base
        if index >= len(self.marks):
            self.marks.extend(bytes(index + 1 - len(self.marks) + len(self.marks) // 8))
        return index


def check(
    produced: Iterable[tuple[str, int]],
    processed: Iterable[tuple[str, bytes | None, int]],
) -> Verdict:
    """`produced` are (shard, sequence number) of every record of the topic, in any order; `processed` (shard, key,
    sequence number) of every record each time that it was processed, in the order of time over all workers.

    Records without a key have no order. Each iterable is read once, `produced` first.
    """
    shards: dict[str, _Shard] = {}
    for name, number in produced:
        shard = shards.get(name) or shards.setdefault(name, _Shard(number))
        index = number - shard.base
        if not 0 <= index < len(shard.marks):
            index = shard.room_for(number)
        shard.marks[index] = PRODUCED
    breaks = 0
    first_breaks: list[tuple[str, int]] = []
    for name, key, number in processed:
        shard = shards.get(name) or shards.setdefault(name, _Shard(number))
        index = number - shard.base
        if not 0 <= index < len(shard.marks):
            index = shard.room_for(number)
        marks = shard.marks
        if marks[index] & SEEN:
            shard.duplicates += 1
            continue
        marks[index] |= SEEN
        if key is None:
            continue
        if shard.last.get(key, -1) > number:
            breaks += 1
            if len(first_breaks) < EXAMPLES:
                first_breaks.append((name, number))
        else:
            shard.last[key] = number
    return _verdict(shards, breaks, tuple(first_breaks))


def _verdict(shards: dict[str, _Shard], breaks: int, first_breaks: tuple[tuple[str, int], ...]) -> Verdict:
    counts = {
        mark: sum(shard.marks.count(mark) for shard in shards.values()) for mark in (PRODUCED, SEEN, PRODUCED | SEEN)
    }
    first_lost: list[tuple[str, int]] = []
    for name, shard in sorted(shards.items()):
        index = shard.marks.find(PRODUCED)
        while index >= 0 and len(first_lost) < EXAMPLES:
            first_lost.append((name, shard.base + index))
            index = shard.marks.find(PRODUCED, index + 1)
    again = tuple((name, shard.duplicates) for name, shard in sorted(shards.items()) if shard.duplicates)
    return Verdict(
        produced=counts[PRODUCED] + counts[PRODUCED | SEEN],
        seen=counts[SEEN] + counts[PRODUCED | SEEN],
        duplicates=sum(count for _, count in again),
        lost=counts[PRODUCED],
        unknown=counts[SEEN],
        breaks=breaks,
        first_lost=tuple(first_lost),
        first_breaks=first_breaks,
        duplicates_by_shard=again,
    )
