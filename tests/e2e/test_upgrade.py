"""Jobs are stopped, changed, added, removed, resumed: nothing is lost or doubled, and what cannot resume is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from shardlake import topics
from shardlake.flink.tables import GROUP
from shardlake.storage import remove
from shardlake.testing.stack import RunningStack
from tests.e2e.lake import all_accounted_for, rows
from tests.support import Topic, copy_pipeline, event, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.thorough]


def savepoint_of(said: str) -> str:
    return said.split("savepoint ")[1].strip()


def test_jobs_change_between_stop_and_run(shardlake_stack: RunningStack, tmp_path: Path) -> None:
    folder = copy_pipeline(tmp_path / "pipeline", partitions=4)
    health = folder / "flink_jobs" / "service_health.py"
    stack = shardlake_stack.emptied(folder)
    topic = Topic(stack)

    def send(first: int, end: int) -> None:
        topic.send_events([event(number) for number in range(first, end)])

    # The stop is in the middle of the second minute.
    send(0, 90)
    assert "from the start" in stack.shardlake("jobs", "run", "archive", "service_health")
    wait_until_archived(stack, 90)
    first_savepoint = savepoint_of(stack.shardlake("jobs", "stop"))

    # What is counted as an error changes, and sessions are new: windows go on in the middle of their minute.
    original = health.read_text()
    health.write_text(original.replace("`status` >= 500", "`status` >= 600"))
    send(90, 150)
    said = stack.shardlake("jobs", "run", "archive", "service_health", "sessions")
    assert "resumed from" in said
    assert "new here: lake.sessions" in said
    wait_until_archived(stack, 150)
    stack.shardlake("jobs", "stop")

    # Another aggregate is another layout of what open windows keep.
    health.write_text(original.replace("AVG(`latency_ms`)", "MAX(`latency_ms`)"))
    said = stack.shardlake("jobs", "run", "archive", "service_health", exit_code=2)
    assert "The job service_health (behind lake.service_health, topics.service-health) keeps something else now" in said
    assert "was AVG(app_logs.latency_ms) (DOUBLE of DOUBLE), is MAX(app_logs.latency_ms)" in " ".join(said.split())
    assert "jobs finish" in said
    health.write_text(original)

    # Older state would write again what is there.
    said = stack.shardlake("jobs", "run", "archive", "--from", first_savepoint, exit_code=2)
    assert "is older than the lake" in said
    assert "jobs rewind" in said

    # Sessions go again, and a job in Python comes.
    send(150, 240)
    said = stack.shardlake("jobs", "run", "archive", "error_alerts", "service_health")
    assert "no longer written: lake.sessions" in said
    assert "new here: lake.alerts, topics.alerts" in said
    stack.shardlake("jobs", "finish")
    assert all_accounted_for(stack)
    per_minute = rows(
        stack, "SELECT window_start, sum(events)::INT, sum(errors)::INT FROM service_health GROUP BY 1 ORDER BY 1"
    )
    assert [events for _, events, _ in per_minute] == [60, 60, 60, 60]
    # Every tenth failed; from the 90th on none counts as an error, until the definition is back at the 150th.
    assert [errors for _, _, errors in per_minute] == [6, 3, 3, 6]


def test_a_lake_without_its_state_is_not_written_twice_but_anew_on_purpose(stack: RunningStack) -> None:
    jobs = ("archive", "service_health")
    Topic(stack).send_events([event(number) for number in range(240)])
    stack.shardlake("jobs", "run", *jobs)
    wait_until_archived(stack, 240)
    # Commits come after a checkpoint, and the first ones may be refused by a group whose coordinator is new.
    wait_for(lambda: sum(committed(stack).values()) == 240, "the jobs' offsets")
    stack.shardlake("jobs", "stop")
    before = rows(stack, "SELECT event_id FROM app_logs ORDER BY 1")
    remove(stack.settings.jobs)
    said = stack.shardlake("jobs", "run", exit_code=2)
    assert "no savepoint or checkpoint to go on from" in said
    assert "jobs rewind" in said
    assert "writes them again" in stack.shardlake("jobs", "rewind", "--yes")
    assert rows(stack, "SELECT count(*) FROM app_logs") == [(0,)]
    assert committed(stack) == {}
    assert "from the start of the topic" in stack.shardlake("jobs", "run", *jobs)
    assert "are running" in stack.shardlake("jobs", "rewind", "--yes", exit_code=1)
    stack.shardlake("jobs", "finish")
    assert rows(stack, "SELECT event_id FROM app_logs ORDER BY 1") == before
    assert all_accounted_for(stack)
    found = {one["table"]: one for one in json.loads(stack.shardlake("lake", "recount", "--json"))}
    assert found["service_health"]["differences"] == []


def committed(stack: RunningStack) -> dict[int, int]:
    return topics.committed(stack.settings.kafka_bootstrap_servers, GROUP, "app-logs")


def wait_until_archived(stack: RunningStack, count: int) -> None:
    wait_for(lambda: rows(stack, "SELECT count(*) FROM app_logs")[0][0] >= count, f"{count} rows")


ANSWER = [
    {"name": "event_id", "type": "string"},
    {"name": "host", "type": ["null", "string"], "default": None},
    {"name": "client_address", "type": ["null", "string"], "default": None, "pii": "hash"},
    {"name": "event_time", "type": {"type": "long", "logicalType": "timestamp-millis"}},
]
ANSWERS = '''
"""Events that another event's message names, within ten minutes."""

from shardlake.flink.job import Insert, Tables


def build(tables: Tables) -> list[Insert]:
    return [Insert("lake.answers", tables.query(f"""
        SELECT {tables.masked("answers")} FROM (
            SELECT a.event_id, a.referrer AS host, a.client_address,
                CAST(b.event_time AS TIMESTAMP_LTZ(3)) AS event_time
            FROM app_logs a JOIN app_logs b ON a.event_id = b.message
            AND b.event_time BETWEEN a.event_time AND a.event_time + INTERVAL '10' MINUTE)"""))]
'''


def test_a_join_that_keeps_other_columns_is_refused_and_the_one_of_before_goes_on(
    shardlake_stack: RunningStack, tmp_path: Path
) -> None:
    folder = copy_pipeline(tmp_path / "pipeline", partitions=4)
    record = {"type": "record", "name": "Answer", "namespace": "answers", "fields": ANSWER}
    (folder / "schemas" / "answer.avsc").write_text(json.dumps(record))
    with (folder / "schemas" / "topics.toml").open("a") as file:
        file.write('\n[answers]\nschema = "answer"\nevent_time = "event_time"\nlake_table = "answers"\n')
    job = folder / "flink_jobs" / "answers.py"
    job.write_text(ANSWERS)
    stack = shardlake_stack.emptied(folder)
    topic = Topic(stack)
    topic.send_events([event(number, referrer=f"page-{number}") for number in range(60)])
    stack.shardlake("jobs", "run", "archive", "answers")
    wait_until_archived(stack, 60)
    stack.shardlake("jobs", "stop")

    # Types and number stay: the client's address that was kept would be read as the host.
    job.write_text(ANSWERS.replace("a.referrer AS host", "a.host"))
    said = " ".join(stack.shardlake("jobs", "run", "archive", "answers", exit_code=2).split())
    assert "The job answers (behind lake.answers) keeps something else now: in its interval join, column 3" in said
    assert "was app_logs.client_address (STRING), is app_logs.host (STRING)" in said
    assert "jobs finish" in said

    # A condition, and a mask of what the join gives, may change; what waits in the join finds its answers.
    job.write_text(ANSWERS.replace("AND b.event_time", "AND b.status = 200 AND b.event_time"))
    assert "resumed from" in stack.shardlake("jobs", "run", "archive", "answers")
    topic.send_events([event(number, message=f"event-{number - 60}", status=200) for number in range(60, 120)])
    wait_until_archived(stack, 120)
    stack.shardlake("jobs", "finish")
    assert all_accounted_for(stack)
    found = rows(stack, "SELECT event_id, host, client_address FROM answers")
    assert {(name, host) for name, host, _ in found} == {(f"event-{n}", f"page-{n}") for n in range(60)}
    assert len(found) == 60
    assert not [address for _, _, address in found if address.startswith("10.")]
