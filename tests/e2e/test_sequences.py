"""In whatever order data is produced and jobs are run, stopped, killed and finished: each window is in the lake
once, and equals a recount of the archive less what is listed as late."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from shardlake.flink.resume import FINISHING, LastEnd
from shardlake.storage import find
from shardlake.testing.stack import RunningStack
from tests.e2e.lake import all_accounted_for, rows
from tests.support import ROOT, Topic, event, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.thorough]

SEQUENCES = int(os.environ.get("SHARDLAKE_SEQUENCES", "3"))
SET = ("--set", "sessions.gap_minutes=3")
JOBS = ("archive", "service_health", "sessions")
MINUTE = 60


@dataclass
class Scene:
    """A stack on which somebody sends events of any time, and lets jobs come and go."""

    stack: RunningStack
    sent: int = 0
    said: list[str] = field(default_factory=list)

    def produce(self, *times: int) -> None:
        """Send an event at each of these seconds."""
        events = [event(self.sent + n) | {"event_time": event(time)["event_time"]} for n, time in enumerate(times)]
        Topic(self.stack).send_events([{**one, "client_address": f"10.0.0.{n % 5}"} for n, one in enumerate(events)])
        self.sent += len(times)

    def run(self) -> None:
        """Start the jobs, from wherever they are."""
        self.said.append(self.stack.shardlake("jobs", "run", *JOBS, *SET))

    def read(self) -> None:
        """Wait until some of what was sent is in the lake, not all."""
        before = self._archived()
        wait_for(lambda: self._archived() > min(before, self.sent - 1), "more rows")

    def stop(self) -> None:
        self.stack.shardlake("jobs", "stop")

    def kill(self) -> None:
        """End the jobs without a savepoint, wherever they are."""
        servers = self.stack.stack
        for name in ("taskmanager", "jobmanager"):
            servers.servers[name].kill()
        for name in ("jobmanager", "taskmanager"):
            servers.restart(name)
            servers.await_ready(name)

    def finish(self) -> None:
        self.stack.shardlake("jobs", "finish")

    def _archived(self) -> int:
        return int(rows(self.stack, "SELECT count(*) FROM app_logs")[0][0])

    def must_be_right(self) -> None:
        """Each event is in one window or listed as late, for each of the two tables, and each window is there once."""
        stack = self.stack
        assert all_accounted_for(stack)
        assert rows(stack, "SELECT count(*), count(DISTINCT event_id) FROM app_logs") == [(self.sent, self.sent)]
        keys = {"service_health": "window_start, service", "sessions": "session_start, client_address"}
        for table, key in keys.items():
            twice = f"SELECT {key}, count(*) FROM {table} GROUP BY ALL HAVING count(*) > 1"
            assert rows(stack, twice) == []
            late = f"(SELECT count(*) FROM late_events WHERE missed_table = '{table}')"
            (counts,) = rows(stack, f"SELECT sum(events)::BIGINT, {late} FROM {table}")
            assert sum(counts) == self.sent, table
        found = {
            one["table"]: one["differences"] for one in json.loads(stack.shardlake("lake", "recount", "--json", *SET))
        }
        assert found == {"service_health": [], "sessions": []}


@pytest.fixture
def scene(shardlake_stack: RunningStack) -> Scene:
    return Scene(shardlake_stack.emptied(ROOT))


def test_logs_that_overlap_those_before_a_finish(scene: Scene) -> None:
    """A log of twenty minutes, one that begins in its middle, one of an hour before, and one of the next day."""
    scene.produce(*range(0, 20 * MINUTE, 5))
    scene.run()
    scene.finish()
    before = rows(scene.stack, "SELECT * FROM service_health ORDER BY ALL")
    scene.produce(*range(10 * MINUTE, 30 * MINUTE, 5))
    scene.run()
    scene.read()
    scene.stop()
    scene.produce(*range(-60 * MINUTE, -30 * MINUTE, 5))
    scene.run()
    scene.finish()
    scene.must_be_right()
    assert set(before) <= set(rows(scene.stack, "SELECT * FROM service_health"))
    late = "SELECT missed_table, count(*) FROM late_events GROUP BY 1 ORDER BY 1"
    # Of the second log what is in its first ten minutes, and for sessions in three more; all of the third.
    assert rows(scene.stack, late) == [("service_health", 120 + 360), ("sessions", 120 + 36 + 360)]
    day = 24 * 60 * MINUTE
    scene.produce(*range(day, day + 2 * MINUTE, 5))
    scene.run()
    scene.finish()
    scene.must_be_right()
    assert rows(scene.stack, late) == [("service_health", 120 + 360), ("sessions", 120 + 36 + 360)]


def test_a_finish_that_is_killed_at_its_end_is_taken_up(scene: Scene) -> None:
    """The drain's savepoint is complete, and neither Flink nor the command lives to say so."""
    scene.produce(*range(0, 10 * MINUTE, 5))
    scene.run()
    finish = scene.stack.start("jobs", "finish")
    savepoints = scene.stack.settings.jobs / "savepoints"
    wait_for(lambda: len(find(savepoints, "_metadata")) == 2, "the drain's savepoint")
    finish.kill()
    scene.kill()
    finish.communicate()
    last = LastEnd.read(scene.stack.settings.jobs)
    assert last
    assert last.how == FINISHING
    scene.produce(*range(9 * MINUTE, 12 * MINUTE, 5))
    scene.run()
    assert "killed at its end" in scene.said[-1]
    scene.finish()
    scene.must_be_right()


def steps(seed: int) -> Iterator[tuple[str, list[int]]]:
    """Yield each act and its seconds. Three to five times: produce some, run, and stop, kill or finish."""
    chance = random.Random(seed)
    for _ in range(chance.randint(3, 5)):
        start = chance.randrange(-20 * MINUTE, 40 * MINUTE)
        times = [start + chance.randrange(10 * MINUTE) for _ in range(chance.randint(20, 400))]
        yield "produce", sorted(times) if chance.random() < 0.5 else times
        yield "run", []
        if chance.random() < 0.7:
            yield "read", []
        yield chance.choice(["stop", "kill", "finish"]), []
    yield "run", []
    yield "finish", []


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", range(SEQUENCES))
def test_any_sequence_leaves_each_window_once_and_right(scene: Scene, seed: int) -> None:
    for name, times in steps(seed):
        getattr(scene, name)(*times)
    scene.must_be_right()
