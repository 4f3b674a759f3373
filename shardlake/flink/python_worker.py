"""The Python of Flink's workers (`python.executable`): the real one, with a watch on the task manager.

A worker that is only starting waits for its task manager without a limit; if that is killed just then, the worker and
the shell that started it stay for ever. All of them are in the process group that the task manager leads.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading
import time

from shardlake.process import identity, runs

WATCH_SECONDS = 1.0


def end_with(leader: int, known: str | None) -> None:
    """End this process group when its leader, of that identity, has ended. Returns never."""
    while runs(leader, known):
        time.sleep(WATCH_SECONDS)
    os.killpg(0, signal.SIGKILL)


def main() -> None:
    """Run `-m MODULE …` under the watch, anything else as it is."""
    arguments = sys.argv[1:]
    if arguments[:1] != ["-m"]:
        os.execv(sys.executable, [sys.executable, *arguments])
    leader = os.getpgid(0)
    if leader not in (0, os.getpid()):
        threading.Thread(target=end_with, args=(leader, identity(leader)), daemon=True).start()
    sys.argv = arguments[1:]
    runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
