"""`shardlake load` against a stack of the tests."""

from __future__ import annotations

import subprocess

from shardlake.testing.stack import RunningStack


def load(stack: RunningStack, *arguments: str) -> subprocess.CompletedProcess[str]:
    """One load, to its end."""
    return subprocess.run(
        stack.command("load", *arguments), env=stack.environment, text=True, capture_output=True, check=False
    )
