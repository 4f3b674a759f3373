"""A file that one process at a time may hold."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from shardlake.durable import OWNER_ALONE


class Held(Exception):
    """Another process holds the lock; `holder` is its number, or `unknown`."""

    def __init__(self, holder: str) -> None:
        super().__init__(holder)
        self.holder = holder


class Lock:
    """A file, held until `release` or the end of this process, however it ends. Processes that are started do not
    keep it."""

    def __init__(self, file: Path) -> None:
        """Raises Held where another process has it, OSError where the file cannot be written."""
        # Whoever may open the file, if only to read, may hold it.
        self._file = os.fdopen(os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT, OWNER_ALONE), "a+")
        os.fchmod(self._file.fileno(), OWNER_ALONE)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.seek(0)
            holder = self._file.read()
            self._file.close()
            raise Held(holder or "unknown") from None
        self._file.truncate(0)
        self._file.write(str(os.getpid()))
        self._file.flush()

    def release(self) -> None:
        """Let another process have it."""
        self._file.close()
