"""What became of every event that a producer sent: acknowledged at a place, failed for certain, or unknown.

One file a producer process, `<producer>.ledger` in a run's folder, only ever appended to, by blocks with a checksum. An
event's intent is written before the event is handed to the client, its report afterwards: so whatever is in the topic
has an intent, also when the producer was killed, and an event without a report is unknown, never failed. What is
written survives the death of the process at once, and that of the machine after a second at most (fsync). The header is
on the disk before the first event is.

Block: magic `SLk1`, kind (1 byte), 3 zero bytes, payload's length and its CRC-32, both u32, then the payload; all
little-endian. Payloads:

    H  JSON: version, producer, topic, topic_id, began (seconds since 1970)
    S  u32 id of a source of events, then its name in UTF-8: a file, or a generator
    I  u32 id of a source, then per event, in the order of their sequence numbers, which begin with 0: u64 digest,
       u64 number (of a line, or of an event)
    A  per event: u64 sequence number, i32 partition, i64 offset (-1 where the broker told none)
    F  u64 sequence numbers that failed for certain
    U  u64 sequence numbers that may have been written
    E  JSON: events sent; the producer has ended by itself, and after it nothing follows
"""

from __future__ import annotations

import json
import os
import struct
import time
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import xxhash

from shardlake.durable import OWNER_ALONE, make_folder, sync_folder, write_durably
from shardlake.errors import BadInput
from shardlake.kept_json import Count, parsed

if TYPE_CHECKING:
    import numpy as np

    Column = np.ndarray[Any, Any]

SUFFIX = ".ledger"
RUN_FILE = "run.json"
VERSION = 1
FSYNC_SECONDS = 1.0
REPORTS_BYTES = 20_000
REPORT_SECONDS = 0.2
"""Reports are written when they are as many or as old: those that a kill takes are unknown."""

_MAGIC = b"SLk1"
_BLOCK = struct.Struct("<4sc3xII")
_SOURCE = struct.Struct("<I")
_INTENT, _PLACE, _SEQUENCE = (struct.Struct(form).pack for form in ("<QQ", "<Qiq", "<Q"))
_ROWS = {
    b"I": [("digest", "<u8"), ("number", "<u8")],
    b"A": [("sequence", "<u8"), ("partition", "<i4"), ("offset", "<i8")],
    b"F": [("sequence", "<u8")],
    b"U": [("sequence", "<u8")],
}
"""NumPy's types of the records in a ledger. Only readers import NumPy; producers write ledgers without it."""
_FRAME = struct.Struct("<I?").pack
_NO_KEY_BYTES = 0xFFFFFFFF
Place = tuple[str, int]
"""Where an event is from: a source's name, and the number of the line, or of the event, in it."""


def digest(key: bytes | None, value: bytes | None) -> int:
    """Which record it is, whatever it holds: XXH3 (64 bits) over the key's length (u32), whether the value is null (1
    byte), the key and the value."""
    if key is None:
        return xxhash.xxh3_64_intdigest(_FRAME(_NO_KEY_BYTES, value is None) + (value or b""))
    return xxhash.xxh3_64_intdigest(_FRAME(len(key), value is None) + key + (value or b""))


@dataclass(frozen=True, slots=True)
class Run:
    """What a run's folder is about: a topic, from the first offset of each partition that is the run's own."""

    topic: str
    topic_id: str
    starts: dict[int, Count]
    began: float

    @classmethod
    def read(cls, folder: Path) -> Run:
        """Raises BadInput where the folder is no run's."""
        try:
            return parsed((folder / RUN_FILE).read_text(), cls)
        except (OSError, ValueError) as error:
            msg = f"{folder} is not the folder of a run: it has no {RUN_FILE} that can be read."
            raise BadInput(msg, "`shardlake produce --ledger DIR` makes one.") from error

    def join(self, folder: Path) -> Run:
        """Write it where the folder is new, else the run that is there already. Raises BadInput where that one is of
        another topic, or of one that was since made anew."""
        make_folder(folder, mode=0o700)
        mine = folder / f"{RUN_FILE}.{os.getpid()}"
        write_durably(mine, json.dumps(asdict(self)))
        try:
            os.link(mine, folder / RUN_FILE)  # fails where it is there: of several producers one is the first
        except FileExistsError:
            pass
        finally:
            mine.unlink()
        sync_folder(folder)
        run = Run.read(folder)
        if run.topic_id != self.topic_id:
            msg = f"The run in {folder} is of another topic than {self.topic}, or of one that was made anew since."
            raise BadInput(msg, "Choose a new folder.")
        return run


class Ledger:
    """The writer of one producer process. An OSError, as of a full disk, names the file, and comes before the event is
    handed over."""

    def __init__(
        self, folder: Path, producer: str, topic: str, topic_id: str, fsync_seconds: float = FSYNC_SECONDS
    ) -> None:
        """`producer` is a name that no other one in the folder has. Raises BadInput where it is there already."""
        self._fsync_seconds = fsync_seconds
        self.path = folder / f"{producer}{SUFFIX}"
        make_folder(folder, mode=0o700)
        try:
            self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, OWNER_ALONE)
        except FileExistsError:
            raise BadInput(f"{self.path} is there already.", "A ledger is one producer's: choose another.") from None
        self._synced = self._reported = time.monotonic()
        self._size_bytes = 0
        self._is_unsynced = False
        self._sources: dict[str, int] = {}
        self._source: str | None = None
        self._next = 0
        self._intents, self._acknowledged, self._failed, self._unknown = (bytearray() for _ in range(4))
        header = {"version": VERSION, "producer": producer, "topic": topic, "topic_id": topic_id, "began": time.time()}
        self._write(b"H", json.dumps(header).encode())
        os.fsync(self._file)
        sync_folder(folder)

    def intend(self, key: bytes | None, value: bytes | None, place: Place | None = None) -> int:
        """Note an event that is to be sent; its sequence number. `flush` before it is handed over."""
        sequence = self._next
        source, number = place or ("", sequence)
        if source != self._source:
            self._begin(source)
        self._intents += _INTENT(digest(key, value), number)
        self._next = sequence + 1
        return sequence

    def acknowledged(self, sequence: int, partition: int, offset: int | None) -> None:
        """The broker has it, there; with acks=0 it does not say where."""
        self._acknowledged += _PLACE(sequence, partition, -1 if offset is None or offset < 0 else offset)

    def failed(self, sequence: int) -> None:
        """It was certainly not written."""
        self._failed += _SEQUENCE(sequence)

    def unknown(self, sequence: int) -> None:
        """It may have been written."""
        self._unknown += _SEQUENCE(sequence)

    def flush(self) -> None:
        """Write the intents, and the reports where they are many or old."""
        self._write_intents()
        now = time.monotonic()
        if len(self._acknowledged) >= REPORTS_BYTES or now - self._reported > REPORT_SECONDS:
            self._reported = now
            for kind, rows in ((b"A", self._acknowledged), (b"F", self._failed), (b"U", self._unknown)):
                if rows:
                    self._write(kind, bytes(rows))
                    rows.clear()
        self.rest()

    def rest(self) -> None:
        """Have what was written on the disk once it is as old as the ledger promises; call it in every wait."""
        now = time.monotonic()
        if self._is_unsynced and now - self._synced > self._fsync_seconds:
            os.fsync(self._file)
            self._synced, self._is_unsynced = now, False

    def close(self) -> None:
        """The producer ends by itself, with every report it will get: events without one are unknown for good."""
        self._reported = float("-inf")
        self.flush()
        self._write(b"E", json.dumps({"sent": self._next}).encode())
        os.fsync(self._file)
        os.close(self._file)

    def _begin(self, source: str) -> None:
        """What follows is from another source."""
        self._write_intents()
        if source not in self._sources:
            number = self._sources[source] = len(self._sources)
            self._write(b"S", _SOURCE.pack(number) + source.encode(errors="backslashreplace"))
        self._source = source

    def _write_intents(self) -> None:
        if self._intents:
            self._write(b"I", _SOURCE.pack(self._sources[str(self._source)]) + self._intents)
            self._intents.clear()

    def _write(self, kind: bytes, payload: bytes) -> None:
        block = memoryview(_BLOCK.pack(_MAGIC, kind, len(payload), zlib.crc32(payload)) + payload)
        self._size_bytes += len(block)
        self._is_unsynced = True
        try:
            while block:
                block = block[os.write(self._file, block) :]
        except OSError as error:
            error.filename = str(self.path)
            os.ftruncate(self._file, self._size_bytes - len(payload) - _BLOCK.size)  # no half block in the middle
            raise


@dataclass(frozen=True, slots=True)
class LedgerFile:
    """A ledger as it was found. Columns of one kind have equal lengths; sequence numbers are row numbers of intents.

    `has_ended` is whether the producer ended by itself. `torn_bytes` are at the end and no whole block: where a
    producer was killed while it wrote, they are part of one, of events that were never handed over. A file that
    somebody has cut looks the same.
    """

    path: Path
    producer: str
    topic: str
    topic_id: str
    began: float
    sources: tuple[str, ...]
    digests: Column
    source_ids: Column
    numbers: Column
    acknowledged: Column
    partitions: Column
    offsets: Column
    failed: Column
    unknown: Column
    has_ended: bool
    torn_bytes: int

    def place(self, sequence: int) -> str:
        """Where an event is from, as `access.log:17`; its number alone where its source has no name."""
        name = self.sources[int(self.source_ids[sequence])]
        return f"{name}:{self.numbers[sequence]}" if name else f"event {self.numbers[sequence]}"


@dataclass(frozen=True, slots=True)
class _Header:
    version: Literal[1]
    producer: str
    topic: str
    topic_id: str
    began: float


def read(path: Path) -> LedgerFile:
    """The whole blocks of a ledger. Raises BadInput where it does not begin as one, or its blocks contradict."""
    try:
        return _read(path)
    except (ValueError, LookupError, struct.error) as error:
        msg = f"{path} is damaged: {error}."
        raise BadInput(msg, "Its blocks are whole, but not as a producer writes them: take it from a copy.") from error


def _read(path: Path) -> LedgerFile:
    import numpy as np

    content = memoryview(path.read_bytes())
    header: _Header | None = None
    sources: list[str] = []
    types = {kind: np.dtype(row) for kind, row in _ROWS.items()}
    rows: dict[bytes, list[Column]] = {kind: [np.empty(0, row)] for kind, row in types.items()}
    source_ids: list[Column] = [np.empty(0, np.uint32)]
    has_ended, end = False, 0
    for kind, payload, after in _blocks(content):
        if header is None:
            if kind != b"H":
                break
            header, end = _header(path, bytes(payload)), after
            continue
        end = after
        if kind == b"S":
            if _SOURCE.unpack_from(payload)[0] != len(sources):
                raise ValueError("its sources are not numbered one after the other")
            sources.append(bytes(payload[_SOURCE.size :]).decode())
        elif kind == b"E":
            has_ended = True
        elif kind == b"I":
            rows[kind].append(np.frombuffer(payload, types[kind], offset=_SOURCE.size))
            source_ids.append(np.full(len(rows[kind][-1]), _SOURCE.unpack_from(payload)[0], np.uint32))
        elif kind in rows:
            rows[kind].append(np.frombuffer(payload, types[kind]))
        else:
            raise ValueError(f"it has a block of the kind {kind!r}")
    if header is None:
        raise _no_ledger(path)
    intents, places, failed, unknown = (np.concatenate(rows[kind]) for kind in (b"I", b"A", b"F", b"U"))
    of_sources = np.concatenate(source_ids)
    if len(of_sources) and of_sources.max() >= len(sources):
        raise ValueError("it has events of a source that it does not name")
    if any(len(one) and one["sequence"].max() >= len(intents) for one in (places, failed, unknown)):
        raise ValueError("it has reports of events that it does not have")
    return LedgerFile(
        path, header.producer, header.topic, header.topic_id, header.began, tuple(sources),
        np.ascontiguousarray(intents["digest"]), of_sources, intents["number"],
        np.ascontiguousarray(places["sequence"]), np.ascontiguousarray(places["partition"]),
        np.ascontiguousarray(places["offset"]), failed["sequence"], unknown["sequence"], has_ended, len(content) - end,
    )  # fmt: skip


def _header(path: Path, payload: bytes) -> _Header:
    try:
        return parsed(payload, _Header)
    except ValueError as error:
        raise _no_ledger(path) from error


def _no_ledger(path: Path) -> BadInput:
    return BadInput(f"{path} is no ledger.", f"`produce --ledger` writes them, version {VERSION}.")


def of_run(*runs: Path) -> list[LedgerFile]:
    """All ledgers of runs' folders, in order. Raises BadInput where these hold none, or one that is none.

    One without a whole header, and with nothing behind the header, is of a producer that ended before it had begun: it
    sent nothing.
    """
    found = [read(path) for run in runs for path in paths(run) if _has_begun(path)]
    if not found:
        msg = f"There is no ledger in {', '.join(map(str, runs))}."
        raise BadInput(msg, "A folder that holds no ledger is no run's: `shardlake produce --ledger DIR` writes one.")
    return found


def paths(run: Path) -> list[Path]:
    """The files of a run's ledgers."""
    return sorted(run.glob(f"*{SUFFIX}"))


def _has_begun(path: Path) -> bool:
    """Tell whether more was written than a part of the header, which the machine's death may leave as zeros."""
    with path.open("rb") as file:
        start = file.read(_BLOCK.size)
        if not start.strip(b"\0"):
            return bool((start + file.read()).strip(b"\0"))
    if len(start) < _BLOCK.size:
        return not _MAGIC.startswith(start[: len(_MAGIC)])
    magic, _, size, _ = _BLOCK.unpack(start)
    return bool(magic != _MAGIC or path.stat().st_size >= _BLOCK.size + size)


def _blocks(content: memoryview) -> Iterator[tuple[bytes, memoryview, int]]:
    """Kind, payload and end of each block up to the first that is not whole."""
    at = 0
    while at + _BLOCK.size <= len(content):
        magic, kind, size, checksum = _BLOCK.unpack_from(content, at)
        payload = content[at + _BLOCK.size : at + _BLOCK.size + size]
        if magic != _MAGIC or len(payload) < size or zlib.crc32(payload) != checksum:
            return
        at += _BLOCK.size + size
        yield kind, payload, at
