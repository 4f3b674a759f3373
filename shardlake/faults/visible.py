"""What a reader of the lake has seen: each file once, noted while the lake is written, so that one that goes is missed.

RUN/visible.txt has a line a file: its size in bytes, and its path relative to the lake.
"""

from __future__ import annotations

from pathlib import Path
from threading import Event, Lock, Thread

from shardlake.lake.files import SEEN_FILE, sizes_of
from shardlake.storage import Folder

LOOK_SECONDS = 5


class Visible:
    """Looks every LOOK_SECONDS, in a thread of its own, and when asked."""

    def __init__(self, lake: Folder, run: Path) -> None:
        self._lake = lake
        self._seen: set[str] = set()
        self._file = (run / SEEN_FILE).open("a", buffering=1)
        self._lock = Lock()
        self._closing = Event()
        self._thread = Thread(target=self._watch, daemon=True)
        self._thread.start()

    def look(self) -> None:
        """Note the files that are new."""
        with self._lock:
            for name, size_bytes in sizes_of(self._lake).items():
                if name not in self._seen:
                    self._seen.add(name)
                    self._file.write(f"{size_bytes} {name}\n")

    def close(self) -> None:
        """A last look, and no more."""
        self._closing.set()
        self._thread.join()
        self.look()
        self._file.close()

    def _watch(self) -> None:
        while not self._closing.wait(LOOK_SECONDS):
            self.look()
