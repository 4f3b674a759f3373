"""What counts as progress: work, the wish to work, and new lines in logs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Hashable
from pathlib import Path

import pytest

from shardlake.progress import Logs, Use, Uses, Work, of_processes
from tests.unit.clock import Clock

pytestmark = pytest.mark.unit


def looks(uses: Callable[[float], Use], seconds: int = 60) -> int:
    clock = Clock()

    def measure() -> Uses:
        return {("idle", "main"): Use(clock.now * 0.02), ("server", "main"): uses(clock.now)}

    work = Work(measure, clock=lambda: clock.now)
    while clock.now < seconds:
        count = work.count()
        clock.now += 0.5
    return count


@pytest.mark.parametrize(
    ("ran", "waited", "is_work"),
    [
        (0.0, 0.0, False),
        (0.04, 0.0, False),  # an idle server
        (0.07, 0.4, False),  # the same on a busy machine
        (0.12, 0.0, True),
        (0.001, 0.99, True),  # starved: it is able to run, and is not let
        (1.7, 0.2, True),
    ],
)
def test_who_works_or_wants_to_makes_progress(ran: float, waited: float, is_work: bool) -> None:
    count = looks(lambda now: Use(100 + ran * now, 50 + waited * now))
    assert count == (11 if is_work else 0)


def test_a_thread_that_ended_takes_nothing_back_and_a_new_one_counts() -> None:
    clock = Clock()
    threads: dict[tuple[Hashable, Hashable], Use] = {("server", 1): Use(50.0), ("server", 2): Use(0.0)}
    work = Work(lambda: dict(threads), every_seconds=2, clock=lambda: clock.now)
    counts = []
    for number, ran in ((1, 50.0), (2, 0.0), (3, 1.9), (2, 0.0)):
        counts.append(work.count())
        threads.clear()
        threads["server", number] = Use(ran)
        clock.now += 2
    counts.append(work.count())
    assert counts == [0, 0, 0, 1, 1]


def test_real_processes_and_their_children_are_seen_and_a_stopped_one_does_nothing() -> None:
    burn = f"import subprocess; subprocess.run([{sys.executable!r}, '-c', 'while True: pass'])"
    parent = subprocess.Popen([sys.executable, "-c", burn], start_new_session=True)
    try:
        work = Work(lambda: of_processes([parent.pid]), every_seconds=0.2)
        deadline = time.monotonic() + 60
        while not work.count() and time.monotonic() < deadline:
            time.sleep(0.1)
        assert work.count()
        os.killpg(parent.pid, signal.SIGSTOP)
        time.sleep(0.3)
        work.count()
        time.sleep(0.3)
        before = work.count()
        for _ in range(4):
            time.sleep(0.25)
            assert work.count() == before
    finally:
        os.killpg(parent.pid, signal.SIGKILL)
        parent.wait()
    assert of_processes([parent.pid]) == {}


def test_a_line_that_comes_again_with_other_numbers_is_not_new(tmp_path: Path) -> None:
    log = tmp_path / "kafka.log"
    logs = Logs([log, tmp_path / "none.log"])
    assert logs.count() == 0
    with log.open("w") as file:
        counts = []
        for line in (
            "2026-11-29 20:59:01 INFO loading partition 1",
            "2026-11-29 20:59:02 WARN attempt 1 of 10 at kafka-1:9092 failed, id 5f3a-bb",
            "2026-11-29 20:59:03 WARN attempt 2 of 10 at kafka-2:9092 failed, id bb07-1c",
            "2026-11-29 20:59:04 INFO loading partition 12",
            "2026-11-29 20:59:05 INFO started",
        ):
            file.write(f"{line}\n")
            file.flush()
            counts.append(logs.count())
        file.write("half a li")
        file.flush()
        assert logs.count() == counts[-1]
    assert counts == [1, 2, 2, 2, 3]
