"""Samples of how far every group is behind, one after the other: what each tells is held against those before."""

from __future__ import annotations

import heapq
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from time import time_ns

from shardlake.lag.answers import NOBODY, UNKNOWN, Answers, Group, Place
from shardlake.lag.arrivals import Arrivals
from shardlake.lag.broker import ANSWER_SECONDS, Broker
from shardlake.lag.reader import Budget, Reader
from shardlake.lag.shard import Shard
from shardlake.lag.status import HOT_RECORDS, hot
from shardlake.lag.track import Track
from shardlake.position import Bounds, Position

ALL = Budget(records=10_000, seconds=3)
"""For somebody who looks once."""
EACH_TIME = Budget(records=50, seconds=0.1)
"""For somebody who looks every few seconds."""


@dataclass(frozen=True, slots=True)
class Sample:
    """All groups at one moment. The shards are the sampler's own, and change with its next sample."""

    taken_ms: float
    answers: Answers
    shards: list[Shard]

    @property
    def groups(self) -> dict[str, Group]:
        """By name."""
        return self.answers.groups

    def of(self, group: str) -> list[Shard]:
        """Its shards."""
        return [shard for shard in self.shards if shard.group == group]

    def hot(self) -> Iterator[tuple[Shard, float]]:
        """The shards that hide in a sum, each with how many times the mean of the others it is behind."""
        by_topic: dict[tuple[str, str], list[Shard]] = {}
        for shard in self.shards:
            if shard.has_started:
                by_topic.setdefault((shard.group, shard.topic), []).append(shard)
        for shards in by_topic.values():
            if max(shard.records for shard in shards) < HOT_RECORDS:
                continue
            found = hot([(shard.records, shard.seconds) for shard in shards])
            if found is not None:
                yield shards[found[0]], found[1]


class Sampler:
    """Takes samples from one cluster. Not for several threads at once."""

    def __init__(self, broker: Broker, reader: Reader, uncommitted: Reader) -> None:
        """`reader` reads what is committed; `uncommitted` reads all there is, of partitions with open transactions."""
        self._broker = broker
        self._reader = reader
        self._uncommitted = uncommitted
        self._open: dict[Place, tuple[int, float | None]] = {}
        """Of open transactions: the offset of the first record, and when it arrived, where that is known."""
        self._arrivals: dict[str, list[Arrivals]] = {}
        self._shards: dict[str, dict[str, list[Shard]]] = {}
        self._before_ms = 0.0

    @classmethod
    def of(cls, bootstrap_servers: str, answer_seconds: float = ANSWER_SECONDS) -> Sampler:
        """Of the cluster at these addresses, which has so long to answer. Raises BadInput where the settings for it are
        wrong."""
        uncommitted = Reader(bootstrap_servers, "read_uncommitted")
        return cls(Broker(bootstrap_servers, answer_seconds), Reader(bootstrap_servers), uncommitted)

    def close(self) -> None:
        """Leave nothing open."""
        self._broker.close()
        self._reader.close()
        self._uncommitted.close()

    def sample(self, budget: Budget = ALL) -> Sample:
        """Raises Unavailable where the broker does not answer."""
        answers = self._broker.ask()
        self._note_arrivals(answers)
        for gone in self._shards.keys() - answers.groups:
            del self._shards[gone]
        shards = [shard for name in answers.groups for shard in self._follow(name, answers)]
        self._before_ms = answers.taken_ms
        self._measure([shard for shard in shards if not shard.track.position.reads_uncommitted], self._reader, budget)
        self._measure([shard for shard in shards if shard.track.position.reads_uncommitted], self._uncommitted, budget)
        self._note_open(shards, budget)
        now_ms = time_ns() / 1e6
        for shard in shards:
            shard.now_ms = now_ms
        return Sample(now_ms, answers, shards)

    def _note_arrivals(self, answers: Answers) -> None:
        for gone in self._arrivals.keys() - answers.ends:
            del self._arrivals[gone]
        for topic, ends in answers.ends.items():
            tables = self._arrivals.setdefault(topic, [])
            if len(tables) > len(ends):  # made anew
                tables.clear()
            tables += [Arrivals() for _ in range(len(ends) - len(tables))]
            for table, end in zip(tables, ends, strict=True):
                if end != UNKNOWN:
                    table.add(end, answers.taken_ms)

    def _follow(self, name: str, answers: Answers) -> Iterator[Shard]:
        group = answers.groups[name]
        known = self._shards.setdefault(name, {})
        topics = group.topics() & answers.ends.keys()
        for gone in known.keys() - topics:
            del known[gone]
        for topic in sorted(topics):
            ends, firsts, highs = answers.ends[topic], answers.firsts[topic], answers.highs[topic]
            shards = known.setdefault(topic, [])
            if len(shards) > len(ends):
                shards.clear()
            committed = _by_partition(group.committed.get(topic), len(ends))
            for partition in range(len(shards), len(ends)):
                track = Track(
                    answers.taken_ms,
                    _position(firsts[partition], ends[partition], highs[partition], committed[partition]),
                )
                shards.append(Shard(name, topic, partition, track))
                shards[-1].interpolated_ms = self._arrivals[topic][partition].at(shards[-1].waiting)
            self._observe(shards, firsts, ends, highs, committed, answers)
            if group.owners:
                for shard in shards:
                    shard.owner = group.owners.get((topic, shard.partition), NOBODY)
            else:
                for shard in shards:
                    shard.owner = NOBODY
            if UNKNOWN in ends or UNKNOWN in firsts:
                for shard, first, end in zip(shards, firsts, ends, strict=True):
                    if UNKNOWN not in (first, end):
                        yield shard
            else:
                yield from shards
        for (topic, partition), renewal in group.renewals.items():
            if topic in known and partition < len(known[topic]):
                known[topic][partition].track.renew(answers.taken_ms, renewal)

    def _observe(
        self,
        shards: list[Shard],
        firsts: array[int],
        ends: array[int],
        highs: array[int],
        committed: list[int],
        answers: Answers,
    ) -> None:
        """This is done for each group and partition, most of which have not moved."""
        for shard, first, end, high, offset in zip(shards, firsts, ends, highs, committed, strict=True):
            track = shard.track
            bounds = track.position.bounds
            if (
                end == bounds.stable
                and high == bounds.high
                and first == bounds.first
                and offset == (-1 if track.committed is None else track.committed)
            ):
                continue
            if UNKNOWN in (first, end):
                continue
            position = _position(first, end, high, offset)
            if position.bounds.high < bounds.high:  # made anew: another record is at the same offset
                shard.measured = None
            track.observe(answers.taken_ms, self._before_ms, position)
            shard.count()
            # Once it is known when a record arrived, it stays so.
            shard.interpolated_ms = self._arrivals[shard.topic][shard.partition].at(shard.waiting)

    def _note_open(self, shards: list[Shard], budget: Budget) -> None:
        """Tell those that are held back since when: the first record that is not stable began the transaction."""
        held = {(s.topic, s.partition): s.track.position.bounds for s in shards if s.held_back}
        self._open = {
            place: known for place, known in self._open.items() if place in held and known[0] == held[place].stable
        }
        asked = [(place, one.stable, one.high) for place, one in held.items() if place not in self._open]
        if asked:
            for (place, offset), found in self._uncommitted.read(asked[: budget.records], budget).items():
                self._open[place] = offset, found.arrival_ms
        for shard in shards:
            known = self._open.get((shard.topic, shard.partition)) if shard.held_back else None
            shard.open_since_ms = known[1] if known else None

    def _measure(self, shards: list[Shard], reader: Reader, budget: Budget) -> None:
        """Read what waits, where that was not read yet; those first whose measurement is the oldest."""
        due = [
            shard
            for shard in shards
            if (track := shard.track).lag
            and (
                (found := shard.measured) is None
                or found.offset != shard.waiting
                or (found.is_empty and found.end != track.end)
            )
        ]
        if len(due) > budget.records:
            due = heapq.nsmallest(budget.records, due, key=_measured_ms)
        if not due:
            return
        places: dict[tuple[Place, int], list[Shard]] = {}
        for shard in due:
            places.setdefault(((shard.topic, shard.partition), shard.waiting), []).append(shard)
        asked = [(place, offset, waiting[0].track.end) for (place, offset), waiting in places.items()]
        for key, measurement in reader.read(asked, budget).items():
            for shard in places[key]:
                shard.measured = measurement
                shard.count()


def _measured_ms(shard: Shard) -> float:
    return shard.measured.taken_ms if shard.measured else 0.0


def _by_partition(commits: tuple[array[int], array[int]] | None, count: int) -> list[int]:
    """The committed offset of each partition, -1 where there is none."""
    found = [-1] * count
    if commits:
        for partition, offset in zip(*commits, strict=True):
            if partition < count:
                found[partition] = offset
    return found


def _position(first: int, end: int, high: int, committed: int) -> Position:
    """As the broker says; nothing is known where it does not tell the first offset and the end."""
    if UNKNOWN in (first, end):
        return Position(Bounds(0, UNKNOWN, UNKNOWN), None)
    return Position(Bounds(first, end, max(end, high)), None if committed < 0 else committed)
