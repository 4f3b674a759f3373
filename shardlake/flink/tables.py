"""The tables of the application, derived from the pipeline's schemas and topics.

decoded.<view>        every record of a topic of events: fields, or why there are none, and the original bytes
<view>                its valid events
topics.`<topic>`      a topic to write to, exactly once
lake.<lake_table>     a folder of the lake to write to, exactly once
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from shardlake import dead_letter
from shardlake.avro.evolution import without_docs
from shardlake.avro.wire import ID_HEADER, ID_IN_HEADER, ID_IN_HEADER_WORDS, WITHOUT_ID
from shardlake.flink.columns import PROVENANCE, columns
from shardlake.flink.endpoints import Endpoints
from shardlake.pipeline import Pipeline, Topic

GROUP = "shardlake-jobs"
"""The consumer group whose offsets show how far the checkpointed work is."""


def group_of(apart: str | None) -> str:
    """The group of the application, or of the job that runs apart from it: each says by its own how far it is."""
    return f"{GROUP}.{apart}" if apart else GROUP


TRANSACTION_PREFIX = "shardlake-"
"""Before a topic's name, in the ids of transactions that write to it."""
TRANSACTION_SECONDS = 840
"""Below the broker's maximum of 15 min; Flink's own default of an hour is refused."""
NULL_VALUE = "null_value"
MAX_DEAD_LETTER_BYTES = 67_108_864
IN_FUTURE = "INTERVAL '1' HOUR"
EVENT_TIME_MESSAGE = "event time before 1970, or more than an hour after arrival"
CLASSES = "io.shardlake.flink."
"""Before the name of each class of the jobs' dead letters."""
EVENT_TIME_OUT_OF_RANGE = f"{CLASSES}EventTimeOutOfRange"


def view_name(topic: Topic) -> str:
    """The SQL name of a topic of events."""
    return topic.view


def interval(seconds: int) -> str:
    """A literal; Flink's INTERVAL SECOND alone takes no more than two digits."""
    return f"INTERVAL '{seconds // 86_400} {seconds // 3600 % 24}:{seconds // 60 % 60}:{seconds % 60}' DAY TO SECOND"


def table_definitions(
    pipeline: Pipeline, endpoints: Endpoints, start_offsets: Mapping[str, str] | None = None
) -> Iterator[str]:
    """The statements that make every table, in order. `start_offsets` are as `scan.startup.specific-offsets`."""
    yield "CREATE TEMPORARY SYSTEM FUNCTION MASK AS 'io.shardlake.flink.Mask'"
    yield "CREATE TEMPORARY SYSTEM FUNCTION LATE AS 'io.shardlake.flink.Late'"
    yield "CREATE TEMPORARY SYSTEM FUNCTION TRUNCATE_QUERY AS 'io.shardlake.flink.TruncateQuery'"
    yield "CREATE TEMPORARY SYSTEM FUNCTION TRUNCATE_NETWORK AS 'io.shardlake.flink.TruncateNetwork'"
    for database in ("decoded", "topics", "lake"):
        yield f"CREATE DATABASE {database}"
    for topic in pipeline.sources:
        yield _decoded(pipeline, topic, endpoints, (start_offsets or {}).get(topic.name))
        yield _valid(pipeline, topic)
    for topic in pipeline.topics.values():
        if topic.lake_table:
            yield _lake_sink(pipeline, topic, endpoints)
        if topic in pipeline.sources or not topic.partitions:
            continue
        yield _topic_sink(pipeline, topic, endpoints) if topic.schema else _bytes_sink(topic, endpoints)


def dead_letters_query(topic: Topic) -> str:
    """What of a topic of events goes to its dead letters: original key and bytes, and headers that say why."""
    reasons = {
        dead_letter.TOPIC: "topic",
        dead_letter.PARTITION: "CAST(`partition` AS STRING)",
        dead_letter.OFFSET: "CAST(`offset` AS STRING)",
        dead_letter.TIMESTAMP: (
            "CAST(EXTRACT(EPOCH FROM arrival_time) * 1000 + EXTRACT(MILLISECOND FROM arrival_time) AS STRING)"
        ),
        dead_letter.ERROR_CLASS: _beside_an_id(f"COALESCE(error, '{EVENT_TIME_OUT_OF_RANGE}')", CLASSES + ID_IN_HEADER),
        dead_letter.ERROR_MESSAGE: _beside_an_id(
            f"COALESCE(error_message, '{EVENT_TIME_MESSAGE}')", ID_IN_HEADER_WORDS.replace("'", "''")
        ),
    }
    ours = dict.fromkeys(dead_letter.OURS, "CAST(NULL AS BYTES)")
    ours |= {name: f"ENCODE({value}, 'UTF-8')" for name, value in reasons.items()}
    return (
        f"SELECT kafka_key, raw_value, {_with_ours('headers', ours)} FROM decoded.`{view_name(topic)}` "
        f"WHERE (error IS NOT NULL AND error <> '{NULL_VALUE}') OR NOT ({_in_time(topic)})"
    )


def _beside_an_id(reason: str, words: str) -> str:
    """The reason, or words where the value names no schema because a header does: `Undecodable.beside` in SQL."""
    without = ", ".join(f"'{CLASSES}{name}'" for name in WITHOUT_ID)
    return f"CASE WHEN error IN ({without}) AND headers['{ID_HEADER}'] IS NOT NULL THEN '{words}' ELSE {reason} END"


def _with_ours(headers: str, ours: Mapping[str, str]) -> str:
    """A map of headers with ours, as expressions; what had their names is kept under another, as `dead_letter.kept`
    has it. The sink writes no header whose value is NULL: so the last map takes out what it has NULL for.
    """
    twice = dead_letter.ORIGINAL * 2
    renamed: dict[str, str] = {}
    for name in ours:
        first, second = dead_letter.ORIGINAL + name, twice + name
        renamed[first] = f"{headers}['{name}']"
        # Nobody who redrives makes these: a third level is left as it is.
        renamed[second] = f"COALESCE({headers}['{first}'], {headers}['{second}'])"
    maps = (", ".join(f"'{name}', {value}" for name, value in one.items()) for one in (renamed, ours))
    return f"MAP_UNION({headers}, {', '.join(f'MAP[{pairs}]' for pairs in maps)})"


def _in_time(topic: Topic) -> str:
    """The event time is possible. A year 9999 would close every window; before 1970 the watermark could overflow."""
    if topic.event_time is None:
        return "TRUE"
    time = f"`{topic.event_time}`"
    return f"{time} IS NULL OR ({time} >= TO_TIMESTAMP_LTZ(0, 3) AND {time} <= arrival_time + {IN_FUTURE})"


def _decoded(pipeline: Pipeline, topic: Topic, endpoints: Endpoints, start_offsets: str | None) -> str:
    schema = pipeline.schema_of(topic)
    fields = [f"`{column.name}` {column.type}" for column in columns(schema)]
    metadata = [
        "kafka_key BYTES",
        "topic STRING METADATA VIRTUAL",
        "`partition` INT METADATA VIRTUAL",
        "`offset` BIGINT METADATA VIRTUAL",
        "arrival_time TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL",
        "headers MAP<STRING, BYTES> METADATA VIRTUAL",
        "error STRING METADATA FROM 'value.error' VIRTUAL",
        "error_message STRING METADATA FROM 'value.error_message' VIRTUAL",
        "raw_value BYTES METADATA FROM 'value.raw' VIRTUAL",
        "closed_until TIMESTAMP_LTZ(3) METADATA FROM 'closed-until' VIRTUAL",
    ]
    event_time: dict[str, str] = {}
    if topic.event_time:
        # NULL moves no watermark: neither a record that cannot be decoded nor one from the year 9999 closes windows.
        time = f"`{topic.event_time}`"
        delay = interval(topic.out_of_order_seconds)
        event_time = {"event-time": topic.event_time}
        metadata.append(f"WATERMARK FOR {time} AS CASE WHEN {_in_time(topic)} THEN {time} - {delay} END")
    options = {
        **_connector(topic, endpoints),
        **event_time,
        "connector": "kafka-events",
        "properties.group.id": endpoints.group or GROUP,
        "properties.auto.offset.reset": "earliest",
        "properties.check.crcs": "true",
        # Flink's own default also reads what a transaction has aborted.
        "properties.isolation.level": "read_committed",
        "scan.topic-partition-discovery.interval": "10 s",
        "key.format": "raw",
        "key.fields": "kafka_key",
        "value.fields-include": "EXCEPT_KEY",
        "value.format": "avro-dead-letter",
        "value.avro-dead-letter.url": endpoints.schema_registry_url,
        "value.avro-dead-letter.subject": topic.subject,
        "value.avro-dead-letter.schema": json.dumps(schema),
    }
    if start_offsets:
        options |= {"scan.startup.mode": "specific-offsets", "scan.startup.specific-offsets": start_offsets}
    else:
        options |= {"scan.startup.mode": "earliest-offset"}
    return f"CREATE TABLE decoded.`{view_name(topic)}` ({', '.join(fields + metadata)}) {_with(options)}"


def _valid(pipeline: Pipeline, topic: Topic) -> str:
    names = [f"`{column.name}`" for column in columns(pipeline.schema_of(topic))]
    provenance = [column.split()[0] for column in PROVENANCE]
    return (
        f"CREATE TEMPORARY VIEW `{view_name(topic)}` AS SELECT {', '.join([*names, *provenance, 'closed_until'])} "
        f"FROM decoded.`{view_name(topic)}` WHERE error IS NULL AND ({_in_time(topic)})"
    )


def _lake_sink(pipeline: Pipeline, topic: Topic, endpoints: Endpoints) -> str:
    archived = topic in pipeline.sources
    fields = [f"`{column.name}` {column.type}" for column in columns(pipeline.schema_of(topic))]
    options = {
        "connector": "lake",
        "path": f"{endpoints.lake_url}/{topic.lake_table}",
        # An event without a time of its own is kept in the hour in which it arrived.
        "partition-time": f"{topic.event_time};arrival_time" if archived else str(topic.event_time),
        # In each file's metadata: which fields there were, and how each was masked.
        "schema": json.dumps(without_docs(pipeline.schema_of(topic)), separators=(",", ":")),
    }
    names = ", ".join([*fields, *(PROVENANCE if archived else ())])
    return f"CREATE TABLE lake.`{topic.lake_table}` ({names}) {_with(options)}"


def _topic_sink(pipeline: Pipeline, topic: Topic, endpoints: Endpoints) -> str:
    schema = pipeline.schema_of(topic)
    # The format derives timestamp-millis from TIMESTAMP alone, and the time zone here is UTC.
    types = {"TIMESTAMP_LTZ(3)": "TIMESTAMP(3)", "TIMESTAMP_LTZ(6)": "TIMESTAMP(6)"}
    fields = [
        f"`{column.name}` {types.get(column.type, column.type)}{'' if column.nullable else ' NOT NULL'}"
        for column in columns(schema)
    ]
    options = {
        **_connector(topic, endpoints),
        **_exactly_once(topic),
        "value.format": "avro-confluent",
        "value.avro-confluent.url": endpoints.schema_registry_url,
        "value.avro-confluent.subject": topic.subject,
        "value.avro-confluent.schema": json.dumps(schema),
    }
    if endpoints.registry_login:
        options["value.avro-confluent.basic-auth.credentials-source"] = "SHARDLAKE"  # RegistryLogin.java
    if topic.key:
        options |= {"key.format": "raw", "key.fields": topic.key}
    return f"CREATE TABLE topics.`{topic.name}` ({', '.join(fields)}) {_with(options)}"


def _bytes_sink(topic: Topic, endpoints: Endpoints) -> str:
    options = {
        **_connector(topic, endpoints),
        **_exactly_once(topic),
        "key.format": "raw",
        "key.fields": "kafka_key",
        "value.fields-include": "EXCEPT_KEY",
        "value.format": "raw",
        # Whatever the broker took as an event must fit here too, with its headers.
        "properties.max.request.size": str(MAX_DEAD_LETTER_BYTES),
        "properties.buffer.memory": str(MAX_DEAD_LETTER_BYTES),
    }
    fields = "kafka_key BYTES, raw_value BYTES, headers MAP<STRING, BYTES> METADATA"
    return f"CREATE TABLE topics.`{topic.name}` ({fields}) {_with(options)}"


def _connector(topic: Topic, endpoints: Endpoints) -> dict[str, str]:
    return {
        "connector": "kafka",
        "topic": topic.name,
        "properties.bootstrap.servers": endpoints.kafka_bootstrap_servers,
        **{f"properties.{name}": value for name, value in endpoints.kafka.items()},
    }


def _exactly_once(topic: Topic) -> dict[str, str]:
    return {
        "sink.delivery-guarantee": "exactly-once",
        "sink.transactional-id-prefix": f"{TRANSACTION_PREFIX}{topic.name}",
        # Names that are used again: the broker keeps a few, not one a checkpoint for a week.
        "sink.transaction-naming-strategy": "POOLING",
        "properties.transaction.timeout.ms": str(TRANSACTION_SECONDS * 1000),
        "properties.compression.type": "zstd",
    }


def _with(options: Mapping[str, str]) -> str:
    def quote(text: str) -> str:
        return "'" + text.replace("'", "''") + "'"

    return "WITH (" + ", ".join(f"{quote(name)} = {quote(value)}" for name, value in options.items()) + ")"
