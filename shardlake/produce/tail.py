"""Complete lines of a file that grows, in bounded memory, and noticing that it is not the same any more."""

from __future__ import annotations

import gzip
import os
import zlib
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO, Protocol

from shardlake.produce.lines import MAX_LINE_BYTES
from shardlake.produce.positions import Mark

CHUNK_BYTES = 1 << 18
MARK_BYTES = 1024
FREE_BYTES = 64 << 20
MOST_TIMES = 200
"""So many times what was read of it, and the free bytes, a gzip file may hold. Logs are packed to a tenth, and deflate
packs what is all alike to a thousandth."""
GZIP_MAGIC = b"\x1f\x8b"
NOTHING = Mark(0, blake2b(b"", digest_size=8).hexdigest())


class Changed(Exception):
    """The file was truncated, or another content was written over it."""


class Incomplete(Exception):
    """A gzip file breaks off, or is none: it is still being written, or damaged."""


class Bomb(Exception):
    """A gzip file holds so much more than its size that it is no log."""


class Source(Protocol):
    """Bytes of a file by their place."""

    is_fixed: bool
    """Whether it never changes, so that what was read of it need not be looked at again."""

    def read_at(self, offset_bytes: int, size_bytes: int) -> bytes:
        """As many as there are."""

    def version(self) -> tuple[int, int]:
        """Its size, and something that changes when it is written to."""

    def close(self) -> None:
        """Let go of the file."""


class PlainSource:
    """A file as it is."""

    is_fixed = False

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def read_at(self, offset_bytes: int, size_bytes: int) -> bytes:  # noqa: D102 - the protocol's
        return os.pread(self._file.fileno(), size_bytes, offset_bytes)

    def version(self) -> tuple[int, int]:  # noqa: D102
        status = os.fstat(self._file.fileno())
        return status.st_size, status.st_mtime_ns

    def close(self) -> None:  # noqa: D102
        self._file.close()


class GzipSource:
    """What a gzip file holds, which never changes. Reading backwards, but for its first bytes, unpacks it from its
    start again."""

    is_fixed = True

    def __init__(self, file: BinaryIO) -> None:
        """Reads it to its end once. Raises Incomplete, or Bomb as soon as it shows."""
        self._raw, self._file = file, gzip.GzipFile(fileobj=file)
        self._size_bytes = 0
        self._head = b""
        try:
            while chunk := self._file.read(CHUNK_BYTES):
                self._head = self._head or chunk[:MARK_BYTES]
                self._size_bytes += len(chunk)
                if self._size_bytes > FREE_BYTES + MOST_TIMES * file.tell():
                    raise Bomb
        except (EOFError, OSError, zlib.error) as error:
            file.close()
            raise Incomplete(str(error)) from error
        except Bomb:
            file.close()
            raise

    def read_at(self, offset_bytes: int, size_bytes: int) -> bytes:  # noqa: D102 - the protocol's
        if offset_bytes + size_bytes <= len(self._head):
            return self._head[offset_bytes : offset_bytes + size_bytes]
        try:
            self._file.seek(offset_bytes)
            return self._file.read(size_bytes)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise Changed from error

    def version(self) -> tuple[int, int]:  # noqa: D102
        return self._size_bytes, 0

    def close(self) -> None:  # noqa: D102
        self._raw.close()


def open_source(path: Path) -> PlainSource | GzipSource:
    """A regular file's bytes, unpacked where it is gzip. Raises OSError, Incomplete or Bomb."""
    file = path.open("rb", buffering=0)
    return GzipSource(file) if os.pread(file.fileno(), 2, 0) == GZIP_MAGIC else PlainSource(file)


def mark(data: bytes) -> Mark:
    """The mark of these bytes."""
    return Mark(len(data), blake2b(data, digest_size=8).hexdigest())


def has(source: Source, mark_: Mark, offset_bytes: int) -> bool:
    """Whether the bytes from there on are those of the mark."""
    return offset_bytes >= 0 and mark(source.read_at(offset_bytes, mark_.size_bytes)) == mark_


@dataclass(frozen=True, slots=True)
class Piece:
    """A line: `raw` without its end, None where it is too long; `last` are its last bytes, with its end."""

    start_bytes: int
    end_bytes: int
    number: int
    raw: bytes | None
    last: Mark


class Tail:
    """Reads a source on from a place.

    `offset_bytes` is where the line begins that is not complete yet, `end_bytes` how far its bytes are read.
    """

    def __init__(self, source: Source | None, offset_bytes: int, number: int, head: Mark, last: Mark) -> None:
        """`number` lines end before the place, the last of them with `last`; the source begins with `head`."""
        self.offset_bytes, self.number, self.head, self.last = offset_bytes, number, head, last
        self.attach(source)

    def attach(self, source: Source | None) -> None:
        """Read on in another source of the same content, or in none for now."""
        self.source = source
        self._partial = b""
        self._is_long = False
        self.end_bytes = self.offset_bytes
        self._version = (-1, -1)

    def is_same(self) -> bool:
        """Whether the source still is what was read."""
        assert self.source is not None
        return (
            self.source.version()[0] >= self.end_bytes
            and has(self.source, self.head, 0)
            and has(self.source, self.last, self.offset_bytes - self.last.size_bytes)
        )

    def has_read(self, version: tuple[int, int]) -> bool:
        """Whether nothing has been written to the source since it was read to its end, where this is its version."""
        return version == self._version and version[0] == self.end_bytes

    def read(self) -> list[Piece]:
        """The lines that have become complete, of a chunk at most. Raises Changed; then nothing of it was used."""
        assert self.source is not None
        version = self.source.version()
        if self.has_read(version):
            return []
        chunk = self.source.read_at(self.end_bytes, CHUNK_BYTES)
        # Looked at after reading: what was the same then had not changed before.
        if not self.source.is_fixed and not self.is_same():
            raise Changed
        self._version = version
        pieces = self._split(chunk)
        if self.head.size_bytes < MARK_BYTES and self.offset_bytes > self.head.size_bytes:
            self.head = mark(self.source.read_at(0, min(self.offset_bytes, MARK_BYTES)))
        return pieces

    def is_at_end(self) -> bool:
        """Whether all that is there was read."""
        return self.source is None or self.source.version()[0] <= self.end_bytes

    def rest(self) -> Piece | None:
        """What stands behind the last line end, as a line: for a file to which nothing will be written any more."""
        if self.end_bytes == self.offset_bytes:
            return None
        raw = None if self._is_long else self._partial
        self._partial, self._is_long = b"", False
        return self._piece(raw, self.end_bytes, mark((raw or b"")[-MARK_BYTES:]))

    def _split(self, chunk: bytes) -> list[Piece]:
        if self.offset_bytes == self.end_bytes and self.number == 0:
            # A writer that keeps its own place in a file truncated under it leaves a hole of NULs before its next line.
            text = chunk.lstrip(b"\x00")
            self.offset_bytes += len(chunk) - len(text)
            self.end_bytes, chunk = self.offset_bytes, text
        self.end_bytes += len(chunk)
        *complete, partial = (self._partial + chunk).split(b"\n")
        pieces = []
        for raw in complete:
            end = self.offset_bytes + len(raw) + 1 if not self._is_long else self.end_bytes - len(partial)
            if self._is_long:
                end -= sum(len(later) + 1 for later in complete[1:])
            too_long = self._is_long or len(raw) > MAX_LINE_BYTES
            self._is_long = False
            pieces.append(self._piece(None if too_long else raw, end, mark(raw[1 - MARK_BYTES :] + b"\n")))
        if self._is_long or len(partial) > MAX_LINE_BYTES:
            self._is_long, partial = True, b""
        self._partial = partial
        return pieces

    def _piece(self, raw: bytes | None, end_bytes: int, last: Mark) -> Piece:
        start, self.offset_bytes = self.offset_bytes, end_bytes
        self.number += 1
        self.last = last
        return Piece(start, end_bytes, self.number, raw, last)
