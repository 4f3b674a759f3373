"""A disk of its own under a folder, in memory, that can be full."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from pathlib import Path

SIZE_BYTES = 2 * 1024**3
"""It takes as much memory as is written to it."""

CLONE_NEWNS = 0x00020000
FULL_ATTEMPTS = 20


class SmallDisk:
    """A tmpfs. Full, it takes not a page more; what it holds can be read."""

    def __init__(self, folder: Path) -> None:
        """Mounts it. Raises OSError where that may not be done here."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        _run("mount", "-t", "tmpfs", "-o", f"size={SIZE_BYTES}", "tmpfs", str(folder))

    def fill(self) -> None:
        """Nothing more fits from now on. Raises OSError where it is written to faster than it can be closed."""
        for attempt in range(FULL_ATTEMPTS):
            try:
                self._resize(max(self._used_bytes(), 4096))  # 0 would be without a limit
                return
            except OSError:  # something was written in between
                if attempt + 1 == FULL_ATTEMPTS:
                    raise

    def free(self) -> None:
        """Make space."""
        self._resize(SIZE_BYTES)

    def close(self, *, keep: bool) -> None:
        """Take it away; with `keep`, what it held is in the folder afterwards."""
        kept = self.folder.with_name(f"{self.folder.name}.kept")
        if keep:
            shutil.copytree(self.folder, kept)
        _run("umount", "--lazy", str(self.folder))
        if keep:
            self.folder.rmdir()
            kept.rename(self.folder)

    def _used_bytes(self) -> int:
        found = os.statvfs(self.folder)
        return (found.f_blocks - found.f_bfree) * found.f_frsize

    def _resize(self, size_bytes: int) -> None:
        _run("mount", "-o", f"remount,size={size_bytes}", str(self.folder))


def own_mounts() -> None:
    """From here on this thread, and what it starts, has mounts of its own: they go with the last of these processes,
    however it ends.

    Raises OSError where that may not be done here.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), "unshare")
    _run("mount", "--make-rprivate", "/")


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"{command[0]}: {done.stderr.strip() or f'exit code {done.returncode}'}")
