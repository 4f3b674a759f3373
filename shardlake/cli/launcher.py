"""Starting a stack by a launcher of its own, and waiting for it."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from shardlake.cli.output import err
from shardlake.errors import BadInput, ShardlakeError, Unavailable
from shardlake.folders import running_stack, state_folder
from shardlake.patience import SAID
from shardlake.process import identity

LOOK_SECONDS = 0.05
ERROR = "error: "


def detached_up(pipeline: Path, port_base: int, data: Path | None, *, s3: bool) -> None:
    """Start a launcher of its own session and wait until its stack is ready and has the pipeline's topics.

    The launcher ends by itself where it gives up, and so there is no limit here; what it waits for is said here too.
    Raises its error.
    """
    state = state_folder()
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    command = [sys.executable, "-m", "shardlake", "--pipeline", str(pipeline), "up", "--port-base", str(port_base)]
    command += ["--data", str(data)] if data else []
    command += ["--s3"] if s3 else []
    log = state / "launcher.log"
    with log.open("wb") as file:
        launcher = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True)
    with log.open(errors="replace") as said:
        while True:
            has_ended = launcher.poll() is not None
            _relay(said.read())
            found = running_stack(state)
            if found.get("launcher_identity") == identity(launcher.pid) and found.get("provisioned"):
                return
            if has_ended:
                raise _error(launcher.returncode, log)
            time.sleep(LOOK_SECONDS)


def _relay(text: str) -> None:
    for line in text.splitlines():
        if line.startswith(SAID):
            err.print(line)


def _error(code: int, log: Path) -> ShardlakeError:
    """Make an error of the launcher's exit code and of the last error in its log, or of the whole log without one."""
    text = f"\n{log.read_text(errors='replace').strip()}"
    message = text.rpartition(f"\n{ERROR}")[2].strip() or "it said nothing"
    kinds = {2: BadInput, 3: Unavailable}
    if code in kinds:
        return kinds[code](message)
    return ShardlakeError(f"The launcher ended with exit code {code}: {message}", f"Its log is {log}.")
