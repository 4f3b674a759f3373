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
from typing import Any

import pytest

from shardlake.errors import ShardlakeError
from shardlake.load.generator import Summary
from shardlake.load.offer import Offer

TOLD = Summary(events=80, acknowledged=79, failed=1, unknown=0, value_bytes=900, reasons=("too large",))


def ready(pipe: Connection) -> None:
    pipe.send(None)
    pipe.recv()


def tells(_share: object, pipe: Connection, *_: object) -> None:
    ready(pipe)
    pipe.send(TOLD)


def tells_slowly(_share: object, pipe: Connection, *_: object) -> None:
    """Half of the message a second before the rest: a size in front, as `Connection` has it."""
    ready(pipe)
    value = bytes(ForkingPickler.dumps(TOLD))
    os.write(pipe.fileno(), struct.pack("!i", len(value)) + value[:10])
    time.sleep(1)
    os.write(pipe.fileno(), value[10:])


def dies(_share: object, pipe: Connection, *_: object) -> None:
    ready(pipe)
    os._exit(3)


def fails(_share: object, pipe: Connection, *_: object) -> None:
    ready(pipe)
    pipe.send(ShardlakeError("The broker is gone.", "Start it."))


def one_dies(share: Any, pipe: Connection, *_: object) -> None:
    (dies if share else tells)(share, pipe)


Begin = Callable[..., Offer]


@pytest.fixture
def begin(monkeypatch: pytest.MonkeyPatch) -> Iterator[Begin]:
    begun: list[Offer] = []

    def begin(producer: Callable[..., None], shares: list[Any]) -> Offer:
        monkeypatch.setattr("shardlake.load.offer.run", producer)
        offer = Offer(shares)
        begun.append(offer)
        offer.begin(0)
        return offer

    yield begin
    for offer in begun:
        offer.kill()


@pytest.fixture
def ctrl_c() -> Iterator[Callable[[], None]]:
    """Ctrl-C to the main thread. Who is started in the background of a script ignores it, and so would the tests."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    main = threading.main_thread().ident
    assert main
    yield lambda: signal.pthread_kill(main, signal.SIGINT)
    signal.signal(signal.SIGINT, before)


def test_when_it_is_over_the_reports_are_known(begin: Begin) -> None:
    offer = begin(tells, [0, 1])
    while not offer.is_over:
        time.sleep(0.01)
    assert offer.summaries == [TOLD, TOLD]
    offer.await_end()
    assert offer.summaries == [TOLD, TOLD]


def test_a_report_that_comes_while_ctrl_c_does_is_heard(begin: Begin, ctrl_c: Callable[[], None]) -> None:
    offer = begin(tells_slowly, [0])
    threading.Timer(0.5, ctrl_c).start()
    with pytest.raises(KeyboardInterrupt):
        offer.await_end()
    offer.await_end()
    assert offer.summaries == [TOLD]


@pytest.mark.parametrize(
    ("producer", "told"),
    [(dies, r"A producer of the load has died \(exit code 3\)"), (fails, "The broker is gone.")],
)
def test_who_dies_or_fails_is_told(begin: Begin, producer: Callable[..., None], told: str) -> None:
    offer = begin(producer, [0])
    with pytest.raises(ShardlakeError, match=told):
        offer.await_end()
    assert offer.is_over
    assert offer.summaries == []


def test_of_two_of_which_one_dies_the_other_is_heard(begin: Begin) -> None:
    offer = begin(one_dies, [1, 0])
    with pytest.raises(ShardlakeError, match="has died"):
        offer.await_end()
    assert offer.summaries == [TOLD]
