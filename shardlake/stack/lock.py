"""One stack for a data folder: two brokers that write the same files would ruin both."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from shardlake.errors import Unavailable

FILE = ".lock"


class DataLock:
    """A data folder, held until `release` or the end of this process, however it ends."""

    def __init__(self, data: Path) -> None:
        """Raises Unavailable, with the process that has it, where another stack does."""
        self._file = (data / FILE).open("a+")  # closed in servers that are started: they do not keep it
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.seek(0)
            holder = self._file.read() or "unknown"
            self._file.close()
            msg = f"Another stack, of process {holder}, has its data in {data}."
            hint = "Stop it with `shardlake down` where it was started, or choose another --data DIR."
            raise Unavailable(msg, hint) from None
        self._file.truncate(0)
        self._file.write(str(os.getpid()))
        self._file.flush()

    def release(self) -> None:
        """Let another stack have it."""
        self._file.close()
