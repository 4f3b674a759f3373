"""The producers' reports are heard, whatever becomes of them or of who waits; what they send is not of this test."""

from __future__ import annotations

import os
import signal
import struct
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

import psutil
import pytest

from shardlake.errors import ShardlakeError
from shardlake.load.generator import Summary
from shardlake.load.offer import Offer
from tests.support import wait_for

pytestmark = pytest.mark.unit

TOLD = Summary(events=80, acknowledged=79, failed=1, unknown=0, value_bytes=900, reasons=("too large",))


def ready(pipe: Connection) -> None:
    pipe.send(None)
    pipe.recv()


def tells(_share: object, pipe: Connection, *_: object) -> None:
    ready(pipe)
    pipe.send(TOLD)


def tells_slowly(folder: Path, pipe: Connection, *_: object) -> None:
    """The first half of the message, with its size in front as `Connection` has it, and the rest when it may go on."""
    ready(pipe)
    value = bytes(ForkingPickler.dumps(TOLD))
    os.write(pipe.fileno(), struct.pack("!i", len(value)) + value[:10])
    (folder / "half").touch()
    wait_for((folder / "go on").exists, "the word to go on")
    os.write(pipe.fileno(), value[10:])


def dies(_share: object, pipe: Connection, *_: object) -> None:
    ready(pipe)
    os._exit(3)


def dies_first(_share: object, pipe: Connection, *_: object) -> None:
    pipe.send(None)
    os._exit(3)


def fails(_share: object, pipe: Connection, *_: object) -> None:
    ready(pipe)
    pipe.send(ShardlakeError("The broker is gone.", "Start it."))


def one_dies(share: Any, pipe: Connection, *_: object) -> None:
    (dies if share else tells)(share, pipe)


Start = Callable[..., Offer]


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    started: list[Offer] = []

    def start(producer: Callable[..., None], shares: list[Any]) -> Offer:
        monkeypatch.setattr("shardlake.load.offer.run", producer)
        started.append(Offer(shares))
        return started[-1]

    yield start
    for offer in started:
        offer.kill()


@pytest.fixture
def begin(start: Start) -> Start:
    def begin(producer: Callable[..., None], shares: list[Any]) -> Offer:
        offer = start(producer, shares)
        offer.begin(0)
        return offer

    return begin


@pytest.fixture
def ctrl_c() -> Iterator[Callable[[], None]]:
    """Ctrl-C to the main thread. Who is started in the background of a script ignores it, and so would the tests."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    main = threading.main_thread().ident
    assert main
    yield lambda: signal.pthread_kill(main, signal.SIGINT)
    signal.signal(signal.SIGINT, before)


def test_when_it_is_over_the_reports_are_known(begin: Start) -> None:
    offer = begin(tells, [0, 1])
    while not offer.is_over:
        time.sleep(0.01)
    assert offer.summaries == [TOLD, TOLD]
    offer.await_end()
    assert offer.summaries == [TOLD, TOLD]


def test_a_report_that_comes_while_ctrl_c_does_is_heard(
    begin: Start, ctrl_c: Callable[[], None], tmp_path: Path
) -> None:
    def interrupt() -> None:
        wait_for((tmp_path / "half").exists, "half of the report")
        time.sleep(0.2)  # so that it is read
        ctrl_c()

    offer = begin(tells_slowly, [tmp_path])
    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        offer.await_end()
    (tmp_path / "go on").touch()
    offer.await_end()
    assert offer.summaries == [TOLD]


@pytest.mark.parametrize(
    ("producer", "told"),
    [(dies, r"A producer of the load has died \(exit code 3\)"), (fails, "The broker is gone.")],
)
def test_who_dies_or_fails_is_told(begin: Start, producer: Callable[..., None], told: str) -> None:
    offer = begin(producer, [0])
    with pytest.raises(ShardlakeError, match=told):
        offer.await_end()
    assert offer.is_over
    assert offer.summaries == []


def test_who_dies_before_the_begin_is_told(start: Start) -> None:
    offer = start(dies_first, [0])
    wait_for(lambda: psutil.Process(offer.pids[0]).status() == psutil.STATUS_ZOMBIE, "its death")
    offer.begin(0)
    with pytest.raises(ShardlakeError, match=r"A producer of the load has died \(exit code 3\)"):
        offer.await_end()


def test_of_two_of_which_one_dies_the_other_is_heard(begin: Start) -> None:
    offer = begin(one_dies, [1, 0])
    with pytest.raises(ShardlakeError, match="has died"):
        offer.await_end()
    assert offer.summaries == [TOLD]
