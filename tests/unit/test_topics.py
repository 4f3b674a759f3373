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
