"""Stopping, resuming, finishing, and a task manager that dies: nothing is lost or doubled."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest

from shardlake.flink.cluster import Cluster
from shardlake.testing.stack import RunningStack
from tests.e2e.lake import all_accounted_for, dead_letters, has_rows, rows
from tests.support import START, Topic, copy_pipeline, event, wait_for

pytestmark = pytest.mark.e2e

IDLE_SECONDS = 3


def test_jobs_stop_resume_survive_a_kill_finish_and_start_anew(stack: RunningStack) -> None:
    topic = Topic(stack)
    stack.shardlake("jobs", "run")
    assert "running already" in stack.shardlake("jobs", "run", exit_code=1)

    # Half of a minute's events, then a stop: the window is open in the savepoint.
    topic.send_events([event(number) for number in range(30)])
    wait_for(has_rows(stack, 30), "rows of a running job")
    stack.shardlake("jobs", "stop")
    assert rows(stack, "SELECT count(*), count(DISTINCT event_id) FROM app_logs") == [(30, 30)]
    assert rows(stack, "SELECT count(*) FROM service_health") == [(0,)]

    # The other half, and a task manager that is killed while it reads.
    assert "resumed from" in stack.shardlake("jobs", "run")
    topic.send_events([event(number) for number in range(30, 3_000)])
    wait_for(has_rows(stack, 31), "rows of the resumed job")
    topic.send_events([event(number) for number in range(3_000, 6_000)])
    stack.stack.restart("taskmanager")
    topic.send_events([event(number) for number in range(6_000, 9_000)])
    wait_for(has_rows(stack, 9_000), "rows after the kill")
    stack.shardlake("jobs", "finish")
    assert all_accounted_for(stack)
    per_minute = rows(stack, "SELECT window_start, sum(events)::INT FROM service_health GROUP BY 1 ORDER BY 1")
    assert [events for _, events in per_minute] == [60] * 150
    assert per_minute[0][0] == START.replace(tzinfo=None)

    # A finished job's windows have fired: it starts anew, after the last record in the lake.
    topic.send_events([event(number) for number in range(9_000, 9_060)])
    assert "anew" in stack.shardlake("jobs", "run")
    stack.shardlake("jobs", "finish")
    assert all_accounted_for(stack)
    assert rows(stack, "SELECT sum(events)::INT, count(*) FROM service_health") == [(9_060, 151 * 3)]
    assert "FINISHED" in stack.shardlake("jobs", "list")
    assert "not running" in stack.shardlake("jobs", "stop", exit_code=1)


@pytest.mark.thorough
def test_an_idle_partition_does_not_hold_back_windows(stack: RunningStack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHARDLAKE_IDLE_SECONDS", str(IDLE_SECONDS))
    stack.shardlake("jobs", "run", "archive", "service_health")
    # One key, so three of four partitions get nothing; nobody finishes the job.
    Topic(stack).send_events([event(number, client_address="one client") for number in range(300)])
    sent = time.monotonic()

    def windows() -> list[tuple[object, ...]]:
        if not (stack.settings.lake / "service_health").exists():
            return []
        return rows(stack, "SELECT window_start, sum(events)::INT FROM service_health GROUP BY 1 ORDER BY 1")

    # The last event is at 4:59 and the watermark a minute behind it: the first three minutes are over. Their files
    # become visible one after the other.
    wait_for(lambda: [events for _, events in windows()] == [60, 60, 60], "windows while three partitions are idle")
    # By now all sources are idle. Finishing fires the last windows all the same.
    time.sleep(max(0, IDLE_SECONDS + 2 - (time.monotonic() - sent)))
    stack.shardlake("jobs", "finish")
    assert rows(stack, "SELECT sum(events)::INT FROM service_health") == [(300,)]


@pytest.mark.thorough
def test_a_registry_that_is_down_is_waited_for(stack: RunningStack) -> None:
    """Known schemas flow on; a record whose schema must be asked for waits, and is no dead letter before the answer."""
    topic = Topic(stack)
    stack.shardlake("jobs", "run", "archive", "service_health")
    topic.send_events([event(number) for number in range(400)])
    # A window has been emitted: until then the topic's serializer has not asked for its schema either.
    wait_for(lambda: rows(stack, "SELECT count(*) FROM service_health")[0][0], "windows before")
    stack.stack.servers["registry"].kill()
    topic.send_events([event(number) for number in range(400, 500)])
    wait_for(has_rows(stack, 500), "rows of a known schema while the registry is down")
    unknown = b"\x00" + (4711).to_bytes(4, "big") + topic.encode(event(0))[5:]
    topic.send([unknown], [b"one"])
    topic.send_events([event(number) for number in range(500, 600)])
    with pytest.raises(AssertionError, match="not within"):
        wait_for(lambda: dead_letters(stack) > 0, "a dead letter, which must not be", seconds=5)
    assert "does not answer" in stack.shardlake("produce", "--synthetic", "--duration", "1", exit_code=3)
    stack.stack.restart("registry")
    wait_for(lambda: dead_letters(stack) == 1, "the dead letter after the registry's answer")
    wait_for(has_rows(stack, 600), "all healthy rows")
    stack.shardlake("jobs", "finish")
    assert all_accounted_for(stack)


BROKEN = """
from pyflink.table import DataTypes
from pyflink.table.udf import udf
from shardlake.flink.job import Insert

@udf(result_type=DataTypes.STRING())
def name_of(host):
    return {"host-1": "one"}[host]

def build(tables):
    tables.environment.create_temporary_system_function("NAME_OF", name_of)
    return [Insert("lake.named", tables.query("SELECT event_time, NAME_OF(host) AS name FROM app_logs"))]
"""


@pytest.mark.thorough
def test_a_job_that_keeps_failing_is_named_and_the_others_go_on_without_it(
    shardlake_stack: RunningStack, tmp_path: Path
) -> None:
    copy_pipeline(tmp_path, 4)
    (tmp_path / "flink_jobs" / "broken.py").write_text(BROKEN)
    with (tmp_path / "schemas" / "topics.toml").open("a") as topics:
        topics.write('[named]\nschema = "named"\nevent_time = "event_time"\nlake_table = "named"\n')
    time_type = {"type": "long", "logicalType": "timestamp-millis"}
    fields = [{"name": "event_time", "type": time_type}, {"name": "name", "type": ["null", "string"]}]
    schema = {"type": "record", "name": "Named", "fields": fields}
    (tmp_path / "schemas" / "named.avsc").write_text(json.dumps(schema))
    stack = shardlake_stack.emptied(tmp_path)
    stack.shardlake("jobs", "run", "archive", "broken")
    Topic(stack).send_events([event(number) for number in range(100)])
    failing = wait_for(lambda: re.search("failing: .*", stack.shardlake("jobs", "list")), "the failure")[0]
    assert re.search(r"KeyError: 'host-\d' \(flink_jobs/broken.py, line 8\)", failing)
    doctor = stack.run("doctor").stdout
    assert "(flink_jobs/broken.py, line 8)" in doctor
    stack.shardlake("jobs", "cancel")
    assert "cancelled on purpose" in stack.run("doctor").stdout
    assert "no longer written: lake.named" in stack.shardlake("jobs", "run", "archive")
    wait_for(has_rows(stack, 100), "the rows of the job that is healthy")
    stack.shardlake("jobs", "finish")
    assert all_accounted_for(stack)


def test_unknown_jobs_are_refused(stack: RunningStack) -> None:
    said = stack.shardlake("jobs", "run", "archive", "sessionz", exit_code=2)
    assert "no job 'sessionz'" in said
    assert "archive, error_alerts, service_health, sessions" in said
    assert Cluster(stack.settings.flink_rest_url).running() is None
