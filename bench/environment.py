"""A virtual environment of its own for a lock of packages, made once and kept with the downloads."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from fcntl import LOCK_EX, flock
from pathlib import Path

from shardlake.settings import cache_folder


def environment(lock: Path, name: str) -> Path:
    """Its folder below the cache, named by the lock's content; installed where it is not yet."""
    digest = hashlib.sha256(lock.read_bytes() + sys.version.encode()).hexdigest()[:16]
    folder = cache_folder() / f"{name}-{digest}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as file:
        flock(file, LOCK_EX)
        if not (folder / "installed").exists():
            shutil.rmtree(folder, ignore_errors=True)
            subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
            pip = [str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
            subprocess.run([*pip, "--require-hashes", "-r", str(lock)], check=True)
            (folder / "installed").touch()
    return folder
