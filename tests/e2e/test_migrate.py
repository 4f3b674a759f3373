"""A lake that an older version wrote: its form stays through runs, and changes when the user says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from shardlake.testing.stack import RunningStack
from tests.e2e.checking import verify
from tests.e2e.lake import as_older_versions_wrote, has_rows, rows
from tests.support import Topic, event, has_instants, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.thorough]

JOBS = ("archive", "service_health")
EACH = 150
"""Two and a half minutes of events: a window is open whenever the jobs are stopped."""


def files(stack: RunningStack) -> list[Path]:
    lake = stack.settings.lake
    assert isinstance(lake, Path)
    return [path for name in ("app_logs", "service_health") for path in (lake / name).rglob("[!._]*.parquet")]


def run(stack: RunningStack, numbers: range) -> None:
    """Let the jobs read so many more events."""
    Topic(stack).send_events([event(number) for number in numbers])
    stack.shardlake("jobs", "run", *JOBS)
    wait_for(has_rows(stack, numbers.stop), "the rows of all events")


def test_a_lake_keeps_its_form_until_it_is_migrated(stack: RunningStack) -> None:
    run(stack, range(EACH))
    stack.shardlake("jobs", "stop")
    assert files(stack)
    assert all(map(has_instants, files(stack)))
    for file in files(stack):
        as_older_versions_wrote(file)

    run(stack, range(EACH, 2 * EACH))
    assert "The jobs are running" in stack.shardlake("lake", "migrate", exit_code=1)
    stack.shardlake("jobs", "stop")
    assert len(files(stack)) > 2
    assert not any(map(has_instants, files(stack)))

    before = rows(stack, "SELECT * FROM app_logs ORDER BY event_id")
    said = stack.shardlake("lake", "migrate")
    assert "the old ones are in" in said
    assert all(map(has_instants, files(stack)))
    assert rows(stack, "SELECT * FROM app_logs ORDER BY event_id") == before
    assert "nothing to do" in stack.shardlake("lake", "migrate")

    run(stack, range(2 * EACH, 3 * EACH))
    stack.shardlake("jobs", "finish")
    assert all(map(has_instants, files(stack)))
    assert verify(stack, 0, [])["conclusion"] == "holds"
    times = rows(stack, "SELECT event_id, event_time FROM app_logs")
    assert {f"event-{n}": event(n)["event_time"].replace(tzinfo=None) for n in range(3 * EACH)} == dict(times)
