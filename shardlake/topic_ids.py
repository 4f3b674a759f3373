"""The ids that the broker gave topics, noted with what was made of their records.

A topic that was deleted and made anew has its old name and another id; so has one of another broker. Offsets, a
savepoint and rows of the one say nothing of the other. Each note is a file of JSON:

    topics.json          in the jobs' folder, and in the folder of each savepoint: the topics that jobs read and write
    .topics/TABLE.json   below the lake's folder: the topics whose events are in a table. The table's own folder is left
                         alone: polars refuses one that has a file of another kind, whatever its name

What an older version has left has no note, and is taken to be of the topics that there are when it is first taken up.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from shardlake.errors import BadInput
from shardlake.kept_json import Count, parsed
from shardlake.storage import Folder, write_whole

FILE = "topics.json"
OF_TABLES = ".topics"
NO_ID = "AAAAAAAAAAAAAAAAAAAAAA"
"""Kafka's zero: a broker that gives topics no ids says this of each."""


@dataclass(frozen=True, slots=True)
class Noted:
    """A topic's id, and when it was noted, in UTC. `firsts` are the first offsets that its partitions had when the jobs
    were started last."""

    topic_id: str
    noted: str
    firsts: dict[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MadeAnew:
    """A topic that has another id than the one that was noted."""

    topic: str
    noted: Noted
    topic_id: str

    @property
    def words(self) -> str:
        """Both ids, and when the first was noted."""
        return f"the broker's has the id {self.topic_id}, the one noted {self.noted.noted} had {self.noted.topic_id}"


def now() -> str:
    """The time of a note."""
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"


@dataclass(frozen=True, slots=True)
class _Kept:
    id: str
    noted: str
    firsts: dict[int, Count] = field(default_factory=dict)


def read(file: Folder) -> dict[str, Noted]:
    """What is noted, by the topic's name; {} where there is no such file. Raises BadInput where it is damaged."""
    if not file.exists():
        return {}
    try:
        notes = parsed(file.read_text(), dict[str, _Kept])
    except ValueError as error:
        msg = f"{file} is damaged: {error}."
        raise BadInput(msg, "Put it back. Without it, today's topics are taken for those of before.") from error
    return {name: Noted(one.id, one.noted, one.firsts) for name, one in notes.items()}


def write(file: Folder, notes: Mapping[str, Noted]) -> None:
    """Replace what is noted there."""
    content = {
        name: {"id": one.topic_id, "noted": one.noted, **({"firsts": one.firsts} if one.firsts else {})}
        for name, one in sorted(notes.items())
    }
    write_whole(file, json.dumps(content, indent=1))


def made_anew(notes: Mapping[str, Noted], ids: Mapping[str, str]) -> Iterator[MadeAnew]:
    """Those of the topics in `ids` that are noted with another id. A broker without ids is believed."""
    for topic, topic_id in ids.items():
        noted = notes.get(topic)
        if noted and topic_id != NO_ID and noted.topic_id not in (topic_id, NO_ID):
            yield MadeAnew(topic, noted, topic_id)


def of_table(lake: Folder, table: str) -> Folder:
    """The file in which the topics of a table are noted."""
    return lake / OF_TABLES / f"{table}.json"


def keep_with(jobs: Folder, savepoint: Folder) -> None:
    """Lay the note of the jobs' folder into that of a savepoint, which may be copied elsewhere and come back."""
    if (jobs / FILE).exists():
        write_whole(savepoint / FILE, (jobs / FILE).read_text())
