"""What a stranger types first."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from shardlake.testing.stack import free_port_base
from tests.support import ROOT

pytestmark = pytest.mark.e2e

REAL_LOG = ROOT.parent / "shared" / "data" / "apache_access.log"


def demo(state: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "shardlake", "--pipeline", str(ROOT), "demo", "--seconds", "6", *arguments]
    environment = {**os.environ, "SHARDLAKE_STATE": str(state), "SHARDLAKE_CHECKPOINT_SECONDS": "2"}
    command += ["--port-base", str(free_port_base())]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def test_the_sum_of_the_demo_holds(tmp_path: Path) -> None:
    log = ["--log", str(REAL_LOG)] if REAL_LOG.exists() else []
    done = demo(tmp_path, *log)
    assert done.returncode == 0, done.stdout + done.stderr
    sent = 5_000 + 6_000 if log else 10_000 + 6_000
    (total,) = [line.split() for line in done.stdout.splitlines() if line.strip().startswith("sum")]
    assert total == ["sum", f"{sent + 39:,}", "=", f"{sent:,}", "+", "39", "+", "0", "0", "0"]
    (windows,) = [line for line in done.stdout.splitlines() if " in windows + " in line]
    assert windows.startswith(f"{sent:,} events = ")
    assert windows.endswith(" 0 after their window")
    if log:
        assert "5,000 of 5,000 lines are in the lake exactly once" in done.stdout
    assert "a second consumer joins" in done.stderr


@pytest.mark.slow
def test_servers_killed_in_the_middle_of_the_demo_cost_seconds_and_no_record(tmp_path: Path) -> None:
    done = demo(tmp_path, "--break")
    assert done.returncode == 0, done.stdout + done.stderr
    told = [line for line in done.stderr.splitlines() if "kill -9" in line or "recovered:" in line]
    assert [line.split(" s  ", 1)[1].split(":")[0] for line in told] == [
        "kill -9 of the task manager", "recovered", "kill -9 of the broker", "recovered",
    ]  # fmt: skip
    # Both fell into the minute in which events were sent, which is longer than was asked for.
    assert done.stderr.index("all is sent") > done.stderr.index(told[-1])
    (total,) = [line.split() for line in done.stdout.splitlines() if line.strip().startswith("sum")]
    assert total == ["sum", "70,039", "=", "70,000", "+", "39", "+", "0", "0", "0"]


def test_servers_of_a_launcher_that_stays_are_not_broken(tmp_path: Path) -> None:
    done = demo(tmp_path, "--break", "--keep")
    assert done.returncode == 2
    assert "--break and --keep do not go together" in done.stderr
    assert not (tmp_path / "logs").exists()


def test_a_log_that_is_not_there_starts_nothing(tmp_path: Path) -> None:
    done = demo(tmp_path, "--log", "nowhere.log")
    assert done.returncode == 2
    assert "There is no file nowhere.log" in done.stderr
    assert not (tmp_path / "logs").exists()
