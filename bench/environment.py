"""Installs something once, as a virtual environment for a lock of packages, and keeps it with the downloads."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable
from fcntl import LOCK_EX, flock
from pathlib import Path

from shardlake.folders import cache_folder


def environment(lock: Path, name: str) -> Path:
    """Its folder below the cache, named by the lock's content; installed where it is not yet."""

    def install(folder: Path) -> None:
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        pip = [str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
        subprocess.run([*pip, "--require-hashes", "-r", str(lock)], check=True)

    digest = hashlib.sha256(lock.read_bytes() + sys.version.encode()).hexdigest()[:16]
    return installed_once(f"{name}-{digest}", install)


def installed_once(name: str, install: Callable[[Path], None]) -> Path:
    """Return the folder `name` below the cache, which `install` fills where no call before has filled it to the end.

    Processes that ask at the same time wait for the one that installs.
    """
    folder = cache_folder() / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as file:
        flock(file, LOCK_EX)
        if not (folder / "installed").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            install(folder)
            (folder / "installed").touch()
    return folder
