"""Transactions that a checkpoint has precommitted, and what became of them at the broker.

A run that takes up a checkpoint commits what it holds as precommitted. Most were committed when the checkpoint was
complete, which the broker takes twice. After transaction.timeout.ms (14 min) without a commit the broker aborts: then
Flink's KafkaCommitter logs an error and goes on, and what the jobs had written is lost. The broker does not say of a
transaction that it was aborted; its coordinator's log, the topic __transaction_state, has every step of each.

Both are read as they are written: the state by Flink's KafkaCommittableSerializer within a list of a version and a
length each, the log by Kafka's TransactionLogKey and TransactionLogValue, whose versions 0 and 1 begin alike.
"""

from __future__ import annotations

import re
import struct
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

from shardlake import topics
from shardlake.errors import Unavailable
from shardlake.flink.tables import TRANSACTION_PREFIX, TRANSACTION_SECONDS
from shardlake.patience import LATE
from shardlake.storage import Folder, find

LOG = "__transaction_state"
EARLIER_MS = 3_600_000
"""So long before a checkpoint was complete its transactions may have begun, at most: they would be aborted by then."""
_COMMITTABLE = struct.Struct(">iihqH")
_LENGTH = struct.Struct(">H")
_VALUE = struct.Struct(">hqhib")
ONGOING = 1
COMMITTED = frozenset({2, 4})
ABORTED = frozenset({3, 5})
"""States of a transaction in Kafka's TransactionState: prepared, and complete."""


@dataclass(frozen=True, slots=True)
class Precommitted:
    """A transaction to a topic, as a checkpoint knows it."""

    topic: str
    transactional_id: str
    producer_id: int
    epoch: int


@dataclass(frozen=True, slots=True)
class Step:
    """A record of the coordinator's log: what a transactional id has come to."""

    producer_id: int
    epoch: int
    state: int


class Outcome(Enum):
    """The end of a transaction. It is `UNKNOWN` where the log does not hold it, or may not be read."""

    OPEN = "open"
    COMMITTED = "committed"
    ABORTED = "aborted"
    UNKNOWN = "unknown"


def precommitted(state: Folder, names: Iterable[str]) -> list[Precommitted]:
    """The transactions to the topics of those names that a run from this checkpoint commits."""
    contents = [file.read_bytes() for file in state.iterdir()]
    return sorted(
        {one for name in names for content in contents for one in _committables(content, name)},
        key=lambda one: one.transactional_id,
    )


def _committables(content: bytes, topic: str) -> Iterator[Precommitted]:
    for match in re.finditer(re.escape(f"{TRANSACTION_PREFIX}{topic}-".encode()) + rb"\d+-\d+", content):
        if match.start() < _COMMITTABLE.size:
            continue
        before = content[match.start() - _COMMITTABLE.size : match.start()]
        version, size, epoch, producer_id, length = _COMMITTABLE.unpack(before)
        name = content[match.start() : match.start() + length]
        # The writer's own state names ids as well, and no committable is around these.
        if version == 1 and size == _COMMITTABLE.size - 8 + length and match.group().startswith(name):
            yield Precommitted(topic, name.decode(), producer_id, epoch)


def outcome(one: Precommitted, steps: Iterable[Step]) -> Outcome:
    """Tell how a transaction ended, by the steps of its transactional id in their order."""
    found = Outcome.UNKNOWN
    for step in steps:
        if (step.producer_id, step.epoch, step.state) == (one.producer_id, one.epoch, ONGOING):
            found = Outcome.OPEN
        elif found is Outcome.OPEN and step.state in COMMITTED:
            return Outcome.COMMITTED
        elif found is Outcome.OPEN and step.state in ABORTED:
            return Outcome.ABORTED
    return found


def outcomes(bootstrap_servers: str, state: Folder, names: Iterable[str]) -> dict[Precommitted, Outcome]:
    """Tell how each transaction ended that a checkpoint has precommitted. The broker is asked only if there is one.

    Raises Unavailable where it does not answer in time.
    """
    found = precommitted(state, names)
    if not found:
        return {}
    try:
        steps = _steps(bootstrap_servers, {one.transactional_id for one in found}, completed_ms(state) - EARLIER_MS)
    except Unavailable as error:
        if LATE.search(error.message):
            raise
        steps = {}  # there is no such topic, or it may not be read
    return {one: outcome(one, steps.get(one.transactional_id, ())) for one in found}


def is_past_time(state: Folder) -> bool:
    """Tell whether what was open when a state was complete has been aborted by now."""
    return time.time() - completed_ms(state) / 1000 > TRANSACTION_SECONDS


def completed_ms(state: Folder) -> int:
    """When a checkpoint or savepoint was complete."""
    return max((file.modified_ns // 1_000_000 for file in find(state, "_metadata")), default=0)


def _steps(bootstrap_servers: str, ids: set[str], since_ms: int) -> Mapping[str, list[Step]]:
    offsets = topics.offsets(bootstrap_servers, LOG, max(since_ms, 0))
    wanted = {partition_of(one, len(offsets)) for one in ids}
    found: dict[str, list[Step]] = {}
    ranges = {partition: offsets[partition] for partition in wanted if partition in offsets}
    for batch in topics.read_batches(bootstrap_servers, LOG, ranges):
        for message in batch:
            name = _id_in(message.key())
            if name in ids and message.value() is not None:
                _, producer_id, epoch, _, state = _VALUE.unpack_from(message.value())
                found.setdefault(name, []).append(Step(producer_id, epoch, state))
    return found


def _id_in(key: bytes) -> str:
    """The transactional id: after the version its length, in two bytes each."""
    (length,) = _LENGTH.unpack_from(key, _LENGTH.size)
    return key[2 * _LENGTH.size : 2 * _LENGTH.size + length].decode(errors="replace")


def partition_of(transactional_id: str, partitions: int) -> int:
    """The partition of the coordinator's log: Java's hash of the id, without its sign."""
    found = 0
    for unit in transactional_id.encode("ascii"):  # as names of topics are
        found = (31 * found + unit) & 0xFFFFFFFF
    number = found - (1 << 32) if found & 0x80000000 else found
    return abs(number) % partitions if number != -(1 << 31) else 0
