"""One broker of three killed under load, and two of them: what is acknowledged is there, and nothing else is told."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient

from tests.integration.conftest import Way
from tests.support import PATIENCE_SECONDS, wait_for

pytestmark = [pytest.mark.integration, pytest.mark.thorough, pytest.mark.timeout(1200)]


def partitions(way: Way) -> dict[int, Any]:
    admin = AdminClient({"bootstrap.servers": way.servers, "log_level": 0})
    name = way.containers.pipeline.events_topic.name
    return dict(admin.list_topics(name, timeout=20).topics[name].partitions)


def in_sync(way: Way) -> int:
    """Of the partition that has the fewest."""
    return min(len(partition.isrs) for partition in partitions(way).values())


def is_led_by_two_others(way: Way, broker: int) -> bool:
    found = partitions(way)
    return found[0].leader not in (broker, -1) and min(len(partition.isrs) for partition in found.values()) == 2


def test_a_broker_killed_under_load_stops_nobody(way: Way) -> None:
    wait_for(lambda: in_sync(way) == 3, "all brokers to be in sync")
    producing = way.containers.start(*way.produce("--synthetic", "--rate", "300", "--duration", "inf", "--seed", "11"))
    before = way.ends()
    wait_for(lambda: all(end > before[p] for p, end in way.ends().items()), "events in all partitions")
    leader = partitions(way)[0].leader
    way.containers.kill(f"kafka-{leader}")
    wait_for(lambda: is_led_by_two_others(way, leader), "another leader, and under-replication")
    at_kill = way.ends()
    wait_for(lambda: all(end > at_kill[p] for p, end in way.ends().items()), "events in all partitions again")
    assert in_sync(way) < 3
    way.containers.start_again(f"kafka-{leader}")
    wait_for(lambda: in_sync(way) == 3, "the broker to catch up")

    assert way.stopped(producing) > 0
    way.await_accounted_for()
    assert way.verify()["counts"] == {}


def settled(ask: Callable[[], int]) -> int:
    """What was on its way is told of, and written down a moment after."""
    answers = [ask()]
    while len(set(answers[-4:])) > 1 or len(answers) < 4:
        time.sleep(1)
        answers.append(ask())
    return answers[-1]


def test_one_broker_alone_acknowledges_nothing(way: Way) -> None:
    environment = {**way.containers.environment, "SHARDLAKE_DELIVERY_SECONDS": "10"}
    producing = way.containers.start(
        *way.produce("--synthetic", "--rate", "200", "--duration", "20", "--seed", "12"), environment=environment
    )
    before = way.acknowledged()
    wait_for(lambda: way.acknowledged() > before, "events to be acknowledged")
    killed = ("kafka-1", "kafka-2")
    for broker in killed:
        way.containers.kill(broker)
    alone = settled(way.acknowledged)
    output, _ = producing.communicate(timeout=PATIENCE_SECONDS)
    assert way.acknowledged() == alone
    assert producing.returncode == 1
    assert "events were not acknowledged" in output
    assert "Traceback" not in output

    for broker in killed:
        way.containers.start_again(broker)
    wait_for(lambda: in_sync(way) == 3, "all brokers to catch up")
    way.await_accounted_for()
    assert way.verify()["counts"] == {}
