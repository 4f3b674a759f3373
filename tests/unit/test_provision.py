"""Which of a broker's errors are of its start, and asked about again."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError, KafkaException

from shardlake.errors import Unavailable
from shardlake.provision import _passes

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("code", "passes"),
    [
        (KafkaError._TRANSPORT, True),  # noqa: SLF001
        (KafkaError._TIMED_OUT, True),  # noqa: SLF001
        (KafkaError.INVALID_REPLICATION_FACTOR, True),  # the other brokers are on their way
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, False),
        (KafkaError.POLICY_VIOLATION, False),
    ],
)
def test_an_error_of_a_start_passes(code: int, passes: bool) -> None:
    error = Unavailable("Topic app-logs could not be made.")
    error.__cause__ = KafkaException(KafkaError(code))
    assert _passes(error) is passes


def test_an_error_that_is_not_the_broker_s_passes() -> None:
    assert _passes(Unavailable("The registry does not answer."))
