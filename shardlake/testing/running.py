"""Servers that run for a test, and `shardlake` commands against them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from shardlake.child import die_with_parent
from shardlake.pipeline import Pipeline
from shardlake.settings import Settings

COMMAND_SECONDS = 180


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
        """Run a `shardlake` command; what it printed. Raises AssertionError where it ends otherwise than it should."""
        done = subprocess.run(
            self.command(*arguments),
            capture_output=True,
            text=True,
            env=self.environment,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        assert done.returncode == exit_code, f"exit code {done.returncode}:\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

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
