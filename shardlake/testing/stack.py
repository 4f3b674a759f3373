"""A stack for tests: real servers on free ports, with a pipeline's topics and schemas, gone at the end."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from shardlake.errors import Unavailable
from shardlake.install import setup
from shardlake.pipeline import Pipeline
from shardlake.provision import provision
from shardlake.settings import Settings
from shardlake.stack.ports import Ports
from shardlake.stack.stack import Stack
from shardlake.testing.running import Running


@dataclass
class _Home:
    s3: bool = False


DEFAULT_HOME = _Home()


@dataclass(frozen=True, slots=True)
class RunningStack(Running):
    """The local stack. `servers` of `stack` can be killed and restarted by name."""

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


def free_port_base() -> int:
    """A base whose ports are all free now, and which no other process of pytest-xdist's tries: servers listen seconds
    after they were asked to."""
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    count = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    while True:
        base = random.randrange(20_000 + 20 * number, 30_000, 20 * count)
        try:
            Ports.from_base(base).check(s3=True)
        except Unavailable:
            continue
        return base


@contextmanager
def running_stack(
    pipeline_folder: Path,
    state: Path,
    *,
    parallelism: int = 2,
    checkpoint_seconds: float = 1,
    data: Path | None = None,
    s3: bool | None = None,
) -> Iterator[RunningStack]:
    """Start a stack with the pipeline's topics and schemas; stop it at the end.

    `state` is a folder for its addresses and logs. With `s3` its lake is in an S3 server of its own;
    None is what pytest's option `--lake` says.
    Installs the servers where that was not done.
    """
    setup.install(lambda _: None)
    pipeline = Pipeline.load(pipeline_folder)
    with Stack(state, port_base=free_port_base(), data=data, s3=DEFAULT_HOME.s3 if s3 is None else s3) as stack:
        settings = Settings.read(**stack.settings, parallelism=parallelism, checkpoint_seconds=checkpoint_seconds)
        provision(pipeline, settings)
        stack.mark_provisioned()
        yield RunningStack(pipeline, settings, stack, parallelism)
