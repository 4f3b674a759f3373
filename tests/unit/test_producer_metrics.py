"""What a producer tells Prometheus, from its account."""

from __future__ import annotations

from typing import Any

import pytest

from producers.log_lines import reader
from shardlake.produce import delivery as module
from shardlake.produce.delivery import Account, Delivery
from shardlake.produce.lines import Line
from shardlake.produce.metrics import ProducerCollector
from tests.support import collected, labels

pytestmark = pytest.mark.unit


class Client:
    """In place of confluent_kafka's Producer: it takes all, and reports what it is told to."""

    def __init__(self, _: Any) -> None:
        self.taken: list[Any] = []

    def produce_batch(self, _: str, batch: list[Any], **__: Any) -> int:
        self.taken += batch
        return len(batch)

    def poll(self, _: float) -> None:
        pass


@pytest.fixture
def delivery(monkeypatch: pytest.MonkeyPatch) -> Delivery:
    monkeypatch.setattr(module, "Producer", Client)
    monkeypatch.setattr(Delivery, "_check", lambda *_: None)
    return Delivery("nowhere", "values", print)


def told(delivery: Delivery) -> tuple[dict[str, float], float]:
    """Events by outcome, and those that wait."""
    found = collected(ProducerCollector(delivery))
    events = found["shardlake_producer_events_total"]
    outcomes = {name: events[labels(topic="values", outcome=name)] for name in ("acknowledged", "failed", "unknown")}
    assert len(events) == 3
    return outcomes, found["shardlake_producer_waiting_events"][labels(topic="values")]


def test_every_outcome_is_there_from_the_start(delivery: Delivery) -> None:
    assert told(delivery) == ({"acknowledged": 0, "failed": 0, "unknown": 0}, 0)


def test_lines_are_counted_by_their_format_and_those_of_none_from_the_start(delivery: Delivery) -> None:
    read = reader()
    collector = ProducerCollector(delivery, read.read_lines)

    def lines() -> dict[Any, float]:
        return collected(collector)["shardlake_producer_lines_total"]

    assert lines() == {labels(topic="values", format="none"): 0}
    for number, text in enumerate(['{"msg":"a"}', "else", '{"msg":"b"}', "INFO:a:b"], 1):
        read(Line("a.log", number, number, text), text, "a")
    assert lines() == {
        labels(topic="values", format="none"): 1,
        labels(topic="values", format="json"): 2,
        labels(topic="values", format="python_basic"): 1,
    }


def test_what_waits_for_its_batch_and_for_a_report_waits(delivery: Delivery) -> None:
    for _ in range(7):
        delivery.send(b"value")
    assert told(delivery)[1] == 7
    delivery.poll()
    for _ in range(2):
        delivery.send(b"value")
    assert told(delivery)[1] == 9
    delivery.account.acknowledged.update({0: 3, 1: 1})
    delivery.account.failed += 1
    delivery.account.unknown += 2
    assert told(delivery) == ({"acknowledged": 4, "failed": 1, "unknown": 2}, 2)


def test_what_is_acknowledged_while_it_is_asked_is_never_missed(
    delivery: Delivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    acknowledged: list[bool] = []

    def asked(before: int, after: int) -> int:
        """The event is acknowledged once anything of it was asked."""
        answer = after if acknowledged else before
        acknowledged.append(True)
        return answer

    monkeypatch.setattr(Delivery, "waiting", property(lambda _: asked(1, 0)))
    monkeypatch.setattr(Account, "total_acknowledged", property(lambda _: asked(0, 1)))
    outcomes, waiting = told(delivery)
    assert outcomes["acknowledged"] + waiting >= 1
