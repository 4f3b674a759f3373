"""Which records of a shard are done, and up to where all of them are."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable


class Window:
    """The records handed in, in order, and those of them that are done. Not for several threads at once.

    `position` is what may be committed: the offset after the last record before which nothing is open. Records in
    flight therefore survive a crash and a rebalance, whatever was finished after them.
    """

    def __init__(self, position: int) -> None:
        """`position` is the offset of the first record to come."""
        self.position = position
        self._next = position
        self._open: deque[int] = deque()
        self._done: set[int] = set()

    def __len__(self) -> int:
        """How many records are between the position and the last one handed in, finished ones included."""
        return len(self._open)

    def add(self, offsets: Iterable[int]) -> None:
        """The next records, by rising offset."""
        self._open.extend(offsets)

    def finish(self, offsets: Iterable[int]) -> None:
        """These are done; in any order, and never again the same."""
        opened, done = self._open, self._done
        done.update(offsets)
        while opened and opened[0] in done:
            offset = opened.popleft()
            done.remove(offset)
            self.position = offset + 1
        if not opened:
            self.position = max(self.position, self._next)

    def reach(self, position: int) -> None:
        """No record is between the last one handed in and there, at most control records."""
        self._next = position
        self.finish(())
