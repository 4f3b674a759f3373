"""A topic that is made anew, and one that loses records, while no job runs: `jobs run` does not pass over it."""

from __future__ import annotations

from pathlib import Path

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from shardlake import topics
from shardlake.lake.identity import RECREATED
from shardlake.provision import provision
from shardlake.testing.stack import RunningStack
from tests.e2e.checking import verify
from tests.e2e.lake import all_accounted_for, has_rows, rows
from tests.support import Topic, event, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.thorough]

BEFORE, AFTER = 80, 400


def files(stack: RunningStack) -> list[str]:
    return sorted(str(file) for file in (stack.settings.lake / "app_logs").rglob("*.parquet"))


def send(stack: RunningStack, run: Path, numbers: range) -> None:
    """Send events, with a ledger in the run's folder."""
    Topic(stack, run).send_events([event(number) for number in numbers])


def test_a_topic_that_was_made_anew_is_refused_until_the_jobs_begin_anew(stack: RunningStack, tmp_path: Path) -> None:
    servers, one, two = stack.settings.kafka_bootstrap_servers, tmp_path / "one", tmp_path / "two"
    send(stack, one, range(BEFORE))
    stack.shardlake("jobs", "run", "archive")
    wait_for(has_rows(stack, BEFORE), "rows of the first topic")
    stack.shardlake("jobs", "stop")
    first_id, before = topics.topic_id(servers, "app-logs"), files(stack)

    topics.delete(servers, ["app-logs"])
    provision(stack.pipeline, stack.settings)
    send(stack, two, range(BEFORE, BEFORE + AFTER))
    said = stack.shardlake("jobs", "run", "archive", exit_code=2)
    assert "app-logs is another topic of the same name" in said
    assert first_id in said
    assert topics.topic_id(servers, "app-logs") in said
    assert "jobs rewind" in said
    assert files(stack) == before
    assert "app-logs was made anew: the broker's has the id" in stack.run("doctor", "--json").stdout
    # The lake is of the first topic, and so is the first run; the second run is where it must be.
    assert verify(stack, 1, [two])["counts"] == {RECREATED: 1}
    assert verify(stack, 1, [one])["counts"] == {RECREATED: 2}

    stack.shardlake("jobs", "rewind", "--yes")
    assert "from the start of the topic" in stack.shardlake("jobs", "run", "archive")
    stack.shardlake("jobs", "finish")
    assert rows(stack, "SELECT count(*), count(DISTINCT event_id) FROM app_logs") == [(AFTER, AFTER)]
    assert all_accounted_for(stack)
    assert verify(stack, 0, [two])["conclusion"] == "holds"
    assert verify(stack, 1, [two, one])["counts"] == {RECREATED: 1}


def test_records_that_went_while_no_job_ran_are_refused_until_they_are_given_up(stack: RunningStack) -> None:
    servers = stack.settings.kafka_bootstrap_servers
    Topic(stack).send_events([event(number) for number in range(BEFORE)])
    stack.shardlake("jobs", "run", "archive")
    wait_for(has_rows(stack, BEFORE), "rows of what was read")
    stack.shardlake("jobs", "stop")
    read, before = topics.offsets(servers, "app-logs"), files(stack)
    Topic(stack).send_events([event(BEFORE + number) for number in range(AFTER)])
    ends = topics.offsets(servers, "app-logs")
    partition = max(ends, key=lambda one: ends[one][1] - read[one][1])
    goes_on, first = read[partition][1], ends[partition][1] - 1
    place = TopicPartition("app-logs", partition, first)
    admin = AdminClient({"bootstrap.servers": servers})  # its futures die with it
    admin.delete_records([place])[place].result(30)

    gone = f"{first - goes_on} of app-logs-{partition} (offsets {goes_on} to {first - 1})"
    doctor = stack.run("doctor", "--json")
    assert f"no job has read them: {gone}" in doctor.stdout
    said = " ".join(stack.shardlake("jobs", "run", "archive", exit_code=2).split())
    assert f"records that the jobs have not read and the topic no longer has: {gone}" in said
    assert "--skip-lost" in said
    assert files(stack) == before

    assert f"no longer has: {gone}" in stack.shardlake("jobs", "run", "archive", "--skip-lost")
    stack.shardlake("jobs", "finish")
    left = BEFORE + AFTER - (first - goes_on)
    assert rows(stack, "SELECT count(*), count(DISTINCT event_id) FROM app_logs") == [(left, left)]
    stack.shardlake("jobs", "run", "archive")
    stack.shardlake("jobs", "stop")
