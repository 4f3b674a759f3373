"""A checkpoint that is under way when a fault comes: begun by hand, seen in the jobs folder.

Flink makes the folder `chk-N` of a checkpoint when it begins it, writes `_metadata` when it is complete, and removes
the folder where it is aborted. Its REST API tells the same, but from a cache that is up to three seconds old.
"""

from __future__ import annotations

import time
from threading import Event, Thread

from shardlake.errors import ShardlakeError
from shardlake.flink.cluster import Cluster
from shardlake.settings import Settings
from shardlake.storage import Folder

BEGIN_SECONDS = 5
POLL_SECONDS = 0.001
WATCH_SECONDS = 0.005

IN_FLIGHT = "in flight"
COMPLETED_BEFORE = "completed before"
NONE = "none"
COMPLETED, ABORTED = "completed", "aborted"


class Checkpoint:
    """One checkpoint, watched by a thread of its own: what ends is soon removed."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._completed = False
        self._closing = Event()
        self._thread = Thread(target=self._watch, daemon=True)
        self._thread.start()

    @property
    def number(self) -> int:
        """Flink's id of it."""
        return _number(self._folder)

    def close(self) -> str:
        """What became of it: completed, or aborted."""
        self._closing.set()
        self._thread.join()
        return COMPLETED if self._completed else ABORTED

    def state_at(self, moment_ns: int) -> str:
        """What it was at a time of the system's clock, asked for soon after it."""
        try:
            completed_ns = (self._folder / "_metadata").stat().st_mtime_ns
        except FileNotFoundError:
            return IN_FLIGHT
        return COMPLETED_BEFORE if completed_ns < moment_ns else IN_FLIGHT

    def _watch(self) -> None:
        while not self._closing.wait(WATCH_SECONDS) and self._folder.exists() and not self._completed:
            self._completed = (self._folder / "_metadata").exists()


def begin(settings: Settings) -> Checkpoint | None:
    """Have the application begin a checkpoint, and return as soon as one is under way; None where none begins."""
    try:
        job = Cluster(settings.flink_rest_url).running()
        if job is None:
            return None
        folder = settings.jobs / "checkpoints" / job.job_id
        before = max((_number(path) for path in folder.glob("chk-*")), default=0)
        Cluster(settings.flink_rest_url).checkpoint(job.job_id)
    except ShardlakeError:
        return None
    deadline = time.monotonic() + BEGIN_SECONDS
    while time.monotonic() < deadline:
        begun = max(folder.glob("chk-*"), key=_number, default=None)
        if begun is not None and _number(begun) > before:
            return Checkpoint(begun)
        time.sleep(POLL_SECONDS)
    return None


def _number(folder: Folder) -> int:
    return int(folder.name.removeprefix("chk-"))
