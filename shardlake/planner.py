"""The planner: a JVM that runs beside the stack's servers and plans jobs for `jobs run` and `jobs finish`.

A JVM that has just started loads and compiles Flink's whole SQL planner before it plans, which costs more than the
planning itself. The launcher starts the planner with the stack, and a client that submits jobs uses it: see
`flink.gateway`. Where the planner is missing, taken, or has another environment, the client starts a JVM of its own.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import time
from collections.abc import Mapping
from pathlib import Path

from shardlake.durable import OWNER_ALONE, write_durably
from shardlake.folders import running_stack
from shardlake.install import layout
from shardlake.lock import Held, Lock
from shardlake.process import running_pid
from shardlake.storage import S3

NAME = "planner"
"""The name of the server, and of its folder below the stack's state folder."""

CLIENT_JVM = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:-UsePerfData"
"""Options of a JVM that plans: its quick compiler alone, and no file with a known name in the machine's temporary
folder. It has no class-data archive, with which the planner's code generation fails."""

MAIN = "io.shardlake.flink.GuardedGateway"
PORT_FILE = "SHARDLAKE_GATEWAY_PORT"
"""The variable that names the file into which the JVM writes the port of its gateway, four bytes."""

FOUND_IN = "SHARDLAKE_PLANNER"
"""The variable that names the state folder of a stack, for a client that may use the planner of that stack."""

STARTING_SECONDS = 20
"""A client waits so long for a planner that was started a moment ago, and starts a JVM of its own then."""

DECIDES = ("JAVA_HOME", "FLINK_HOME", "FLINK_LIB_DIR", "FLINK_CONF_DIR", "FLINK_PLUGINS_DIR", "AWS_")
"""How the names of the variables begin that a planning JVM reads, and in which clients may differ."""


def planning_environment(s3: S3 | None = None) -> dict[str, str]:
    """Return the variables that a JVM needs to plan, with those to reach a lake in `s3`."""
    plugins = {"FLINK_PLUGINS_DIR": str(layout.PLUGINS_WITH_S3), **s3.environment()} if s3 else {}
    return {
        "JAVA_HOME": str(layout.JAVA_HOME),
        # With FLINK_LIB_DIR alone the wheel's own lib wins.
        "FLINK_HOME": str(layout.FLINK),
        "FLINK_LIB_DIR": str(layout.FLINK / "lib"),
        "FLINK_CONF_DIR": str(layout.FLINK / "conf"),
        "JVM_ARGS": CLIENT_JVM,
        "PATH": f"{layout.JAVA_HOME / 'bin'}:{os.environ.get('PATH', '')}",
        **plugins,
    }


def tell(folder: Path, environment: Mapping[str, str]) -> bytes:
    """Note in `folder` how clients find the planner that is started next, with this environment.

    Return what the JVM is told on its standard input: a token. The JVM obeys nobody without it, and each start has a
    new one, so that a token that was sent to a dead planner's port opens nothing.
    """
    (folder / "port").unlink(missing_ok=True)
    token = secrets.token_hex(32)
    told = {"token": token, "environment": _digest(environment)}
    write_durably(folder / "token", json.dumps(told), OWNER_ALONE)
    return f"{token}\n".encode()


class Claim:
    """The planner of a stack, for one client at a time, until the client's process ends."""

    def __init__(self, port: int, token: str, lock: Lock) -> None:
        self.port = port
        self.token = token
        self._lock = lock

    @classmethod
    def of(cls, state: Path, environment: Mapping[str, str]) -> Claim | None:
        """Claim the planner of the stack with this state folder.

        Return None where the planner does not run, is not ready in time, is taken, or has another environment.
        """
        folder = state / NAME
        try:
            token = _token(folder, environment)
            lock = Lock(folder / "lock")
        except (OSError, ValueError, Held):
            return None
        deadline = time.monotonic() + STARTING_SECONDS
        while _runs(state) and time.monotonic() < deadline:
            # The launcher removes the file before each start, so the file is this process's.
            if (folder / "port").exists():
                return cls(int.from_bytes((folder / "port").read_bytes(), "big"), token, lock)
            time.sleep(0.05)
        lock.release()
        return None


def _token(folder: Path, environment: Mapping[str, str]) -> str:
    """Read the token of the planner in `folder`. Raises ValueError where its environment is another, or unknown."""
    told = json.loads((folder / "token").read_text())
    if not isinstance(told, dict) or told.get("environment") != _digest(environment):
        raise ValueError("The planner was started otherwise.")
    return str(told["token"])


def _runs(state: Path) -> bool:
    """Tell whether the process runs that the stack's launcher has noted as its planner."""
    entry = running_stack(state).get("servers", {}).get(NAME)
    return entry is not None and running_pid(entry) is not None


def _digest(environment: Mapping[str, str]) -> str:
    """Digest what a JVM reads of its environment; it may hold S3's keys, and so the values are not written down."""
    read = sorted((name, value) for name, value in environment.items() if name.startswith(DECIDES))
    return hashlib.sha256(json.dumps(read).encode()).hexdigest()
