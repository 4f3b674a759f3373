"""Replacing a file on this machine's disk: whole, for its owner alone, and there after the machine's death."""

from __future__ import annotations

import os
from pathlib import Path

OWNER_ALONE = 0o600
FOR_ALL = 0o644


def write_durably(file: Path, text: str, mode: int = FOR_ALL) -> None:
    """Replace the file's content. It is on the disk when this returns; a reader sees the old one or the new one, whole.

    `mode` is that of a new file, which the process's umask may narrow.
    """
    new = file.with_name(f"{file.name}.new")
    new.unlink(missing_ok=True)  # of a process that was killed, or of somebody else with other rights
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as written:
        written.write(text)
        written.flush()
        os.fsync(written.fileno())
    new.replace(file)
    sync_folder(file.parent)


def make_folder(folder: Path, mode: int = 0o777) -> None:
    """Make a folder, and those above it, where they are missing. New names are on the disk when this returns.

    `mode` is that of the folder itself.
    """
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    folder.mkdir(mode=mode, parents=True, exist_ok=True)
    for one in missing:
        sync_folder(one.parent)


def sync_tree(folder: Path) -> None:
    """Have all that is in a folder on the disk, whoever wrote it."""
    for here, _, files in os.walk(folder):
        for name in files:
            _sync(Path(here, name))
        _sync(Path(here))


def sync_folder(folder: Path) -> None:
    """Have the names of a folder's files on the disk."""
    _sync(folder)


def _sync(path: Path) -> None:
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
