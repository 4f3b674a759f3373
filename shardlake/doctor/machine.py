"""What the stack needs of the machine, and the space that is left where it writes."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from shardlake.doctor.finding import Finding
from shardlake.errors import ShardlakeError
from shardlake.folders import cache_folder
from shardlake.install import layout, setup
from shardlake.settings import Settings
from shardlake.stack.ports import Ports
from shardlake.stack.stack import NEEDED_DISK_GB, NEEDED_MEMORY_GB
from shardlake.storage import Folder, is_remote

FULL_BYTES = 1 << 20
"""With less than this nothing that is written here fits."""


def machine(stack: dict[str, Any] | None, port_base: int) -> Iterator[Finding]:
    """Python, memory, disk, the set-up; and, where no stack runs, the ports."""
    version = platform.python_version()
    fits = (3, 11) <= sys.version_info[:2] <= (3, 12)
    yield Finding("python", fits, version, "PyFlink 2.3 runs on 3.11 and 3.12: make PYTHON=python3.11")
    linux = sys.platform == "linux"
    yield Finding(
        "system", linux, platform.platform(), "The local stack runs on Linux only; use a Linux virtual machine."
    )
    memory_gb = psutil.virtual_memory().available / 1e9
    enough = memory_gb >= NEEDED_MEMORY_GB or stack is not None
    yield Finding("memory", enough, f"{memory_gb:.1f} GB free", f"{NEEDED_MEMORY_GB} GB are needed; close programs.")
    for what, folder in (("disk", Path(sys.prefix)), ("downloads", _existing(cache_folder()))):
        free_gb = shutil.disk_usage(folder).free / 1e9
        yield Finding(what, free_gb >= 3, f"{free_gb:.0f} GB free at {folder}", "3 GB are needed; free some space.")
    done = setup.is_done()
    yield Finding("set-up", done, str(layout.ROOT) if done else "not done", "Run `shardlake setup`.")
    if stack:
        yield Finding("stack", True, f"running, launcher process {stack['launcher_pid']}, data {stack['data']}")
        return
    try:
        ports = Ports.from_base(port_base)
        ports.check()
        row = f"{ports.flink_jobmanager_metrics} to {ports.flink_taskmanager_data}"
        yield Finding("ports", True, f"{row} and {ports.flink_taskmanager_metrics} are free")
    except ShardlakeError as error:
        yield Finding("ports", False, error.message, error.hint)


def space(stack: dict[str, Any], settings: Settings) -> Iterator[Finding]:
    """What is left for the lake, the checkpoints and the broker."""
    folders: dict[str, Folder] = {
        "lake": settings.lake,
        "checkpoints": settings.jobs,
        "broker's logs": Path(stack["data"]) / "kafka",
    }
    for name, folder in folders.items():
        if not is_remote(folder):
            yield space_of(f"disk of the {name}", _existing(folder))


def space_of(check: str, folder: Path) -> Finding:
    """Full, nearly full (less than the stack asks for at its start), or all right."""
    free_bytes = shutil.disk_usage(folder).free
    system = os.statvfs(folder)
    if free_bytes < FULL_BYTES or (system.f_files and not system.f_favail):
        what = "space" if free_bytes < FULL_BYTES else "inode"
        fix = "Free some space there: the jobs then go on by themselves; a broker that has ended is started again by"
        return Finding(check, False, f"full: no {what} left at {folder}", f"{fix} `shardlake down` and `up --data`.")
    nearly = free_bytes < NEEDED_DISK_GB * 1e9
    words = f"{'nearly full: ' if nearly else ''}{free_bytes / 1e9:.2f} GB free at {folder}"
    return Finding(check, not nearly, words, f"Free some space before it is full; {NEEDED_DISK_GB} GB are asked for.")


def _existing(folder: Path) -> Path:
    return next(path for path in (folder, *folder.parents) if path.exists())
