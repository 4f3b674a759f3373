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
from pathlib import Path

WATCH_SECONDS = 1.0


def end_with(leader: int) -> None:
    """End this process group when its leader has ended. Returns never."""
    while is_alive(leader):
        time.sleep(WATCH_SECONDS)
    os.killpg(0, signal.SIGKILL)


def is_alive(pid: int) -> bool:
    """Whether the process runs; one that nobody has waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def main() -> None:
    """Run `-m MODULE …` under the watch, anything else as it is."""
    arguments = sys.argv[1:]
    if arguments[:1] != ["-m"]:
        os.execv(sys.executable, [sys.executable, *arguments])
    leader = os.getpgid(0)
    if leader not in (0, os.getpid()):
        threading.Thread(target=end_with, args=(leader,), daemon=True).start()
    sys.argv = arguments[1:]
    runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
