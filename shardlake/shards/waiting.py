"""Records that wait for a lane: which of them may be processed next."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Protocol

from shardlake.shards.processor import Message, offset_of

NEAR = 4
"""How far a task reaches, in tasks of all lanes."""


@dataclass(slots=True)
class Task:
    """What a lane is given at once, by rising offset. No other lane has records of these keys meanwhile."""

    messages: list[Message]
    keys: list[Hashable]


class Waiting(Protocol):
    """Not for several threads at once."""

    def put(self, messages: list[Message]) -> None:
        """The shard's next records."""

    def take(self, most: int, before: int | None = None) -> Task | None:
        """What a free lane may process now, so many at most, and none from the offset `before` on; None where nothing
        may be."""

    def release(self, task: Task) -> None:
        """The task is over: what comes after it of its keys may be processed."""

    def longest(self, before: int) -> int:
        """How many records before that offset wait behind one another, at most, while others may go on."""

    def drop_from(self, offset: int) -> None:
        """Forget those that wait, from there on."""


class InOrder:
    """For one lane: the records of a shard one after another."""

    def __init__(self) -> None:
        self._waiting: deque[Message] = deque()

    def put(self, messages: list[Message]) -> None:
        """See Waiting."""
        self._waiting.extend(messages)

    def take(self, most: int, before: int | None = None) -> Task | None:
        """See Waiting. Nothing is ever taken before another."""
        count = min(most, len(self._waiting))
        return Task([self._waiting.popleft() for _ in range(count)], []) if count else None

    def release(self, task: Task) -> None:
        """See Waiting."""

    def longest(self, before: int) -> int:
        """See Waiting: nothing goes on before another."""
        return 0

    def drop_from(self, offset: int) -> None:
        """See Waiting."""
        self._waiting = deque(message for message in self._waiting if message.offset() < offset)


class ByKey:
    """For several lanes: records of different keys side by side, those of one key one after another.

    A key is in one of two places: free, where its records may be taken, or held by the lane that has its earlier ones.
    It is not bound to a lane, so that no lane waits while there is a free key. A lane takes its share of what is free
    and no more: single records where there are few, batches where there are many.
    """

    def __init__(self, lanes: int) -> None:
        """So many lanes take from it."""
        self._lanes = lanes
        self._free: dict[Hashable, list[Message]] = {}
        self._order: deque[Hashable] = deque()
        self._free_records = 0
        self._held: dict[Hashable, list[Message]] = {}

    def put(self, messages: list[Message]) -> None:
        """See Waiting."""
        held, free = self._held, self._free
        behind_held = 0
        for message in messages:
            key: Hashable = message.key()
            if key is None:
                key = message.offset()  # a key of its own: it waits for none
            if (later := held.get(key)) is not None:
                later.append(message)
                behind_held += 1
            elif (waiting := free.get(key)) is not None:
                waiting.append(message)
            else:
                free[key] = [message]
                self._order.append(key)
        self._free_records += len(messages) - behind_held

    def take(self, most: int, before: int | None = None) -> Task | None:
        """See Waiting."""
        if before is not None:
            return self._take_before(before, most)
        order, free, held = self._order, self._free, self._held
        if not order:
            return None
        wanted = max(1, min(most, self._free_records // self._lanes))
        # Not all that there is of a key: its later records may be far ahead of what others have come to.
        before = free[order[0]][0].offset() + NEAR * wanted * self._lanes
        messages: list[Message] = []
        keys = []
        while order and (room := wanted - len(messages)) > 0:
            of_key = free[order[0]]
            if of_key[-1].offset() >= before:
                room = min(room, bisect_left(of_key, before, key=offset_of))
                if not room:
                    break
            key = order.popleft()
            del free[key]
            self._free_records -= len(of_key)
            held[key] = of_key[room:]
            messages += of_key[:room]
            keys.append(key)
        if len(keys) > 1:
            messages.sort(key=offset_of)
        return Task(messages, keys)

    def _take_before(self, before: int, most: int) -> Task | None:
        """Of one key: this is for when others must wait for it."""
        key = next((key for key, waiting in self._free.items() if waiting[0].offset() < before), None)
        if key is None:
            return None
        waiting = self._free.pop(key)
        self._order.remove(key)
        self._free_records -= len(waiting)
        count = min(most, bisect_left(waiting, before, key=offset_of))
        self._held[key] = waiting[count:]
        return Task(waiting[:count], [key])

    def release(self, task: Task) -> None:
        """See Waiting."""
        for key in task.keys:
            later = self._held.pop(key)
            if later:
                self._free[key] = later
                self._order.append(key)
                self._free_records += len(later)

    def longest(self, before: int) -> int:
        """See Waiting: of one key."""
        longest = 0
        for waiting in (*self._free.values(), *self._held.values()):
            if len(waiting) > longest:
                longest = max(longest, bisect_left(waiting, before, key=offset_of))
        return longest

    def drop_from(self, offset: int) -> None:
        """See Waiting."""
        for records in (self._free, self._held):
            for key, waiting in records.items():
                records[key] = [message for message in waiting if message.offset() < offset]
        self._free = {key: waiting for key, waiting in self._free.items() if waiting}
        self._order = deque(key for key in self._order if key in self._free)
        self._free_records = sum(map(len, self._free.values()))


def offsets(messages: Iterable[Message]) -> list[int]:
    """Of each."""
    return list(map(offset_of, messages))
