"""How far a group is, asked of the broker again and again."""

from __future__ import annotations

import time

from confluent_kafka import Consumer, KafkaException, TopicPartition

from shardlake import topics
from shardlake.errors import Unavailable
from shardlake.kafka_login import client
from shardlake.position import Position
from shardlake.shards.scaling import Sample


class Progress:
    """Of one group in one topic. Not for several threads at once."""

    def __init__(self, bootstrap_servers: str, group: str, topic: str) -> None:
        self._servers = bootstrap_servers
        self._group = group
        self._topic = topic
        self._asker = Consumer(client(bootstrap_servers, group_id=group))  # it never joins
        self._partitions = list(topics.offsets(bootstrap_servers, topic))

    @property
    def shards(self) -> int:
        """How many there are."""
        return len(self._partitions)

    def close(self) -> None:
        """Leave nothing open."""
        self._asker.close()

    def sample(self) -> Sample:
        """Raises Unavailable where the broker does not answer."""
        try:
            places = [TopicPartition(self._topic, number) for number in self._partitions]
            committed = {one.partition: one.offset for one in topics.committed_by(self._asker, places)}
        except KafkaException as error:
            msg = f"Kafka at {self._servers} does not tell the offsets of group {self._group}: {error.args[0].str()}."
            raise Unavailable(msg) from error
        # Asked after the commits: what is done in between shows as a little more lag, never as less.
        known = topics.bounds(self._servers, self._topic)
        self._partitions = list(known)
        positions = {
            f"{self._topic}-{number}": Position(bounds, committed.get(number)) for number, bounds in known.items()
        }
        return Sample(
            time.monotonic(),
            # What retention took is neither behind nor done.
            {shard: None if one.committed is None else one.next for shard, one in positions.items()},
            {shard: one.end for shard, one in positions.items()},
        )
