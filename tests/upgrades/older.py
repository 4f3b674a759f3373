"""An older version of this project, installed beside this one from the repository's history."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from bench.environment import installed_once
from tests.support import ROOT

OLDEST = "6946ea3"
"""The oldest version whose data this one takes up."""


def checkout(commit: str) -> Path:
    """The folder of a version, installed where it is not yet: some three minutes and 1.5 GB, below the cache.

    Skips the test where the repository's history does not reach back so far.
    """

    def install(folder: Path) -> None:
        packed = subprocess.run(["git", "archive", commit], cwd=ROOT, capture_output=True, check=False)
        if packed.returncode:
            pytest.skip(f"the repository does not have {commit}: {packed.stderr.decode().strip()}")
        subprocess.run(["tar", "-x"], input=packed.stdout, cwd=folder, check=True)
        subprocess.run(["make", "setup"], cwd=folder, check=True, stdout=subprocess.DEVNULL)

    return installed_once(f"version-{commit}", install)


def python(version: Path) -> Path:
    """The interpreter that a version was installed for."""
    return version / ".venv" / "bin" / "python"
