"""The history of a run: one JSON object a line, append-only, each on its way to the disk before the next thing happens.

Every line has `at` (UTC), `seconds` (since the run began) and `what`; the rest depends on what. A run that was killed
leaves what it had written; a torn last line is passed over by `read`.
"""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from shardlake.kept_json import parsed

FILE = "history.jsonl"

Entry = dict[str, Any]


class History:
    """RUN/history.jsonl, written. `seconds` count from here."""

    def __init__(self, run: Path) -> None:
        self._began = time.monotonic()
        self._file = (run / FILE).open("a", buffering=1)

    @property
    def seconds(self) -> float:
        """Since the run began."""
        return time.monotonic() - self._began

    def note(self, what: str, **fields: Any) -> None:
        """Append an entry."""
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        entry: Entry = {"at": at, "seconds": round(self.seconds, 3), "what": what, **fields}
        self._file.write(json.dumps(entry, default=str) + "\n")

    def close(self) -> None:
        """No more entries."""
        self._file.close()


def read(run: Path) -> list[Entry]:
    """All entries of a run, [] where it has none."""
    path = run / FILE
    found: list[Entry] = []
    for line in path.read_text(errors="replace").splitlines() if path.exists() else ():
        try:
            found.append(parsed(line, dict[str, Any]))
        except ValueError:  # torn: whoever wrote it was killed
            continue
    return found
