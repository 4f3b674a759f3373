"""Which unfinished uploads the jobs may still complete: their state names them, or a running job is at work on them.

A checkpoint holds, for each file that it closed, the upload's id; whoever resumes from it completes the upload, or
finds that it has been. An upload that is aborted before takes the file's rows with it.

An upload that a running job is at work on, and that no state names, began after the newest checkpoint's barrier passed,
and that was after the one before was complete, as Flink begins no checkpoint while another one is under way.
"""

from __future__ import annotations

from collections.abc import Iterable

from shardlake.flink.resume import states
from shardlake.storage import Folder, is_remote

SKEW_NS = 60 * 10**9
"""What the clocks of S3 and of the machine that keeps the jobs' state may differ by."""


class Needed:
    """What the checkpoints and savepoints in the jobs folder tell. Savepoints that are elsewhere are not known."""

    def __init__(self, jobs: Folder, names: Iterable[str]) -> None:
        """Reads all that is kept, for these names: of uploads, or of temporary objects."""
        kept = sorted(states(jobs), key=lambda state: state.completed_ns)
        self._begun_before_ns = kept[-2].completed_ns - (0 if is_remote(jobs) else SKEW_NS) if len(kept) > 1 else 0
        self._named: dict[str, str] = {}
        wanted = {name: name.encode() for name in names}
        for state in kept:
            for file in state.folder.iterdir() if wanted else ():
                content = file.read_bytes()
                self._named |= {name: str(state.folder) for name, spelt in wanted.items() if spelt in content}

    def why(self, name: str, began_ns: int) -> str:
        """Why it may still be needed, '' where it is not."""
        if name in self._named:
            return f"named by {self._named[name]}"
        if began_ns >= self._begun_before_ns:
            return "begun since the last two checkpoints, or there are none"
        return ""
