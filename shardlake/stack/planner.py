"""The JVM that plans jobs, as a server of the stack: see `shardlake.planner`."""

from __future__ import annotations

import os
from pathlib import Path

from shardlake.install import layout
from shardlake.planner import CLIENT_JVM, MAIN, NAME, PORT_FILE, planning_environment, tell
from shardlake.stack.flink import wheel_opens
from shardlake.stack.java import java, log4j
from shardlake.stack.server import ServerPlan
from shardlake.storage import S3

HEAP_MB = (64, 768)
SHRINKING = ["-XX:MinHeapFreeRatio=10", "-XX:MaxHeapFreeRatio=30"]
"""The heap grows while a pipeline is planned, and gives its memory back afterwards."""


def planner(state: Path, s3: S3 | None = None) -> ServerPlan:
    """Plan the planner's start. It keeps its files in the state folder: they are of no use to a later stack."""
    folder = state / NAME
    folder.mkdir(mode=0o700, exist_ok=True)
    port = folder / "port"
    plugins = {"FLINK_PLUGINS_DIR": str(layout.PLUGINS_WITH_S3), **s3.environment()} if s3 else {}
    environment = {**planning_environment(), **plugins}
    options = [*CLIENT_JVM.split(), *SHRINKING, "-XX:+ExitOnOutOfMemoryError", *wheel_opens().split()]
    options.append(f"-Dlog4j2.configurationFile={log4j(folder, 'warn')}")
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
