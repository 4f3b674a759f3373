"""Transactions that a checkpoint has precommitted: what the broker did with them since is read from its own log."""

from __future__ import annotations

import struct
import time
from contextlib import suppress
from pathlib import Path

import pytest
from confluent_kafka import Producer

from shardlake.flink.precommitted import EARLIER_MS, Outcome, Precommitted, _steps, outcomes, precommitted
from shardlake.flink.resume import newest_state
from shardlake.testing.stack import RunningStack
from tests.support import Topic, event, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.thorough]

PREFIX = "shardlake-service-health-9-"
TIMEOUT_MS = 2_000
OPENED, COMMITTED, ABORTED = 0, 1, 2


def begun(stack: RunningStack, number: int, timeout_ms: int = 60_000) -> tuple[Producer, Precommitted]:
    """A transaction on its way, and as a checkpoint would know it."""
    servers, name = stack.settings.kafka_bootstrap_servers, f"{PREFIX}{number}"
    settings = {"bootstrap.servers": servers, "transactional.id": name, "transaction.timeout.ms": timeout_ms}
    producer = Producer(settings)
    producer.init_transactions(60)
    producer.begin_transaction()
    producer.produce("service-health", b"of a test")
    producer.flush()
    since_ms = round(time.time() * 1000) - EARLIER_MS
    step = wait_for(lambda: _steps(servers, {name}, since_ms).get(name), "the transaction in the log")[-1]
    return producer, Precommitted("service-health", name, step.producer_id, step.epoch)


def as_written(transactions: list[Precommitted]) -> bytes:
    """In a state, by Flink's serializer."""
    found = b""
    for one in transactions:
        name = one.transactional_id.encode()
        body = struct.pack(">hqH", one.epoch, one.producer_id, len(name)) + name
        found += struct.pack(">ii", 1, len(body)) + body
    return found


def has_precommitted(stack: RunningStack) -> bool:
    """Tell whether the newest checkpoint has; the next one may replace it meanwhile."""
    with suppress(FileNotFoundError):
        state = newest_state(stack.settings.jobs)
        return state is not None and bool(precommitted(state, ["service-health"]))
    return False


def test_jobs_that_crashed_go_on_where_nothing_was_aborted_and_say_what_was(
    stack: RunningStack, tmp_path: Path
) -> None:
    servers = stack.settings.kafka_bootstrap_servers
    # Each kind of end, on the broker itself; the last one is left to its time-out.
    producers, known = zip(*(begun(stack, number) for number in (OPENED, COMMITTED)), strict=True)
    late, aborted = begun(stack, ABORTED, TIMEOUT_MS)
    producers[COMMITTED].commit_transaction(60)
    (tmp_path / "_metadata").write_bytes(as_written([*known, aborted]))

    def found() -> list[Outcome]:
        return [one for _, one in sorted(outcomes(servers, tmp_path, ["service-health"]).items(), key=str)]

    wait_for(lambda: found()[ABORTED] is not Outcome.OPEN, "the broker's time-out")
    assert found() == [Outcome.OPEN, Outcome.COMMITTED, Outcome.ABORTED]
    producers[OPENED].abort_transaction(60)
    del producers, late

    # A real checkpoint of jobs that write to topics, killed in the middle.
    stack.shardlake("jobs", "run", "archive", "service_health")
    topic, sent = Topic(stack), 0
    while not has_precommitted(stack):
        topic.send_events([event(sent + number) for number in range(120)])
        sent += 120
    stack.stack.servers["jobmanager"].kill()
    stack.stack.servers["taskmanager"].kill()
    state = newest_state(stack.settings.jobs)
    assert state is not None
    of_jobs = outcomes(servers, state, ["service-health", "app-logs.dlq"])
    assert set(of_jobs.values()) <= {Outcome.COMMITTED, Outcome.OPEN}
    for name in ("jobmanager", "taskmanager"):
        stack.stack.restart(name)
        wait_for(stack.stack.servers[name].is_ready, f"the {name}")

    whole = (state / "_metadata").read_bytes()
    (state / "_metadata").write_bytes(whole + as_written([aborted]))
    said = " ".join(stack.shardlake("jobs", "run", "archive", "service_health", exit_code=2).split())
    assert f"what the jobs wrote to service-health in {PREFIX}{ABORTED}" in said
    assert "--skip-lost" in said
    (state / "_metadata").write_bytes(whole)
    said = stack.shardlake("jobs", "run", "archive", "service_health")
    assert "resumed from" in said
    assert "cannot be told" not in said
    stack.shardlake("jobs", "stop")
