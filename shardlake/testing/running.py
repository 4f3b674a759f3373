"""Servers that run for a test, and `shardlake` commands against them."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass

from shardlake.child import die_with_parent
from shardlake.pipeline import Pipeline
from shardlake.settings import Settings
from shardlake.testing.commands import commands


@dataclass(frozen=True, slots=True)
class Running:
    """What a test may use of running servers, wherever they are."""

    pipeline: Pipeline
    settings: Settings

    @property
    def environment(self) -> dict[str, str]:
        """With this, a command finds them."""
        raise NotImplementedError

    def command(self, *arguments: str) -> list[str]:
        """A `shardlake` command for this pipeline."""
        return [sys.executable, "-m", "shardlake", "--pipeline", str(self.pipeline.folder), *arguments]

    def shardlake(self, *arguments: str, exit_code: int = 0) -> str:
        """Run a `shardlake` command; what it printed. Raises AssertionError where it ends otherwise than it should.

        It ends by itself where nothing moves any more: a limit here would fail on a slow machine.
        """
        done = self.run(*arguments)
        assert done.returncode == exit_code, f"exit code {done.returncode}:\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    def run(self, *arguments: str, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Run a `shardlake` command in a process of its own, with another environment where one is given."""
        command, known = self.command(*arguments), dict(environment or self.environment)
        # A child ends with the thread that started it, and the process that forks serves the whole session.
        forks = commands() if threading.current_thread() is threading.main_thread() else None
        done = forks.run(command, known) if forks else None
        return done or subprocess.run(command, capture_output=True, text=True, env=known, check=False)

    def start(self, *arguments: str, environment: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        """Start a `shardlake` command; its output is one pipe. It ends with the test run at the latest."""
        return subprocess.Popen(
            self.command(*arguments),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment or self.environment,
            preexec_fn=die_with_parent(),
        )
