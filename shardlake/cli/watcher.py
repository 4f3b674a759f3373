"""The process beside a stack that watches the jobs, so that the launcher goes on telling of servers meanwhile."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shardlake.child import die_with_parent

END_SECONDS = 5
"""Killed while it leaves a job out it harms nothing: the job's state is kept, or all jobs go on where they were."""


@contextmanager
def jobs_watched(pipeline_folder: Path) -> Iterator[None]:
    """Have the jobs of this stack watched; what is said comes between the launcher's words. From the main thread."""
    command = [sys.executable, "-m", "shardlake", "--pipeline", str(pipeline_folder), "jobs", "watch"]
    watcher = subprocess.Popen(command, stdin=subprocess.DEVNULL, preexec_fn=die_with_parent())
    try:
        yield
    finally:
        watcher.terminate()
        try:
            watcher.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            watcher.kill()
            watcher.wait()
