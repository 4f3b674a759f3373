"""Which process a number means: the kernel gives a number again, and the clock may be set while a process runs."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

BOOT = Path("/proc/sys/kernel/random/boot_id")
_START_TICKS = 19
"""The place of a process's start in /proc/PID/stat, counted behind the program's name, which may hold spaces and
brackets: see proc(5). The first place is the process's state."""


def identity(pid: int) -> str | None:
    """The boot, the number, and the clock ticks between the boot and the process's start; None where none runs.

    No two processes have the same, and a set clock does not change it.
    """
    fields = _stat(pid)
    return f"{BOOT.read_text().strip()}/{pid}/{fields[_START_TICKS]}" if fields else None


def runs(pid: int, known: str | None) -> bool:
    """Whether the process of that identity runs; one that has ended and that nobody has waited for does not."""
    return identity(pid) == known is not None and _stat(pid)[:1] not in ([], ["Z"])


def running_pid(entry: Mapping[str, Any]) -> int | None:
    """The number of the process that a stack's file names; None where the process has ended, and the number may be
    another's. Files of older versions name no identity: their number is taken as it is."""
    pid = int(entry["pid"])
    return pid if runs(pid, entry.get("identity", identity(pid))) else None


def send_signal(pid: int, known: str | None, number: signal.Signals) -> bool:
    """Send a signal to the process of that identity, and to no other; whether there is one."""
    try:
        # The kernel gives the number to no other process as long as this is open.
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        if known is None or identity(pid) != known:
            return False
        signal.pidfd_send_signal(process, number)
    except ProcessLookupError:
        return False
    else:
        return True
    finally:
        os.close(process)


def _stat(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []
