"""The kinds of faults: what is done, what heals it, and whose progress shows that it is over."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field

from shardlake.commands import Commands
from shardlake.faults.disk import SmallDisk
from shardlake.faults.load import CONSUMER, Load
from shardlake.flink.tables import GROUP
from shardlake.stack.stack import Stack

DOWN_SECONDS = 1
"""Between a kill and the new start."""

LAKE, CHECKPOINTS = "lake", "jobs"
"""Disks, by their folders in the stack's data."""


@dataclass(frozen=True, slots=True)
class Scene:
    """What faults are done to. `disks` are those that can be full here, by folder."""

    stack: Stack
    commands: Commands
    load: Load
    disks: dict[str, SmallDisk] = field(default_factory=dict)


Act = Callable[[Scene], None]


def _nothing(_: Scene) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind. It lasts for `seconds`, or `short_seconds` where time is short, between `inject` and `heal`; what has
    to be done then, so that it can be over, is `afterwards`.

    It is over when `group` has committed what was in the topic at the heal; where there is no group, when the topic has
    more. `disk` is what it needs.
    """

    name: str
    inject: Act
    heal: Act
    afterwards: Act = _nothing
    seconds: float = DOWN_SECONDS
    short_seconds: float = DOWN_SECONDS
    group: str | None = GROUP
    disk: str | None = None


def kill(stack: Stack, *servers: str) -> None:
    """SIGKILL to all of them at once; they are gone when it returns."""
    for name in servers:
        os.kill(stack.servers[name].pid, signal.SIGKILL)
    for name in servers:
        stack.servers[name].kill()


def _kill(name: str, *servers: str, afterwards: Act = _nothing) -> Kind:
    def inject(scene: Scene) -> None:
        kill(scene.stack, *servers)

    def heal(scene: Scene) -> None:
        for server in servers:
            scene.stack.restart(server)

    return Kind(name, inject, heal, afterwards)


def _pause(name: str, server: str) -> Kind:
    def send(number: signal.Signals) -> Act:
        return lambda scene: os.kill(scene.stack.servers[server].pid, number)

    return Kind(name, send(signal.SIGSTOP), send(signal.SIGCONT), seconds=30, short_seconds=5)


def _full(name: str, disk: str) -> Kind:
    return Kind(
        name, lambda scene: scene.disks[disk].fill(), lambda scene: scene.disks[disk].free(),
        seconds=20, short_seconds=5, disk=disk,
    )  # fmt: skip


def _run_jobs(scene: Scene) -> None:
    scene.stack.await_ready("jobmanager")
    scene.commands.run("jobs", "run")


def _stop_jobs(scene: Scene) -> None:
    scene.commands.run("jobs", "stop")


KINDS = {
    kind.name: kind
    for kind in (
        _kill("kill-taskmanager", "taskmanager"),
        # A session cluster without high availability forgets its jobs: they are run again, from the newest checkpoint.
        _kill("kill-jobmanager", "jobmanager", afterwards=_run_jobs),
        _kill("kill-jobmanager-taskmanager", "jobmanager", "taskmanager", afterwards=_run_jobs),
        _kill("kill-broker", "kafka"),
        _kill("kill-registry", "registry"),
        Kind("kill-producer", lambda scene: scene.load.kill_producers(), lambda scene: scene.load.start(), group=None),
        Kind("kill-consumer", lambda s: s.load.kill_consumer(), lambda s: s.load.start(), group=CONSUMER),
        _pause("pause-taskmanager", "taskmanager"),
        _pause("pause-broker", "kafka"),
        _full("full-lake", LAKE),
        _full("full-checkpoints", CHECKPOINTS),
        Kind("poison-burst", lambda scene: scene.load.burst_of_poison(), _nothing, seconds=0, short_seconds=0),
        Kind("stop-jobs", _stop_jobs, _nothing, _run_jobs, seconds=0, short_seconds=0),
    )
}
