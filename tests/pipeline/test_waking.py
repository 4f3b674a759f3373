"""Watermarks of a source that wakes after silence: none closes windows before the other partitions were read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from shardlake.testing.jobs import mini_cluster_environment

pytestmark = pytest.mark.unit

NONE, LAST = -(2**63), 2**63 - 1


@pytest.fixture
def flink() -> Iterator[Any]:
    with mini_cluster_environment():
        from pyflink.java_gateway import get_gateway

        yield get_gateway().jvm.io.shardlake.flink


def test_a_source_that_was_never_idle_holds_nothing(flink: Any) -> None:
    waking = flink.Waking()
    assert not waking.wake(1_000)
    assert [waking.watermark(mark, 1_000) for mark in (7, 8)] == [7, 8]
    assert waking.sleep() == NONE


def test_the_first_watermarks_after_silence_wait(flink: Any) -> None:
    waking = flink.Waking()
    assert waking.watermark(7, 0) == 7
    assert waking.sleep() == NONE
    assert waking.wake(60_000)
    assert waking.until() == 65_000
    assert [waking.watermark(mark, at) for mark, at in ((100, 60_200), (200, 64_999))] == [NONE, NONE]
    assert waking.due(65_000) == 200
    assert waking.due(65_001) == NONE
    assert waking.watermark(300, 65_001) == 300


def test_silence_again_sends_what_was_held(flink: Any) -> None:
    waking = flink.Waking()
    waking.sleep()
    waking.wake(1_000)
    assert waking.watermark(5, 1_100) == NONE
    assert waking.sleep() == 5
    assert waking.wake(2_000)
    assert waking.watermark(9, 2_100) == NONE
    assert waking.due(6_000) == NONE  # the timer of the first waking
    assert waking.due(7_000) == 9


def test_the_watermark_of_a_drain_is_never_held(flink: Any) -> None:
    waking = flink.Waking()
    waking.sleep()
    waking.wake(1_000)
    assert waking.watermark(5, 1_100) == NONE
    assert waking.watermark(LAST, 1_200) == LAST
    assert waking.due(6_000) == NONE
