"""The tasks of a job, as Flink's REST API describes them: whether they run, in which states they are, and in words."""

from __future__ import annotations

import re
from collections.abc import Hashable
from typing import Any

ENDED = frozenset({"FINISHED", "CANCELED", "FAILED"})
LONGEST_NAME = 60
_NUMBER = re.compile(r"\S*\d\S*")


def run(job: dict[str, Any]) -> bool:
    """Tell whether the job has tasks and every task runs."""
    return bool(job["vertices"]) and all(vertex["status"] == "RUNNING" for vertex in job["vertices"])


def signs(job: dict[str, Any]) -> Hashable:
    """Return a value that changes whenever the job or one of its tasks changes its state."""
    return job["state"], tuple(
        (vertex["id"], vertex["status"], tuple(sorted(vertex.get("tasks", {}).items()))) for vertex in job["vertices"]
    )


def running(job: dict[str, Any]) -> int:
    """How many tasks run."""
    return sum(vertex.get("tasks", {}).get("RUNNING", 0) for vertex in job["vertices"])


def failure(cause: str) -> str:
    """A cause without what differs when the same happens again: times, places, ids."""
    return _NUMBER.sub("", cause)


def in_short(job: dict[str, Any]) -> str:
    """How many of the job's tasks are in which state: `3 of 8 run, 5 DEPLOYING`."""
    counts: dict[str, int] = {}
    for vertex in job["vertices"]:
        for state, number in vertex.get("tasks", {}).items():
            if number:
                counts[state] = counts.get(state, 0) + number
    if not counts:
        return f"none is there yet, the job is {job['state']}"
    running, total = counts.pop("RUNNING", 0), sum(counts.values())
    others = "".join(f", {number} {state}" for state, number in sorted(counts.items()))
    return f"{running} of {running + total} run{others}"


def in_words(job: dict[str, Any]) -> str:
    """The job's state, and that of each of its tasks."""
    if not job["vertices"]:
        return f"The job is {job['state']}, and Flink has made no task of it yet."
    return f"The job is {job['state']}. {'; '.join(map(_vertex, job['vertices']))}."


def _vertex(vertex: dict[str, Any]) -> str:
    name = vertex["name"].partition(" -> ")[0]
    name = name if len(name) <= LONGEST_NAME else f"{name[:LONGEST_NAME]}…"
    counts = {state: number for state, number in vertex.get("tasks", {}).items() if number}
    total = sum(counts.values())
    if not counts:
        return f"{name}: {vertex['status']}"
    states = ", ".join(f"{number} of {total} tasks {state}" for state, number in sorted(counts.items()))
    return f"{name}: {states}"
