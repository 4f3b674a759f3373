"""One server: a child process that dies with its parent, with a log file and a readiness check."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from shardlake.child import die_with_parent
from shardlake.errors import Unavailable
from shardlake.pii import without_key
from shardlake.registry_login import without_login
from shardlake.stack import sockets
from shardlake.stack.ended import errors_in

ANSWER_SECONDS = 5
"""So long may a server take for one answer, where it is asked again without an end."""


@dataclass(frozen=True, slots=True)
class ServerPlan:
    """How to start one server and how to tell that it is ready."""

    name: str
    command: list[str]
    address: str
    ready: Callable[[], bool]
    environment: Mapping[str, str] = field(default_factory=dict)
    stop_seconds: float = 15
    folder: Path | None = None
    """Where it runs; None for the launcher's own."""
    sockets: tuple[Path, ...] = ()
    """Those outside its folder, in a folder that all users share."""
    told: Callable[[], bytes] | None = None
    """Makes what the server reads from its standard input at each start; the input ends with the launcher."""


class Server:
    """A started server. Start it from a thread that lasts: it is killed when that thread ends."""

    def __init__(self, plan: ServerPlan, log: Path) -> None:
        self.plan = plan
        self.log = log
        self._process = self._spawn()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def is_ready(self) -> bool:
        """Whether it answers. Raises Unavailable with the end of its log where it has died."""
        code = self.exit_code()
        if code is not None:
            msg = f"The {self.plan.name} ended while starting (exit code {code}). Its log ends:\n{self.log_tail()}"
            raise Unavailable(msg, f"The whole log is {self.log}.")
        is_ready = self.plan.ready()
        sockets.check(self.plan.sockets)
        return is_ready

    def restart(self) -> None:
        """Start it again after its end, with the same command and files."""
        self.kill()
        self._process = self._spawn()

    def terminate(self) -> None:
        """Ask it to stop."""
        if self.exit_code() is None:
            self._process.terminate()

    def wait(self) -> None:
        """Wait for its end, and end it where it takes longer than it should."""
        try:
            self._process.wait(self.plan.stop_seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._tidy()

    def kill(self) -> None:
        """SIGKILL, and wait."""
        if self.exit_code() is None:
            self._process.kill()
        self._process.wait()
        self._tidy()

    def _tidy(self) -> None:
        if self._process.stdin:
            with suppress(BrokenPipeError):
                self._process.stdin.close()
        sockets.remove(self.plan.sockets)

    def log_tail(self, lines: int = 8) -> str:
        """The last lines of its log, those that name an error where there are any."""
        everything = self.log.read_text(errors="replace").splitlines()
        return "\n".join((errors_in(everything) or everything)[-lines:])

    def _spawn(self) -> subprocess.Popen[bytes]:
        sockets.check(self.plan.sockets)
        told = self.plan.told() if self.plan.told else None
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                self.plan.command,
                cwd=self.plan.folder,
                stdin=subprocess.DEVNULL if told is None else subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**without_login(without_key(os.environ)), **self.plan.environment},
                start_new_session=True,  # Ctrl-C reaches the launcher alone, which stops them in order
                preexec_fn=die_with_parent(),
            )
        if told is not None and process.stdin:
            with suppress(BrokenPipeError):  # it has ended, and `is_ready` says why
                process.stdin.write(told)
                process.stdin.flush()
        return process
