"""`shardlake` commands as a user would give them, each a process of its own, against servers that are named."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from shardlake.child import die_with_parent
from shardlake.errors import ShardlakeError
from shardlake.pipeline import Pipeline
from shardlake.settings import Settings


@dataclass(frozen=True, slots=True)
class Commands:
    """`shardlake` commands, for the stack with these settings; what they say goes to `logs`.

    Each ends by itself where nothing moves any more, and so none has a limit here. Every setting is said, so that none
    of the user's environment leads to servers that are not ours.
    """

    pipeline: Pipeline
    settings: Settings
    state: Path
    logs: Path

    def run(self, *arguments: str) -> str:
        """Run one to its end; what it wrote to standard output. Raises ShardlakeError with its last words where its
        exit code is not 0."""
        code, output = self.exit_code(*arguments)
        if code:
            msg = f"shardlake {' '.join(arguments[:2])} ended with exit code {code}: {self.last_words(arguments[0])}"
            raise ShardlakeError(msg, f"All it said is in {self._log(arguments[0])}.")
        return output

    def exit_code(self, *arguments: str) -> tuple[int, str]:
        """Run one to its end; its exit code and what it wrote to standard output."""
        with self._log(arguments[0]).open("ab") as log:
            done = subprocess.run(
                self._program(*arguments), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True,
                env=self._environment(), start_new_session=True, preexec_fn=die_with_parent(), check=False,
            )  # fmt: skip
        return done.returncode, done.stdout

    def start(self, name: str, *arguments: str) -> subprocess.Popen[bytes]:
        """Start one, in a process group of its own; it says what it says to the log of that name."""
        with self._log(name).open("ab") as log:
            return subprocess.Popen(
                self._program(*arguments), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=self._environment(), start_new_session=True, preexec_fn=die_with_parent(),
            )  # fmt: skip

    def last_words(self, name: str) -> str:
        """The last lines of the log of that name."""
        return " ".join(self._log(name).read_text(errors="replace").splitlines()[-2:])

    def _program(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "shardlake", "--pipeline", str(self.pipeline.folder), *arguments]

    def _environment(self) -> dict[str, str]:
        said = {str(Settings.model_fields[name].alias): str(value) for name, value in self.settings}
        return {**os.environ, **said, "SHARDLAKE_STATE": str(self.state)}

    def _log(self, name: str) -> Path:
        return self.logs / f"{name}.log"
