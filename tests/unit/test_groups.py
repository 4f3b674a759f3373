"""Groups of a broker that has just started."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from shardlake.groups import names

pytestmark = pytest.mark.unit


class Admin:
    """An admin client that answers with each of the errors, and then with the groups."""

    def __init__(self, *errors: int) -> None:
        self._errors: Iterator[int] = iter(errors)

    def list_consumer_groups(self, *, request_timeout: float) -> Future[Any]:
        code = next(self._errors, None)
        groups = [SimpleNamespace(group_id=name, state=SimpleNamespace(name="EMPTY")) for name in ("b", "a")]
        found: Future[Any] = Future()
        found.set_result(SimpleNamespace(errors=[KafkaError(code)] if code is not None else [], valid=groups))
        return found


def test_a_broker_that_loads_its_groups_yet_is_asked_again() -> None:
    loading = KafkaError.COORDINATOR_LOAD_IN_PROGRESS
    assert names(Admin(loading, loading)) == ["a", "b"]


def test_any_other_error_is_raised_at_once() -> None:
    with pytest.raises(KafkaException):
        names(Admin(KafkaError.GROUP_AUTHORIZATION_FAILED))
