"""The servers under load, as far as they are processes of this machine's local stack."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shardlake.errors import BadInput, Unavailable
from shardlake.folders import running_stack
from shardlake.planner import NAME as PLANNER
from shardlake.process import running_pid, send_signal
from shardlake.settings import Settings
from shardlake.stack.stack import find

BROKER = "kafka"


@dataclass(frozen=True, slots=True)
class Servers:
    """Those of the stack that was started for a state folder; of others nothing is known but their addresses."""

    state: Path
    is_local: bool

    @classmethod
    def of(cls, state: Path, settings: Settings) -> Servers:
        """Those that the settings mean. Raises Unavailable where they are the local stack's and that is not up."""
        stack = find(state)
        if stack is None and "KAFKA_BOOTSTRAP_SERVERS" not in os.environ:
            raise Unavailable("No stack is running here.", "Start one with `shardlake up --detach`, then load it.")
        addresses = stack["settings"]["kafka_bootstrap_servers"] if stack else None
        return cls(state, addresses == settings.kafka_bootstrap_servers)

    @property
    def names(self) -> list[str]:
        """List the servers under load whose processes are known. The planner is left out: it idles while jobs run."""
        return [name for name in self._entries() if name != PLANNER] if self.is_local else []

    def pids(self, name: str) -> list[int]:
        """Of one, [] where it is down."""
        entry = self._entries().get(name)
        pid = running_pid(entry) if entry else None
        return [] if pid is None else [pid]

    def refuse_restarts(self) -> None:
        """Raises BadInput where none can be started again from here."""
        if not self.is_local or not running_stack(self.state).get("restarts"):
            msg = "restart_broker is for the stack of `shardlake up`, and these servers are others'."
            raise BadInput(msg, "Leave it out of the scenario, or unset KAFKA_BOOTSTRAP_SERVERS.")

    def kill(self, name: str) -> None:
        """SIGKILL."""
        entry = self._entries().get(name)
        if entry:
            send_signal(entry["pid"], entry["identity"], signal.SIGKILL)

    def start(self) -> None:
        """Have the stack's launcher start again what has ended."""
        stack = running_stack(self.state)
        if not stack or not send_signal(stack["launcher_pid"], stack["launcher_identity"], signal.SIGUSR1):
            msg = "The stack's launcher has ended, and so nothing starts its servers again."
            raise Unavailable(msg, "Start the stack with `shardlake up --detach`, then load it.")

    def _entries(self) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = running_stack(self.state).get("servers", {})
        return found
