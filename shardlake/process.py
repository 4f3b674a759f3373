"""Which process a number means: the kernel gives a number again, and the clock may be set while a process runs."""

from __future__ import annotations

from pathlib import Path

BOOT = Path("/proc/sys/kernel/random/boot_id")
_START_TICKS = 19
"""The place of a process's start in /proc/PID/stat, counted behind the program's name, which may hold spaces and
brackets: see proc(5)."""


def identity(pid: int) -> str | None:
    """The boot, the number, and the clock ticks between the boot and the process's start; None where none runs.

    No two processes have the same, and a set clock does not change it.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return f"{BOOT.read_text().strip()}/{pid}/{fields[_START_TICKS]}"
