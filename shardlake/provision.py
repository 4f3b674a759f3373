"""Makes the pipeline's topics and registers its schemas: what producers and jobs expect to find."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

from shardlake import topics
from shardlake.avro.evolution import misfits
from shardlake.avro.registry import Registry, Version, same_version
from shardlake.errors import BadInput, ShardlakeError, Unavailable
from shardlake.kafka_login import client
from shardlake.pipeline import Pipeline, Topic
from shardlake.settings import Settings

TIMEOUT_SECONDS = 15


def provision(pipeline: Pipeline, settings: Settings) -> None:
    """Create what is missing; what is there stays as it is.

    Raises Unavailable where broker or registry are down, BadInput where a topic has another number of partitions, and
    ShardlakeError where a schema cannot follow the one that is registered.
    """
    _make_topics(pipeline.on_broker, settings)
    register_schemas(pipeline, Registry(settings.schema_registry_url))


@dataclass(frozen=True, slots=True)
class Check:
    """Whether a schema of the folder can be registered."""

    topic: Topic
    versions: list[Version]
    """Those that are registered, the oldest first."""
    registered: Version | None
    """The one that the folder's schema is, but for its docs."""
    reasons: list[str]
    """Why it cannot be registered; [] where it can."""

    @property
    def refused(self) -> bool:
        """Whether the registry would refuse it."""
        return bool(self.reasons)


def check_schemas(pipeline: Pipeline, registry: Registry) -> list[Check]:
    """Each schema of a topic beside what is registered for it. The registry decides; the reasons are worked out here.

    Raises Unavailable where the registry is down.
    """
    return [_check(topic, pipeline.schema_of(topic), registry) for topic in pipeline.on_broker if topic.schema]


def register_schemas(pipeline: Pipeline, registry: Registry) -> dict[str, int]:
    """Register the schemas that are not yet; the ids of all, by subject. Raises ShardlakeError, and registers none,
    where one is refused."""
    checks = check_schemas(pipeline, registry)
    for check in checks:
        if check.refused:
            try:
                # The registry gives its own words to none but who registers; -v shows them.
                registry.register(check.topic.subject, pipeline.schema_of(check.topic))
            except Unavailable:
                raise
            except ShardlakeError as error:
                msg = f"The schema {check.topic.schema} cannot follow the registered one: {'; '.join(check.reasons)}."
                raise ShardlakeError(
                    msg, "Give new fields a default, and keep the types of those there are."
                ) from error
    return {
        check.topic.subject: registry.register(check.topic.subject, pipeline.schema_of(check.topic)) for check in checks
    }


def _check(topic: Topic, schema: dict[str, Any], registry: Registry) -> Check:
    versions = registry.versions(topic.subject)
    same = same_version(versions, schema)
    if same or not versions or registry.accepts(topic.subject, schema):
        return Check(topic, versions, same, [])
    reasons = misfits([version.schema for version in versions], schema, registry.compatibility(topic.subject))
    return Check(topic, versions, same, reasons or ["the registry refuses it; `-v schema register` shows its words"])


def _make_topics(wanted: list[Topic], settings: Settings) -> None:
    admin = AdminClient(client(settings.kafka_bootstrap_servers))
    try:
        there = admin.list_topics(timeout=TIMEOUT_SECONDS).topics
    except KafkaException as error:
        msg = f"No Kafka broker answers at {settings.kafka_bootstrap_servers}: {error.args[0].str()}."
        raise Unavailable(msg, "Start the stack with `shardlake up`, or set KAFKA_BOOTSTRAP_SERVERS.") from error
    for topic in wanted:
        if topic.name in there and len(there[topic.name].partitions) != topic.partitions:
            msg = (
                f"Topic {topic.name} has {len(there[topic.name].partitions)} partitions, "
                f"schemas/topics.toml asks for {topic.partitions}."
            )
            raise BadInput(msg, "Keys would move between partitions. Name a new topic, or put the number back.")
    new = [_new_topic(topic) for topic in wanted if topic.name not in there]
    if not new:
        return
    topics.make(settings.kafka_bootstrap_servers, new, "The broker's log tells more: `shardlake logs kafka`.")


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
