"""Makes the pipeline's topics and registers its schemas: what producers and jobs expect to find."""

from __future__ import annotations

from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

from shardlake.avro.registry import Registry
from shardlake.errors import BadInput, Unavailable
from shardlake.pipeline import Pipeline, Topic
from shardlake.settings import Settings

TIMEOUT_SECONDS = 15


def provision(pipeline: Pipeline, settings: Settings) -> None:
    """Create what is missing; what is there stays as it is.

    Raises Unavailable where broker or registry are down, BadInput where a topic has another number of partitions, or
    where a schema cannot replace the one that is registered.
    """
    topics = [topic for topic in pipeline.topics.values() if topic.partitions]
    _make_topics(topics, settings)
    registry = Registry(settings.schema_registry_url)
    for topic in topics:
        if topic.schema:
            registry.register(topic.subject, pipeline.schema_of(topic))


def _make_topics(topics: list[Topic], settings: Settings) -> None:
    admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap_servers, "log_level": 0})
    try:
        there = admin.list_topics(timeout=TIMEOUT_SECONDS).topics
    except KafkaException as error:
        msg = f"No Kafka broker answers at {settings.kafka_bootstrap_servers}: {error.args[0].str()}."
        raise Unavailable(msg, "Start the stack with `shardlake up`, or set KAFKA_BOOTSTRAP_SERVERS.") from error
    for topic in topics:
        if topic.name in there and len(there[topic.name].partitions) != topic.partitions:
            msg = (
                f"Topic {topic.name} has {len(there[topic.name].partitions)} partitions, "
                f"schemas/topics.toml asks for {topic.partitions}."
            )
            raise BadInput(msg, "Keys would move between partitions. Name a new topic, or put the number back.")
    new = [_new_topic(topic) for topic in topics if topic.name not in there]
    if not new:
        return
    for name, future in admin.create_topics(new, operation_timeout=TIMEOUT_SECONDS).items():
        try:
            future.result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                msg = f"Topic {name} could not be made: {error.args[0].str()}."
                raise Unavailable(msg, "The broker's log tells more: `shardlake logs kafka`.") from error


def _new_topic(topic: Topic) -> Any:
    return NewTopic(
        topic.name,
        num_partitions=topic.partitions,
        config={
            # Age and retention are about arrival; when it happened is in the record.
            "message.timestamp.type": "LogAppendTime",
            "retention.ms": str(topic.retention_hours * 3_600_000),
        },
    )
