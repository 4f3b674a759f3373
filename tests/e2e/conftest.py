"""The two stacks that each process of the tests has: one without Flink, and a whole one, emptied for who uses it."""

from __future__ import annotations

import pytest

from shardlake.testing.stack import RunningStack
from tests.support import ROOT


@pytest.fixture
def broker(shardlake_broker: RunningStack) -> RunningStack:
    """Kafka and the registry, empty: the test may kill what it likes."""
    return shardlake_broker.emptied(ROOT)


@pytest.fixture
def stack(shardlake_stack: RunningStack) -> RunningStack:
    """A whole stack, empty: the test may kill what it likes."""
    return shardlake_stack.emptied(ROOT)
