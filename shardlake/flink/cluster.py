"""Flink's REST API: what runs, and how it is stopped."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlparse

import requests

from shardlake.errors import ShardlakeError, Unavailable
from shardlake.flink.inserts import NAME

REQUEST_SECONDS = 10
NO_WATERMARK_MS = 2**53
"""A lag of more is that of the lowest time there is."""
ENDED = frozenset({"FINISHED", "CANCELED", "FAILED"})


@dataclass(frozen=True, slots=True)
class Job:
    """A job as Flink describes it. `checkpoint_age_seconds` is None before the first completed checkpoint."""

    job_id: str
    name: str
    state: str
    duration_seconds: float
    restarts: int
    checkpoints: int
    checkpoint_age_seconds: float | None

    @property
    def is_running(self) -> bool:
        """Not ended; it may be restarting."""
        return self.state not in ENDED


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job's sources are: None where they do not say yet."""

    pending_records: int | None
    watermark_lag_seconds: float | None


class Cluster:
    """One Flink cluster. Every call raises Unavailable where it does not answer."""

    def __init__(self, rest_url: str) -> None:
        self.rest_url = rest_url.rstrip("/")

    def jobs(self) -> list[Job]:
        """All that this cluster still knows, newest first."""
        overview = self._get("/jobs/overview")["jobs"]
        return [self._job(entry) for entry in sorted(overview, key=lambda entry: -entry["start-time"])]

    def running(self) -> Job | None:
        """The application of ours that has not ended."""
        return next((job for job in self.jobs() if job.name.startswith(NAME) and job.is_running), None)

    def state(self, job_id: str) -> str:
        """RUNNING, RESTARTING, FINISHED, …"""
        found: str = self._get(f"/jobs/{job_id}/status")["status"]
        return found

    def await_running(self, job_id: str, timeout_seconds: float = 60) -> None:
        """Wait until every task runs. Raises ShardlakeError with the job's exception where it fails first."""
        deadline = time.monotonic() + timeout_seconds
        while time.monotonic() < deadline:
            job = self._get(f"/jobs/{job_id}")
            if job["state"] in ENDED:
                break
            if job["vertices"] and all(vertex["status"] == "RUNNING" for vertex in job["vertices"]):
                return
            time.sleep(0.1)
        msg = f"The jobs do not run: {self.exception(job_id)}"
        raise ShardlakeError(msg, "The task manager's log tells more: `shardlake logs taskmanager`.")

    def exception(self, job_id: str) -> str:
        """The first lines of what made the job fail last, '' where nothing did."""
        history = self._get(f"/jobs/{job_id}/exceptions").get("exceptionHistory", {}).get("entries", [])
        if not history:
            return ""
        causes = [line.strip() for line in history[0]["stacktrace"].splitlines() if not line.startswith("\tat")]
        return " ".join(causes)[:1000]

    def read_offsets(self, job_id: str, topic: str) -> dict[int, int]:
        """By partition, the next offset that the job's sources will read; those that have read nothing are left out."""
        wanted = re.compile(rf"\.topic\.{re.escape(topic)}\.partition\.(\d+)\.currentOffset$")
        return {
            int(match[1]): int(metric["max"]) + 1
            for match, metric in self._metrics(job_id, wanted)
            if metric["max"] >= 0
        }

    def late_events(self, job_id: str) -> int:
        """How many events the job has listed as late since it started, or was restarted: Flink's metric late_events."""
        return sum(int(metric["sum"]) for _, metric in self._metrics(job_id, re.compile(r"\.late_events$")))

    def progress(self, job_id: str) -> Progress:
        """Over all sources: what is not read yet, and the lag of the watermark that is the furthest behind."""
        pending, lags_ms = [], []
        for match, metric in self._metrics(job_id, re.compile(r"^Source__.*\.(pendingRecords|watermarkLag)$")):
            if match[1] == "pendingRecords":
                pending.append(int(metric["sum"]))
            elif metric["max"] < NO_WATERMARK_MS:
                lags_ms.append(metric["max"])
        return Progress(sum(pending) if pending else None, max(lags_ms) / 1000 if lags_ms else None)

    def _metrics(self, job_id: str, wanted: re.Pattern[str]) -> Iterator[tuple[re.Match[str], dict[str, Any]]]:
        """Each metric of that name in each vertex, over its subtasks."""
        for vertex in self._get(f"/jobs/{job_id}")["vertices"]:
            path = f"/jobs/{job_id}/vertices/{vertex['id']}/subtasks/metrics"
            names = [metric["id"] for metric in self._get(path) if wanted.search(metric["id"])]
            for metric in self._get(f"{path}?get={','.join(map(quote, names))}") if names else []:
                match = wanted.search(metric["id"])
                if match:
                    yield match, metric

    def stop(self, job_id: str, folder: str, *, drain: bool, timeout_seconds: float = 120) -> str:
        """Stop with a savepoint in `folder`; its path, or its URL in S3.

        With `drain` all windows fire, and the savepoint must not be resumed from: they would fire again.
        """
        trigger = self._post(f"/jobs/{job_id}/stop", {"targetDirectory": folder, "drain": drain})["request-id"]
        deadline = time.monotonic() + timeout_seconds
        while time.monotonic() < deadline:
            answer = self._get(f"/jobs/{job_id}/savepoints/{trigger}")
            if answer["status"]["id"] == "COMPLETED":
                operation = answer["operation"]
                if "failure-cause" in operation:
                    cause = operation["failure-cause"]["stack-trace"].splitlines()[0]
                    raise ShardlakeError(f"The jobs could not be stopped: {cause}.", "They go on; try again.")
                self._await_end(job_id, deadline)
                location = str(operation["location"])
                return location if location.startswith("s3://") else urlparse(location).path  # file:/folder
            time.sleep(0.1)
        msg = f"The jobs were not stopped after {timeout_seconds:.0f} s."
        raise ShardlakeError(msg, "They may yet stop: see `shardlake jobs list`.")

    def checkpoint(self, job_id: str) -> None:
        """Have the job begin a checkpoint now; it goes on by itself."""
        self._post(f"/jobs/{job_id}/checkpoints", {})

    def _await_end(self, job_id: str, deadline: float) -> None:
        """What the last checkpoint covers is committed to the lake and the topics before the job is FINISHED."""
        while self.state(job_id) not in ENDED:
            if time.monotonic() > deadline:
                raise ShardlakeError("The jobs wrote their savepoint but have not ended.", "See `shardlake jobs list`.")
            time.sleep(0.05)

    def _job(self, entry: dict[str, Any]) -> Job:
        checkpoints = self._get(f"/jobs/{entry['jid']}/checkpoints")
        latest = (checkpoints.get("latest") or {}).get("completed")
        age = time.time() - latest["latest_ack_timestamp"] / 1000 if latest else None
        return Job(
            job_id=entry["jid"],
            name=entry["name"],
            state=entry["state"],
            duration_seconds=entry["duration"] / 1000,
            restarts=self._restarts(entry["jid"]),
            checkpoints=(checkpoints.get("counts") or {}).get("completed", 0),
            checkpoint_age_seconds=age,
        )

    def _restarts(self, job_id: str) -> int:
        metrics = self._get(f"/jobs/{job_id}/metrics?get=numRestarts")
        return int(float(metrics[0]["value"])) if metrics else 0

    def _get(self, path: str) -> Any:
        return self._call("GET", path, None)

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        return self._call("POST", path, body)

    def _call(self, method: str, path: str, body: dict[str, Any] | None) -> Any:
        try:
            answer = requests.request(method, self.rest_url + path, json=body, timeout=REQUEST_SECONDS)
        except requests.RequestException as error:
            msg = f"No Flink answers at {self.rest_url}."
            raise Unavailable(msg, "Start the stack with `shardlake up`, or set FLINK_REST_URL.") from error
        if answer.status_code >= 400:
            raise ShardlakeError(f"Flink refuses {method} {path}: {answer.text[:500]}")
        return answer.json()
