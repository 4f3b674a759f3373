"""A machine that dies at any moment and keeps of its disk only what was synced, and by chance some of the rest.

`recorded` runs a program's steps on a real folder and notes, at each operation on files, every name and every content
there; `os.fsync` is noted with what it synced. A write is seen at the next operation. Nothing has to be compiled or
mounted: Python's audit events tell of opening, renaming, linking and removing, before it is done.

`Recording.disks` lays out what a disk may hold after the machine's death at one moment. A file's content is kept where
the file was synced, a name where its folder was synced (as POSIX has it, and not as one file system happens to do). Of
what is later each of these may be there: nothing; names without content, as zeros too; content without names; all; any
beginning of it, chosen by a seed.
"""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

Names = dict[str, int]
CHANCES = 6
"""How many disks by chance there are for each moment."""


@dataclass(frozen=True, slots=True)
class Moment:
    """What the kernel held: the names in each folder and each file's content, by inode."""

    folders: dict[int, Names]
    files: dict[int, bytes]


@dataclass(slots=True)
class Recording:
    """What a program did to a folder. `promises` has, for each moment, what was promised before it."""

    root: Path
    moments: list[Moment] = field(default_factory=list)
    promises: list[tuple[object, ...]] = field(default_factory=list)
    synced: dict[int, list[int]] = field(default_factory=dict)
    """By inode, the moments whose state of it is on the disk."""
    _promised: tuple[object, ...] = ()
    _kept_open: dict[int, int] = field(default_factory=dict)

    def note(self) -> None:
        """Look at everything. An inode that was seen stays open, so that its number is not given again."""
        folders: dict[int, Names] = {}
        files: dict[int, bytes] = {}
        paths = [self.root]
        while paths:
            path = paths.pop()
            names: Names = {}
            for entry in os.scandir(path):
                inode = entry.inode()
                names[entry.name] = inode
                if inode not in self._kept_open:
                    self._kept_open[inode] = os.open(entry.path, os.O_RDONLY)
                if entry.is_dir():
                    paths.append(Path(entry.path))
                else:
                    size = os.fstat(self._kept_open[inode]).st_size
                    files[inode] = os.pread(self._kept_open[inode], size, 0)
            folders[path.stat().st_ino] = names
        self.moments.append(Moment(folders, files))
        self.promises.append(self._promised)

    def sync(self, inode: int) -> None:
        """What the last moment held of it is on the disk."""
        self.synced.setdefault(inode, []).append(len(self.moments) - 1)

    def promise(self, *promised: object) -> None:
        """From now on this must be there, and what was promised before needs not."""
        self._promised = promised
        self.note()

    def close(self) -> None:
        """Let go of the inodes."""
        for descriptor in self._kept_open.values():
            os.close(descriptor)

    def disks(self, at: int, under: Path, seed: int = 0, *, is_journal: bool = False) -> Iterator[Path]:
        """Folders as the machine's disk may be after its death at a moment.

        With `is_journal` names are kept in the order in which they came to be, as file systems with a journal do: one
        that moves from a folder to another is in one of the two. Else a folder's names say nothing of another's. The
        journal's disks are two: all names, or those that were synced, with no content but what was synced.
        """
        chance = random.Random(seed * 1_000_003 + at)
        last = {inode: [moment for moment in moments if moment <= at] for inode, moments in self.synced.items()}
        kept = {inode: moments[-1] if moments else -1 for inode, moments in last.items()}

        def disk(number: int, names: Callable[[int], int], content: Callable[[bytes, bytes], bytes]) -> Path:
            """Lay out a disk. `names` chooses the moment whose names are there, by that of the last sync; `content`
            chooses what is there of a file, by what was synced and what was written."""
            root = under / f"{at}-{number}"
            one_moment = names(max(kept.get(folder, -1) for folder in self.moments[at].folders)) if is_journal else None

            def lay(folder: int, target: Path) -> None:
                target.mkdir(parents=True)
                moment = names(kept.get(folder, -1)) if one_moment is None else one_moment
                held = self.moments[moment].folders.get(folder, {}) if moment >= 0 else {}
                for name, inode in held.items():
                    if any(inode in one.folders for one in self.moments):
                        lay(inode, target / name)
                    else:
                        before = self._content(inode, kept.get(inode, -1))
                        (target / name).write_bytes(content(before, self._content(inode, at)))

            lay(self.root.stat().st_ino, root)
            return root

        def synced_names(synced: int) -> int:
            return synced

        def all_names(_: int) -> int:
            return at

        def torn(before: bytes, after: bytes) -> bytes:
            return after[: chance.randint(min(len(before), len(after)), len(after))]

        if is_journal:
            yield disk(0, synced_names, lambda before, _: before)
            yield disk(1, all_names, lambda before, _: before)
            return
        contents: list[Callable[[bytes, bytes], bytes]] = [
            lambda before, _: before,
            lambda before, after: before + bytes(max(0, len(after) - len(before))),
            lambda _, after: after,
        ]
        number = 0
        for names in (synced_names, all_names):
            for content in contents:
                yield disk(number, names, content)
                number += 1
        for _ in range(CHANCES):
            yield disk(number, lambda synced: chance.randint(synced, at), torn)
            number += 1

    def _content(self, inode: int, moment: int) -> bytes:
        """A file's content then; one that had no name left any more has its last."""
        found = (self.moments[one].files.get(inode) for one in range(moment, -1, -1))
        return next((content for content in found if content is not None), b"")


_recording: list[Recording] = []
_CHANGES = {"open", "os.rename", "os.link", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.symlink"}


def _on_event(event: str, arguments: tuple[object, ...]) -> None:
    if _recording and event in _CHANGES and str(_recording[0].root) in str(arguments[0]):
        recording = _recording.pop()  # what looking opens is no event
        recording.note()
        _recording.append(recording)


@cache
def _listen() -> None:
    """Once: an audit hook stays as long as its program."""
    sys.addaudithook(_on_event)


@contextmanager
def recorded(root: Path) -> Iterator[Recording]:
    """Record what this program does in a folder."""
    root.mkdir(parents=True, exist_ok=True)
    recording = Recording(root)
    recording.note()
    for inode in (*recording.moments[0].folders, *recording.moments[0].files):
        recording.sync(inode)  # what was there before is old
    fsync = os.fsync

    def syncing(fd: Any) -> None:
        fsync(fd)
        _recording.pop()
        recording.note()
        recording.sync(os.fstat(fd).st_ino)
        recording.note()
        _recording.append(recording)

    _listen()
    os.fsync = syncing
    _recording.append(recording)
    try:
        yield recording
        recording.note()
    finally:
        os.fsync = fsync
        _recording.clear()
        recording.close()
