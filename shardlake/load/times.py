"""When each event of a producer was to be sent, was sent, and was acknowledged: beside its ledger, by the ledger's own
sequence numbers.

`<producer>.times.npy`, of shape (3, events): nanoseconds since 1970, intended, handed over and acknowledged; 0 where it
was not.
"""

from __future__ import annotations

import time
from array import array
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from shardlake.errors import naming
from shardlake.ledger import Ledger, LedgerFile, Place, of_run

SUFFIX = ".times.npy"
Column = np.ndarray[tuple[int], np.dtype[np.int64]]


class TimedLedger(Ledger):
    """A ledger that notes the three times. It is synced to the disk at its end alone: the wait would be the load's."""

    def __init__(self, folder: Path, producer: str, topic: str, topic_id: str, events: int) -> None:
        """There may be so many events, and a few more."""
        super().__init__(folder, producer, topic, topic_id, fsync_seconds=float("inf"))
        self._times_path = folder / f"{producer}{SUFFIX}"
        self.intended_ns, self.sent_ns, self.acknowledged_ns = (array("q", bytes(8 * events)) for _ in range(3))
        self.due_ns = 0
        """Of the event that is sent next."""
        self.sent = 0

    def intend(self, key: bytes | None, value: bytes | None, place: Place | None = None) -> int:
        """See Ledger."""
        sequence = super().intend(key, value, place)
        self.intended_ns[sequence] = self.due_ns
        return sequence

    def acknowledged(self, sequence: int, partition: int, offset: int | None) -> None:
        """See Ledger."""
        super().acknowledged(sequence, partition, offset)
        self.acknowledged_ns[sequence] = time.time_ns()

    def handed_over(self, count: int) -> None:
        """So many more were handed to the client, just now."""
        self.sent_ns[self.sent : self.sent + count] = array("q", [time.time_ns()]) * count
        self.sent += count

    def close(self) -> None:
        """See Ledger."""
        super().close()
        columns = (self.intended_ns, self.sent_ns, self.acknowledged_ns)
        times = np.stack([np.frombuffer(column, np.int64, self.sent) for column in columns])
        with naming(self._times_path):
            np.save(self._times_path, times)


@dataclass(frozen=True, slots=True)
class Sent:
    """The events of a run that were acknowledged: places in the topic beside the times, in nanoseconds since 1970.
    `slip_ns` is of all that were handed over."""

    partitions: Column
    offsets: Column
    intended_ns: Column
    acknowledged_ns: Column
    slip_ns: Column
    handed_over_ns: Column

    def since(self, begin_ns: int) -> Sent:
        """Those that were to be sent then or later."""
        keep = self.intended_ns >= begin_ns
        late = self.handed_over_ns - self.slip_ns >= begin_ns
        return Sent(
            self.partitions[keep], self.offsets[keep], self.intended_ns[keep], self.acknowledged_ns[keep],
            self.slip_ns[late], self.handed_over_ns[late],
        )  # fmt: skip


def read(folder: Path) -> Sent:
    """Of all producers of a run's folder. Raises BadInput where it has no ledger."""
    parts = [_part(ledger) for ledger in of_run(folder)]
    return Sent(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def take_slips(folder: Path) -> tuple[Column, Column]:
    """How late each event was handed over, and when, of all times in the folder; the files go."""
    paths = sorted(folder.glob(f"*{SUFFIX}"))
    found = np.concatenate([np.zeros((3, 0), np.int64), *map(np.load, paths)], axis=1)
    for path in paths:
        path.unlink()
    return found[1] - found[0], found[1]


def _part(ledger: LedgerFile) -> tuple[Column, ...]:
    path = ledger.path.with_name(ledger.path.name.removesuffix(".ledger") + SUFFIX)
    # A producer that was killed leaves no times.
    intended_ns, sent_ns, acknowledged_ns = np.load(path) if path.exists() else np.zeros((3, 0), np.int64)
    sequence = ledger.acknowledged[ledger.acknowledged < len(intended_ns)]
    known = slice(0, len(sequence))
    return (
        ledger.partitions[known].astype(np.int64), ledger.offsets[known].astype(np.int64),
        intended_ns[sequence], acknowledged_ns[sequence], sent_ns - intended_ns, sent_ns,
    )  # fmt: skip
