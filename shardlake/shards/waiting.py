"""Records that wait for a lane: which of them may be processed next."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from operator import methodcaller
from typing import Protocol

from shardlake.shards.processor import Message

BATCH = 500
"""The most records that a lane is given at once."""
_offset = methodcaller("offset")


@dataclass(slots=True)
class Task:
    """What a lane is given at once, by rising offset. No other lane has records of these keys meanwhile."""

    messages: list[Message]
    keys: list[Hashable]


class Waiting(Protocol):
    """Not for several threads at once."""

    def put(self, messages: list[Message]) -> None:
        """The shard's next records."""

    def take(self) -> Task | None:
        """What a free lane may process now, None where nothing may be."""

    def release(self, task: Task) -> None:
        """The task is over: what comes after it of its keys may be processed."""

    def clear(self) -> None:
        """Forget those that wait."""


class InOrder:
    """For one lane: the records of a shard one after another."""

    def __init__(self, batch: int = BATCH) -> None:
        """`batch` is the most that is taken at once."""
        self._batch = batch
        self._waiting: deque[Message] = deque()

    def put(self, messages: list[Message]) -> None:
        """See Waiting."""
        self._waiting.extend(messages)

    def take(self) -> Task | None:
        """See Waiting."""
        count = min(self._batch, len(self._waiting))
        return Task([self._waiting.popleft() for _ in range(count)], []) if count else None

    def release(self, task: Task) -> None:
        """See Waiting."""

    def clear(self) -> None:
        """See Waiting."""
        self._waiting.clear()


class ByKey:
    """For several lanes: records of different keys side by side, those of one key one after another.

    A key is in one of two places: free, where its records may be taken, or held by the lane that has its earlier ones.
    It is not bound to a lane, so that no lane waits while there is a free key. A lane takes its share of what is free
    and no more: single records where there are few, batches where there are many.
    """

    def __init__(self, lanes: int, batch: int = BATCH) -> None:
        """`batch` is the most that is taken at once."""
        self._lanes, self._batch = lanes, batch
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

    def take(self) -> Task | None:
        """See Waiting."""
        order, free, held = self._order, self._free, self._held
        if not order:
            return None
        wanted = max(1, min(self._batch, self._free_records // self._lanes))
        messages: list[Message] = []
        keys = []
        while order and (room := wanted - len(messages)) > 0:
            key = order.popleft()
            of_key = free.pop(key)
            self._free_records -= len(of_key)
            held[key] = of_key[room:]
            messages += of_key[:room]
            keys.append(key)
        if len(keys) > 1:
            messages.sort(key=_offset)
        return Task(messages, keys)

    def release(self, task: Task) -> None:
        """See Waiting."""
        for key in task.keys:
            later = self._held.pop(key)
            if later:
                self._free[key] = later
                self._order.append(key)
                self._free_records += len(later)

    def clear(self) -> None:
        """See Waiting."""
        self._free.clear()
        self._order.clear()
        self._free_records = 0
        for later in self._held.values():
            later.clear()


def offsets(messages: Iterable[Message]) -> list[int]:
    """Of each."""
    return list(map(_offset, messages))
