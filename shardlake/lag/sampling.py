"""Asking the broker how far every group is: few requests, whatever the number of groups and partitions.

One listing of groups, one call a group for its offsets, one description of all groups, two calls for the offsets of all
partitions; then the arrival times of the records that wait, read by one consumer that is kept.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer, IsolationLevel, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from shardlake import groups
from shardlake.errors import Unavailable
from shardlake.groups import REQUEST_SECONDS
from shardlake.kafka_login import client
from shardlake.lag.rules import Lag, Offsets, judge
from shardlake.topics import committed_by, while_moving

READ_SECONDS = 3.0
"""How long the arrival times of one sample may take; what is not read by then is unknown."""

Place = tuple[str, int]


@dataclass(frozen=True, slots=True)
class PartitionLag:
    """One group in one partition. `owner` is the member that holds it, '' where none does."""

    group: str
    topic: str
    partition: int
    committed: int | None
    end: int
    owner: str
    lag: Lag


@dataclass(frozen=True, slots=True)
class Sample:
    """All groups at one moment. `ends` and `firsts` are of every partition that a group has to do with."""

    taken_ms: int
    lags: tuple[PartitionLag, ...]
    members: dict[str, int]
    states: dict[str, str]
    firsts: dict[Place, int]
    ends: dict[Place, int]


@dataclass(frozen=True, slots=True)
class _Group:
    state: str
    committed: dict[Place, int]
    owners: dict[Place, str]
    members: int


class Sampler:
    """Takes samples from one cluster. Not for several threads at once."""

    def __init__(self, bootstrap_servers: str) -> None:
        self._servers = bootstrap_servers
        self._connect()

    def sample(self, only: str | None = None) -> Sample:
        """All groups, or one. Raises Unavailable where the broker does not answer."""
        try:
            return self._sample(only)
        except KafkaException as error:
            # Where a broker was killed and has come back, the old client's listing of groups waits for it for ever.
            self.close()
            self._connect()
            msg = f"No Kafka broker answers at {self._servers}: {error.args[0].str()}."
            raise Unavailable(msg, "Start the stack with `shardlake up`, or set KAFKA_BOOTSTRAP_SERVERS.") from error

    def _connect(self) -> None:
        # A broker that comes back is asked again at once, not after the client's 10 s.
        self._admin = AdminClient(client(self._servers, reconnect_backoff_max_ms=500))
        self._reader: Consumer | None = None
        self._askers: dict[str, Consumer] = {}

    def close(self) -> None:
        """Leave nothing open."""
        for consumer in (self._reader, *self._askers.values()):
            if consumer is not None:
                consumer.close()

    def _sample(self, only: str | None) -> Sample:
        names = [name for name in groups.names(self._admin) if only in (None, name)]
        found = self._groups(names)
        topics = {place[0] for group in found.values() for place in (*group.committed, *group.owners)}
        firsts, ends = self._ends(topics)
        # Several groups may wait at different offsets of one partition, so the reader is asked by offset.
        asked = {
            (place, max(group.committed.get(place, firsts[place]), firsts[place]))
            for group in found.values()
            for place in _places(group, firsts)
        }
        arrivals = self._arrivals({(place, offset) for place, offset in asked if offset < ends[place]})
        now_ms = time.time_ns() // 1_000_000
        lags = tuple(
            PartitionLag(
                name, *place, group.committed.get(place), ends[place], group.owners.get(place, ""),
                judge(_offsets(group, place, firsts, ends, arrivals), now_ms),
            )
            for name, group in found.items()
            for place in _places(group, firsts)
        )  # fmt: skip
        states = {name: group.state for name, group in found.items()}
        members = {name: group.members for name, group in found.items()}
        return Sample(now_ms, lags, members, states, firsts, ends)

    def _groups(self, names: list[str]) -> dict[str, _Group]:
        for name in self._askers.keys() - set(names):
            self._askers.pop(name).close()
        if not names:
            return {}
        partitions = groups.places(self._admin)
        described = self._admin.describe_consumer_groups(names, request_timeout=REQUEST_SECONDS)
        found = {}
        for name in names:
            committed = self._committed(name, partitions)
            group = described[name].result()
            owners = {
                (place.topic, place.partition): member.client_id
                for member in group.members
                for place in (member.assignment.topic_partitions if member.assignment else [])
            }
            found[name] = _Group(group.state.name, committed, owners, len(group.members))
        return found

    def _committed(self, group: str, partitions: list[TopicPartition]) -> dict[Place, int]:
        if group not in self._askers:
            self._askers[group] = Consumer(client(self._servers, group_id=group))
        found = committed_by(self._askers[group], partitions)
        return {(place.topic, place.partition): place.offset for place in found}

    def _ends(self, topics: Iterable[str]) -> tuple[dict[Place, int], dict[Place, int]]:
        known = self._admin.list_topics(timeout=REQUEST_SECONDS).topics
        partitions = [
            TopicPartition(topic, partition)
            for topic in sorted(topics)
            if topic in known  # one that was deleted has no lag
            for partition in known[topic].partitions
        ]
        if not partitions:
            return {}, {}
        return while_moving(
            lambda: (self._list(partitions, OffsetSpec.earliest()), self._list(partitions, OffsetSpec.latest()))
        )

    def _list(self, partitions: list[TopicPartition], spec: Any) -> dict[Place, int]:
        futures = self._admin.list_offsets(
            dict.fromkeys(partitions, spec),
            isolation_level=IsolationLevel.READ_COMMITTED,
            request_timeout=REQUEST_SECONDS,
        )
        return {(place.topic, place.partition): future.result().offset for place, future in futures.items()}

    def _arrivals(self, asked: set[tuple[Place, int]]) -> dict[tuple[Place, int], int]:
        """When the records at these offsets (or the next that is no control record) arrived, as far as time allows."""
        found: dict[tuple[Place, int], int] = {}
        deadline = time.monotonic() + READ_SECONDS
        rounds: list[dict[Place, int]] = []
        for place, offset in sorted(asked):
            for one in rounds:
                if place not in one:
                    one[place] = offset
                    break
            else:
                rounds.append({place: offset})
        for one in rounds:
            reader = self._open_reader()
            reader.assign([TopicPartition(*place, offset) for place, offset in one.items()])
            left = dict(one)
            while left and time.monotonic() < deadline:
                for message in reader.consume(len(left), timeout=0.1):
                    place = (message.topic(), message.partition())
                    if message.error() is None and place in left:
                        found[place, left.pop(place)] = message.timestamp()[1]
                        # Otherwise its next records would crowd out the others'.
                        reader.incremental_unassign([TopicPartition(*place)])
            reader.unassign()
        return found

    def _open_reader(self) -> Consumer:
        if self._reader is None:
            self._reader = Consumer(
                client(self._servers)
                | {
                    "group.id": "shardlake-lag",  # it never joins nor commits
                    "enable.auto.commit": False,
                    "auto.offset.reset": "earliest",
                    "fetch.queue.backoff.ms": 5,
                    # One record a partition is all that is wanted.
                    "queued.min.messages": 1,
                    "fetch.message.max.bytes": 16_384,
                }
            )
        return self._reader


def _places(group: _Group, firsts: dict[Place, int]) -> list[Place]:
    """All partitions of the topics that the group has committed in or holds."""
    topics = {place[0] for place in (*group.committed, *group.owners)}
    return [place for place in sorted(firsts) if place[0] in topics]


def _offsets(
    group: _Group,
    place: Place,
    firsts: dict[Place, int],
    ends: dict[Place, int],
    arrivals: dict[tuple[Place, int], int],
) -> Offsets:
    committed = group.committed.get(place)
    oldest = max(firsts[place] if committed is None else committed, firsts[place])
    return Offsets(firsts[place], ends[place], committed, arrivals.get((place, oldest)))
