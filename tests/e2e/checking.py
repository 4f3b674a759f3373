"""Verdicts of `shardlake verify`, and the planted archive that they judge."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from shardlake.storage import Folder
from shardlake.testing.stack import RunningStack
from tests.support import PATIENCE_SECONDS, ROOT


def verify(stack: RunningStack, exit_code: int, runs: Iterable[Path], lake: Path | None = None) -> dict[str, Any]:
    """What `verify` says of these runs, of another lake than the stack's where one is given."""
    environment = stack.environment | ({"LAKE_URL": str(lake)} if lake else {})
    done = stack.run("verify", *map(str, runs), "--json", environment=environment)
    assert done.returncode == exit_code, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def by_hand(stack: RunningStack, bug: str, lake: Folder) -> subprocess.Popen[str]:
    """The archive that was written by hand, begun."""
    command = [sys.executable, "-m", "tests.planted.archive_by_hand", bug, str(ROOT), str(lake)]
    return subprocess.Popen(command, cwd=ROOT, env=stack.environment, stdout=subprocess.PIPE, text=True)


def ended(worker: subprocess.Popen[str]) -> int:
    """The exit code of a planted archive."""
    worker.communicate(timeout=PATIENCE_SECONDS)
    return worker.returncode
