"""Waiting for servers that start, with a clock of ours and servers that are none; what a launcher says at its end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from shardlake.cli.launcher import _error
from shardlake.errors import BadInput, ShardlakeError, Unavailable
from shardlake.patience import STILL_SECONDS
from shardlake.progress import Use, Uses
from shardlake.stack.starting import await_ready
from tests.unit.clock import Clock

pytestmark = pytest.mark.unit


@dataclass
class Fake:
    """A server that is ready at a time; it writes a line to its log whenever it is asked."""

    clock: Clock
    log: Path
    pid: int
    ready_at: float
    line: Callable[[float], str] = lambda _: ""
    use: Callable[[float], Use] = lambda now: Use(0.05 * now)

    def is_ready(self) -> bool:
        with self.log.open("a") as log:
            log.write(f"{self.line(self.clock.now)}\n")
        return self.clock.now >= self.ready_at

    def log_tail(self) -> str:
        return self.log.read_text().splitlines()[-1]


@pytest.fixture
def clock() -> Clock:
    return Clock()


def wait(clock: Clock, **servers: Fake) -> list[str]:
    def measure(pids: list[int]) -> Uses:
        return {(one.pid, 0): one.use(clock.now) for one in servers.values() if one.pid in pids}

    told: list[str] = []
    await_ready(servers, told.append, clock.patience(), measure)
    return told


@pytest.mark.parametrize(
    ("use", "line"),
    [
        (lambda now: Use(0.5 * now), lambda _: ""),
        (lambda now: Use(0.001 * now, 0.99 * now), lambda _: ""),  # starved
        (lambda now: Use(0.0), lambda now: f"loading {'x' * (int(now) // 30)}"),
    ],
)
def test_a_server_that_works_or_wants_to_or_says_something_new_is_waited_for(
    tmp_path: Path, clock: Clock, use: Callable[[float], Use], line: Callable[[float], str]
) -> None:
    kafka = Fake(clock, tmp_path / "kafka.log", 1, 1000, line, use)
    registry = Fake(clock, tmp_path / "registry.log", 2, 4)
    assert wait(clock, kafka=kafka, registry=registry) == ["registry", "kafka"]
    assert clock.now >= 1000
    assert clock.said[0] == "waiting for kafka (10 s)"


def test_a_server_that_says_the_same_again_and_again_is_given_up(tmp_path: Path, clock: Clock) -> None:
    kafka = Fake(
        clock, tmp_path / "kafka.log", 1, 1000, lambda now: f"{now} WARN attempt {int(now)} to find the quorum"
    )
    with pytest.raises(Unavailable) as raised:
        wait(clock, kafka=kafka)
    assert raised.value.message.startswith("The kafka does not answer: for 6")
    assert raised.value.message.endswith("to find the quorum")
    assert clock.now < 2 * STILL_SECONDS


def test_the_work_of_a_server_that_answers_helps_no_other(tmp_path: Path, clock: Clock) -> None:
    kafka = Fake(clock, tmp_path / "kafka.log", 1, 1000)
    registry = Fake(clock, tmp_path / "registry.log", 2, 4, use=lambda now: Use(now))
    with pytest.raises(Unavailable, match="The kafka does not answer"):
        wait(clock, kafka=kafka, registry=registry)


def test_a_launcher_s_error_is_its_own_words_and_never_empty(tmp_path: Path) -> None:
    log = tmp_path / "launcher.log"
    log.write_text("kafka is ready\nwaiting for registry (10 s)\nerror: The registry ended.\n  Its log is x.\n")
    error = _error(3, log)
    assert isinstance(error, Unavailable)
    assert error.message == "The registry ended.\n  Its log is x."
    log.write_text("error: No such folder.\n")
    assert isinstance(_error(2, log), BadInput)
    log.write_text("Traceback (most recent call last):\nKeyError: 'x'\n")
    assert "exit code 1: Traceback" in _error(1, log).message
    log.write_text("")
    error = _error(-9, log)
    assert type(error) is ShardlakeError
    assert error.message == "The launcher ended with exit code -9: it said nothing"
