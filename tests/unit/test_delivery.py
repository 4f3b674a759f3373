"""Delivery with the real client, against the broker that librdkafka has for tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from shardlake.produce import delivery
from shardlake.produce.delivery import Delivery
from tests.support import wait_for

pytestmark = pytest.mark.unit

TOPIC = "values"
Deliver = Callable[..., Delivery]


@pytest.fixture
def deliver(monkeypatch: pytest.MonkeyPatch) -> Deliver:
    """A Delivery whose client has a broker of its own, and maybe other settings."""

    def make(timeout_seconds: float = 30, batch_values: int = 1000, **settings: Any) -> Delivery:
        def client(given: dict[str, Any]) -> Any:
            return Producer({**given, "test.mock.num.brokers": 1, **settings})

        monkeypatch.setattr(delivery, "Producer", client)
        monkeypatch.setattr(Delivery, "_check", lambda *_: None)
        return Delivery("is replaced", TOPIC, print, timeout_seconds, batch_values)

    return make


def arrived(sent: Delivery) -> list[tuple[bytes | None, bytes | None]]:
    """Key and value of each record, by partition and offset."""
    client = sent._producer  # noqa: SLF001
    broker = next(iter(client.list_topics(timeout=5).brokers.values()))
    consumer = Consumer({"bootstrap.servers": f"{broker.host}:{broker.port}", "group.id": "test", "log_level": 0})
    found: list[Any] = []
    places = [
        TopicPartition(TOPIC, number, 0) for number in client.list_topics(TOPIC, timeout=5).topics[TOPIC].partitions
    ]
    consumer.assign(places)
    total = sum(consumer.get_watermark_offsets(place, timeout=5)[1] for place in places)
    while len(found) < total:
        found += consumer.consume(1000, timeout=1)
    consumer.close()
    found.sort(key=lambda message: (message.partition(), message.offset()))
    return [(message.key(), message.value()) for message in found]


def test_values_arrive_once_in_the_order_of_their_key_also_through_a_full_queue(deliver: Deliver) -> None:
    sending = deliver(**{"queue.buffering.max.messages": 700})
    for number in range(10_000):
        sending.send(b"%d" % number, b"%d" % (number % 7))
    account = sending.finish()
    assert (account.handed_over, account.total_acknowledged, account.failed, account.unknown) == (10_000, 10_000, 0, 0)
    assert account.is_complete
    found = arrived(sending)
    assert len(found) == 10_000
    for key in range(7):
        assert [int(v) for k, v in found if k == b"%d" % key and v] == list(range(key, 10_000, 7))


def test_a_value_that_the_client_refuses_has_failed_and_its_neighbours_arrive(deliver: Deliver) -> None:
    sending = deliver()
    for value in (b"before", b"x" * 9_000_000, b"", None, b"after"):
        sending.send(value, b"key")
    account = sending.finish()
    assert (account.handed_over, account.total_acknowledged, account.failed, account.unknown) == (5, 4, 1, 0)
    assert list(account.reasons.values()) == [1]
    assert "too large" in next(iter(account.reasons)).lower()
    assert [value for _, value in arrived(sending)] == [b"before", b"", None, b"after"]


def test_each_acknowledgement_tells_the_place_and_none_comes_for_what_failed(deliver: Deliver) -> None:
    sending = deliver()
    places: dict[int, tuple[int, int]] = {}
    for number in range(2_500):

        def acknowledged(partition: int, offset: int, number: int = number) -> None:
            assert number not in places
            places[number] = partition, offset

        too_large = number == 1_234
        sending.send(bytes(9_000_000) if too_large else b"value", b"%d" % number, acknowledged)
    account = sending.finish()
    assert account.acknowledged.total() == len(places) == 2_499
    assert 1_234 not in places
    for partition, count in account.acknowledged.items():
        assert sorted(offset for p, offset in places.values() if p == partition) == list(range(count))


def test_a_batch_of_one_is_sent_though_nobody_polls(deliver: Deliver) -> None:
    sending = deliver(batch_values=1)
    sending.send(b"alone")
    assert sending.account.handed_over == 1
    wait_for(lambda: sending._producer.poll(0) or sending.account.total_acknowledged, "the report")  # noqa: SLF001


def test_what_no_broker_takes_is_unknown_when_its_time_is_over(deliver: Deliver) -> None:
    sending = deliver(
        timeout_seconds=1, **{"bootstrap.servers": "127.0.0.1:9", "test.mock.num.brokers": 0, "linger.ms": 5}
    )
    for number in range(2_000):
        sending.send(b"value", b"%d" % number)
    account = sending.finish()
    assert account.handed_over == 2_000
    assert account.total_acknowledged == 0
    assert account.failed + account.unknown == 2_000
    assert not account.is_complete
