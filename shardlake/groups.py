"""What the brokers say of consumer groups at large: which there are, and where they may have committed."""

from __future__ import annotations

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

REQUEST_SECONDS = 10


def names(admin: AdminClient) -> list[str]:
    """Of all groups, sorted. Raises KafkaException where a broker does not answer."""
    return sorted(states(admin))


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
