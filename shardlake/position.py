"""Where a consumer group stands in a partition: the one judgement of a committed offset, for all who tell of one.

A partition ends twice. A read-committed reader reads as far as the last stable offset; the broker has records as far as
the high watermark. Between the two are an open transaction and whatever was produced since it began. Source: KIP-98.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple


class Bounds(NamedTuple):
    """A partition's log start offset, last stable offset and high watermark; the last two are one past a record."""

    first: int
    stable: int
    high: int


@dataclass(slots=True)
class Position:
    """A group's committed offset, None without one, in a partition with these bounds. All else follows from them."""

    bounds: Bounds
    committed: int | None
    reads_uncommitted: bool = field(init=False)
    """Whether the group has committed an offset that a read-committed reader cannot have reached yet."""
    end: int = field(init=False)
    """The offset as far as the group reads: the high watermark if it reads uncommitted records, else the stable one."""
    next: int = field(init=False)
    """The offset of the first record that waits, where one does."""
    lag: int = field(init=False)
    """Offsets that wait for the group; where nothing is committed, all that are there."""
    held_back: int = field(init=False)
    """Offsets behind an open transaction, which the group may not read before that one ends."""
    lost: int = field(init=False)
    """Offsets that went with retention before the group read them."""
    is_ahead: bool = field(init=False)
    """Whether more is committed than there is: the topic was made anew, or cut."""

    def __post_init__(self) -> None:
        """Judge once: who follows many groups asks again and again."""
        first, stable, high = self.bounds
        reached = first if self.committed is None else self.committed
        self.reads_uncommitted = reached > stable
        self.end = high if self.reads_uncommitted else stable
        self.next = max(reached, first)
        self.lag = max(0, self.end - self.next)
        self.held_back = max(0, high - max(self.end, self.next))
        self.lost = max(0, first - reached)
        self.is_ahead = reached > high
