"""What a run over a topic to its end costs, for `make bench-peers`: ours and a peer's, start-up included.

Ours is a job manager and a task manager that are started for the run, and the client that submits the job.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import psutil

from bench.jobs import await_finished, submit
from bench.peer_lake import Files
from bench.peer_process import Peer, Progress, Run
from shardlake.storage import remove
from shardlake.testing.stack import RunningStack

OURS = "shardlake"
READY_SECONDS = 90
RUN_SECONDS = 900
FLINK = ("jobmanager", "taskmanager")


def our_cost(stack: RunningStack, topic: str, count: int) -> dict[str, Any]:
    """Archive alone, with its dead letters, by the application's own code up to the topic's present end."""
    remove(stack.settings.lake)
    stack.settings.lake.mkdir()
    broker, began = broker_cpu(stack), time.monotonic()
    for name in FLINK:
        restart(stack, name)
    client = submit(stack, topic, jobs=("archive",))
    await_finished(stack)
    seconds = time.monotonic() - began
    servers = sum(_cpu(stack, name) for name in FLINK)
    cost = {"cpu_seconds": client + servers, "seconds": seconds, "broker_cpu_seconds": broker_cpu(stack) - broker}
    return cost | _files(OURS, Path(str(stack.settings.lake)) / "app_logs", count)


def peer_cost(stack: RunningStack, peer: Peer, topic: str, count: int, folder: Path) -> dict[str, Any]:
    """The same by a peer, until it has committed the topic's last offsets."""
    broker, began = broker_cpu(stack), time.monotonic()
    run = Run(peer, stack.settings, topic, folder, stack.settings.checkpoint_seconds)
    progress = Progress(stack.settings, run.group, topic)
    done = progress.await_share(1, run.has_ended, RUN_SECONDS)
    seconds = time.monotonic() - began
    run.stop()
    progress.close()
    if not done:
        sys.exit(f"{peer.name} did not reach the topic's end:\n{run.log.read_text()[-2000:]}")
    cost = {
        "cpu_seconds": run.cpu_seconds,
        "seconds": seconds,
        "broker_cpu_seconds": broker_cpu(stack) - broker,
    }
    return cost | _files(peer.name, run.lake, count)


def restart(stack: RunningStack, name: str) -> None:
    """A server of the stack anew, ready."""
    stack.stack.restart(name)
    deadline = time.monotonic() + READY_SECONDS
    while not stack.stack.servers[name].is_ready():
        if time.monotonic() > deadline:
            sys.exit(f"the {name} is not ready after {READY_SECONDS} s")
        time.sleep(0.1)


def broker_cpu(stack: RunningStack) -> float:
    """CPU-seconds of the broker since it was started."""
    return _cpu(stack, "kafka")


def _cpu(stack: RunningStack, name: str) -> float:
    times = psutil.Process(stack.stack.servers[name].pid).cpu_times()
    return float(times.user + times.system)


def _files(name: str, folder: Path, count: int) -> dict[str, int]:
    files = Files.below(folder)
    if files.unreadable or files.records() != count:
        sys.exit(f"{name}: {files.records()} records of {count}, {len(files.unreadable)} unreadable files")
    return {"files": len(files.readable), "bytes": files.size_bytes}
