"""A job's failure as Flink's REST API tells of it: the exception's own line, and whose code raised it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

MEND = (
    "Where the cause is a job's: `shardlake jobs leave-out JOB` lets the others go on without it, and `shardlake jobs "
    "take-up JOB` goes on with it where it was, once it is mended."
)
LONGEST_CAUSE = 500
JOBS = "flink_jobs"
"""The folder whose modules are jobs."""
_FRAME = re.compile(r'File "[^"]*/(\w+)/(\w+)\.py", line (\d+)')
_SINK = re.compile(r"([\w.-]+)\[\d+\]: Writer")
_NODE = re.compile(r"\[(\d+)\]")
_TRACEBACK = "Traceback (most recent call last):"


@dataclass(frozen=True, slots=True)
class Failure:
    """`cause` is the innermost exception's own line; `where` is the line of the pipeline that raised it, else ''.

    `behind` are the tables and topics that the failed task writes, `nodes` the numbers of its nodes in the plan,
    `modules` those of the pipeline's jobs that the exception passed through, its place first.
    """

    cause: str
    where: str
    behind: tuple[str, ...]
    modules: tuple[str, ...] = ()
    nodes: tuple[int, ...] = ()

    @classmethod
    def of(cls, entry: Mapping[str, Any], folders: Iterable[str]) -> Failure:
        """Read an entry of a job's exception history; `folders` are those of the pipeline's code."""
        stacktrace = str(entry["stacktrace"])
        frames = [found for found in _FRAME.finditer(stacktrace) if found[1] in set(folders)]
        where = f"{frames[-1][1]}/{frames[-1][2]}.py, line {frames[-1][3]}" if frames else ""
        behind = tuple(dict.fromkeys(_SINK.findall(str(entry.get("taskName") or ""))))
        modules = tuple(dict.fromkeys(found[2] for found in reversed(frames) if found[1] == JOBS))
        nodes = tuple(dict.fromkeys(int(number) for number in _NODE.findall(str(entry.get("taskName") or ""))))
        return cls(cause_of(stacktrace), where, behind, modules, nodes)

    @classmethod
    def newest(cls, exceptions: Mapping[str, Any], folders: Iterable[str]) -> Failure | None:
        """Read Flink's answer about a job's exceptions; None where there is none."""
        entry = _newest(exceptions)
        return cls.of(entry, folders) if entry else None

    @classmethod
    def since_checkpoint(
        cls, exceptions: Mapping[str, Any], checkpoints: Mapping[str, Any], folders: Collection[str]
    ) -> Failure | None:
        """Read the failure that no completed checkpoint has followed: the job is in a loop, also while its tasks happen
        to run. None where the job has come through."""
        return next(cls.all_since_checkpoint(exceptions, checkpoints, folders), None)

    @classmethod
    def all_since_checkpoint(
        cls, exceptions: Mapping[str, Any], checkpoints: Mapping[str, Any], folders: Collection[str]
    ) -> Iterator[Failure]:
        """Read all failures that no completed checkpoint has followed, the newest first."""
        for entry in sorted(_entries(exceptions), key=lambda entry: -entry["timestamp"]):
            if entry["timestamp"] > completed_ms(checkpoints):
                yield cls.of(entry, folders)

    def __str__(self) -> str:
        """`TypeError: … (flink_jobs/risk.py, line 6)`; without such a line, the tables and topics behind the task."""
        place = self.where or (f"in the task that writes {', '.join(self.behind)}" if self.behind else "")
        return f"{self.cause} ({place})" if place else self.cause


def completed_ms(checkpoints: Mapping[str, Any]) -> int:
    """Read from Flink's answer about a job's checkpoints when the last one was completed; 0 where none was."""
    completed = (checkpoints.get("latest") or {}).get("completed") or {}
    return int(completed.get("latest_ack_timestamp", 0))


def _newest(exceptions: Mapping[str, Any]) -> Mapping[str, Any] | None:
    return max(_entries(exceptions), key=lambda entry: entry["timestamp"], default=None)


def _entries(exceptions: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = exceptions.get("exceptionHistory", {}).get("entries", [])
    return found


def cause_of(stacktrace: str) -> str:
    """The line of the innermost exception, Python's where it came from a Python function."""
    if _TRACEBACK in stacktrace:
        for line in stacktrace.rpartition(_TRACEBACK)[2].splitlines()[1:]:
            if line and not line[0].isspace():
                return line[:LONGEST_CAUSE]
    lines = [line.strip() for line in stacktrace.splitlines() if line.strip()]
    causes = [line for line in lines if line.startswith("Caused by: ")]
    found = causes[-1] if causes else (lines or [""])[0]
    return found.removeprefix("Caused by: ")[:LONGEST_CAUSE]
