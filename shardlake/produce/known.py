"""The contents that are remembered, and finding among them, without a look at each, those that begin as a file does."""

from __future__ import annotations

from collections import Counter

from shardlake.produce.content import Content, Key, identity_of
from shardlake.produce.positions import Mark
from shardlake.produce.tail import MARK_BYTES, Source, mark

NEWLINE = ord("\n")
GONE_KEPT = 1000
"""Contents without a file are remembered, for a packed copy that comes later. The oldest are forgotten."""


class Known:
    """Contents by their file, where they have one, by their identity and by their head."""

    def __init__(self, contents: list[Content]) -> None:
        """`contents` are those known from before."""
        self.live: dict[Key, Content] = {content.key: content for content in contents if content.key}
        self._gone: dict[Content, None] = dict.fromkeys(content for content in contents if not content.key)
        self._taken = {content.identity for content in contents}
        self._next: dict[str, int] = {}
        self._heads: dict[Content, Mark] = {}
        self._by_head: dict[Mark, dict[Content, None]] = {}
        self._head_sizes: Counter[int] = Counter()
        self._fresh: dict[Content, list[Mark]] = {}
        self._by_line: dict[Mark, dict[Content, None]] = {}
        self._by_last_line: dict[Mark, dict[Content, None]] = {}
        for content in self.all:
            self.note_head(content)

    @property
    def all(self) -> list[Content]:
        """Those without a file first, the longest gone of them first."""
        return [*self._gone, *self.live.values()]

    def add(self, content: Content) -> None:
        """One that was gone, and has a file."""
        assert content.key is not None
        self._gone.pop(content, None)
        self.live[content.key] = content
        self._taken.add(content.identity)
        self.note_head(content)

    def add_new(self, content: Content, source: Source) -> None:
        """One that is found. Its head is its first line, with which all logs of a program may begin: until it is read,
        it is found by its first lines together."""
        self.add(content)
        lines = _lines(source)
        if lines:
            self._forget_head(content)
            self._heads[content] = content.tail.head
            self._fresh[content] = lines
            for line in lines:
                self._by_line.setdefault(line, {})[content] = None
            self._by_last_line.setdefault(lines[-1], {})[content] = None

    def let_go(self, content: Content) -> None:
        """Its file is gone, or another's now."""
        assert content.key is not None
        del self.live[content.key]
        content.key = None
        self._gone[content] = None
        self._forget_head(content)
        self.note_head(content)
        while len(self._gone) > GONE_KEPT:
            oldest = next(iter(self._gone))
            del self._gone[oldest]
            self._forget_head(oldest)
            self._taken.discard(oldest.identity)
            self._next.clear()

    def note_head(self, content: Content) -> None:
        """Its head is another than before, where it has grown."""
        head = content.tail.head
        if self._heads.get(content) != head:
            self._forget_head(content)
            self._heads[content] = head
            self._by_head.setdefault(head, {})[content] = None
            self._head_sizes[head.size_bytes] += 1

    def begun_as(self, source: Source) -> list[Content]:
        """Those whose head this source has; of those that are gone the longest gone first.

        Of those that were just found only they begin as it does whose first lines are its own, as far as both go.
        """
        start = source.read_at(0, MARK_BYTES)
        sizes = [size for size in self._head_sizes if size <= len(start)]
        found = {content: None for size in sizes for content in self._by_head.get(mark(start[:size]), ())}
        lines = _lines(source)
        for line in lines:
            found |= self._by_last_line.get(line, {})
        # One that goes on behind this source's last line is what this would be a copy of, without its end.
        return list(found | self._by_line.get(lines[-1], {}) if lines else found)

    def new_identity(self, first_line: bytes) -> str:
        """Of the contents with this first line the lowest number that is free makes it."""
        zeroth = identity_of(first_line, 0)
        number = self._next.get(zeroth, 0)
        while identity_of(first_line, number) in self._taken:
            number += 1
        self._next[zeroth] = number + 1
        return identity_of(first_line, number)

    def _forget_head(self, content: Content) -> None:
        head = self._heads.pop(content, None)
        lines = self._fresh.pop(content, [])
        for line in lines:
            _remove(self._by_line, line, content)
        if lines:
            _remove(self._by_last_line, lines[-1], content)
        elif head is not None:
            _remove(self._by_head, head, content)
            self._head_sizes[head.size_bytes] -= 1
            if not self._head_sizes[head.size_bytes]:
                del self._head_sizes[head.size_bytes]


def _remove(index: dict[Mark, dict[Content, None]], mark_: Mark, content: Content) -> None:
    del index[mark_][content]
    if not index[mark_]:
        del index[mark_]


def _lines(source: Source) -> list[Mark]:
    """The marks of the source's first line, of its first two, and so on, as far as a mark goes."""
    start = source.read_at(0, MARK_BYTES)
    return [mark(start[: end + 1]) for end, byte in enumerate(start) if byte == NEWLINE]
