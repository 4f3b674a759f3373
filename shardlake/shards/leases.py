"""Who holds a group's shards, and how far they are: read from the broker, judged by a pure function."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from confluent_kafka import Consumer, KafkaException
from confluent_kafka.admin import AdminClient

from shardlake import groups, topics
from shardlake.errors import BadInput, Unavailable
from shardlake.kafka_login import client
from shardlake.position import Position
from shardlake.shards.lease import Lease

EXPIRES_SECONDS = 10
"""After three renewals that have not come."""


class State(StrEnum):
    """What a shard's lease says."""

    HELD = "held"
    EXPIRED = "expired"
    """Its owner is a member of the group, and has not renewed it for a while: it is stopped, or cannot commit."""
    FREE = "free"
    """Its owner is no member any more."""
    NEVER_HELD = "never held"
    """Nothing was ever committed."""
    NO_LEASE = "no lease"
    """Somebody else has committed."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Where a group is in a shard, with the metadata of its commit, None without one."""

    topic: str
    partition: int
    position: Position
    metadata: str | None


@dataclass(frozen=True, slots=True)
class ShardLease:
    """One shard of a group. `owner` is the last one; `age_seconds` is since the lease was renewed."""

    shard: str
    state: State
    checkpoint: int | None
    behind: int
    owner: str | None = None
    epoch: int | None = None
    age_seconds: float | None = None
    in_flight: int | None = None


def judge(checkpoint: Checkpoint, members: Collection[str], now_ms: int) -> ShardLease:
    """`members` are the names of the group's members, which are the owners in leases."""
    shard = f"{checkpoint.topic}-{checkpoint.partition}"
    offset, behind = checkpoint.position.committed, checkpoint.position.lag
    if offset is None:
        return ShardLease(shard, State.NEVER_HELD, None, behind)
    lease = Lease.from_metadata(checkpoint.metadata)
    if lease is None:
        return ShardLease(shard, State.NO_LEASE, offset, behind)
    age_seconds = max(0, now_ms - lease.renewed_ms) / 1000
    state = State.EXPIRED if age_seconds > EXPIRES_SECONDS else State.HELD
    if lease.owner not in members:
        state = State.FREE
    return ShardLease(shard, state, offset, behind, lease.owner, lease.epoch, age_seconds, lease.in_flight)


class Leases:
    """Reads the leases of one group, again and again. Not for several threads at once."""

    def __init__(self, bootstrap_servers: str, group: str) -> None:
        self._servers = bootstrap_servers
        self._group = group
        self._admin = AdminClient(client(bootstrap_servers, reconnect_backoff_max_ms=500))
        self._asker = Consumer(client(bootstrap_servers, group_id=group))  # it never joins

    def close(self) -> None:
        """Leave nothing open."""
        self._asker.close()

    def read(self, now_ms: int) -> list[ShardLease]:
        """All shards of the topics in which the group has committed. Raises BadInput where there is no such group,
        Unavailable where the broker does not answer."""
        try:
            members = self._members()
            checkpoints = self._checkpoints()
        except KafkaException as error:
            msg = f"Kafka at {self._servers} does not tell the leases of group {self._group}: {error.args[0].str()}."
            raise Unavailable(msg, "Start the stack with `shardlake up`, or set KAFKA_BOOTSTRAP_SERVERS.") from error
        return [judge(checkpoint, members, now_ms) for checkpoint in checkpoints]

    def _members(self) -> set[str]:
        there = groups.names(self._admin)
        if self._group not in there:
            raise BadInput(f"There is no consumer group {self._group!r}.", f"There is: {', '.join(there) or 'none'}.")
        described = self._admin.describe_consumer_groups([self._group], request_timeout=groups.REQUEST_SECONDS)
        return {member.client_id for member in described[self._group].result().members}

    def _checkpoints(self) -> list[Checkpoint]:
        committed = topics.committed_by(self._asker, groups.places(self._admin))
        found = {(one.topic, one.partition): one for one in committed}
        # The ends after the commits: what is committed in between shows as a little more behind, never as less.
        known = {topic: topics.bounds(self._servers, topic) for topic in sorted({topic for topic, _ in found})}
        checkpoints = []
        for topic, partitions in known.items():
            for partition, bounds in partitions.items():
                one = found.get((topic, partition))
                offset, metadata = (one.offset, one.metadata) if one else (None, None)
                checkpoints.append(Checkpoint(topic, partition, Position(bounds, offset), metadata))
        return checkpoints
