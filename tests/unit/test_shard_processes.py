"""Lanes that are processes: what a handler does to its process costs a record, and nobody else."""

from __future__ import annotations

import ctypes
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from shardlake.errors import ShardlakeError
from shardlake.shards.handler import Consumer, Decode, Form, LaneHandler
from shardlake.shards.process import Open, ProcessHandler
from shardlake.shards.processor import Checkpointer, Record, RecordProcessor
from tests.support import command_line, wait_for
from tests.unit.shard_case import ShardCase
from tests.unit.shard_messages import message

pytestmark = pytest.mark.unit


def hostile(folder: Path, record: Record) -> None:
    """Does what its value says, and writes down which records it was done with."""
    what = record.value or b""
    if what == b"exit":
        sys.exit(3)
    if what == b"os-exit":
        os._exit(3)
    if what == b"crash":
        ctypes.string_at(0)
    if what == b"hang":
        time.sleep(1000)
    if what == b"eat":
        bytearray(1 << 40)
    with (folder / "done").open("a") as file:
        file.write(f"{record.sequence_number}\n")


def hostile_batch(folder: Path, records: Sequence[Record]) -> None:
    """The same, for several."""
    for record in records:
        hostile(folder, record)


class Counting(RecordProcessor):
    """Checkpoints all but the last of what it gets, and that when it is told to shut down."""

    def process_records(self, records: Sequence[Record], checkpointer: Checkpointer) -> None:
        if len(records) > 1:
            checkpointer.checkpoint(records[-2].sequence_number)

    def shutdown_requested(self, checkpointer: Checkpointer) -> None:
        checkpointer.checkpoint()


def opened(form: Form, folder: Path) -> tuple[Consumer, Decode | None]:
    functions: dict[Form, Callable[..., Any]] = {
        Form.RECORD: partial(hostile, folder),
        Form.RECORDS: partial(hostile_batch, folder),
        Form.PROCESSOR: Counting,
    }
    return Consumer(form, functions[form]), None


def failing() -> tuple[Consumer, Decode | None]:
    raise FileNotFoundError("no such consumer here")


class Case(ShardCase):
    """Lanes that are processes."""

    def __init__(self, form: Form, opener: Open, **contract: Any) -> None:
        def make(consumer: Consumer, shard_id: str, checkpointed: Callable[[int], None]) -> LaneHandler:
            return ProcessHandler(consumer, shard_id, checkpointed, opener, memory_bytes=1 << 33)

        super().__init__(Consumer(form, print), make, factor=1, **{"timeout_seconds": 10, **contract})


@pytest.fixture(autouse=True)
def leaves_no_lane_behind() -> Iterator[None]:
    """A lane's process ends with its lane."""
    yield

    def lanes() -> list[psutil.Process]:
        """Children of the server that forks them, which stays."""
        servers = [one for one in psutil.Process().children() if "forkserver" in command_line(one)]
        return [lane for server in servers for lane in server.children()]

    wait_for(lambda: not lanes(), "the lanes' processes to be gone")


@pytest.mark.parametrize(
    ("what", "error", "contract"),
    [
        (b"exit", "SystemExit", {"retries": 0}),
        (b"os-exit", "ProcessDied", {}),
        (b"crash", "ProcessDied", {}),
        (b"hang", "HandlerTimeout", {"retries": 0, "timeout_seconds": 3}),
        (b"eat", "MemoryError", {"retries": 0}),
    ],
)
@pytest.mark.parametrize("form", [Form.RECORD, Form.RECORDS])
def test_a_hostile_record_costs_itself_alone(
    form: Form, what: bytes, error: str, contract: dict[str, Any], tmp_path: Path
) -> None:
    case = Case(form, partial(opened, form, tmp_path), **contract)
    values = [b"a", b"b", what, b"d"]
    case.shard.feed([message(offset, b"one", value) for offset, value in enumerate(values)])
    assert case.settles() == 4
    assert case.end(10)
    assert {offset: failure.error_class for offset, failure in case.buried.letters.items()} == {2: error}
    done = [int(line) for line in (tmp_path / "done").read_text().splitlines()]
    if form is Form.RECORD:
        assert done == [0, 1, 3]  # it is known who did it
    else:
        assert sorted(set(done)) == [0, 1, 3]


def test_a_processor_checkpoints_from_its_process(tmp_path: Path) -> None:
    case = Case(Form.PROCESSOR, partial(opened, Form.PROCESSOR, tmp_path))
    case.shard.feed([message(offset, b"one") for offset in range(4)])
    wait_for(lambda: case.shard.position == 3, "its checkpoint")
    assert case.end(10)
    assert case.shard.position == 4


def test_a_consumer_that_cannot_be_loaded_ends_the_worker() -> None:
    case = Case(Form.RECORD, failing)
    case.shard.feed([message(0, b"one")])
    with pytest.raises(ShardlakeError, match="FileNotFoundError: no such consumer here"):
        case.settles()
    assert case.end(5)
