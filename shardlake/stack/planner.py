"""The JVM that plans jobs, as a server of the stack: see `shardlake.planner`."""

from __future__ import annotations

import os
from pathlib import Path

from shardlake.install import layout
from shardlake.planner import MAIN, NAME, PORT_FILE, planning_environment, tell
from shardlake.stack.flink import wheel_opens
from shardlake.stack.java import SHORT_LIVED, java, log4j
from shardlake.stack.server import ServerPlan
from shardlake.storage import S3

HEAP_MB = 768
GROWING = ["-Xms64m", "-XX:MinHeapFreeRatio=10", "-XX:MaxHeapFreeRatio=30"]
"""The heap grows while a pipeline is planned, and gives its memory back afterwards."""


def planner(state: Path, s3: S3 | None = None) -> ServerPlan:
    """Plan the planner's start. It keeps its files in the state folder: they are of no use to a later stack."""
    folder = state / NAME
    folder.mkdir(mode=0o700, exist_ok=True)
    port = folder / "port"
    environment = planning_environment(s3)
    logging = f"-Dlog4j2.configurationFile={log4j(folder, 'warn')}"
    options = [*SHORT_LIVED, *GROWING, "-XX:+ExitOnOutOfMemoryError", *wheel_opens().split(), logging]
    return ServerPlan(
        name=NAME,
        command=[
            *java(NAME, folder, heap_mb=HEAP_MB, options=options),
            *("-cp", layout.class_path(layout.FLINK / "lib"), MAIN),
        ],
        address="a free port, for who has its token",
        ready=port.exists,
        environment={**environment, PORT_FILE: str(port)},
        told=lambda: tell(folder, {**os.environ, **environment}),
    )
