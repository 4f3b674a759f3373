"""Late events, sessions and alerts, through a task manager that dies: every event is in a window or listed as late."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from shardlake.flink.cluster import Cluster
from shardlake.lake.query import query
from shardlake.lake.tables import VISIBLE, lake_tables
from shardlake.storage import find
from shardlake.testing.stack import RunningStack, running_stack
from tests.support import START, Topic, copy_pipeline, event, wait_for

pytestmark = pytest.mark.e2e

MINUTES = 12
BURST_MINUTE = 10
LATE = (30, 90, 150)
"""Seconds after START: of windows that have closed when these come."""


def rows(stack: RunningStack, sql: str) -> list[tuple[Any, ...]]:
    return query(sql, lake_tables(stack.settings.lake, stack.pipeline)).rows


def at(second: int, number: int) -> dict[str, Any]:
    burst = BURST_MINUTE * 60 <= second < BURST_MINUTE * 60 + 60
    client = "visitor" if second < 120 else "regular"
    return event(second, event_id=f"e-{number}", service="api", status=500 if burst else 200, client_address=client)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """Twelve minutes of one service, one of them a burst of errors; then a kill, and late events right after it."""
    folder = copy_pipeline(tmp_path_factory.mktemp("pipeline"), partitions=1)
    with running_stack(folder, tmp_path_factory.mktemp("state"), parallelism=1) as stack:
        topic = Topic(stack)
        stack.shardlake("jobs", "run", "--set", "sessions.gap_minutes=3")
        topic.send_events([at(second, second) for second in range(MINUTES * 60)])
        wait_for(lambda: rows(stack, "SELECT count(*) FROM service_health")[0][0] >= 9, 60, "closed windows")
        # Before any new watermark: these are what Flink's own windows drop without a trace.
        stack.stack.servers["taskmanager"].restart()
        topic.send_events([at(second, 10_000 + second) for second in LATE])
        wait_for(lambda: rows(stack, "SELECT count(*) FROM late_events")[0][0] > 0, 90, "late events")
        cluster = Cluster(stack.settings.flink_rest_url)
        job_id = cluster.jobs()[0].job_id
        # Once for service_health, once for sessions.
        wait_for(lambda: cluster.late_events(job_id) == 2 * len(LATE), 30, "the metric late_events")
        assert f" {2 * len(LATE)} " in stack.shardlake("jobs", "list")
        topic.send_events([at(MINUTES * 60 + second, 20_000 + second) for second in range(60)])
        stack.shardlake("jobs", "finish")
        yield stack


def test_late_events_are_listed_with_the_window_that_they_missed(stack: RunningStack) -> None:
    found = rows(
        stack,
        "SELECT event_id, service, missed_table, window_start, window_end, event_time, closed_until, archived "
        'FROM late_events l JOIN (SELECT event_id AS archived, topic, "partition", "offset" FROM app_logs) '
        'USING (topic, "partition", "offset") ORDER BY missed_table, event_time',
    )
    health = [row for row in found if row[2] == "service_health"]
    assert [row[0] for row in health] == [f"e-{10_000 + second}" for second in LATE]
    for second, (event_id, service, _, start, end, time, closed_until, archived) in zip(LATE, health, strict=True):
        assert service == "api"
        assert archived == event_id
        assert (time - START.replace(tzinfo=None)).total_seconds() == second
        assert (end - start).total_seconds() == 60
        assert start <= time < end <= closed_until
    # For sessions with a gap of three minutes the watermark must be further.
    assert [row[0] for row in found if row[2] == "sessions"] == [f"e-{10_000 + second}" for second in LATE]


def test_each_event_is_in_a_window_or_late_and_the_recount_agrees(stack: RunningStack) -> None:
    total = MINUTES * 60 + len(LATE) + 60
    assert rows(stack, "SELECT count(*), count(DISTINCT event_id) FROM app_logs") == [(total, total)]
    windows = rows(stack, "SELECT window_start, events FROM service_health ORDER BY 1")
    assert [events for _, events in windows] == [60] * (MINUTES + 1)
    found = {one["table"]: one for one in json.loads(recount(stack))}
    assert {name: one["differences"] for name, one in found.items()} == {"service_health": [], "sessions": []}
    assert {name: one["late_events"] for name, one in found.items()} == {"service_health": 3, "sessions": 3}


def test_sessions_end_after_the_gap(stack: RunningStack) -> None:
    found = rows(stack, "SELECT session_start, session_end, events, errors, services FROM sessions ORDER BY 1")
    offsets = [
        ((start - START.replace(tzinfo=None)).seconds, (end - START.replace(tzinfo=None)).seconds, *numbers)
        for start, end, *numbers in found
    ]
    assert offsets == [(0, 119, 120, 0, 1), (120, MINUTES * 60 + 59, MINUTES * 60 - 60, 60, 1)]


def test_a_burst_raises_one_alert_in_the_lake_and_in_the_topic(stack: RunningStack) -> None:
    from shardlake import topics
    from shardlake.avro.codec import Decoder
    from shardlake.avro.registry import Registry

    found = rows(stack, "SELECT window_start, service, events, errors, error_ratio, usual_error_ratio FROM alerts")
    assert [((row[0] - START.replace(tzinfo=None)).seconds, *row[1:]) for row in found] == [
        (BURST_MINUTE * 60, "api", 60, 60, 1.0, 0.0)
    ]
    decoder = Decoder(stack.pipeline.schemas["alert"], Registry(stack.settings.schema_registry_url))
    (message,) = topics.read(stack.settings.kafka_bootstrap_servers, "alerts")
    assert (message.key(), decoder.decode(message.value())["errors"]) == (b"api", 60)


def test_a_window_that_is_not_as_the_archive_says_is_named(stack: RunningStack) -> None:
    """The recount is checked: one file of the archive taken away, and it names the cell."""
    file = find(stack.settings.lake / "late_events", VISIBLE)[0].path
    kept = file.read_bytes()
    file.unlink()
    try:
        said = recount(stack, exit_code=1)
    finally:
        file.write_bytes(kept)
    found = json.loads(said[: said.rindex("]") + 1])
    what = Counter(cell["what"] for one in found if one["table"] == "service_health" for cell in one["differences"])
    assert what["events"] == len(LATE)


def recount(stack: RunningStack, exit_code: int = 0) -> str:
    return stack.shardlake("lake", "recount", "--set", "sessions.gap_minutes=3", "--json", exit_code=exit_code)
