"""Finding the files to follow, again and again, and knowing them again whatever the rotation did to them.

A file is known by device and inode while it exists. By its content (its first bytes, and those before the place where
reading stands) a copy or a packed file is known, and a file whose inode was used again is told from it:

    renamed                       the same file: read on
    truncated                     a new content; what was there and not read is looked for in a copy
    a copy of one that is there   waits: which of the two is read on shows when the other is truncated or gone
    a copy of one that is gone    takes its place, and is read on from there
    anything else                 a new content, read from its start
"""

from __future__ import annotations

import glob
import os
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from shardlake.errors import BadInput
from shardlake.produce.content import Content, Key, first_line, key_of
from shardlake.produce.known import Known
from shardlake.produce.tail import (
    MOST_TIMES,
    Bomb,
    Changed,
    Incomplete,
    Piece,
    PlainSource,
    Source,
    has,
    mark,
    open_source,
)

COMPARED_BYTES = 4096
BUSY_SECONDS = 1.0
"""A file that grew within so long is asked for more again and again; what has grown of the others a look finds."""
QUIET_SECONDS = 10.0
"""A rotated or deleted file that did not grow for as long is at its end."""


def check(pattern: str) -> None:
    """Raises BadInput where a path names something that cannot be followed. One that is not there yet can."""
    try:
        status = Path(pattern).stat()
    except OSError:
        return
    if stat.S_ISDIR(status.st_mode):
        msg = f"{pattern} is a folder."
        raise BadInput(msg, f"Give its files, as '{pattern.rstrip('/')}/*.log'.")
    if stat.S_ISFIFO(status.st_mode):
        msg = f"{pattern} is a FIFO: it has no places to return to."
        raise BadInput(msg, f"Produce what comes out of it: cat {pattern} | shardlake produce - --service NAME")
    if not stat.S_ISREG(status.st_mode):
        msg = f"{pattern} is no regular file."
        raise BadInput(msg, "Give log files.")


class Discovery:
    """The contents that the patterns find. None of its methods waits."""

    def __init__(self, patterns: list[str], contents: list[Content], say: Callable[[str], None]) -> None:
        """`contents` are those known from before; `say` gets a line where a file cannot be read, or was truncated.

        `_busy` are the contents that may have more to read: they grew of late, or their files are not where they were
        written. Of the others a look says when they have.
        """
        self.is_behind = False
        self._patterns = patterns
        self._say = say
        self._said: set[str] = set()
        self._skipped: dict[Key, tuple[tuple[int, int], Content | None]] = {}
        self._known = Known(contents)
        self._broken: dict[Path, tuple[int, int]] = {}
        self._busy: dict[Content, None] = {}
        self._names: dict[Key, str] = {}

    @property
    def contents(self) -> list[Content]:
        """All that are remembered."""
        return self._known.all

    @property
    def live(self) -> dict[Key, Content]:
        """Those that have a file, by its key."""
        return self._known.live

    def look(self) -> bool:
        """Look at all files. True where a content is new or has moved, so that it should be saved before it is read."""
        found = dict(self._files())
        changed = False
        for key, content in list(self.live.items()):
            if key in found:
                name, status = found[key]
                if self._names.get(key) != name:
                    changed |= content.path != Path(name)
                    self._names[key], content.path = name, Path(name)
                self._open(content, status)
            elif content.tail.source is None:
                self._let_go(content)
            else:
                self._busy[content] = None
        for key, (name, status) in found.items():
            if key not in self.live and status.st_size:
                changed |= self._decide(key, Path(name), status)
        for key in self._skipped.keys() - found.keys():
            del self._skipped[key]
        for key in self._names.keys() - found.keys():
            del self._names[key]
        return changed

    def read(self, *, is_final: bool = False) -> Iterator[tuple[Content, Piece]]:
        """The lines that have become complete, at most a chunk of each file.

        A partial last line is among them where its file is rotated or deleted and quiet; if `is_final`, then also
        where it is not quiet yet and deleted, so that it could not be read later. Afterwards `is_behind` says whether
        there is more to read now.
        """
        self.is_behind = False
        for content in list(self.live.values() if is_final else self._busy):
            if content.tail.source is None:
                self._busy.pop(content, None)
                continue
            try:
                pieces = content.tail.read()
            except Changed:
                self._truncated(content)
                continue
            except OSError as error:
                self._say_once(f"{content.path} cannot be read: {error.strerror}")
                continue
            self._known.note_head(content)
            now = time.monotonic()
            if content.tail.end_bytes != content.grew[0]:
                content.grew = (content.tail.end_bytes, now)
            yield from ((content, piece) for piece in pieces)
            if not content.tail.is_at_end():
                self.is_behind = True
            else:
                is_quiet = now - content.grew[1] > QUIET_SECONDS
                yield from self._at_end(content, is_quiet=is_quiet, is_final=is_final)
                if now - content.grew[1] > BUSY_SECONDS:
                    self._busy.pop(content, None)

    def _files(self) -> Iterator[tuple[Key, tuple[str, os.stat_result]]]:
        seen: set[Key] = set()
        for pattern in self._patterns:
            for name in sorted(glob.glob(pattern, recursive=True)):  # noqa: PTH207 - patterns are absolute
                try:
                    status = os.stat(name)  # noqa: PTH116 - a Path for each of thousands costs more than the look
                except OSError:
                    continue
                key = key_of(status)
                if stat.S_ISREG(status.st_mode) and key not in seen:
                    seen.add(key)
                    yield key, (name, status)

    def _open(self, content: Content, status: os.stat_result) -> None:
        """Read on where the file has grown. A live log stays open, so that it can be renamed and deleted."""
        version = (status.st_size, status.st_mtime_ns)
        if content.tail.source is not None:
            if content.is_rotated or not content.tail.has_read(version):
                self._busy[content] = None
            return
        if content.done == version or self._broken.get(content.path) == version:
            return
        source = self._source(content.path, version)
        if source is None:
            return
        content.tail.attach(source)
        self._busy[content] = None
        if not content.tail.is_same():
            self._truncated(content)

    def _source(self, path: Path, version: tuple[int, int] = (-1, -1)) -> Source | None:
        try:
            return open_source(path)
        except Incomplete:
            self._broken[path] = version
            self._say_once(f"{path} is no complete gzip file; it is read as soon as it is one")
            return None
        except Bomb:
            self._broken[path] = version
            self._say_once(
                f"{path} holds more than {MOST_TIMES} times its size and is not followed; "
                f"to read it all the same: zcat {path} | shardlake produce - --service NAME"
            )
            return None
        except OSError as error:
            self._say_once(f"{path} cannot be read: {error.strerror}")
            return None

    def _decide(self, key: Key, path: Path, status: os.stat_result) -> bool:
        """What a file is that is not known. True where it is followed from now on."""
        version = (status.st_size, status.st_mtime_ns)
        skipped = self._skipped.get(key)
        if skipped and skipped[0] == version and (skipped[1] is None or skipped[1] in self.live.values()):
            return False
        self._skipped[key] = (version, None)
        source = self._source(path)
        if source is None:
            return False
        line = first_line(source)
        is_binary = line is not None and b"\x00" in line
        original = None if line is None or is_binary else self._copied_from(source, path)
        if line is None or is_binary or original is not None:
            if is_binary:
                self._say_once(f"{path} is a binary file and is not followed")
            self._skipped[key] = (version, original)
            source.close()
            return False
        del self._skipped[key]
        content = self._continued(source, path, key) or self._part(source, path, key, version)
        if content is None:
            content = Content.found(self._known.new_identity(line), path, key, source)
            self._known.add_new(content, source)
        else:
            self._known.add(content)
        self._names[key] = str(path)
        if content.tail.source is not None:
            self._busy[content] = None
        return True

    def _copied_from(self, source: Source, path: Path) -> Content | None:
        """The content that is there still, and of which this is a copy as far as it goes."""
        size_bytes = source.version()[0]
        for content in self._known.begun_as(source):
            if content.key is None or (path == content.born and content.is_rotated):
                continue
            if content.tail.source is not None and not content.tail.is_same():
                self._truncated(content)
                continue
            other = content.tail.source or self._source(content.path)
            if other is None:
                continue
            end = source.read_at(max(0, size_bytes - COMPARED_BYTES), COMPARED_BYTES)
            is_copy = size_bytes <= other.version()[0] and has(other, mark(end), size_bytes - len(end))
            if content.tail.source is None:
                other.close()
            if is_copy:
                return content
        return None

    def _continued(self, source: Source, path: Path, key: Key) -> Content | None:
        """The content that is gone, and that this file has to where it was read. It has it now."""
        matching = [
            content
            for content in self._known.begun_as(source)
            if content.key is None
            and has(source, content.tail.last, content.tail.offset_bytes - content.tail.last.size_bytes)
        ]
        content = max(matching, key=lambda content: content.tail.offset_bytes, default=None)
        if content is not None:
            content.path, content.key, content.done = path, key, (0, 0)
            content.tail.attach(source)
        return content

    def _part(self, source: Source, path: Path, key: Key, version: tuple[int, int]) -> Content | None:
        """The content that is gone, was read further than this file goes, and begins as it: a copy without the last
        lines. There is nothing to read in it, unless it grows or this process dies before all was acknowledged.

        The path tells it from a new log that begins as the old one did.
        """
        for content in self._known.begun_as(source):
            is_shorter = source.version()[0] < content.tail.offset_bytes
            if content.key is None and is_shorter and path != content.born:
                source.close()
                content.path, content.key, content.done = path, key, version
                return content
        return None

    def _truncated(self, content: Content) -> None:
        """Another content is in its file now. Its own is gone, or in a copy."""
        self._say(f"{content.path} was truncated or replaced; what stands there now is read as new")
        self._let_go(content)

    def _let_go(self, content: Content) -> None:
        if content.tail.source is not None:
            content.tail.source.close()
        content.tail.attach(None)
        self._busy.pop(content, None)
        self._known.let_go(content)

    def _at_end(self, content: Content, *, is_quiet: bool, is_final: bool) -> Iterator[tuple[Content, Piece]]:
        source = content.tail.source
        assert source is not None
        try:
            status = content.path.stat()
            is_there = key_of(status) == content.key
        except OSError:
            is_there = False
        is_packed = not isinstance(source, PlainSource)
        if is_packed or (is_quiet and (content.is_rotated or not is_there)) or (is_final and not is_there):
            rest = content.tail.rest()
            if rest is not None:
                yield content, rest
            if is_there:
                content.done = (status.st_size, status.st_mtime_ns)
            source.close()
            content.tail.attach(None)

    def _say_once(self, line: str) -> None:
        if line not in self._said:
            self._said.add(line)
            self._say(line)
