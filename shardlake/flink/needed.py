"""Which unfinished uploads the jobs may still complete: their state names them, or a running job is at work on them.

A checkpoint holds, for each file that it closed, the upload's id; whoever resumes from it completes the upload, or
finds that it has been. An upload that is aborted before takes the file's rows with it.

An upload that a running job is at work on, and that no state names, began after the newest checkpoint's barrier passed.
That was after the one before was complete, as Flink begins no checkpoint while another one is under way; and where no
other is kept, not longer ago than a checkpoint may take.
"""

from __future__ import annotations

from collections.abc import Iterable

from shardlake.flink.resume import states
from shardlake.storage import Folder, is_remote

SKEW_NS = 60 * 10**9
"""What the clocks of S3 and of the machine that keeps the jobs' state may differ by."""


CHECKPOINT_TIMEOUT_NS = 600 * 10**9
"""Flink's default, execution.checkpointing.timeout."""


class Needed:
    """What the checkpoints and savepoints in the jobs folder tell. Savepoints that are elsewhere are not known."""

    def __init__(self, jobs: Folder, names: Iterable[str]) -> None:
        """Reads all that is kept, for these names: of uploads, or of temporary objects."""
        kept = sorted(states(jobs), key=lambda state: state.completed_ns)
        bounds = [state.completed_ns for state in kept[-2:-1]]
        bounds += [state.completed_ns - CHECKPOINT_TIMEOUT_NS for state in kept[-1:]]
        self._begun_before_ns = max(bounds, default=0) - (0 if is_remote(jobs) else SKEW_NS)
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
            return "the jobs may be at work on it"
        return ""
