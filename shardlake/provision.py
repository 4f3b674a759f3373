"""Makes the pipeline's topics and registers its schemas: what producers and jobs expect to find."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import NewTopic

from shardlake import topics
from shardlake.avro.evolution import misfits
from shardlake.avro.registry import AVRO, Registry, Version, same_version
from shardlake.errors import BadInput, ShardlakeError, Unavailable
from shardlake.patience import Patience, insist
from shardlake.pipeline import Pipeline, Topic
from shardlake.settings import Settings

TIMEOUT_SECONDS = 15
REFUSED = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError.POLICY_VIOLATION,
        KafkaError.INVALID_CONFIG,
        KafkaError.TOPIC_EXCEPTION,
        KafkaError._AUTHENTICATION,  # noqa: SLF001
    }
)
"""What a broker says that is there, and goes on to say."""


def provision(pipeline: Pipeline, settings: Settings, servers: Callable[[], Hashable] = lambda: None) -> None:
    """Create what is missing; what is there stays as it is.

    Servers that have just been started may not answer yet: they are asked again, as long as `servers` changes, and for
    as long as `patience` says without it. Raises Unavailable where broker or registry do not come to answer, BadInput
    where a topic has another number of partitions, and ShardlakeError where a schema cannot follow the one that is
    registered.
    """
    insist(
        lambda: _make_topics(pipeline.on_broker, settings), "the broker and its topics", Patience(), servers, _passes
    )
    registry = Registry(settings.schema_registry_url)
    insist(lambda: register_schemas(pipeline, registry), "the registry and its schemas", Patience(), servers)


def _passes(error: Unavailable) -> bool:
    """Whether a broker's error is of a start, and not of what it was asked."""
    cause = error.__cause__
    return not (isinstance(cause, KafkaException) and cause.args[0].code() in REFUSED)


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
    def newest(self) -> Version | None:
        """The newest that is Avro; None where there is none."""
        return next((version for version in reversed(self.versions) if version.type == AVRO), None)

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
    if versions[-1].type != AVRO:
        words = f"version {versions[-1].number} of {topic.subject} is of the type {versions[-1].type}"
        return Check(topic, versions, same, [f"{words}: a schema in Avro cannot follow it"])
    avro = [version.schema for version in versions if version.type == AVRO]
    reasons = misfits(avro, schema, registry.compatibility(topic.subject))
    return Check(topic, versions, same, reasons or ["the registry refuses it; `-v schema register` shows its words"])


def _make_topics(wanted: list[Topic], settings: Settings) -> None:
    there = topics.listed(settings.kafka_bootstrap_servers)
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
