"""How long `jobs finish` waits for the topic's end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from shardlake.cli import finish
from shardlake.errors import ShardlakeError, Unavailable
from shardlake.flink.watch import Watch
from shardlake.patience import Patience
from tests.unit.clock import Clock

pytestmark = pytest.mark.unit


class FakeCluster:
    """A Flink whose one job runs and works, or does what `state` says."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.state = "RUNNING"

    def watch(self, job_id: str, patience: Patience, *, work_counts: bool) -> Watch:
        assert not work_counts
        return Watch(self, job_id, self.clock.patience(finish.STILL_SECONDS), work_counts=False)

    def job(self, job_id: str) -> dict[str, Any]:
        vertices = [{"id": "v", "name": "Source: app_logs", "status": "RUNNING", "tasks": {"RUNNING": 2}}]
        return {"state": self.state, "vertices": vertices, "timestamps": {}}

    def exception(self, job_id: str) -> str:
        return "no disk" if self.state == "FAILED" else ""

    def cpu_times(self) -> Any:
        raise AssertionError("the work of jobs that run tells nothing")

    def slots(self) -> str:
        return "Task managers: 1, with 2 of 4 slots free."


def read(cluster: FakeCluster, unread: Callable[[float], int], timeout_seconds: float | None = None) -> None:
    clock = cluster.clock
    finish._await_read(cluster, "j", lambda: unread(clock.now), timeout_seconds)  # type: ignore[arg-type] # noqa: SLF001


def test_the_end_is_waited_for_as_long_as_something_is_read() -> None:
    clock = Clock()
    read(FakeCluster(clock), lambda now: max(0, 50 - int(now) // 100))
    assert clock.now >= 5000
    assert clock.said[-1].startswith("waiting for 1 record to be read: 2 of 2 run (49")


def test_where_nothing_is_read_any_more_it_is_said_what_the_tasks_do() -> None:
    clock = Clock()
    with pytest.raises(ShardlakeError) as raised:
        # More and fewer: others write too.
        read(FakeCluster(clock), lambda now: 40 + int(now) % 7)
    assert raised.value.message.startswith("The jobs are still 40 records behind: nothing has moved for 12")
    assert "Source: app_logs: 2 of 2 tasks RUNNING" in raised.value.message


def test_a_broker_that_does_not_answer_for_a_while_is_not_the_end() -> None:
    clock = Clock()

    def unread(now: float) -> int:
        if now < 100:
            raise Unavailable("Kafka does not tell the offsets.")
        return 0

    read(FakeCluster(clock), unread)
    assert clock.now >= 100


def test_jobs_that_end_meanwhile_are_told_with_their_cause() -> None:
    cluster = FakeCluster(Clock())
    cluster.state = "FAILED"
    with pytest.raises(ShardlakeError, match="still 3 records behind and have ended: no disk"):
        read(cluster, lambda _: 3)


def test_a_limit_that_was_asked_for_holds() -> None:
    with pytest.raises(ShardlakeError, match="The jobs are still 9 records behind after 0 s"):
        read(FakeCluster(Clock()), lambda _: 9, timeout_seconds=0)
