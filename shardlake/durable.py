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


def sync_folder(folder: Path) -> None:
    """Have the names of a folder's files on the disk."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
