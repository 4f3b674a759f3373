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


BROKEN = '''
from pyflink.table import DataTypes
from pyflink.table.udf import udf
from shardlake.flink.job import Insert

END = "FLOOR(`event_time` TO MINUTE) + INTERVAL '1' MINUTE"
START = "FLOOR(`event_time` TO MINUTE)"

@udf(result_type=DataTypes.STRING())
def name_of(host):
    return {"host-1": "one"}[host]

def build(tables):
    tables.environment.create_temporary_system_function("NAME_OF", name_of)
    events = f"SELECT *, NAME_OF(host) AS name FROM ({tables.in_time('app_logs', 'event_time', END)})"
    windows = tables.query(f"""
        SELECT CAST(window_start AS TIMESTAMP_LTZ(3)) AS window_start,
            CAST(window_end AS TIMESTAMP_LTZ(3)) AS window_end,
            name, COUNT(*) AS events
        FROM TABLE(TUMBLE(({events}), DESCRIPTOR(`event_time`), INTERVAL '1' MINUTE))
        GROUP BY window_start, window_end, name""")
    late = tables.late("app_logs", "event_time", START, END, fields="event_id, `service`", missed_table="named")
    return [Insert("lake.named", windows), Insert("topics.named", windows), Insert("lake.late_events", late)]

def recount(options):
    minute = "time_bucket(INTERVAL 1 MINUTE, event_time)"
    return {"named": f"""
        SELECT {minute} AS window_start, {minute} + INTERVAL 1 MINUTE AS window_end,
            CASE host WHEN 'host-1' THEN 'one' ELSE 'another' END AS name, count(*) AS events
        FROM in_time GROUP BY ALL"""}
'''
NAMED = """
[named]
schema = "named"
key = "name"
event_time = "window_start"
partitions = 1
lake_table = "named"
"""
PER_MINUTE = "SELECT sum(events)::INT, count(*) FROM named GROUP BY window_start ORDER BY window_start"
"""Its events, and in how many rows they are."""


def with_a_broken_job(folder: Path) -> Path:
    """The pipeline with fewer jobs, and one that fails at each host but one; the file of this job."""
    copy_pipeline(folder, 4)
    for job in ("error_alerts", "sessions"):
        (folder / "flink_jobs" / f"{job}.py").unlink()
    (folder / "flink_jobs" / "broken.py").write_text(BROKEN)
    with (folder / "schemas" / "topics.toml").open("a") as topics:
        topics.write(NAMED)
    time_type = {"type": "long", "logicalType": "timestamp-millis"}
    fields: list[dict[str, object]] = [
        {"name": "window_start", "type": time_type},
        {"name": "window_end", "type": time_type},
        {"name": "name", "type": "string"},
        {"name": "events", "type": "long"},
    ]
    schema = {"type": "record", "name": "Named", "fields": fields}
    (folder / "schemas" / "named.avsc").write_text(json.dumps(schema))
    return folder / "flink_jobs" / "broken.py"


@pytest.mark.thorough
def test_a_job_that_keeps_failing_is_left_out_and_taken_up_where_it_was(
    shardlake_stack: RunningStack, tmp_path: Path
) -> None:
    file = with_a_broken_job(tmp_path)
    stack = shardlake_stack.emptied(tmp_path)
    topic = Topic(stack)
    stack.shardlake("jobs", "run")
    topic.send_events([event(number, host="host-1") for number in range(150)])
    topic.send([b"no event"], [b"one"])
    wait_for(has_rows(stack, 150), "rows of all jobs")

    # One minute is open in the job's state when it comes to a record that it cannot bear.
    topic.send_events([event(number) for number in range(150, 300)])
    failing = wait_for(lambda: re.search("failing: .*", stack.shardlake("jobs", "list")), "the failure")[0]
    assert re.search(r"KeyError: 'host-\d' \(flink_jobs/broken.py, line 11\)", failing)
    assert "(flink_jobs/broken.py, line 11)" in stack.run("doctor").stdout
    assert "by which it is known what all jobs have read" in stack.shardlake(
        "jobs", "leave-out", "archive", exit_code=2
    )
    watching = stack.start("jobs", "watch")
    why = r"KeyError: 'host-\d' \(flink_jobs/broken.py, line 11\)"
    said = rf"left out: broken, since .*: {why}; it goes on at app-logs/\d/\d+"
    wait_for(lambda: re.search(said, stack.shardlake("jobs", "list")), "the job to be left out")
    wait_for(has_rows(stack, 300), "the rows of the jobs that are healthy")
    watching.terminate()
    assert "broken keeps failing, and is left out; the others go on: KeyError" in watching.communicate()[0]
    assert "shardlake jobs take-up broken" in stack.run("doctor").stdout
    assert "A job is left out: broken" in stack.shardlake("jobs", "run", "broken", exit_code=2)

    # The others end and start, and read further, without it.
    stack.shardlake("jobs", "stop")
    assert "left out: broken" in stack.shardlake("jobs", "run")
    topic.send_events([event(number) for number in range(300, 600)])
    topic.send([b"no event either"], [b"one"])
    wait_for(has_rows(stack, 600), "rows of the others")
    assert "broken has not read what the others have" in stack.shardlake("verify", exit_code=3)

    # Mended, it begins with the open minute, and goes on through a stop of all.
    file.write_text(BROKEN.replace("[host]", ".get(host, 'another')"))
    assert "broken runs apart" in stack.shardlake("jobs", "take-up", "broken")
    wait_for(lambda: len(rows(stack, PER_MINUTE)) > 5, "minutes of the job that was left out")
    assert "stopped broken" in stack.shardlake("jobs", "stop")
    assert "broken runs apart" in stack.shardlake("jobs", "run")
    topic.send_events([event(number) for number in range(600, 900)])
    assert "broken has read as far as the others" in stack.shardlake("jobs", "finish")
    names = [1] * 2 + [2] * 13
    assert rows(stack, PER_MINUTE) == [(60, count) for count in names]
    assert all_accounted_for(stack)
    assert dead_letters(stack) == 2
    assert rows(stack, "SELECT count(*) FROM late_events") == [(0,)]
    assert "holds" in stack.shardlake("verify")

    # It is one of the others again, and what it has closed stays closed.
    topic.send_events([event(number, event_id=f"again-{number}") for number in range(890, 960)])
    assert "left out" not in stack.shardlake("jobs", "run")
    stack.shardlake("jobs", "finish")
    assert rows(stack, PER_MINUTE) == [(60, count) for count in [*names, 2]]
    assert rows(stack, "SELECT count(*) FROM late_events WHERE missed_table = 'named'") == [(10,)]
    assert "holds" in stack.shardlake("verify")


def test_unknown_jobs_are_refused(stack: RunningStack) -> None:
    said = stack.shardlake("jobs", "run", "archive", "sessionz", exit_code=2)
    assert "no job 'sessionz'" in said
    assert "archive, error_alerts, service_health, sessions" in said
    assert Cluster(stack.settings.flink_rest_url).running() is None
