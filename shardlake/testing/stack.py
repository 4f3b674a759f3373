"""A stack for tests: real servers on free ports, with a pipeline's topics and schemas, gone at the end."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from shardlake.child import die_with_parent
from shardlake.errors import Unavailable
from shardlake.install import setup
from shardlake.pipeline import Pipeline
from shardlake.provision import provision
from shardlake.settings import Settings
from shardlake.stack.ports import Ports
from shardlake.stack.stack import Stack

COMMAND_SECONDS = 180


@dataclass(frozen=True, slots=True)
class RunningStack:
    """What a test may use. `servers` of `stack` can be killed and restarted by name."""

    pipeline: Pipeline
    settings: Settings
    stack: Stack
    parallelism: int

    @property
    def environment(self) -> dict[str, str]:
        """With this, a command finds this stack."""
        return {
            **os.environ,
            "SHARDLAKE_STATE": str(self.stack.state),
            "SHARDLAKE_PARALLELISM": str(self.parallelism),
            "SHARDLAKE_CHECKPOINT_SECONDS": str(self.settings.checkpoint_seconds),
            "COLUMNS": "200",
        }

    def command(self, *arguments: str) -> list[str]:
        """A `shardlake` command for this stack's pipeline."""
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

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a `shardlake` command; its output is one pipe. It ends with the test run at the latest."""
        return subprocess.Popen(
            self.command(*arguments),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=self.environment,
            preexec_fn=die_with_parent(),
        )


def free_port_base() -> int:
    """A base whose ports are all free now."""
    while True:
        base = random.randrange(20_000, 30_000, 20)
        try:
            Ports.from_base(base).check()
        except Unavailable:
            continue
        return base


@contextmanager
def running_stack(
    pipeline_folder: Path, state: Path, *, parallelism: int = 2, checkpoint_seconds: float = 1, data: Path | None = None
) -> Iterator[RunningStack]:
    """Start a stack with the pipeline's topics and schemas; stop it at the end.

    `state` is a folder for its addresses and logs. Installs the servers where that was not done.
    """
    setup.install(lambda _: None)
    pipeline = Pipeline.load(pipeline_folder)
    with Stack(state, port_base=free_port_base(), data=data) as stack:
        settings = Settings.read(**stack.settings, parallelism=parallelism, checkpoint_seconds=checkpoint_seconds)
        provision(pipeline, settings)
        stack.mark_provisioned()
        yield RunningStack(pipeline, settings, stack, parallelism)
