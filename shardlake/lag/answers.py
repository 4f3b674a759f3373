"""What the broker says at one moment, in few objects: it goes from one process to another at every sample."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

UNKNOWN = -1
"""An offset that the broker did not tell this time."""
Place = tuple[str, int]
"""A topic and a partition."""


class Member(NamedTuple):
    """Who holds a partition."""

    client_id: str
    consumer_id: str
    host: str


NOBODY = Member("", "", "")


@dataclass(slots=True)
class Group:
    """A consumer group: its members and what they hold as of its last description, its commits as of now.

    `committed` has by topic the partitions and, beside them, the offsets; `renewals` the metadata of commits that have
    some."""

    state: str
    members: int = 0
    owners: Mapping[Place, Member] = field(default_factory=dict)
    committed: dict[str, tuple[array[int], array[int]]] = field(default_factory=dict)
    renewals: dict[Place, str] = field(default_factory=dict)

    def topics(self) -> set[str]:
        """Those in which it has committed or holds a partition."""
        return {*self.committed, *(topic for topic, _ in self.owners)}


@dataclass(slots=True)
class Answers:
    """Of all groups, and topics but Kafka's own. Offsets are by topic, at the index of the partition; `ends` are the
    last stable offsets, asked after the commits, at `taken_ms`: a record that comes in between shows as a little more
    lag, never as less. `highs` are the high watermarks, asked before the ends: one that is beyond its end is so for an
    open transaction."""

    taken_ms: float
    brokers: int
    ends: dict[str, array[int]]
    highs: dict[str, array[int]]
    firsts: dict[str, array[int]]
    under_replicated: frozenset[Place]
    retention_ms: Mapping[str, int]
    """Of topics from which records go after a time."""
    groups: dict[str, Group]
