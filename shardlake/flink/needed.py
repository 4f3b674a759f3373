"""Which unfinished uploads the jobs may still complete: their state names them, or a running job is at work on them.

A checkpoint holds, for each file that it closed, the upload's id; whoever resumes from it completes the upload, or
finds that it has been. An upload that is aborted before takes the file's rows with it.

An upload that a running job is at work on, and that no state names, began after the newest checkpoint's barrier passed.
That was after the one before was complete, as Flink begins no checkpoint while another one is under way; and where no
other is kept, not longer ago than a checkpoint may take.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from shardlake.errors import Unavailable
from shardlake.flink.resume import State, states
from shardlake.storage import Folder, is_remote

SKEW_NS = 60 * 10**9
"""What the clocks of S3 and of the machine that keeps the jobs' state may differ by."""


CHECKPOINT_TIMEOUT_NS = 600 * 10**9
"""Flink's default, execution.checkpointing.timeout."""


ATTEMPTS = 20
"""A running job replaces its checkpoint; so often the reading begins anew before it is given up."""
LISTINGS = 5
"""A listing shows no state where the only checkpoint was replaced meanwhile; so many in a row do not."""


class Needed:
    """What the checkpoints and savepoints in jobs folders tell. Savepoints that are elsewhere are not known."""

    def __init__(self, jobs: Sequence[Folder], names: Iterable[str]) -> None:
        """Read all states that are kept, for these names: of uploads, or of temporary objects. Each folder is an
        application's: see `apart`.

        Raises Unavailable where the jobs replace their checkpoints faster than they can be read.
        """
        wanted = {name: name.encode() for name in names}
        found = [_states(folder) for folder in jobs]
        for _ in range(ATTEMPTS):
            kept = found
            every = [state for of_one in kept for state in of_one]
            self._named = {name: str(state.folder) for state in every for name in _named_in(state, wanted)}
            # Flink removes a checkpoint once a newer one is complete: while there is none, the newest was read whole.
            # What only an older one named that has gone meanwhile, the jobs have completed.
            found = [_states(folder) for folder in jobs]
            if all(set(now) <= set(before) for now, before in zip(found, kept, strict=True)):
                break
        else:
            msg = f"The jobs replace their checkpoints in {jobs[0]} faster than they can be read."
            raise Unavailable(msg, "Run it again when the jobs have less to do, or have been stopped.")
        begun_before_ns = min(map(_begun_before_ns, kept))
        self._begun_before_ns = begun_before_ns - (0 if is_remote(jobs[0]) else SKEW_NS)

    def why(self, name: str, began_ns: int) -> str:
        """Why it may still be needed, '' where it is not."""
        if name in self._named:
            return f"named by {self._named[name]}"
        if began_ns >= self._begun_before_ns:
            return "the jobs may be at work on it"
        return ""


def _states(folder: Folder) -> list[State]:
    """All states that an application keeps, listed again where a listing shows none."""
    for _ in range(LISTINGS):
        if found := states(folder):
            return found
    return []


def _begun_before_ns(kept: Sequence[State]) -> int:
    """What an application is at work on, and no state of its own names, began then or later."""
    completed_ns = sorted(state.completed_ns for state in kept)
    bounds = completed_ns[-2:-1] + [newest_ns - CHECKPOINT_TIMEOUT_NS for newest_ns in completed_ns[-1:]]
    return max(bounds, default=0)


def _named_in(state: State, wanted: Mapping[str, bytes]) -> Iterator[str]:
    """The wanted names in the state's files; of a state that goes while it is read, those in what was still there."""
    try:
        for file in state.folder.iterdir() if wanted else ():
            content = file.read_bytes()
            yield from (name for name, spelt in wanted.items() if spelt in content)
    except (FileNotFoundError, NotADirectoryError):  # a folder in S3 without objects is none
        return
