"""One record followed all the way: its line, its place in the topic, and what became of it.

A record is named by its place, or by its id, which is looked for in the lake, then in the dead letters and in the topic
after what the jobs have committed. Nothing is told of a record's values but what the lake holds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from shardlake import ledger, topics
from shardlake.avro.codec import Decoder, Undecodable
from shardlake.avro.registry import Registry
from shardlake.counted import counted
from shardlake.dead_letter import DeadLetter
from shardlake.errors import BadInput
from shardlake.lake.cells import Cell, cell_of
from shardlake.lake.counting import Counting, sources_of
from shardlake.lake.query import connect
from shardlake.lake.tables import LakeTable
from shardlake.pipeline import Pipeline, Topic
from shardlake.settings import Settings
from shardlake.storage import Folder

ARCHIVED, DEAD_LETTER, NULL, WAITING, UNDECODED, LOST, GONE = (
    "archived", "dead letter", "null value", "waiting", "waiting, no event", "lost", "gone",
)  # fmt: skip
Place = tuple[str, int, int]
"""Topic, partition, offset."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the lake: its file, below the lake's folder, and its number in it, from 0."""

    file: str
    number: int


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter, and why it is one. `holds_id` is `field`, or `bytes` where it cannot be decoded."""

    topic: str
    partition: int
    offset: int
    error_class: str
    error_message: str
    holds_id: str | None = None


@dataclass(frozen=True, slots=True)
class Trace:
    """What is known of one record.

    archived           it is in the lake: `rows`, several where it is there several times, and `cells`
    dead letter        it is in the dead letters: `letters`
    null value         it is in the topic and has no value
    waiting            it is an event in the topic, and the jobs have not committed so far; `waiting, no event` likewise
    lost               it is in the topic, the jobs have committed further, and it is nowhere
    gone               the topic has no record there (any more)
    """

    topic: str
    partition: int
    offset: int
    state: str
    arrival_time: datetime | None = None
    lines: tuple[str, ...] = ()
    rows: tuple[Row, ...] = ()
    cells: tuple[Cell, ...] = ()
    letters: tuple[Letter, ...] = ()

    @property
    def place(self) -> Place:
        """Where it is in the topic."""
        return self.topic, self.partition, self.offset


@dataclass(slots=True)
class Found:
    """All records of an id, or the one at a place; `looked_in` tells where it was looked for, in order."""

    traces: list[Trace] = field(default_factory=list)
    looked_in: list[str] = field(default_factory=list)


def place_of(text: str, pipeline: Pipeline) -> Place | None:
    """TOPIC/PARTITION/OFFSET; None for text without a slash, which is an id. Raises BadInput for anything else."""
    if "/" not in text:
        return None
    match = re.fullmatch(r"([^/]+)/(\d{1,9})/(\d{1,18})", text, re.ASCII)
    if match is None:
        raise BadInput(f"{text!r} is not TOPIC/PARTITION/OFFSET.", f"As {pipeline.events_topic.name}/2/17.")
    topic = pipeline.topic(match[1])
    if topic not in pipeline.sources:
        names = ", ".join(one.name for one in pipeline.sources)
        raise BadInput(f"{topic.name} is no topic of events.", f"Records are traced of: {names}.")
    return topic.name, int(match[2]), int(match[3])


class Tracer:
    """Looks in the lake, in the topics and in a run's ledgers. The lake alone needs no broker."""

    def __init__(
        self,
        pipeline: Pipeline,
        settings: Settings,
        tables: list[LakeTable],
        recounts: Sequence[Counting],
        group: str,
        run: Path | None = None,
    ) -> None:
        """`recounts` tell how tables are counted again; `group` is the jobs'; `run` a run's folder.

        Raises BadInput where the run's folder holds no ledgers, or a query that counts again is wrong.
        """
        self._pipeline, self._settings, self._group = pipeline, settings, group
        self._recounts = [(one, sources_of(pipeline, tables, one)) for one in recounts]
        self._tables = {table.name: table for table in tables}
        self._connection = connect(tables)
        self._ledgers = ledger.of_run(run) if run else []

    def in_lake(self, wanted: Place | str, found: Found) -> None:
        """Add what the lake holds of a place or an id."""
        for topic in self._topics(wanted):
            table = self._tables[str(topic.lake_table)]
            files = table.files()
            found.looked_in.append(f"{counted(len(files), 'file')} of the lake's {table.name}")
            if files:
                found.traces += self._archived(topic, table, files, wanted)

    def in_topics(self, wanted: Place | str, found: Found) -> None:
        """Add what the topic or its dead letters hold. Raises Unavailable where broker or registry are not there."""
        servers = self._settings.kafka_bootstrap_servers
        for topic in self._topics(wanted):
            committed = topics.committed(servers, self._group, topic.name)
            found.looked_in.append(str(topic.dead_letters))
            letters = list(self._dead_letters(topic, wanted))
            found.traces += letters
            if isinstance(wanted, str):
                found.looked_in.append(f"{topic.name} after what the jobs have committed")
                done = {letter.place for letter in letters}
                found.traces += [one for one in self._with_id(topic, wanted, committed) if one.place not in done]
            elif not letters:
                found.looked_in.append(topic.name)
                found.traces.append(self._record(topic, wanted, committed))

    def _topics(self, wanted: Place | str) -> list[Topic]:
        if not isinstance(wanted, str):
            return [self._pipeline.topic(wanted[0])]
        found = [topic for topic in self._pipeline.sources if topic.id]
        if not found:
            msg = "No topic of events has an id in schemas/topics.toml."
            raise BadInput(msg, 'Name the field, as id = "event_id", or give TOPIC/PARTITION/OFFSET.')
        return found

    def _archived(self, topic: Topic, table: LakeTable, files: list[Folder], wanted: Place | str) -> Iterator[Trace]:
        condition = f'"{topic.id}" = ?' if isinstance(wanted, str) else '(topic, "partition", "offset") = (?, ?, ?)'
        rows = self._connection.execute(
            'SELECT topic, "partition", "offset", arrival_time, filename, file_row_number FROM '
            "read_parquet(?, filename = true, file_row_number = true, union_by_name = true) "
            f"WHERE {condition} ORDER BY ALL",
            [[str(file) for file in files], *([wanted] if isinstance(wanted, str) else wanted)],
        ).fetchall()
        places: dict[Place, list[Any]] = {}
        for row in rows:
            places.setdefault(row[:3], []).append(row[3:])
        for place, found in places.items():
            in_files = tuple(Row(file.removeprefix(f"{table.folder.parent}/"), n) for _, file, n in found)
            cells = tuple(
                cell_of(self._connection, self._pipeline, counting, sources, place)
                for counting, sources in self._recounts
                if topic in sources.topics
            )
            yield Trace(*place, ARCHIVED, found[0][0].replace(tzinfo=UTC), self._lines(place), in_files, cells)

    def _with_id(self, topic: Topic, wanted: str, committed: Mapping[int, int]) -> Iterator[Trace]:
        decode = self._decoder(topic)
        for message in topics.read(self._settings.kafka_bootstrap_servers, topic.name, committed):
            if _holds(message.value(), wanted) and decode(message.value()).get(topic.id) == wanted:
                place = topic.name, message.partition(), message.offset()
                yield Trace(*place, WAITING, _arrival(message), self._lines(place, message))

    def _dead_letters(self, topic: Topic, wanted: Place | str) -> Iterator[Trace]:
        decode = self._decoder(topic)
        for message in topics.read(self._settings.kafka_bootstrap_servers, str(topic.dead_letters)):
            letter = DeadLetter.if_ours(message.headers())
            if letter is None:
                continue
            place, holds_id = (letter.topic, letter.partition, letter.offset), None
            if isinstance(wanted, str):
                if letter.topic != topic.name or not _holds(message.value(), wanted):
                    continue
                record = decode(message.value())
                if record and record[str(topic.id)] != wanted:
                    continue
                holds_id = "field" if record else "bytes"
            elif place != wanted:
                continue
            why = letter.error_class, letter.error_message, holds_id
            letters = (Letter(str(topic.dead_letters), message.partition(), message.offset(), *why),)
            arrival = datetime.fromtimestamp(letter.timestamp_ms / 1000, UTC)
            yield Trace(*place, DEAD_LETTER, arrival, self._lines(place), letters=letters)

    def _record(self, topic: Topic, place: Place, committed: Mapping[int, int]) -> Trace:
        _, partition, offset = place
        servers = self._settings.kafka_bootstrap_servers
        message = topics.record_at(servers, topic.name, partition, offset)
        if message is None:
            return Trace(*place, GONE, lines=self._lines(place))
        trace = Trace(*place, LOST, _arrival(message), self._lines(place, message))
        if message.value() is None:
            return replace(trace, state=NULL)
        if offset >= committed.get(partition, offset):
            return replace(trace, state=WAITING if self._decoder(topic)(message.value()) else UNDECODED)
        return trace

    def _decoder(self, topic: Topic) -> Any:
        """From a value to its record, {} where it is none."""
        decoder = Decoder(self._pipeline.schema_of(topic), Registry(self._settings.schema_registry_url), topic.subject)

        def decode(value: bytes) -> dict[str, Any]:
            try:
                return decoder.decode(value)
            except Undecodable:
                return {}

        return decode

    def _lines(self, place: Place, message: Any = None) -> tuple[str, ...]:
        """What the ledgers say was acknowledged there; else, of the record itself, which event was that one."""
        found = []
        for file in self._ledgers:
            if file.topic == place[0]:
                there = (file.partitions == place[1]) & (file.offsets == place[2])
                found += [file.place(int(number)) for number in file.acknowledged[there]]
        if message is not None and not found:
            same = ledger.digest(message.key(), message.value())
            for file in self._ledgers:
                found += [file.place(int(number)) for number in np.flatnonzero(file.digests == np.uint64(same))]
        return tuple(found)


def _holds(value: bytes | None, wanted: str) -> bool:
    return value is not None and wanted.encode() in value


def _arrival(message: Any) -> datetime:
    return datetime.fromtimestamp(message.timestamp()[1] / 1000, UTC)
