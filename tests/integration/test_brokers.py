"""One broker of three killed under load, and two of them: what is acknowledged is there, and nothing else is told."""

from __future__ import annotations

import time
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient

from tests.integration.conftest import Way
from tests.support import json_in, wait_for

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1200)]


def partitions(way: Way) -> dict[int, Any]:
    admin = AdminClient({"bootstrap.servers": way.servers, "log_level": 0})
    name = way.containers.pipeline.events_topic.name
    return dict(admin.list_topics(name, timeout=20).topics[name].partitions)


def in_sync(way: Way) -> int:
    """Of the partition that has the fewest."""
    return min(len(partition.isrs) for partition in partitions(way).values())


def test_a_broker_killed_under_load_stops_nobody(way: Way) -> None:
    assert in_sync(way) == 3
    producing = way.containers.start(*way.produce("--synthetic", "--rate", "300", "--duration", "30", "--seed", "11"))
    before = way.ends()
    wait_for(lambda: all(end > before[p] for p, end in way.ends().items()), 30, "events in all partitions")
    leader = partitions(way)[0].leader
    way.containers.kill(f"kafka-{leader}")
    wait_for(lambda: in_sync(way) == 2, 30, "under-replication to be seen")
    assert partitions(way)[0].leader != leader
    at_kill = way.ends()
    wait_for(lambda: all(end > at_kill[p] for p, end in way.ends().items()), 30, "events in all partitions again")
    assert in_sync(way) == 2
    way.containers.start_again(f"kafka-{leader}")
    wait_for(lambda: in_sync(way) == 3, 60, "the broker to catch up")

    output, _ = producing.communicate(timeout=90)
    summary = json_in(output)
    assert producing.returncode == 0
    assert summary["acknowledged"] == summary["sent"] == 9000
    way.await_accounted_for()
    assert way.verify()["counts"] == {}


def test_one_broker_alone_acknowledges_nothing(way: Way) -> None:
    environment = {**way.containers.environment, "SHARDLAKE_DELIVERY_SECONDS": "10"}
    producing = way.containers.start(
        *way.produce("--synthetic", "--rate", "200", "--duration", "30", "--seed", "12"), environment=environment
    )
    before = way.acknowledged()
    wait_for(lambda: way.acknowledged() > before, 40, "events to be acknowledged")
    killed = ("kafka-1", "kafka-2")
    for broker in killed:
        way.containers.kill(broker)
    time.sleep(2)  # what was on its way is told of
    alone = way.acknowledged()
    output, _ = producing.communicate(timeout=120)
    assert way.acknowledged() == alone
    assert producing.returncode == 1
    assert "events were not acknowledged" in output
    assert "Traceback" not in output

    for broker in killed:
        way.containers.start_again(broker)
    wait_for(lambda: in_sync(way) == 3, 90, "all brokers to catch up")
    way.await_accounted_for()
    assert way.verify()["counts"] == {}
