"""Flink's REST API: what runs, and how it is stopped."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlparse

import requests

from shardlake.errors import ShardlakeError, Unavailable
from shardlake.flink import tasks
from shardlake.flink.failure import Failure
from shardlake.flink.inserts import APART, NAME, jobs_of
from shardlake.flink.tasks import ENDED
from shardlake.flink.watch import Watch
from shardlake.patience import Patience
from shardlake.pipeline import FOLDERS
from shardlake.progress import Use, Uses

REQUEST_SECONDS = 30
"""A busy Flink takes its time; one that is not there refuses at once."""
LONGEST_CAUSE = 1000
CPU_TIME = "Status.JVM.CPU.Time"
ATTEMPTS = 5
"""A savepoint fails now and then by a race within Flink: one of a source's subtasks writes its part before the stop has
reached its operators, another one after. Flink refuses that mixture where an operator keeps a union list, as
`closed-until` does (PartialFinishingNotSupportedByStateException), and restarts the job."""
AGAIN_SECONDS = 2.0
"""Flink needs a moment to restart the job: so long after the first failure, twice as long after the second."""
NO_WATERMARK_MS = 2**53
"""A lag of more is that of the lowest time there is."""


class NotKnown(ShardlakeError):
    """Flink does not know what it is asked for: not yet, where a job is being recovered, or no longer."""


class SavepointFailed(ShardlakeError):
    """Flink has not written the savepoint that was to stop a job; the job goes on."""


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

    def __init__(
        self,
        rest_url: str,
        *,
        servers: Callable[[], Hashable] = lambda: None,
        patience: Callable[[], Patience] = Patience,
    ) -> None:
        """`servers` changes as long as its processes work, for those who can see them; Flink is asked in any case.
        `patience` begins a wait."""
        self.rest_url = rest_url.rstrip("/")
        self._servers, self._patience = servers, patience

    def jobs(self) -> list[Job]:
        """All that this cluster still knows, newest first."""
        overview = self._get("/jobs/overview")["jobs"]
        return [self._job(entry) for entry in sorted(overview, key=lambda entry: -entry["start-time"])]

    def running(self) -> Job | None:
        """The application of ours that has not ended."""
        return next((job for job in self.jobs() if job.name.startswith(NAME) and job.is_running), None)

    def apart(self) -> dict[str, Job]:
        """The jobs that run apart from the application, by their names: see `apart`."""
        return {
            name: job
            for job in self.jobs()
            if job.name.startswith(APART) and job.is_running
            for name in jobs_of(job.name)
        }

    def state(self, job_id: str) -> str:
        """RUNNING, RESTARTING, FINISHED, …"""
        found: str = self._get(f"/jobs/{job_id}/status")["status"]
        return found

    def await_running(self, job_id: str) -> None:
        """Wait until every task runs, as long as something moves: see `patience`.

        Raises ShardlakeError with the job's exception where it ends first, and with the state of every task where
        nothing moves any more; Unavailable where Flink no longer answers.
        """
        watch = self.watch(job_id)
        while True:
            job = watch.look()
            if job and job["state"] in ENDED:
                raise watch.ended("The jobs do not run")
            if job and tasks.run(job):
                return
            if not watch.goes_on("the jobs' tasks"):
                raise watch.still("The jobs do not run")

    def watch(self, job_id: str, patience: Patience | None = None, *, work_counts: bool = True) -> Watch:
        """A wait for this job, that begins now."""
        return Watch(self, job_id, patience or self._patience(), self._servers, work_counts=work_counts)

    def job(self, job_id: str) -> dict[str, Any]:
        """Return a job as Flink's REST API describes it: its state, and its vertices with a count of tasks by state."""
        found: dict[str, Any] = self._get(f"/jobs/{job_id}")
        return found

    def cpu_times(self) -> Uses:
        """The processor time of each manager's JVM, as Flink's metrics have it; nothing where they do not say."""
        paths = ["/jobmanager", *(f"/taskmanagers/{one['id']}" for one in self._get("/taskmanagers")["taskmanagers"])]
        return {
            (path, metric["id"]): Use(float(metric["value"]) / 1e9)
            for path in paths
            for metric in self._get(f"{path}/metrics?get={CPU_TIME}")
        }

    def slots(self) -> str:
        """How many task managers and slots there are, in words."""
        overview = self._get("/overview")
        free, total = overview["slots-available"], overview["slots-total"]
        return f"Task managers: {overview['taskmanagers']}, with {free} of {total} slots free."

    def exception(self, job_id: str) -> str:
        """The first lines of what made the job fail last, '' where nothing did."""
        history = self._get(f"/jobs/{job_id}/exceptions").get("exceptionHistory", {}).get("entries", [])
        if not history:
            return ""
        lines = history[0]["stacktrace"].splitlines()
        causes = [line.strip() for line in lines if line.strip() and not line.strip().startswith(("at ", "... "))]
        whole = " ".join(causes)
        # The root is the last, and what the others say of it is less.
        return whole if len(whole) <= LONGEST_CAUSE else f"{whole[: LONGEST_CAUSE // 2]} … {causes[-1][:LONGEST_CAUSE]}"

    def failure(self, job_id: str) -> Failure | None:
        """Return the job's failure since its last completed checkpoint, None where there is none."""
        exceptions = self._get_known(f"/jobs/{job_id}/exceptions", {})
        checkpoints = self._get_known(f"/jobs/{job_id}/checkpoints", {})
        return Failure.since_checkpoint(exceptions, checkpoints, FOLDERS)

    def failures(self, job_id: str) -> list[Failure]:
        """Return all failures of the job since its last completed checkpoint, the newest first."""
        exceptions = self._get_known(f"/jobs/{job_id}/exceptions", {})
        checkpoints = self._get_known(f"/jobs/{job_id}/checkpoints", {})
        return list(Failure.all_since_checkpoint(exceptions, checkpoints, FOLDERS))

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
        with suppress(NotKnown):
            return sum(int(metric["sum"]) for _, metric in self._metrics(job_id, re.compile(r"\.late_events$")))
        return 0

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

    def stop(self, job_id: str, folder: str, *, drain: bool) -> str:
        """Stop with a savepoint in `folder`; its path, or its URL in S3. It takes as long as something moves.

        With `drain` all windows fire, and the savepoint must not be resumed from: they would fire again.
        A savepoint that fails is tried again: see ATTEMPTS.
        Raises ShardlakeError where Flink cannot, and with the state of every task where nothing moves any more.
        """
        watch = self.watch(job_id)
        trigger, location, failed, again = None, None, 0, 0.0
        while True:
            # What the last checkpoint covers is committed to the lake and the topics before the job is FINISHED.
            job = watch.look()
            if trigger is None and job and tasks.run(job) and watch.clock() >= again:
                body = {"targetDirectory": folder, "drain": drain}
                trigger = self._post(f"/jobs/{job_id}/stop", body)["request-id"]
            try:
                location = location or (trigger and self._savepoint(job_id, trigger, watch))
            except SavepointFailed:
                failed += 1
                if failed == ATTEMPTS:
                    raise
                trigger, again = None, watch.clock() + failed * AGAIN_SECONDS
            if job and job["state"] in ENDED:
                if location:
                    return location if location.startswith("s3://") else urlparse(location).path  # file:/folder
                if trigger is None:
                    raise watch.ended("The jobs have ended without a savepoint")
            waited_for = "the jobs' end" if location else "the jobs' savepoint"
            if not watch.goes_on(waited_for, location, failed, *self._checkpoint_signs(job_id, watch)):
                what = "have written their savepoint and do not end" if location else "are not stopped"
                raise watch.still(f"The jobs {what}", "They may yet stop: see `shardlake jobs list`.")

    def _checkpoint_signs(self, job_id: str, watch: Watch) -> Iterator[Hashable]:
        """Yield values that change while Flink writes a checkpoint or savepoint."""
        found = watch.ask(lambda: self._get(f"/jobs/{job_id}/checkpoints")) if watch.is_long else None
        for latest in ((found or {}).get("history") or [])[:1]:
            yield from (latest.get(name) for name in ("id", "status", "num_acknowledged_subtasks", "processed_data"))

    def _savepoint(self, job_id: str, trigger: str, watch: Watch) -> str | None:
        """Where the savepoint is, None while it is not. Raises SavepointFailed where there will be none."""
        answer = watch.ask(lambda: self._get(f"/jobs/{job_id}/savepoints/{trigger}"))
        if answer is None or answer["status"]["id"] != "COMPLETED":
            return None
        operation = answer["operation"]
        if "failure-cause" in operation:
            cause = operation["failure-cause"]["stack-trace"].splitlines()[0]
            raise SavepointFailed(
                f"The jobs could not be stopped: {cause}.",
                "They go on; try again, or end them without a savepoint: `shardlake jobs cancel`.",
            )
        return str(operation["location"])

    def cancel(self, job_id: str) -> None:
        """Have the job end now, without a savepoint; it goes on ending by itself."""
        self._call("PATCH", f"/jobs/{job_id}?mode=cancel", None)

    def await_ended(self, job_id: str) -> None:
        """Wait until the job has ended, as long as something moves.

        Raises ShardlakeError with the state of every task where nothing moves any more.
        """
        watch = self.watch(job_id)
        while not ((job := watch.look()) and job["state"] in ENDED):
            if not watch.goes_on("the jobs' end"):
                raise watch.still("The jobs do not end")

    def checkpoint(self, job_id: str) -> None:
        """Have the job begin a checkpoint now; it goes on by itself."""
        self._post(f"/jobs/{job_id}/checkpoints", {})

    def _job(self, entry: dict[str, Any]) -> Job:
        checkpoints = self._get_known(f"/jobs/{entry['jid']}/checkpoints", {})
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
        metrics = self._get_known(f"/jobs/{job_id}/metrics?get=numRestarts", [])
        return int(float(metrics[0]["value"])) if metrics else 0

    def _get(self, path: str) -> Any:
        return self._call("GET", path, None)

    def _get_known(self, path: str, otherwise: Any) -> Any:
        """Return the answer, or `otherwise` where Flink does not know yet, as of a job that is being recovered."""
        try:
            return self._get(path)
        except NotKnown:
            return otherwise

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        return self._call("POST", path, body)

    def _call(self, method: str, path: str, body: dict[str, Any] | None) -> Any:
        try:
            answer = requests.request(method, self.rest_url + path, json=body, timeout=REQUEST_SECONDS)
        except requests.Timeout as error:
            msg = f"Flink at {self.rest_url} has not answered for {REQUEST_SECONDS} s."
            raise Unavailable(msg, "It may be busy or stopped: `shardlake status`.") from error
        except requests.RequestException as error:
            msg = f"No Flink answers at {self.rest_url}."
            raise Unavailable(msg, "Start the stack with `shardlake up`, or set FLINK_REST_URL.") from error
        if answer.status_code >= 500:
            msg = f"Flink at {self.rest_url} cannot answer {method} {path} now: {_plain(answer.text)}"
            raise Unavailable(msg, "The job manager's log tells more: `shardlake logs jobmanager`.")
        if answer.status_code == HTTPStatus.NOT_FOUND:
            raise NotKnown(f"Flink does not know {path}: {_plain(answer.text)}")
        if answer.status_code >= 400:
            raise ShardlakeError(f"Flink refuses {method} {path}: {answer.text[:500]}")
        return answer.json()


def _plain(text: str) -> str:
    return " ".join(text.split())[:500]
