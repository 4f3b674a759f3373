"""A machine that is too small or has another Python: said before anything is started or installed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from shardlake.errors import BadInput, Unavailable
from shardlake.install.setup import check_python
from shardlake.stack.stack import Stack
from shardlake.testing.stack import free_port_base
from tests.support import ROOT

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("owner", "name", "words"),
    [
        (psutil, "virtual_memory", "Only 1.0 GB of memory are free; the stack needs 3 GB"),
        (shutil, "disk_usage", "has only 1.0 GB of free disk; the stack needs 1.5 GB"),
    ],
)
def test_too_little_memory_or_disk_starts_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: object, name: str, words: str
) -> None:
    monkeypatch.setattr(owner, name, lambda *_: SimpleNamespace(available=1e9, free=1e9))
    monkeypatch.setattr("shardlake.stack.stack.NEEDED_DISK_GB", 1.5)
    stack = Stack(tmp_path, port_base=free_port_base())
    with pytest.raises(Unavailable, match=words) as refused:
        stack.start()
    assert refused.value.hint
    assert not stack.servers
    assert not stack.data.exists()


def test_another_python_is_refused_by_make_and_by_the_set_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    newer = tmp_path / "python3.13"
    newer.write_text(
        f'#!/bin/sh\nexec {sys.executable} -c "import sys; sys.version_info = (3, 13, 0); exec(sys.argv[1])" "$2"\n'
    )
    newer.chmod(0o755)
    done = subprocess.run(
        ["make", f"PYTHON={newer}", f"VENV={tmp_path / 'venv'}", "demo"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert "Python 3.13 cannot run PyFlink" in done.stderr
    assert "make PYTHON=python3.11" in done.stderr
    assert not (tmp_path / "venv").exists()
    monkeypatch.setattr(sys, "version_info", (3, 13, 0, "final", 0))
    with pytest.raises(BadInput, match=r"Python 3\.13 cannot run PyFlink"):
        check_python()
