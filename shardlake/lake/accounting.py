"""Every record of a topic accounted for: it is a row of the lake or a dead letter, once.

Nothing here is carried over from those who wrote: offsets are asked of the broker, rows are counted in the files,
dead letters, null values and control records in their topics.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from shardlake import topics
from shardlake.dead_letter import DeadLetter
from shardlake.lake.query import database
from shardlake.lake.tables import VISIBLE
from shardlake.pipeline import Topic
from shardlake.storage import Folder, find


@dataclass(frozen=True, slots=True)
class Rows:
    """`distinct` offsets among `count` rows: fewer than rows where one was written twice."""

    count: int = 0
    distinct: int = 0
    min_offset: int = -1
    max_offset: int = -1


@dataclass(frozen=True, slots=True)
class PartitionAccount:
    """Where the records of a partition, from `first` to before `end`, are."""

    partition: int
    first: int
    end: int
    rows: Rows
    dead_letters: int
    dead_letters_distinct: int
    null_values: int
    in_both: int
    control_records: int = 0
    """Offsets without a record: a transaction's marker, or what it has aborted."""

    @property
    def records(self) -> int:
        """How many there are to account for."""
        return self.end - self.first

    @property
    def difference(self) -> int:
        """Records that are nowhere; negative where there is more than was sent."""
        kept = self.rows.count + self.dead_letters + self.null_values
        return self.records - self.control_records - kept

    @property
    def doubled(self) -> int:
        """Records that are found more than once."""
        return (self.rows.count - self.rows.distinct) + (self.dead_letters - self.dead_letters_distinct) + self.in_both

    @property
    def holds(self) -> bool:
        """Each record exactly once."""
        return self.difference == 0 and self.doubled == 0


def rows_by_partition(lake: Folder, table: str) -> dict[tuple[str, int], Rows]:
    """By topic and partition, what the files of `table` hold. A table without files holds nothing."""
    files = _files(lake, table)
    if not files:
        return {}
    found = database([lake]).execute(
        'SELECT topic, "partition", count(*), count(DISTINCT "offset"), min("offset"), max("offset") '
        "FROM read_parquet(?) GROUP BY ALL ORDER BY ALL",
        [files],
    )
    return {(row[0], row[1]): Rows(*row[2:]) for row in found.fetchall()}


def account(bootstrap_servers: str, topic: Topic, lake: Folder) -> list[PartitionAccount]:
    """The account of a topic of events, partition by partition. Raises Unavailable where the broker does not answer."""
    table = str(topic.lake_table)
    rows = rows_by_partition(lake, table)
    letters = dead_letter_places(bootstrap_servers, topic)
    both = _in_lake(lake, table, topic.name, sorted(set(letters)))
    offsets = topics.offsets(bootstrap_servers, topic.name)
    nulls: Counter[int] = Counter()
    records: Counter[int] = Counter()
    for batch in topics.read_batches(bootstrap_servers, topic.name, offsets):
        records.update(message.partition() for message in batch)
        nulls.update(message.partition() for message in batch if message.value() is None)
    return [
        PartitionAccount(
            partition=partition,
            first=first,
            end=end,
            rows=rows.get((topic.name, partition), Rows()),
            dead_letters=sum(place[0] == partition for place in letters),
            dead_letters_distinct=sum(place[0] == partition for place in set(letters)),
            null_values=nulls[partition],
            in_both=sum(place[0] == partition for place in both),
            control_records=end - first - records[partition],
        )
        for partition, (first, end) in offsets.items()
    ]


def dead_letter_places(bootstrap_servers: str, topic: Topic) -> list[tuple[int, int]]:
    """(partition, offset) in `topic` of each dead letter of it, one for each record of the dead-letter topic.

    A place that the topic has never had is left out: no record of it became that dead letter.
    """
    letters = [DeadLetter.if_ours(m.headers()) for m in topics.read(bootstrap_servers, str(topic.dead_letters))]
    # Asked last: what is a dead letter by now was in the topic before.
    ends = {partition: end for partition, (_, end) in topics.offsets(bootstrap_servers, topic.name).items()}
    return [
        (letter.partition, letter.offset)
        for letter in letters
        if letter and letter.topic == topic.name and letter.offset < ends.get(letter.partition, 0)
    ]


def _in_lake(lake: Folder, table: str, topic: str, places: list[tuple[int, int]]) -> list[tuple[int, int]]:
    files = _files(lake, table)
    if not files or not places:
        return []
    wanted = ", ".join(f"({partition}, {offset})" for partition, offset in places)
    found = database([lake]).execute(
        'SELECT DISTINCT "partition", "offset" FROM read_parquet(?) '
        f'WHERE topic = ? AND ("partition", "offset") IN ({wanted})',
        [files, topic],
    )
    return [(row[0], row[1]) for row in found.fetchall()]


def _files(lake: Folder, table: str) -> list[str]:
    return [str(file.path) for file in find(lake / table, VISIBLE)]
