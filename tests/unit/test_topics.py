"""Asking brokers for offsets while one takes over from another: what passes is waited for, the rest is said."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from confluent_kafka import KafkaError, KafkaException

from shardlake import topics

pytestmark = pytest.mark.unit


def answers(*codes: int) -> Callable[[], str]:
    """Fails with each code in turn, and then tells."""
    left = list(codes)

    def ask() -> str:
        if left:
            raise KafkaException(KafkaError(left.pop(0)))
        return "told"

    return ask


def test_a_leader_that_moves_is_asked_again() -> None:
    moving = (KafkaError.UNKNOWN_LEADER_EPOCH, KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.NOT_COORDINATOR)
    assert topics.while_moving(answers(*moving)) == "told"


def test_a_topic_that_is_not_there_is_said_at_once() -> None:
    with pytest.raises(KafkaException, match="UNKNOWN_TOPIC_OR_PART"):
        topics.while_moving(answers(KafkaError.UNKNOWN_TOPIC_OR_PART))


def test_a_leader_that_never_comes_is_said_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topics, "TIMEOUT_SECONDS", 0.3)
    with pytest.raises(KafkaException, match="LEADER_NOT_AVAILABLE"):
        topics.while_moving(answers(*[KafkaError.LEADER_NOT_AVAILABLE] * 1000))


@pytest.mark.parametrize(
    ("bounds", "records", "end"),
    [
        ((0, 0), [], 0),
        ((5, 5), [], 5),
        ((0, 3), [0, 1, 2], 3),
        ((0, 3), [0, 1], 2),  # a marker is last
        ((0, 1_000), [3], 4),  # what came after it was aborted
        ((7, 40), [], 7),  # nothing but markers is left
    ],
)
def test_the_end_of_records_is_before_markers(
    monkeypatch: pytest.MonkeyPatch, bounds: tuple[int, int], records: list[int], end: int
) -> None:
    class Message:
        def __init__(self, offset: int) -> None:
            self.offset = lambda: offset
            self.partition = lambda: 0

    def read(servers: str, topic: str, ranges: dict[int, tuple[int, int]]) -> list[list[Message]]:
        return [[Message(one) for one in records if ranges[0][0] <= one < ranges[0][1]]]

    monkeypatch.setattr(topics, "offsets", lambda servers, topic: {0: bounds})
    monkeypatch.setattr(topics, "read_batches", read)
    assert topics.ends_of_records("", "t") == {0: (bounds[0], end)}
