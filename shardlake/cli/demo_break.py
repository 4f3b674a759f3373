"""`shardlake demo --break`: the task manager and the broker killed in the middle, on screen."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from rich.text import Text

from shardlake.cli.output import styled
from shardlake.commands import Commands
from shardlake.errors import ShardlakeError
from shardlake.faults.kinds import KINDS, Scene
from shardlake.faults.load import Load
from shardlake.faults.recovery import STUCK_SECONDS, Progress
from shardlake.faults.strike import strike
from shardlake.pipeline import Pipeline
from shardlake.settings import Settings
from shardlake.stack.stack import Stack

SECONDS = 60
"""So long must events be sent, so that both faults and their recoveries fall into it."""

PAUSE_SECONDS = 4
WORDS = {"kill-taskmanager": "the task manager", "kill-broker": "the broker"}


class Breaks:
    """What is still to be broken, one after the other, each once the one before is over."""

    def __init__(self, pipeline: Pipeline, settings: Settings, stack: Stack, say: Callable[[str | Text], None]) -> None:
        commands = Commands(pipeline, settings, stack.state, stack.state / "logs")
        self._scene = Scene(stack, commands, Load(commands, stack.data, rate=0, seed=0))
        self._progress = Progress(settings.kafka_bootstrap_servers, pipeline.events_topic.name)
        self._say = say
        self._left = deque(WORDS)
        self._not_before = 0.0

    @property
    def left(self) -> bool:
        """Whether there is more to break."""
        return bool(self._left)

    def next(self, meanwhile: Callable[[], None]) -> None:
        """Kill the next server, start it again, and wait until the jobs have caught up, where it is time to.

        `meanwhile` is called while it waits. Raises ShardlakeError where they do not recover.
        """
        if not self._left or time.monotonic() < self._not_before:
            return
        name = self._left.popleft()
        server = WORDS[name]
        recovery = strike(
            KINDS[name], self._scene, self._progress, KINDS[name].seconds,
            on_fault=lambda: self._say(styled("kill -9", "bold red", f" of {server}")),
            on_heal=lambda: self._say(f"{server} was started again"),
            meanwhile=meanwhile,
        )  # fmt: skip
        if recovery is None:
            msg = f"The jobs have not recovered {STUCK_SECONDS} s after {server} was started again."
            raise ShardlakeError(msg, "`shardlake doctor` and the servers' logs tell more.")
        said = f" {recovery.fault_seconds:.1f} s after the kill all that was in the topic is in the lake"
        self._say(styled("recovered:", "bold green", said))
        self._not_before = time.monotonic() + PAUSE_SECONDS
