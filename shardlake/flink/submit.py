"""Starting the application in a program of its own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shardlake.child import die_with_parent
from shardlake.errors import BadInput, ShardlakeError
from shardlake.flink.inserts import Closed, Writers
from shardlake.flink.lineage import table_of
from shardlake.flink.plan import sinks_behind
from shardlake.folders import state_folder
from shardlake.pipeline import Pipeline
from shardlake.planner import FOUND_IN, planning_environment
from shardlake.settings import SECRET, Settings
from shardlake.storage import File, Folder, find, is_remote, write_whole

REMOTE = {"_python_worker_execution_mode": "process"}
"""Environment of a client of a remote cluster: PyFlink would take that for its own, and run Python functions itself."""

CAUSES = ("Caused by: ", ": ", "shardlake.errors.", "pyflink.util.exceptions.")
"""How a line begins that names a cause: in Java's trace, in py4j's, in Python's."""

WRITERS = ".writers"
"""The ending of the file beside a plan that says which jobs write each sink."""

REFUSED = "refused: "
"""Before the message and hint of an error of ours, as JSON, in the client's log."""


@dataclass(frozen=True, slots=True)
class Start:
    """Where the application takes up: from a savepoint or checkpoint, from offsets a topic, or from the earliest.

    `closed` is what earlier finishes closed: see `Tables.closed`.
    """

    resume_from: str | None = None
    start_offsets: dict[str, str] | None = None
    closed: Closed = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Submitted:
    """A running application. `added` and `removed` are sinks that the state it took up did not know, or knew."""

    job_id: str
    added: tuple[str, ...]
    removed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Plans:
    """The plan of each application that ran, in the jobs folder, found by the state that it left."""

    folder: Folder

    def keep(self, job_id: str, plan: str, writers: Writers) -> None:
        """Flink names its checkpoints' folders by the job's id, its savepoints by the first six digits."""
        write_whole(self.folder / "plans" / f"{job_id}.json", plan)
        write_whole(self.folder / "plans" / f"{job_id}{WRITERS}", json.dumps(writers))

    def of_state(self, path: str) -> str | None:
        """The plan that the application ran which left this checkpoint or savepoint."""
        found = self._files(path, ".json")
        return found[0].path.read_text() if found else None

    def writers(self, job_id: str) -> dict[str, tuple[str, ...]]:
        """The jobs that write each sink of this application; {} where an older version has submitted it."""
        file = self.folder / "plans" / f"{job_id}{WRITERS}"
        return {sink: tuple(jobs) for sink, jobs in json.loads(file.read_text()).items()} if file.exists() else {}

    def reads(self, job_id: str) -> set[str]:
        """The views of events that this application reads."""
        plan = json.loads((self.folder / "plans" / f"{job_id}.json").read_text())
        tables = [str(table_of(node)) for node in plan["nodes"] if "scanTableSource" in node]
        return {table.removeprefix("decoded.") for table in tables}

    def served(self, job_id: str, nodes: Iterable[int]) -> set[str]:
        """The jobs of this application that need these nodes of its plan; none where the plan is not kept."""
        file = self.folder / "plans" / f"{job_id}.json"
        sinks = sinks_behind(file.read_text(), nodes) if file.exists() else set()
        return {job for sink, jobs in self.writers(job_id).items() if sink in sinks for job in jobs}

    def hand_on(self, path: str, folder: Folder) -> None:
        """Copy the plan of a checkpoint or savepoint into another jobs folder, for who resumes from there."""
        for file in self._files(path, ".json"):
            write_whole(folder / "plans" / file.path.name, file.path.read_text())

    def _files(self, path: str, ending: str) -> list[File]:
        match = re.search(r"/checkpoints/([0-9a-f]{32})/|/savepoint-([0-9a-f]{6})-", path)
        return find(self.folder / "plans", f"{match[1] or match[2]}*{ending}") if match else []


class Submission:
    """The application on its way: planned at once, submitted when asked, so that planning can go on while servers
    start."""

    def __init__(
        self,
        pipeline: Pipeline,
        settings: Settings,
        jobs: Mapping[str, Mapping[str, str]],
        log: Path,
        *,
        start_offsets: dict[str, str] | None = None,
        closed: Closed | None = None,
        draining: bool = False,
        apart: str | None = None,
    ) -> None:
        """Flink's output goes to `log`. `draining`: see `application.configuration`; `closed`: see `Tables`; `apart` is
        the job, where it runs apart from the others.
        """
        request = {
            "pipeline": str(pipeline.folder),
            "settings": settings.model_dump(exclude=SECRET),
            "jobs": {job: dict(options) for job, options in jobs.items()},
            "start_offsets": start_offsets,
            "closed": closed or {},
            "draining": draining,
            "apart": apart,
        }
        log.parent.mkdir(parents=True, exist_ok=True)
        self._log = log
        self._plans = Plans(settings.jobs)
        with log.open("wb") as errors:
            self._client = subprocess.Popen(
                [sys.executable, "-m", "shardlake.flink.application"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env={
                    **os.environ,
                    **planning_environment(settings.s3 if is_remote(settings.lake) else None),
                    **REMOTE,
                    FOUND_IN: str(state_folder()),
                },
                start_new_session=True,
                preexec_fn=die_with_parent(),
            )
        assert self._client.stdin is not None
        self._client.stdin.write(json.dumps(request) + "\n")
        self._client.stdin.flush()

    def submit(self, resume_from: str | None = None) -> Submitted:
        """Submit, to resume from a savepoint or checkpoint. The plan is kept beside it, for whoever resumes from there.

        Raises BadInput where the jobs have changed so that they cannot take up their state, ShardlakeError with what
        Flink said where it refuses.
        """
        before = self._plans.of_state(resume_from) if resume_from else None
        go = {"resume_from": resume_from, "plan": before}
        try:
            output, _ = self._client.communicate(json.dumps(go) + "\n")
        except BrokenPipeError:  # it has failed before
            output, _ = self._client.communicate()
        if self._client.returncode:
            raise _refusal(self._log)
        # Java may print before the answer, which is one line of JSON and the last.
        answer: dict[str, Any] = json.loads(output[output.index('{"job_id"') :])
        self._plans.keep(answer["job_id"], answer["plan"], answer["writers"])
        return Submitted(answer["job_id"], tuple(answer["added"]), tuple(answer["removed"]))

    def abandon(self) -> None:
        """Submit nothing."""
        self._client.kill()
        self._client.wait()


def _refusal(log: Path) -> ShardlakeError:
    """Read the client's log: an error of ours with its own words, else the innermost cause that Flink names."""
    for line in reversed(log.read_text(errors="replace").splitlines()):
        if line.startswith(REFUSED):
            message, hint = json.loads(line.removeprefix(REFUSED))
            return BadInput(message, hint)
    msg = f"The jobs could not be started: {_cause(log)}"
    return ShardlakeError(msg, f"Flink's whole answer is in {log}.")


def _cause(log: Path) -> str:
    """The innermost cause of an exception, else the last line that is no place in Java's code."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith(("at ", "... "))]
    causes = [line for line in lines if line.startswith(CAUSES)]
    cause = (causes or lines or ["no output"])[-1]
    return re.sub(
        r"^(Caused by: |: |pyflink\.util\.exceptions\.\w+: )(org\.apache\.flink\.table\.api\.\w+: )?", "", cause
    )[:600]
