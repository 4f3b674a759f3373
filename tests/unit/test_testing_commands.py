"""Commands of tests are forked from a process that has imported everything: they do what a user's do."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from shardlake.testing.commands import Commands, commands

pytestmark = pytest.mark.unit


def both(*arguments: str, **environment: str) -> tuple[subprocess.CompletedProcess[str], ...]:
    """A command forked, and the same one as a user starts it."""
    command, known = [sys.executable, "-m", "shardlake", *arguments], {**os.environ, **environment}
    forked = commands().run(command, known)
    assert forked is not None
    return forked, subprocess.run(command, env=known, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("arguments", "environment", "code"),
    [
        (["schema", "--help"], {}, 0),
        (["nonsense"], {}, 2),
        (["query", "select 1"], {"LAKE_URL": "gs://nowhere"}, 2),
        (["lag"], {"SHARDLAKE_PARALLELISM": "none"}, 2),
    ],
)
def test_a_forked_command_says_and_ends_as_a_started_one(
    arguments: list[str], environment: dict[str, str], code: int, tmp_path: Path
) -> None:
    forked, started = both(*arguments, **environment, SHARDLAKE_STATE=str(tmp_path))
    assert forked.returncode == code
    assert (forked.returncode, forked.stdout, forked.stderr) == (started.returncode, started.stdout, started.stderr)
    assert forked.stdout + forked.stderr


def test_it_has_the_folder_of_the_caller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "schemas").mkdir()
    forked, started = both("schema", "check")
    assert forked.returncode == started.returncode != 0
    assert forked.stderr == started.stderr


def test_while_one_runs_another_is_not_taken() -> None:
    forks = commands()  # of the main thread: the process that forks ends with the thread that started it
    with ThreadPoolExecutor(2) as threads:
        command = [sys.executable, "-m", "shardlake", "version", "--json"]
        done = list(threads.map(lambda _: forks.run(command, os.environ), range(2)))
    answered = [one for one in done if one is not None]
    assert answered
    assert all(one.returncode == 0 and json.loads(one.stdout)["shardlake"] for one in answered)


def test_the_process_that_forks_is_started_again_once_it_has_gone() -> None:
    before: Commands = commands()
    (server,) = [p for p in psutil.Process().children() if "shardlake.testing.commands" in " ".join(p.cmdline())]
    server.send_signal(signal.SIGKILL)
    server.wait()
    command = [sys.executable, "-m", "shardlake", "nonsense"]
    with pytest.raises((OSError, ValueError)):
        before.run(command, os.environ)
    again = commands().run(command, os.environ)
    assert again is not None
    assert again.returncode == 2
