"""A topic that is made anew, and one that loses records, while no job runs: `jobs run` does not pass over it."""

from __future__ import annotations

import pytest

from shardlake import topics
from shardlake.provision import provision
from shardlake.testing.stack import RunningStack
from tests.e2e.checking import verify
from tests.e2e.lake import all_accounted_for, has_rows, rows
from tests.support import Topic, event, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.thorough]

BEFORE, AFTER = 80, 400


def files(stack: RunningStack) -> list[str]:
    return sorted(str(file) for file in (stack.settings.lake / "app_logs").rglob("*.parquet"))


def test_a_topic_that_was_made_anew_is_refused_until_the_jobs_begin_anew(stack: RunningStack) -> None:
    servers = stack.settings.kafka_bootstrap_servers
    Topic(stack).send_events([event(number) for number in range(BEFORE)])
    stack.shardlake("jobs", "run", "archive")
    wait_for(has_rows(stack, BEFORE), "rows of the first topic")
    stack.shardlake("jobs", "stop")
    first_id, before = topics.topic_id(servers, "app-logs"), files(stack)

    topics.delete(servers, ["app-logs"])
    provision(stack.pipeline, stack.settings)
    Topic(stack).send_events([event(BEFORE + number) for number in range(AFTER)])
    said = stack.shardlake("jobs", "run", "archive", exit_code=2)
    assert "app-logs is another topic of the same name" in said
    assert first_id in said
    assert topics.topic_id(servers, "app-logs") in said
    assert "jobs rewind" in said
    assert files(stack) == before

    stack.shardlake("jobs", "rewind", "--yes")
    assert "from the start of the topic" in stack.shardlake("jobs", "run", "archive")
    stack.shardlake("jobs", "finish")
    assert rows(stack, "SELECT count(*), count(DISTINCT event_id) FROM app_logs") == [(AFTER, AFTER)]
    assert all_accounted_for(stack)
    assert verify(stack, 0, [])["conclusion"] == "holds"
