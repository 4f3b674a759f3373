"""The virtual environment of that Flink, made once for each lock and kept with the downloads."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from fcntl import LOCK_EX, flock
from pathlib import Path

from shardlake.settings import cache_folder

LOCK = Path(__file__).parent / "requirements.lock"


def runtime() -> Path:
    """The environment's folder, installed where it is not yet: some 40 s and 1.3 GB."""
    digest = hashlib.sha256(LOCK.read_bytes() + sys.version.encode()).hexdigest()[:16]
    folder = cache_folder() / f"managed-flink-{digest}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as file:
        flock(file, LOCK_EX)
        if not (folder / "installed").exists():
            shutil.rmtree(folder, ignore_errors=True)
            subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
            pip = [str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
            subprocess.run([*pip, "--require-hashes", "-r", str(LOCK)], check=True)
            (folder / "installed").touch()
    return folder
