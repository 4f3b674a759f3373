"""`shardlake doctor` names the cause of each fault, caused for real, and nothing else."""

from __future__ import annotations

import json
import os
import signal
import socket
from pathlib import Path
from typing import Any

import pytest
import requests

from shardlake.storage import beside
from shardlake.testing.stack import RunningStack
from tests.e2e.lake import dead_letters, has_rows
from tests.support import Topic, copy_pipeline, event, wait_for

pytestmark = pytest.mark.e2e

Findings = dict[str, list[str]]
LETTERS = "dead letters of app-logs"


@pytest.fixture
def stack(shardlake_stack: RunningStack, tmp_path: Path) -> RunningStack:
    """A stack with a pipeline's folder of its own, to spoil and mend."""
    return shardlake_stack.emptied(copy_pipeline(tmp_path / "pipeline", partitions=4))


def amiss(stack: RunningStack, **environment: str) -> Findings:
    """What the doctor finds amiss, by check: what was found, with the fix. Disks are the machine's, and so is a check
    that was cut off: it is asked again."""
    for _ in range(3):
        done = stack.run("doctor", "--json", environment={**stack.environment, **environment})
        findings: list[dict[str, Any]] = json.loads(done.stdout)
        assert done.returncode == (0 if all(one["ok"] for one in findings) else 3)
        if not any(one["found"].startswith("no answer within") for one in findings):
            break
    found: Findings = {}
    for one in findings:
        if not one["ok"] and not one["check"].startswith(("disk", "downloads")):
            assert one["fix"], one
            found.setdefault(one["check"], []).append(f"{one['found']} → {one['fix']}")
    return found


def nothing_else_is_amiss(stack: RunningStack) -> bool:
    """But for the dead letters, of which it speaks for five minutes after they came."""
    return set(amiss(stack)) <= {LETTERS}


def test_a_stack_that_is_well_is_told_to_be(stack: RunningStack) -> None:
    assert amiss(stack) == {}


def test_what_differs_from_the_folder_is_named(stack: RunningStack) -> None:
    folder = stack.pipeline.folder / "schemas"
    registry = stack.settings.schema_registry_url
    kept = {path: path.read_text() for path in folder.iterdir()}
    topics = folder / "topics.toml"
    topics.write_text(
        kept[topics].replace("partitions = 4", "partitions = 5")
        + '\n[missing]\nschema = "service_health"\npartitions = 1\nretention_hours = 1\n'
    )
    schema = folder / "app_log.avsc"
    schema.write_text(kept[schema].replace('{"name": "host",', '{"name": "node",'))
    requests.put(f"{registry}/config", json={"compatibility": "NONE"}, timeout=10).raise_for_status()
    found = amiss(stack)
    requests.put(f"{registry}/config", json={"compatibility": "BACKWARD"}, timeout=10).raise_for_status()
    for path, text in kept.items():
        path.write_text(text)
    assert sorted(found) == ["registry mode", "schemas", "topics"]
    assert "compatibility is NONE" in found["registry mode"][0]
    assert "topic app-logs has 4 partitions, schemas/topics.toml asks for 5" in found["topics"][0]
    assert "there is no topic missing" in found["topics"][1]
    assert "version 1 of app-logs-value differs from schemas/app_log.avsc in host, node" in found["schemas"][0]
    assert "no schema of missing-value is registered" in found["schemas"][1]
    assert amiss(stack) == {}


def test_a_pipeline_that_cannot_be_read_is_named_and_the_servers_are_looked_at_all_the_same(
    stack: RunningStack,
) -> None:
    topics = stack.pipeline.folder / "schemas" / "topics.toml"
    kept = topics.read_text()
    topics.write_text("[app-logs")
    found = amiss(stack)
    topics.write_text(kept)
    assert list(found) == ["pipeline"]
    assert "topics.toml cannot be read" in found["pipeline"][0]


@pytest.mark.thorough
def test_jobs_that_fail_that_are_gone_and_whose_savepoint_is_gone_are_told_with_the_cause(stack: RunningStack) -> None:
    topic, key = Topic(stack), stack.stack.data / "pii.key"
    stack.shardlake("jobs", "run", "archive")
    topic.send_events([event(number) for number in range(100)])
    wait_for(has_rows(stack, 100), "rows")
    assert amiss(stack) == {}

    # Many dead letters at once.
    topic.send([b"\x00\x00\x00\x00\x07no event"] * 30, [b"one"] * 30)
    wait_for(lambda: dead_letters(stack) == 30, "the dead letters")
    found = amiss(stack)
    assert list(found) == [LETTERS]
    assert "30 of 130 records of the last 5 minutes, most of them" in found[LETTERS][0]

    # A job that cannot start again, and so completes no checkpoint.
    key.rename(key.with_name("elsewhere"))
    stack.stack.restart("taskmanager")
    found = wait_for(
        lambda: "checkpoints" in (now := amiss(stack)) and "PII" in str(now.get("jobs")) and now, "the failure"
    )
    assert f"The PII key cannot be read from {key}" in found["jobs"][0]
    assert "none has completed for" in found["checkpoints"][0]
    key.with_name("elsewhere").rename(key)
    wait_for(lambda: nothing_else_is_amiss(stack), "jobs that are well again")

    # A savepoint that is gone.
    stack.shardlake("jobs", "stop")
    assert nothing_else_is_amiss(stack)
    last = beside(stack.settings.jobs, json.loads((stack.settings.jobs / "last.json").read_text())["savepoint"])
    metadata = (last / "_metadata").read_bytes()
    (last / "_metadata").unlink()
    found = amiss(stack)
    assert f"the savepoint with which the jobs were stopped is gone: {last}" in found["savepoint"][0]
    (last / "_metadata").write_bytes(metadata)

    # Jobs that are gone though nobody has stopped them.
    stack.shardlake("jobs", "run", "archive")
    wait_for(lambda: nothing_else_is_amiss(stack), "jobs that run again")
    stack.stack.restart("jobmanager")
    found = wait_for(lambda: "flink" not in (now := amiss(stack)) and "jobs" in now and now, "a new job manager")
    assert "not running, and nobody has stopped them" in found["jobs"][0]


def test_servers_that_are_stopped_or_killed_are_named_and_nothing_hangs(stack: RunningStack) -> None:
    servers = stack.stack.servers
    for server in servers.values():
        os.kill(server.pid, signal.SIGSTOP)
    found = amiss(stack)
    for server in servers.values():
        os.kill(server.pid, signal.SIGCONT)
    assert sorted(found) == sorted(servers)
    for name, server in servers.items():
        assert f"stopped: a signal has stopped its process → Let it go on: `kill -CONT {server.pid}`" in found[name][0]

    servers["registry"].kill()
    stack.stack.note_ended()
    found = amiss(stack)
    assert "registry" in found
    assert "registry mode" not in found
    assert "down: it was ended by SIGKILL" in found["registry"][0]
    assert str(servers["registry"].log) in found["registry"][0]
    stack.stack.restart("registry")


@pytest.mark.thorough
def test_an_address_where_nobody_answers_and_one_that_a_broker_does_not_advertise(stack: RunningStack) -> None:
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        address = f"127.0.0.1:{mute.getsockname()[1]}"
        found = amiss(
            stack,
            KAFKA_BOOTSTRAP_SERVERS=address,
            SCHEMA_REGISTRY_URL=f"http://{address}",
            FLINK_REST_URL=f"http://{address}",
        )
    assert sorted(found) == ["broker", "flink", "registry"]
    assert all(f"nobody answers at {address}" in words[0].replace("http://", "") for words in found.values())

    properties = stack.stack.data / "kafka" / "server.properties"
    here = stack.settings.kafka_bootstrap_servers
    kept = properties.read_text()
    listens, elsewhere = (f"advertised.listeners=PLAINTEXT://{address}" for address in (here, "127.0.0.1:1"))
    properties.write_text(kept.replace(listens, elsewhere))
    try:
        stack.stack.restart("kafka")
        found = wait_for(lambda: "which does not answer" in str(now := amiss(stack)) and now, "a restarted broker")
    finally:
        properties.write_text(kept)
        stack.stack.restart("kafka")
    assert f"broker 1 advertises 127.0.0.1:1, which does not answer; you used {here}" in found["broker"][0]
    assert "advertised.listeners" in found["broker"][0]
