"""What is asked for beside the scrapes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from shardlake.errors import Unavailable
from shardlake.lag import background
from shardlake.lag.background import Background
from shardlake.metric import Kind, Metric, Values

pytestmark = pytest.mark.unit

AGE = Metric("age_seconds", Kind.GAUGE, "Of something.")


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert condition()


def told(one: Background) -> dict[str, float]:
    return {metric.name: values[0][1] for metric, values in one.samples()}


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "EVERY_SECONDS", 0.05)


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        (Unavailable("No Flink answers."), "No Flink answers."),
        (OSError("no such disk"), "OSError: no such disk"),
        (KeyError("a bug"), "KeyError: 'a bug'"),
    ],
    ids=["ours", "the machine's", "a bug"],
)
def test_answers_are_told_until_there_are_none_and_the_reason_is_said_once(failure: Exception, words: str) -> None:
    said: list[str] = []
    down = threading.Event()

    def ask() -> Values:
        if down.is_set():
            raise failure
        yield AGE, [((), 5)]

    one = Background("flink", ask, said.append)
    until(lambda: told(one) == {"shardlake_flink_up": 1, "age_seconds": 5})
    down.set()
    until(lambda: told(one) == {"shardlake_flink_up": 0})
    until(lambda: bool(said))
    time.sleep(0.2)
    assert said == [words]
    down.clear()
    until(lambda: told(one) == {"shardlake_flink_up": 1, "age_seconds": 5})


def test_whoever_hangs_is_no_longer_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "STALE_SECONDS", 0.3)
    hangs, goes_on = threading.Event(), threading.Event()

    def ask() -> Values:
        if hangs.is_set():
            goes_on.wait(10)
        yield AGE, [((), 5)]

    one = Background("lake", ask, lambda _: None)
    until(lambda: told(one) == {"shardlake_lake_up": 1, "age_seconds": 5})
    hangs.set()
    until(lambda: told(one) == {"shardlake_lake_up": 0})
    hangs.clear()
    goes_on.set()
    until(lambda: told(one) == {"shardlake_lake_up": 1, "age_seconds": 5})
