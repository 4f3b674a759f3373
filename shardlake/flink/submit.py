"""Starting the application in a program of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from shardlake.child import die_with_parent
from shardlake.errors import ShardlakeError
from shardlake.install import layout
from shardlake.pipeline import Pipeline
from shardlake.settings import Settings

CLIENT_JVM = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
"""It plans for some seconds and ends. No class-data archive: the planner's code generation fails with one."""


@dataclass(frozen=True, slots=True)
class Start:
    """Where the application takes up: from a savepoint or checkpoint, from offsets a topic, or from the earliest."""

    resume_from: str | None = None
    start_offsets: dict[str, str] | None = None


def client_environment(configuration: Path | None = None) -> dict[str, str]:
    """The environment that PyFlink's client JVM needs; `configuration` is a folder with a Flink config.yaml."""
    conf = configuration or layout.FLINK / "conf"
    if configuration is None and not conf.exists():
        conf.symlink_to(layout.pyflink_wheel() / "conf")
    return {
        **os.environ,
        "JAVA_HOME": str(layout.JAVA_HOME),
        # With FLINK_LIB_DIR alone the wheel's own lib wins.
        "FLINK_HOME": str(layout.FLINK),
        "FLINK_LIB_DIR": str(layout.FLINK / "lib"),
        "FLINK_CONF_DIR": str(conf),
        "JVM_ARGS": CLIENT_JVM,
        "PATH": f"{layout.JAVA_HOME / 'bin'}:{os.environ.get('PATH', '')}",
    }


class Submission:
    """The application on its way: planned at once, submitted when asked, so that planning can go on while servers
    start."""

    def __init__(
        self,
        pipeline: Pipeline,
        settings: Settings,
        jobs: Sequence[str],
        log: Path,
        *,
        start_offsets: dict[str, str] | None = None,
        draining: bool = False,
    ) -> None:
        """Flink's output goes to `log`. `draining`: see `application.configuration`."""
        request = {
            "pipeline": str(pipeline.folder),
            "settings": settings.model_dump(),
            "jobs": list(jobs),
            "start_offsets": start_offsets,
            "draining": draining,
        }
        log.parent.mkdir(parents=True, exist_ok=True)
        self._log = log
        with log.open("wb") as errors:
            self._client = subprocess.Popen(
                [sys.executable, "-m", "shardlake.flink.application"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=client_environment(),
                start_new_session=True,
                preexec_fn=die_with_parent(),
            )
        assert self._client.stdin is not None
        self._client.stdin.write(json.dumps(request) + "\n")
        self._client.stdin.flush()

    def submit(self, resume_from: str | None = None) -> str:
        """Submit, to resume from a savepoint or checkpoint; the job's id.

        Raises ShardlakeError with what Flink said where it refuses.
        """
        try:
            output, _ = self._client.communicate(json.dumps({"resume_from": resume_from}) + "\n")
        except BrokenPipeError:  # it has failed before
            output, _ = self._client.communicate()
        if self._client.returncode:
            msg = f"The jobs could not be started: {_cause(self._log)}"
            raise ShardlakeError(msg, f"Flink's whole answer is in {self._log}.")
        # Java may print before the answer, which is one line of JSON and the last.
        answer: dict[str, str] = json.loads(output[output.index('{"') :])
        return answer["job_id"]

    def abandon(self) -> None:
        """Submit nothing."""
        self._client.kill()
        self._client.wait()


def _cause(log: Path) -> str:
    """The innermost cause that Flink names, or the last line."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    causes = [line for line in lines if line.startswith(("Caused by: ", ": ", "shardlake.errors."))]
    cause = (causes or lines or ["no output"])[-1]
    return cause.removeprefix("Caused by: ").removeprefix(": ")[:600]
