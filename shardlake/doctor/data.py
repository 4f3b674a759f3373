"""Topics, schemas and dead letters: is what the pipeline's folder says what the servers hold?"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import Any

import requests

from shardlake import registry_login
from shardlake import topics as kafka_topics
from shardlake.avro.registry import AVRO
from shardlake.counted import counted
from shardlake.dead_letter import DeadLetter
from shardlake.doctor.finding import Finding
from shardlake.doctor.servers import ANSWER_SECONDS, metadata
from shardlake.pipeline import Pipeline, Topic
from shardlake.settings import Settings

BACKWARD = frozenset({"BACKWARD", "BACKWARD_TRANSITIVE", "FULL", "FULL_TRANSITIVE"})
"""The compatibility modes under which a new schema reads what was written before."""

RECENT_SECONDS = 300
UNUSUAL_SHARE = 0.05
UNUSUAL_RECORDS = 20
MAX_READ = 10_000
"""Dead letters whose reasons are read: where there are more, they are counted by their offsets."""

UP_AGAIN = "`shardlake up` makes what is missing when it starts: `shardlake down`, then `up`."


def topics(pipeline: Pipeline, settings: Settings) -> Iterator[Finding]:
    """The pipeline's topics and their numbers of partitions."""
    there = metadata(settings.kafka_bootstrap_servers).topics
    wrong = False
    for topic in pipeline.on_broker:
        if topic.name not in there:
            wrong = True
            yield Finding("topics", False, f"there is no topic {topic.name}", UP_AGAIN)
        elif len(there[topic.name].partitions) != topic.partitions:
            wrong = True
            words = (
                f"topic {topic.name} has {len(there[topic.name].partitions)} partitions, "
                f"schemas/topics.toml asks for {topic.partitions}"
            )
            fix = "Keys would move between partitions. Name a new topic, or put the number back."
            yield Finding("topics", False, words, fix)
    if not wrong:
        yield Finding("topics", True, f"{', '.join(pipeline.topics)} are there, with their partitions")


def schemas(pipeline: Pipeline, settings: Settings) -> Iterator[Finding]:
    """The registry's compatibility, and whether its newest schemas are those of the folder."""
    base = settings.schema_registry_url
    level = (_ask(f"{base}/config") or {}).get("compatibilityLevel", "NONE")
    fix = "Put BACKWARD back, as `shardlake up` sets it: with another, jobs may meet records that they cannot read."
    yield Finding("registry mode", level in BACKWARD, f"compatibility is {level}", fix)
    wrong = False
    for topic in pipeline.on_broker:
        if topic.schema is None:
            continue
        newest = _ask(f"{base}/subjects/{topic.subject}/versions/latest")
        if newest is None:
            wrong = True
            yield Finding("schemas", False, f"no schema of {topic.subject} is registered", UP_AGAIN)
        elif newest.get("schemaType", AVRO) != AVRO or newest.get("references"):
            wrong = True
            kind = f"{newest.get('schemaType', AVRO)}{' with references' if newest.get('references') else ''}"
            words = f"version {newest['version']} of {topic.subject} is {kind}, and jobs read plain Avro alone"
            fix = "Somebody has registered it under this subject: delete that version, or name another topic."
            yield Finding("schemas", False, words, fix)
        elif (registered := _schema(newest["schema"])) != pipeline.schema_of(topic):
            wrong = True
            words = f"version {newest['version']} of {topic.subject} differs from schemas/{topic.schema}.avsc"
            fix = "Register the folder's schema, `shardlake up` does so when it starts, or take over the registry's."
            yield Finding("schemas", False, f"{words}{_difference(registered, pipeline.schema_of(topic))}", fix)
    if not wrong:
        yield Finding("schemas", True, "the registry's newest are those of schemas/")


def dead_letters(topic: Topic, settings: Settings) -> Iterator[Finding]:
    """The share of dead letters among the records of the last minutes: high where a schema was deployed wrongly."""
    check = f"dead letters of {topic.name}"
    since_ms = round((time.time() - RECENT_SECONDS) * 1000)
    servers = settings.kafka_bootstrap_servers
    records = _count(servers, topic.name, since_ms)
    classes = Counter[str]()
    recent = kafka_topics.offsets(servers, str(topic.dead_letters), since_ms)
    starts = {partition: first for partition, (first, _) in recent.items()}
    for message in islice(kafka_topics.read(servers, str(topic.dead_letters), starts), MAX_READ):
        letter = DeadLetter.if_ours(message.headers())
        if letter is None:  # not the jobs': nothing is known of where it came from
            continue
        # What arrived long ago and is only now being read says nothing of today's producers.
        classes[letter.error_class] += letter.topic == topic.name and letter.timestamp_ms >= since_ms
    dead = classes.total()
    if dead >= MAX_READ:
        dead = _count(servers, str(topic.dead_letters), since_ms)
    unusual = dead >= UNUSUAL_RECORDS and dead > UNUSUAL_SHARE * records
    words = f"{dead:,} of {counted(records, 'record')} of the last {RECENT_SECONDS // 60} minutes"
    if not unusual:
        yield Finding(check, True, words)
        return
    most, _ = classes.most_common(1)[0]
    fix = f"A producer may have been deployed with a wrong schema: look at {topic.dead_letters}, which holds them."
    yield Finding(check, False, f"{words}, most of them {most.rpartition('.')[2]}", fix)


def _count(servers: str, topic: str, since_ms: int) -> int:
    return sum(end - first for first, end in kafka_topics.offsets(servers, topic, since_ms).values())


def _ask(url: str) -> Any:
    """The JSON of an answer, None where there is no such thing. Raises OSError where nobody answers."""
    answer = requests.get(url, timeout=ANSWER_SECONDS, auth=registry_login.login())
    if answer.status_code == 404:
        return None
    answer.raise_for_status()
    return answer.json()


def _schema(text: str) -> Any:
    """Read a schema of the registry, None where it is nested too deeply to be one of ours."""
    try:
        return json.loads(text)
    except RecursionError:
        return None


def _difference(registered: Any, folder: dict[str, Any]) -> str:
    """Say in which fields a schema of the registry differs from the folder's, or that it is no record."""
    if not isinstance(registered, dict) or registered.get("type") != "record":
        return ": it is no record"
    first, second = ({field["name"]: field for field in schema["fields"]} for schema in (registered, folder))
    names = [name for name in {**first, **second} if first.get(name) != second.get(name)]
    return f" in {', '.join(names) or 'its name or doc'}"
