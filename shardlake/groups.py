"""Consumer groups at large: which there are, where they may have committed, and an end to one."""

from __future__ import annotations

import time

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from shardlake.errors import Unavailable
from shardlake.kafka_login import client
from shardlake.topics import while_moving

REQUEST_SECONDS = 10
LEAVE_SECONDS = 20


def names(admin: AdminClient) -> list[str]:
    """Of all groups, sorted; a broker that has just started, and loads them yet, is asked again for a while.

    Raises KafkaException where a broker does not answer.
    """
    return sorted(while_moving(lambda: states(admin)))


def states(admin: AdminClient) -> dict[str, str]:
    """Of all groups, by name. Raises KafkaException where a broker does not answer."""
    listed = admin.list_consumer_groups(request_timeout=REQUEST_SECONDS).result()
    if listed.errors:
        # Of brokers that did not answer: KafkaError here, KafkaException in older clients.
        first = listed.errors[0]
        raise first if isinstance(first, KafkaException) else KafkaException(first)
    return {group.group_id: group.state.name for group in listed.valid}


def places(admin: AdminClient) -> list[TopicPartition]:
    """All partitions of all topics but Kafka's own. Raises KafkaException where no broker answers."""
    known = admin.list_topics(timeout=REQUEST_SECONDS).topics
    return [
        TopicPartition(topic, partition)
        for topic in sorted(known)
        if not topic.startswith("__")
        for partition in known[topic].partitions
    ]


def forget(bootstrap_servers: str, group: str) -> None:
    """Delete a group with its offsets, where there is one. Raises Unavailable where members of it do not leave."""
    admin = AdminClient(client(bootstrap_servers))
    deadline = time.monotonic() + LEAVE_SECONDS
    while True:
        try:
            admin.delete_consumer_groups([group])[group].result()
        except KafkaException as error:
            if error.args[0].name() in ("GROUP_ID_NOT_FOUND", "INVALID_GROUP_ID"):
                return
            if time.monotonic() > deadline:
                msg = f"The offsets of group {group} cannot be deleted: {error.args[0].str()}."
                raise Unavailable(msg, "Members of it may still be there, or have not left yet.") from error
            time.sleep(0.5)
        else:
            return
