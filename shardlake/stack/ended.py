"""Whether a server's process runs, and where it has ended, how and why: from its exit code and its log."""

from __future__ import annotations

import signal
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from shardlake.process import running_pid

TAIL_BYTES = 65_536
DISK_FULL = "No space left on device"
FREE_SPACE = (
    "Free some space on the disk of its data, then `shardlake down` and `shardlake up` with the same --data DIR."
)
START_AGAIN = "`shardlake down` and `shardlake up`, with the same --data DIR, bring it back."


@dataclass(frozen=True, slots=True)
class ServerState:
    """`state` is running, stopped (by a signal, until it is told to go on) or down; `cause` and `fix` say why and what
    to do where it is not running."""

    name: str
    state: str
    cause: str = ""
    fix: str = ""

    @property
    def is_running(self) -> bool:
        """It can answer."""
        return self.state == "running"


def server_state(name: str, entry: dict[str, Any]) -> ServerState:
    """Of one entry of `servers` in the stack's file."""
    pid = running_pid(entry)
    try:
        status = psutil.STATUS_ZOMBIE if pid is None else psutil.Process(pid).status()
    except psutil.NoSuchProcess:
        status = psutil.STATUS_ZOMBIE
    if status in (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP):
        return ServerState(name, "stopped", "a signal has stopped its process", f"Let it go on: `kill -CONT {pid}`.")
    if status != psutil.STATUS_ZOMBIE:
        return ServerState(name, "running")
    return ServerState(name, "down", *why_ended(entry.get("exit_code"), Path(entry["log"])))


def why_ended(exit_code: int | None, log: Path) -> tuple[str, str]:
    """How and why a server has ended, and what to do. The code is negative for a signal, None where nobody saw it."""
    if exit_code is None:
        how = "it has ended"
    elif exit_code < 0:
        how = f"it was ended by {signal.Signals(-exit_code).name}"
    else:
        how = f"it has ended with exit code {exit_code}"
    line = last_error(log)
    # What a killed one wrote before is not why it was killed.
    full = DISK_FULL in line and (exit_code is None or exit_code >= 0)
    if full:
        return f"{how}: {DISK_FULL}", FREE_SPACE
    return f"{how}; the last error in its log: {line}" if line else f"{how}; its log names no error", START_AGAIN


def errors_in(lines: Iterable[str]) -> list[str]:
    """Those lines of a server's log that name an error."""
    return [line for line in lines if " ERROR " in line or line.startswith(("Caused by", "Exception"))]


def last_error(log: Path) -> str:
    """The last line of a log that names an error, '' without one; of a full disk where one does, as others follow
    from it."""
    if not log.exists():
        return ""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - TAIL_BYTES))
        lines = file.read().decode(errors="replace").splitlines()
    errors = errors_in(lines)
    full = [line for line in lines if DISK_FULL in line]
    return (full or errors or [""])[-1].strip()[:500]
