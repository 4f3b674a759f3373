"""One file's content while it is followed: where it is, how far it is read, and how far that is acknowledged."""

from __future__ import annotations

import os
from collections import deque
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from shardlake.produce.positions import Mark, Place
from shardlake.produce.tail import CHUNK_BYTES, MARK_BYTES, NOTHING, Piece, Source, Tail, mark

Key = tuple[int, int]
"""A file's device and inode, by which it is known while it exists."""


def key_of(status: os.stat_result) -> Key:
    """The key of a file."""
    return status.st_dev, status.st_ino


@dataclass(slots=True, eq=False)
class Sent:
    """A line on its way. `partition` is that of its event, -1 where it became none."""

    end_bytes: int
    number: int
    last: Mark
    is_settled: bool = False
    partition: int = -1
    offset: int = -1


class Content:
    """What was first found at `born`. Its file may be renamed, copied or packed, and is this content still."""

    def __init__(self, identity: str, born: Path, path: Path, key: Key | None, tail: Tail) -> None:
        """`key` is None where no file has this content now.

        `done` is the file's size and modification time where it was closed at its end; `grew` how far it was read, and
        since when it is (monotonic seconds).
        """
        self.identity, self.born, self.path, self.key, self.tail = identity, born, path, key, tail
        self.done = (0, 0)
        self.grew = (-1, 0.0)
        self.sent: deque[Sent] = deque()
        self._acknowledged = Sent(tail.offset_bytes, tail.number, tail.last)

    @classmethod
    def of(cls, place: Place) -> Content:
        """As it was saved; its file is yet to be found."""
        tail = Tail(None, place.position_bytes, place.lines, place.head, place.last)
        key = (place.device, place.inode) if place.inode else None
        content = cls(place.identity, Path(place.born), Path(place.path), key, tail)
        content.done = place.done
        return content

    @classmethod
    def found(cls, identity: str, path: Path, key: Key, source: Source) -> Content:
        """A new one, read from its start."""
        return cls(identity, path, path, key, Tail(source, 0, 0, mark(source.read_at(0, _head_bytes(source))), NOTHING))

    @property
    def is_rotated(self) -> bool:
        """Whether it is no longer where it was found, so that nothing much will be written to it."""
        return self.path != self.born

    @property
    def place(self) -> Place:
        """What to save of it now."""
        device, inode = self.key or (0, 0)
        settled = self._acknowledged
        return Place(
            self.identity, str(self.born), str(self.path), device, inode, settled.end_bytes, settled.number,
            self.tail.head, settled.last, self.done if not self.sent else (0, 0),
        )  # fmt: skip

    def send(self, piece: Piece) -> Sent:
        """A line that goes its way: settle it."""
        sent = Sent(piece.end_bytes, piece.number, piece.last)
        self.sent.append(sent)
        return sent

    def settle(self, sent: Sent, partition: int = -1, offset: int = -1) -> None:
        """The line is acknowledged, or will be no event. Its place counts once all before it are settled."""
        sent.is_settled, sent.partition, sent.offset = True, partition, offset
        while self.sent and self.sent[0].is_settled:
            self._acknowledged = self.sent.popleft()


def first_line(source: Source) -> bytes | None:
    """A file's first line, or as much of it as counts, None while it is not complete. Leading NULs are passed over."""
    offset, size = 0, MARK_BYTES
    while True:
        start = source.read_at(offset, size)
        text = start.lstrip(b"\x00")
        if text or not start:
            break
        offset, size = offset + len(start), CHUNK_BYTES
    text = source.read_at(offset + len(start) - len(text), MARK_BYTES)
    line, end, _ = text.partition(b"\n")
    return line if end or len(text) == MARK_BYTES else None


def identity_of(line: bytes, number: int) -> str:
    """The identity of the `number`-th content with this first line: the same whenever it is found."""
    return blake2b(b"%d\0%b" % (number, line), digest_size=12).hexdigest()


def _head_bytes(source: Source) -> int:
    """Of a file that is found, its first line at most: it may be in the midst of a write."""
    return min(len(first_line(source) or b""), MARK_BYTES)
