"""What a topic of events holds, read again: what `verify` holds the lake and the ledger against.

Nothing of it comes from those who produced or processed. The topic is read from the broker, committed records only and
with their checksums checked; PII is masked as the schema says.

topic/*.parquet         "partition", "offset", arrival_time, digest, state (event, poison or null), and for events every
                        field as the lake must hold it. Where older keys of PII are known, a hashed field also has a
                        column `FIELD@KEYID` for each: the lake's value is one of them. Of a redriven record,
                        redriven_partition and redriven_offset: the place of the dead letter that it says it was.
dead_letters/*.parquet  "partition", "offset" (of the source's record, -1 where the headers are not the jobs'), digest,
                        error_class, error_message, state (event where it is one after all), dlq_partition, dlq_offset
evidence.json           the rest of `Evidence`; written last, so that what was left half done is not taken for it
"""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from shardlake import topics
from shardlake.avro.codec import Decoder, Undecodable
from shardlake.avro.registry import AVRO, Registry
from shardlake.child import die_with_parent
from shardlake.counted import counted
from shardlake.dead_letter import DeadLetter
from shardlake.durable import OWNER_ALONE, sync_tree, write_durably
from shardlake.errors import BadInput, Unavailable
from shardlake.kept_json import Count, parsed
from shardlake.lake.masks import Masks
from shardlake.lake.reread import EVENT, NULL, POISON, STATES, Judge, Share, read_share
from shardlake.ledger import digest
from shardlake.pipeline import Pipeline, Topic
from shardlake.settings import Settings

FILE = "evidence.json"
PROCESSES = 2
RECORDS_WORTH_A_PROCESS = 100_000
DEAD_LETTERS_AT_ONCE = 10_000
DEAD_LETTER_FIELDS = pa.schema(
    {
        "partition": pa.int32(),
        "offset": pa.int64(),
        "digest": pa.uint64(),
        "error_class": pa.string(),
        "error_message": pa.string(),
        "state": pa.string(),
        "dlq_partition": pa.int32(),
        "dlq_offset": pa.int64(),
    }
)
Ranges = dict[int, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was read. `first` and `end` are the broker's offsets by partition, `starts` where reading began, `covered`
    how far completed checkpoints of the jobs were before.

    `uncompared` are fields whose hashes could not be made, because no key is known; `key_ids` are those of the keys
    that are, the present one first.
    """

    topic: str
    topic_id: str
    first: dict[int, Count]
    end: dict[int, Count]
    starts: dict[int, Count]
    covered: dict[int, Count]
    events: Count
    poison: Count
    nulls: Count
    dead_letters: Count
    key_ids: list[str]
    uncompared: list[str]
    collected: float
    seconds: float
    folder: Path = Path()

    @classmethod
    def load(cls, folder: Path, topic: str | None = None) -> Evidence:
        """Read what a folder holds.

        Raises BadInput where the folder holds no whole evidence, or evidence of another topic than `topic`.
        """
        try:
            found = replace(parsed((folder / FILE).read_text(), cls), folder=folder)
        except (OSError, ValueError) as error:
            msg = f"{folder} holds no evidence of a topic: it has no {FILE} that can be read."
            raise BadInput(msg, "Run `shardlake verify` while the stack is up: it reads the topic again.") from error
        if topic not in (None, found.topic):
            raise BadInput(f"{folder} holds evidence of {found.topic}, not of {topic}.")
        return found

    @property
    def topic_files(self) -> str:
        """A pattern of the files of the topic's records."""
        return str(self.folder / "topic" / "*.parquet")

    @property
    def dead_letter_files(self) -> str:
        """A pattern of the files of the dead letters."""
        return str(self.folder / "dead_letters" / "*.parquet")


def collect(
    settings: Settings,
    pipeline: Pipeline,
    topic: Topic,
    folder: Path,
    mask: Masks,
    starts: Mapping[int, int] | None = None,
    covered: Mapping[int, int] | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Evidence:
    """Read the topic from `starts`, or the first offsets, to its present end, and its dead letters; write them.

    Evidence that is there is replaced. Raises Unavailable where the broker or the registry is not there.
    """
    began, servers, schema = time.time(), settings.kafka_bootstrap_servers, pipeline.schema_of(topic)
    offsets = topics.offsets(servers, topic.name)
    ranges = {
        partition: (min(max(first, (starts or {}).get(partition, first)), end), end)
        for partition, (first, end) in offsets.items()
    }
    (folder / FILE).unlink(missing_ok=True)
    for name in ("topic", "dead_letters"):
        shutil.rmtree(folder / name, ignore_errors=True)
        (folder / name).mkdir(mode=0o700, parents=True)  # raw values
    records = sum(end - start for start, end in ranges.values())
    say(f"reading {counted(records, 'record')} of {topic.name}")
    share = Share(servers, settings.schema_registry_url, topic, schema, ranges, mask, folder / "topic" / "0.parquet")
    counts = _read(share, max(1, min(PROCESSES, records // RECORDS_WORTH_A_PROCESS)))
    others = {one.name for one in pipeline.sources if one.dead_letters == topic.dead_letters} - {topic.name}
    letters = _dead_letters(settings, topic, schema, folder / "dead_letters" / "0.parquet", others)
    evidence = Evidence(
        topic=topic.name,
        topic_id=topics.topic_id(servers, topic.name),
        first={partition: first for partition, (first, _) in offsets.items()},
        end={partition: end for partition, (_, end) in offsets.items()},
        starts={partition: start for partition, (start, _) in ranges.items()},
        covered=dict(covered or {}),
        events=counts[EVENT],
        poison=counts[POISON],
        nulls=counts[NULL],
        dead_letters=letters,
        key_ids=mask.key_ids,
        uncompared=mask.uncompared,
        collected=began,
        seconds=time.time() - began,
        folder=folder,
    )
    for name in ("topic", "dead_letters"):
        sync_tree(folder / name)
    content = {k: v for k, v in asdict(evidence).items() if k != "folder"}
    write_durably(folder / FILE, json.dumps(content, indent=2), OWNER_ALONE)
    return evidence


def shares(ranges: Mapping[int, tuple[int, int]], count: int) -> list[Ranges]:
    """The ranges cut into `count` parts of as many offsets, a partition in two where that must be."""
    total = sum(end - start for start, end in ranges.values())
    found: list[Ranges] = [{} for _ in range(count)]
    passed = 0
    for partition, (start, end) in sorted(ranges.items()):
        while start < end:
            part = passed * count // total
            size = min(end - start, -(-(part + 1) * total // count) - passed)
            found[part][partition] = (start, start + size)
            start, passed = start + size, passed + size
    return found


def _read(share: Share, count: int) -> dict[str, int]:
    """Read in as many processes; in this one where they are not worth it."""
    parts = [
        replace(share, ranges=ranges, file=share.file.with_name(f"{number}.parquet"))
        for number, ranges in enumerate(shares(share.ranges, count))
    ]
    if count == 1:
        return read_share(parts[0])
    spawn = multiprocessing.get_context("spawn")
    try:
        with ProcessPoolExecutor(count, spawn, _end_with, (os.getpid(),)) as pool:
            found = list(pool.map(read_share, parts))
    except BrokenProcessPool as error:
        msg = f"A process that read {share.topic.name} was killed."
        raise Unavailable(msg, "It may have been for want of memory. Run it again.") from error
    return {state: sum(one[state] for one in found) for state in STATES.to_pylist()}


def _end_with(parent: int) -> None:
    die_with_parent(parent)()


def _dead_letters(settings: Settings, topic: Topic, schema: dict[str, Any], file: Path, others: Set[str]) -> int:
    """Write the dead letters that are not of `others`, the topics that share the dead-letter topic; how many."""
    registry = Registry(settings.schema_registry_url)
    judge = Judge(topic, schema, registry)
    versions = [version for version in registry.versions(topic.subject) if version.type == AVRO]
    older = [Decoder(version.schema, registry, topic.subject) for version in versions]
    count = 0
    with pq.ParquetWriter(file, DEAD_LETTER_FIELDS) as written:
        rows: list[tuple[Any, ...]] = []
        for message in topics.read(settings.kafka_bootstrap_servers, str(topic.dead_letters)):
            letter = DeadLetter.if_ours(message.headers())  # it is None where it is not the jobs'
            if letter and letter.topic in others:
                continue
            if letter and letter.topic != topic.name:
                letter = None  # the jobs send no dead letter of that topic here
            rows.append((message, letter))
            count += 1
            if len(rows) == DEAD_LETTERS_AT_ONCE:
                written.write_table(_letters_table(judge, older, rows))
                rows = []
        if rows:
            written.write_table(_letters_table(judge, older, rows))
    return count


def _letters_table(judge: Judge, older: Sequence[Decoder], rows: Iterable[tuple[Any, DeadLetter | None]]) -> pa.Table:
    """Dead letters, each an event only where jobs of any registered version would have taken it for one."""
    messages, letters = zip(*rows, strict=True)
    arrivals = [letter.timestamp_ms if letter else message.timestamp()[1] for message, letter in rows]
    values = [message.value() for message in messages]
    _, states = judge.judge(values, 1000 * np.array(arrivals, np.int64))
    for row in np.flatnonzero(states == 0):
        if not all(_takes(decoder, values[row]) for decoder in older):
            states[row] = 1
    columns = [
        [letter.partition if letter else -1 for letter in letters],
        [letter.offset if letter else -1 for letter in letters],
        [digest(message.key(), value) for message, value in zip(messages, values, strict=True)],
        [letter.error_class if letter else None for letter in letters],
        [letter.error_message if letter else None for letter in letters],
        STATES.take(pa.array(states)),
        [message.partition() for message in messages],
        [message.offset() for message in messages],
    ]
    return pa.table(
        [pa.array(one, field.type) for one, field in zip(columns, DEAD_LETTER_FIELDS, strict=True)], DEAD_LETTER_FIELDS
    )


def _takes(decoder: Decoder, value: bytes) -> bool:
    try:
        decoder.decode(value)
    except Undecodable:
        return False
    return True
