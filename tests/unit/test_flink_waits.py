"""Waiting for jobs on a Flink of our own making: how long, what is said, and how it ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import requests

from shardlake.errors import ShardlakeError, Unavailable
from shardlake.flink.cluster import ATTEMPTS, Cluster, SavepointFailed
from shardlake.patience import STILL_SECONDS
from tests.unit.clock import Clock

pytestmark = pytest.mark.unit

JOB = "a1b2"
SECOND_MS = 1000


def vertex(name: str, **tasks: int) -> dict[str, Any]:
    status = next(iter(tasks)) if len(tasks) == 1 else "CREATED"
    return {"id": name, "name": f"{name}[1] -> Calc[2]", "status": status, "tasks": {"CANCELED": 0} | tasks}


class Answer:
    def __init__(self, value: Any, status_code: int = 200) -> None:
        self.status_code, self._value = status_code, value
        self.text = str(value)

    def json(self) -> Any:
        return self._value


class Flink:
    """It answers by the clock; what a test does not name is as on a Flink that idles."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = Clock()
        self.vertices: Callable[[float], list[dict[str, Any]]] = lambda _: []
        self.state: Callable[[float], str] = lambda _: "RUNNING"
        self.restarted_ms: Callable[[float], int] = lambda _: 0
        self.causes: list[str] = []
        self.cpu_seconds: Callable[[float], float] = lambda now: 0.02 * now
        self.stops: list[float] = []
        self.is_silent: Callable[[float], bool] = lambda _: False
        self.savepoint: Callable[[float], dict[str, Any]] = lambda _: {"status": {"id": "IN_PROGRESS"}}
        monkeypatch.setattr(requests, "request", self._answer)

    def cluster(self) -> Cluster:
        return Cluster("http://flink", patience=self.clock.patience)

    def _answer(self, method: str, url: str, *, json: Any, timeout: float) -> Answer:
        now, path = self.clock.now, url.removeprefix("http://flink")
        if self.is_silent(now):
            self.clock.now += timeout
            raise requests.ReadTimeout
        if path == f"/jobs/{JOB}":
            stamps = {"RESTARTING": self.restarted_ms(now)}
            return Answer({"state": self.state(now), "vertices": self.vertices(now), "timestamps": stamps})
        if path.endswith("/exceptions"):
            return Answer({"exceptionHistory": {"entries": [{"stacktrace": cause} for cause in self.causes[:1]]}})
        if "/metrics" in path:
            return Answer([{"id": "Status.JVM.CPU.Time", "value": str(int(self.cpu_seconds(now) * 1e9))}])
        if path == "/taskmanagers":
            return Answer({"taskmanagers": [{"id": "127.0.0.1:6122-ab"}]})
        if path == "/overview":
            return Answer({"taskmanagers": 1, "slots-total": 4, "slots-available": 3})
        if path.endswith("/stop"):
            self.stops.append(now)
            return Answer({"request-id": "r"})
        if "/savepoints/" in path:
            return Answer(self.savepoint(now))
        if path.endswith("/checkpoints"):
            return Answer({"history": [{"id": 7, "status": "IN_PROGRESS", "num_acknowledged_subtasks": 1}]})
        return Answer(f"no {method} {path} here", 404)


@pytest.fixture
def flink(monkeypatch: pytest.MonkeyPatch) -> Flink:
    return Flink(monkeypatch)


def test_tasks_that_are_deployed_one_by_one_are_waited_for_beyond_any_limit(flink: Flink) -> None:
    deploying = {"RUNNING": 1}

    def vertices(now: float) -> list[dict[str, Any]]:
        return [vertex("sink", **deploying, **({"DEPLOYING": 100 - int(now) // 50} if now < 5000 else {}))]

    flink.vertices = vertices
    flink.cluster().await_running(JOB)
    assert flink.clock.now >= 5000
    assert flink.clock.said[0].startswith("waiting for the jobs' tasks: 1 of ")
    assert len(flink.clock.said) > 400


def test_task_managers_that_work_are_waited_for_although_no_task_moves(flink: Flink) -> None:
    flink.cpu_seconds = lambda now: now * 0.3
    flink.vertices = lambda now: [vertex("source", **{"RUNNING" if now > 2000 else "INITIALIZING": 2})]
    flink.cluster().await_running(JOB)
    assert flink.clock.now >= 2000


def test_processes_that_work_or_want_to_are_waited_for_although_flink_says_nothing_of_them(flink: Flink) -> None:
    flink.vertices = lambda now: [vertex("source", **{"RUNNING" if now > 900 else "INITIALIZING": 2})]
    cluster = Cluster("http://flink", servers=lambda: int(flink.clock.now) // 40, patience=flink.clock.patience)
    cluster.await_running(JOB)
    assert flink.clock.now >= 900


def test_where_nothing_moves_and_flink_names_no_cause_each_task_s_state_is_named(flink: Flink) -> None:
    flink.vertices = lambda _: [
        vertex("Source: app_logs", INITIALIZING=1, RUNNING=1),
        vertex("Sink: late", SCHEDULED=2),
    ]
    with pytest.raises(ShardlakeError) as raised:
        flink.cluster().await_running(JOB)
    assert raised.value.message == (
        "The jobs do not run: nothing has moved for 60 s, and Flink names no cause. The job is RUNNING. "
        "Source: app_logs[1]: 1 of 2 tasks INITIALIZING, 1 of 2 tasks RUNNING; Sink: late[1]: 2 of 2 tasks SCHEDULED. "
        "Task managers: 1, with 3 of 4 slots free."
    )
    assert STILL_SECONDS <= flink.clock.now < STILL_SECONDS + 20


def test_a_job_of_which_there_is_no_task_yet_has_a_cause_too(flink: Flink) -> None:
    flink.state = lambda _: "INITIALIZING"
    with pytest.raises(ShardlakeError, match=r"The job is INITIALIZING, and Flink has made no task of it yet\."):
        flink.cluster().await_running(JOB)


def test_a_job_that_ended_is_told_at_once_with_what_flink_says(flink: Flink) -> None:
    flink.state = lambda _: "FAILED"
    flink.causes = [
        "org.apache.flink.JobException: No recovery\n\tat a.b\nCaused by: java.io.IOException: no key of PII\n"
    ]
    with pytest.raises(ShardlakeError, match=r"do not run: .*JobException: No recovery .* no key of PII$"):
        flink.cluster().await_running(JOB)
    assert flink.clock.now == 0
    flink.state, flink.causes = (lambda _: "CANCELED"), []
    flink.vertices = lambda _: [vertex("sink", CANCELED=2)]
    with pytest.raises(
        ShardlakeError, match=r"Flink names no cause\. The job is CANCELED\. sink\[1\]: 2 of 2 tasks CAN"
    ):
        flink.cluster().await_running(JOB)


def test_a_job_that_fails_again_and_again_for_one_cause_does_not_run_however_busy_it_is(flink: Flink) -> None:
    flink.restarted_ms = lambda now: int(now // 10) * 10 * SECOND_MS
    flink.cpu_seconds = lambda now: now
    flink.causes = ["java.lang.IllegalStateException: no topic at 10.0.0.1:9092, attempt 7"]
    flink.state = lambda now: "RESTARTING" if now % 10 < 5 else "RUNNING"
    # No round is as another.
    flink.vertices = lambda now: [vertex("sink", **{"CREATED" if now % 10 < 8 else "DEPLOYING": 2 + int(now)})]
    with pytest.raises(
        ShardlakeError, match=r"nothing has moved for .*The last cause: java.lang.IllegalStateException"
    ):
        flink.cluster().await_running(JOB)
    assert flink.clock.now < STILL_SECONDS + 40
    assert "the last java.lang.IllegalStateException: no topic" in flink.clock.said[-1]


def test_questions_without_an_answer_are_not_the_end(flink: Flink) -> None:
    flink.is_silent = lambda now: 3 < now < 50 or 120 < now < 140
    flink.vertices = lambda now: [vertex("sink", **{"RUNNING" if now > 200 else f"S{int(now / 50)}": 2})]
    flink.cluster().await_running(JOB)
    assert "Flink at http://flink has not answered for 30 s." in " ".join(flink.clock.said)


def test_a_flink_that_never_answers_again_is_named(flink: Flink) -> None:
    flink.is_silent = lambda now: now > 3
    flink.vertices = lambda _: [vertex("sink", DEPLOYING=2)]
    with pytest.raises(Unavailable) as raised:
        flink.cluster().await_running(JOB)
    assert "Flink at http://flink has not answered for 30 s. Before that: The job is RUNNING." in raised.value.message
    assert "sink[1]: 2 of 2 tasks DEPLOYING" in raised.value.message


def test_an_overloaded_flink_is_one_that_does_not_answer(flink: Flink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "request", lambda *_, **__: Answer("AskTimeoutException", 503))
    with pytest.raises(Unavailable, match="cannot answer GET /jobs/a1b2 now: AskTimeoutException"):
        flink.cluster().job(JOB)


def test_a_stop_takes_as_long_as_something_moves(flink: Flink) -> None:
    flink.cpu_seconds = lambda now: now if now < 500 else 500
    flink.vertices = lambda _: [vertex("sink", RUNNING=2)]
    done = {"status": {"id": "COMPLETED"}, "operation": {"location": "file:/jobs/savepoint-1"}}
    flink.savepoint = lambda now: done if now > 400 else {"status": {"id": "IN_PROGRESS"}}
    flink.state = lambda now: "FINISHED" if now > 450 else "RUNNING"
    assert flink.cluster().stop(JOB, "file:///jobs", drain=False) == "/jobs/savepoint-1"
    assert 450 < flink.clock.now < 460
    flink.state = lambda _: "RUNNING"
    with pytest.raises(ShardlakeError, match=r"have written their savepoint and do not end: .*2 of 2 tasks RUNNING"):
        flink.cluster().stop(JOB, "file:///jobs", drain=False)
    flink.savepoint = lambda _: {"status": {"id": "IN_PROGRESS"}}
    with pytest.raises(ShardlakeError, match="are not stopped: nothing has moved"):
        flink.cluster().stop(JOB, "file:///jobs", drain=False)


RACE = "PartialFinishingNotSupportedByStateException: The vertex has used UnionListState"


def failed(cause: str) -> dict[str, Any]:
    return {"status": {"id": "COMPLETED"}, "operation": {"failure-cause": {"stack-trace": f"{cause}\n\tat a line"}}}


def test_a_savepoint_that_fails_is_tried_again_once_all_tasks_run_again(flink: Flink) -> None:
    done = {"status": {"id": "COMPLETED"}, "operation": {"location": "file:/jobs/savepoint-2"}}
    flink.vertices = lambda now: [vertex("sink", **{"INITIALIZING" if 1 < now < 60 else "RUNNING": 2})]
    flink.savepoint = lambda now: failed(RACE) if now < 61 else done
    flink.state = lambda now: "FINISHED" if now > 80 else "RUNNING"
    flink.cluster().stop(JOB, "file:///jobs", drain=False)
    first, *others = flink.stops
    assert first == 0
    assert 1 <= len(others) < ATTEMPTS
    assert all(at >= 60 for at in others)


def test_a_savepoint_that_always_fails_is_an_error_with_its_cause(flink: Flink) -> None:
    flink.vertices = lambda _: [vertex("sink", RUNNING=2)]
    flink.savepoint = lambda _: failed("IOException: No space left on device")
    with pytest.raises(SavepointFailed, match="could not be stopped: IOException: No space left on device"):
        flink.cluster().stop(JOB, "file:///jobs", drain=False)
    assert len(flink.stops) == ATTEMPTS


def test_jobs_that_end_after_a_failed_savepoint_are_said_to_have_ended(flink: Flink) -> None:
    flink.vertices = lambda _: [vertex("sink", RUNNING=2)]
    flink.savepoint = lambda _: failed(RACE)
    flink.state = lambda now: "FAILED" if flink.stops else "RUNNING"
    flink.causes = ["java.io.IOException: the disk is gone"]
    with pytest.raises(ShardlakeError, match=r"have ended without a savepoint: .*the disk is gone"):
        flink.cluster().stop(JOB, "file:///jobs", drain=False)


def test_a_job_that_is_being_recovered_is_listed_before_flink_knows_more_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    overview = {"jid": JOB, "name": "shardlake: archive", "state": "INITIALIZING", "start-time": 1, "duration": 2000}

    def answer(_: str, url: str, **__: Any) -> Answer:
        return Answer({"jobs": [overview]}) if url.endswith("/overview") else Answer("Job could not be found", 404)

    monkeypatch.setattr(requests, "request", answer)
    cluster = Cluster("http://flink")
    (job,) = cluster.jobs()
    assert (job.job_id, job.state, job.checkpoints, job.restarts) == (JOB, "INITIALIZING", 0, 0)
    assert job.checkpoint_age_seconds is None
    assert cluster.late_events(JOB) == 0
