"""One command at a time starts jobs: two that start the same jobs would write everything twice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from shardlake.errors import ShardlakeError
from shardlake.folders import state_folder
from shardlake.lock import Held, Lock

FILE = "jobs.lock"


@contextmanager
def turn() -> Iterator[None]:
    """Hold the jobs. Raises ShardlakeError, with the process that has them, where another command does."""
    state_folder().mkdir(parents=True, exist_ok=True)
    try:
        lock = Lock(state_folder() / FILE)
    except Held as held:
        msg = f"Another command is starting the jobs, or leaves one out: process {held.holder}."
        raise ShardlakeError(msg, "Look at `shardlake jobs list` in a moment.") from None
    try:
        yield
    finally:
        lock.release()
