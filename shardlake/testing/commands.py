"""Commands without the price of their imports: a process that has imported everything forks one process for each.

A command is a process of its own, as a user's is, with its own environment, folder and exit code. A fork of a process
with threads or open clients would not be safe: the process that forks imports, and opens nothing.
"""

from __future__ import annotations

import atexit
import importlib
import json
import os
import runpy
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import NoReturn

from shardlake.child import die_with_parent

IMPORTED = (
    "shardlake.cli.main",
    "shardlake.lake.verify",
    "shardlake.lake.query",
    "shardlake.cli.finish",
    "pyarrow.parquet",
    "confluent_kafka.admin",
)
"""Modules that commands import; one whose extra is not installed is left to the command."""


@dataclass(slots=True)
class Commands:
    """A client of the process that forks."""

    _server: subprocess.Popen[str]
    _turn: threading.Lock = field(default_factory=threading.Lock)

    def run(self, command: list[str], environment: Mapping[str, str]) -> subprocess.CompletedProcess[str] | None:
        """Run a command, whose first items are those of `python -m shardlake`; None while another thread's command
        runs."""
        if not self._turn.acquire(blocking=False):
            return None
        try:
            with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
                code = self._ask(command, environment, output.fileno(), errors.fileno())
                output.seek(0)
                errors.seek(0)
                return subprocess.CompletedProcess(
                    command, code, output.read().decode(errors="replace"), errors.read().decode(errors="replace")
                )
        finally:
            self._turn.release()

    def _ask(self, command: list[str], environment: Mapping[str, str], output: int, errors: int) -> int:
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        here = f"/proc/{os.getpid()}/fd"
        request = {
            "arguments": command[3:],
            "environment": dict(environment),
            "folder": str(Path.cwd()),
            "output": f"{here}/{output}",
            "errors": f"{here}/{errors}",
        }
        try:
            self._server.stdin.write(f"{json.dumps(request)}\n")
            self._server.stdin.flush()
            return int(self._server.stdout.readline())
        except BaseException:
            # An interrupted wait leaves an answer behind, which the next command would take for its own.
            self._server.kill()
            commands.cache_clear()
            raise


@lru_cache
def commands() -> Commands:
    """The client of this process. The process that forks ends with this one: call it first in the main thread."""
    server = subprocess.Popen(
        [sys.executable, "-m", "shardlake.testing.commands"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, preexec_fn=die_with_parent(),
    )  # fmt: skip
    atexit.register(server.communicate)  # the end of its input is its end
    return Commands(server)


def main() -> None:
    """Fork a command for each line of standard input, and print each one's exit code: -N where signal N ended it."""
    for module in IMPORTED:
        with suppress(ModuleNotFoundError):
            importlib.import_module(module)
    server = os.getpid()
    answers = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            answers.close()
            die_with_parent(server)()
            _become(json.loads(line))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), file=answers, flush=True)


def _become(request: dict[str, object]) -> NoReturn:
    """Run a request's command in this process, which ends with it."""
    for descriptor, name in ((0, os.devnull), (1, request["output"]), (2, request["errors"])):
        opened = os.open(str(name), os.O_RDWR)
        os.dup2(opened, descriptor)
        os.close(opened)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    environment, arguments = request["environment"], request["arguments"]
    assert isinstance(environment, dict)
    assert isinstance(arguments, list)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(str(request["folder"]))
    sys.argv = ["shardlake", *arguments]
    runpy.run_module("shardlake", run_name="__main__", alter_sys=True)
    sys.exit(0)


if __name__ == "__main__":
    main()
