"""A bad record spoils nothing but itself: neither its neighbours' values, nor windows, nor the job."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass
from datetime import UTC
from typing import Any

import numpy as np
import pytest
import requests
from confluent_kafka import Producer
from confluent_kafka.schema_registry import Schema, SchemaReference, SchemaRegistryClient

from producers.poison import OUT_OF_RANGE, poison
from shardlake import topics
from shardlake.avro.codec import Decoder, Undecodable, encoder
from shardlake.avro.registry import Registry
from shardlake.avro.wire import header
from shardlake.dead_letter import DeadLetter
from shardlake.flink.cluster import Cluster
from shardlake.lake.accounting import account
from shardlake.lake.query import query
from shardlake.lake.reread import EVENT, POISON, STATES, Judge
from shardlake.lake.tables import lake_tables
from shardlake.testing.stack import RunningStack
from tests.support import START, Topic, copy_pipeline, event
from tests.writer_schemas import CASES, with_type, without_prefix

pytestmark = pytest.mark.e2e

POISON_RECORDS = 1_000
HEALTHY_AFTER_EACH = 3
NULLS = 5
CLASSES = {
    "EventTimeOutOfRange": OUT_OF_RANGE,
    "NotCanonical": {
        "int in a byte too many", "long in a byte too many", "length in a byte too many",
        "union branch in a byte too many", "enum symbol in a byte too many", "varint without end",
    },
    "NumberOutOfRange": {"int of 2^31", "int of -2^31 - 1"},
    "TimeOutOfRange": {"microseconds as milliseconds", "earliest time", "latest time"},
    "BreaksOff": {
        "header alone", "half", "last byte missing",
        "string of length -1", "string of length 2^31", "string of length 2^63-1",
    },
    "TrailingBytes": {"one byte more", "twice", "a megabyte more"},
    "NotUtf8": {"bad UTF-8"},
    "OtherRecord": {"schema of another record"},
    "OtherSubject": {"schema of another subject"},
    "SchemaTooLarge": {"schema of 1,001 fields"},
}  # fmt: skip
"""Kinds of poison by what they are called as dead letters."""
ODD = {case.name: case.refused for case in CASES if case.refused} | {
    "a schema with a reference": "SchemaReferences",
    "a Protobuf schema": "NotAvro",
    "an id in a header": "SchemaIdInHeader",
}
"""Records of writers with other schemas; all of these are sent once."""


@dataclass(frozen=True)
class Sent:
    """What was sent, by offset of the one partition."""

    stack: RunningStack
    healthy: dict[int, dict[str, Any]]
    poison: dict[int, tuple[str, bytes]]
    restarts: int


def register(stack: RunningStack, subject: str, schema: dict[str, Any]) -> int:
    """The id of a schema that is registered now, whatever the subject has."""
    url = f"{stack.settings.schema_registry_url}/subjects/{subject}/versions"
    answer = requests.post(url, json={"schema": json.dumps(schema)}, timeout=60)
    answer.raise_for_status()
    return int(answer.json()["id"])


def schemas_refused(stack: RunningStack, topic: Topic) -> list[tuple[str, bytes]]:
    """Values that are records of the topic's name, of schemas that no reader of the topic takes."""
    fields: list[dict[str, Any]] = topic.schema["fields"]
    nulls = [{"name": f"null_{n}", "type": "null", "default": None} for n in range(1_001 - len(fields))]
    schemas = {
        "schema of another subject": ("elsewhere-value", topic.schema | {"doc": "Of another subject."}),
        "schema of 1,001 fields": ("app-logs-value", topic.schema | {"fields": [*fields, *nulls]}),
    }
    body = topic.encode(event(0))[5:]
    return [(kind, header(register(stack, *of)) + body) for kind, of in schemas.items()]


def deleted_version(stack: RunningStack, schema: dict[str, Any]) -> int:
    """The id of a version of the topic's subject that is deleted, and known to those who ask for it."""
    number = register(stack, "app-logs-value", schema | {"doc": "A version that is deleted."})
    versions = f"{stack.settings.schema_registry_url}/subjects/app-logs-value/versions"
    last = max(requests.get(versions, timeout=60).json())
    requests.delete(f"{versions}/{last}", timeout=60).raise_for_status()
    return number


@pytest.fixture(scope="module")
def sent(shardlake_stack: RunningStack, tmp_path_factory: pytest.TempPathFactory) -> Sent:
    """1,000 poison records of all kinds among healthy old events in one partition, read to the end at parallelism 1."""
    folder = copy_pipeline(tmp_path_factory.mktemp("pipeline"), partitions=1)
    stack = shardlake_stack.emptied(folder, parallelism=1)
    topic = Topic(stack)
    foreign = stack.pipeline.topic("service-health")
    foreign_id = Registry(stack.settings.schema_registry_url).schema_id(
        foreign.subject, stack.pipeline.schema_of(foreign)
    )
    kinds = [*poison(topic.encode, topic.schema, foreign_id), *schemas_refused(stack, topic)]
    deleted = encoder(topic.schema | {"doc": "A version that is deleted."}, deleted_version(stack, topic.schema))
    values: list[bytes | None] = [None] * NULLS
    healthy: dict[int, dict[str, Any]] = {}
    bad: dict[int, tuple[str, bytes]] = {}
    for number in range(POISON_RECORDS):
        bad[len(values)] = kinds[number % len(kinds)]
        values.append(bad[len(values)][1])
        for _ in range(HEALTHY_AFTER_EACH):
            one = event(len(healthy), message="ünïcödé ✓" if len(healthy) % 5 == 0 else None)
            healthy[len(values)] = one
            values.append((topic.encode if len(healthy) % 7 else deleted)(one))
    client = SchemaRegistryClient({"url": stack.settings.schema_registry_url})
    rule = Registry(stack.settings.schema_registry_url).compatibility("app-logs-value")
    client.set_compatibility("app-logs-value", "NONE")
    for case in CASES:
        one = event(len(healthy), message=None)
        schema_id = register(stack, "app-logs-value", case.schema(topic.schema))
        value = case.encode(topic.schema, schema_id, one)
        if case.refused:
            bad[len(values)] = case.name, value
        else:
            healthy[len(values)] = one
        values.append(value)
    client.set_compatibility("app-logs-value", rule)
    for kind, schema_id in ids_that_no_record_is_read_with(client, topic.schema).items():
        bad[len(values)] = kind, header(schema_id) + topic.encode(event(0))[5:]
        values.append(bad[len(values)][1])
    stack.shardlake("jobs", "run", "archive", "service_health")
    topic.send(values)
    in_header, headers = without_prefix(topic.encode(event(0)))
    bad[len(values)] = "an id in a header", in_header
    producer = Producer({"bootstrap.servers": stack.settings.kafka_bootstrap_servers})
    producer.produce("app-logs", in_header, headers=[("trace-id", b"\xff"), *headers])
    assert producer.flush(30) == 0
    stack.shardlake("jobs", "finish")
    restarts = Cluster(stack.settings.flink_rest_url).jobs()[0].restarts
    return Sent(stack, healthy, bad, restarts)


def ids_that_no_record_is_read_with(client: SchemaRegistryClient, reader: dict[str, Any]) -> dict[str, int]:
    """Register schemas that have an id and are none of a record by themselves; their names are in order of deletion."""
    (level,) = (one for field in reader["fields"] if field["name"] == "level" for one in field["type"] if one != "null")
    name = "io.shardlake.logs.Level"
    client.register_schema("level", Schema(json.dumps({"namespace": "io.shardlake.logs", **level}), "AVRO"))
    referring = Schema(
        json.dumps(with_type(reader, "level", ["null", name])), "AVRO", [SchemaReference(name, "level", 1)]
    )
    return {
        "a schema with a reference": client.register_schema("a-referring-value", referring),
        "a Protobuf schema": client.register_schema(
            "other-value", Schema('syntax = "proto3"; message M { string a = 1; }', "PROTOBUF")
        ),
    }


def test_every_record_is_accounted_for_once_with_no_restart(sent: Sent) -> None:
    topic = sent.stack.pipeline.events_topic
    (only,) = account(sent.stack.settings.kafka_bootstrap_servers, topic, sent.stack.settings.lake)
    events = sum(not case.refused for case in CASES)
    assert (only.rows.count, only.dead_letters, only.null_values) == (3_000 + events, 1_000 + len(ODD), NULLS)
    assert only.holds
    assert sent.restarts == 0


def test_every_healthy_value_is_right(sent: Sent) -> None:
    tables = lake_tables(sent.stack.settings.lake, sent.stack.pipeline)
    names = ["event_id", "event_time", "service", "host", "method", "path", "status", "response_bytes", "latency_ms"]
    found = query(f'SELECT "offset", {", ".join(names)}, message, level FROM app_logs', tables).rows
    by_offset = {row[0]: row[1:] for row in found}
    assert by_offset.keys() == sent.healthy.keys()
    for offset, one in sent.healthy.items():
        expected = [one[name] for name in names]
        expected[1] = one["event_time"].astimezone(UTC).replace(tzinfo=None)
        expected[5] = one["path"].split("?")[0]
        assert list(by_offset[offset][:-2]) == expected
        assert (by_offset[offset][-2] is None) == (one["message"] is None)
        assert by_offset[offset][-1] is None


def test_pii_is_masked_the_same_way_each_time_and_nothing_else_is(sent: Sent) -> None:
    tables = lake_tables(sent.stack.settings.lake, sent.stack.pipeline)
    found = query('SELECT "offset", client_address, message FROM app_logs', tables).rows
    masks: dict[str, set[str]] = {}
    for offset, client, _ in found:
        masks.setdefault(sent.healthy[offset]["client_address"], set()).add(client)
    assert all(len(values) == 1 for values in masks.values())
    assert len({next(iter(values)) for values in masks.values()}) == len(masks) == 250
    assert all(re.fullmatch("[0-9a-f]{8}:[0-9a-f]{32}", client) for _, client, _ in found)
    assert {message for _, _, message in found if message} != {"ünïcödé ✓"}


def test_every_dead_letter_has_the_original_bytes_and_says_where_it_is_from(sent: Sent) -> None:
    servers = sent.stack.settings.kafka_bootstrap_servers
    letters = {DeadLetter.from_headers(m.headers()): m for m in topics.read(servers, "app-logs.dlq")}
    arrivals = {m.offset(): m.timestamp()[1] for m in topics.read(servers, "app-logs")}
    assert {letter.offset for letter in letters} == sent.poison.keys()
    for letter, message in letters.items():
        kind, value = sent.poison[letter.offset]
        assert message.value() == value, kind
        assert (letter.topic, letter.partition) == ("app-logs", 0)
        assert letter.timestamp_ms == arrivals[letter.offset]
        named = letter.error_class.removeprefix("io.shardlake.flink.")
        assert {name for name, of_it in CLASSES.items() if kind in of_it} <= {named}, (kind, letter)
        assert ODD.get(kind, named) == named
        assert letter.error_class.startswith("io.shardlake.flink."), "a class of a library is nobody's word for it"
        assert letter.error_message


def test_consumers_and_verify_are_of_the_jobs_opinion(sent: Sent) -> None:
    """All of it, read again by their decoder and by their judge."""
    servers, registry = sent.stack.settings.kafka_bootstrap_servers, Registry(sent.stack.settings.schema_registry_url)
    topic = sent.stack.pipeline.events_topic
    schema = sent.stack.pipeline.schema_of(topic)
    messages = [m for m in topics.read(servers, "app-logs") if m.value() is not None]
    decoder = Decoder(schema, registry, topic.subject)
    for message in messages:
        kind, _ = sent.poison.get(message.offset(), ("", b""))
        if message.offset() in sent.healthy:
            assert decoder.decode(message.value())["event_id"] == sent.healthy[message.offset()]["event_id"]
        elif kind in ODD:
            with pytest.raises(Undecodable) as refused:
                decoder.decode(message.value())
            assert refused.value.beside(message.headers()).error_class == ODD[kind]
    arrivals = np.array([1000 * message.timestamp()[1] for message in messages])
    _, states = Judge(topic, schema, registry).judge([message.value() for message in messages], arrivals)
    judged = {message.offset(): STATES[int(state)].as_py() for message, state in zip(messages, states, strict=True)}
    assert judged == dict.fromkeys(sent.healthy, EVENT) | dict.fromkeys(sent.poison, POISON)


def test_no_poison_moves_the_watermark(sent: Sent) -> None:
    """Records of the year 9999 and undecodable ones stand between old events: were the watermark moved, windows would
    lack."""
    expected: Counter[tuple[Any, str]] = Counter()
    for one in sent.healthy.values():
        minute = one["event_time"].replace(second=0, tzinfo=None)
        expected[minute, one["service"]] += 1
    tables = lake_tables(sent.stack.settings.lake, sent.stack.pipeline)
    rows = query("SELECT window_start, service, events FROM service_health", tables).rows
    assert {(start, service): events for start, service, events in rows} == dict(expected)


def test_window_values_are_those_of_a_recount(sent: Sent) -> None:
    """Every cell of every window against the same sums over the archive."""
    tables = lake_tables(sent.stack.settings.lake, sent.stack.pipeline)
    recount = query(
        """SELECT time_bucket(INTERVAL 1 MINUTE, event_time) AS w, service,
            count(*), count(*) FILTER (status >= 500), sum(response_bytes)::BIGINT, avg(latency_ms),
            quantile_cont(latency_ms, 0.5), quantile_cont(latency_ms, 0.95), quantile_cont(latency_ms, 0.99)
        FROM app_logs GROUP BY 1, 2 ORDER BY 1, 2""",
        tables,
    ).rows
    windows = query(
        """SELECT window_start, service, events, errors, response_bytes, latency_mean_ms,
            latency_p50_ms, latency_p95_ms, latency_p99_ms, error_ratio
        FROM service_health ORDER BY 1, 2""",
        tables,
    ).rows
    assert len(windows) == len(recount)
    for window, again in zip(windows, recount, strict=True):
        assert window[:5] == again[:5]
        assert window[5:9] == pytest.approx(again[5:9])
        assert window[9] == pytest.approx(again[3] / again[2])


def test_the_topic_has_the_same_windows_as_the_lake(sent: Sent) -> None:
    pipeline, settings = sent.stack.pipeline, sent.stack.settings
    decoder = Decoder(
        pipeline.schemas["service_health"], Registry(settings.schema_registry_url), "service-health-value"
    )
    messages = list(topics.read(settings.kafka_bootstrap_servers, "service-health"))
    in_topic = sorted(tuple(decoder.decode(message.value()).values()) for message in messages)
    names = ", ".join(field["name"] for field in pipeline.schemas["service_health"]["fields"])
    in_lake = query(f"SELECT {names} FROM service_health", lake_tables(settings.lake, pipeline)).rows
    with_zone = sorted((row[0].replace(tzinfo=UTC), row[1].replace(tzinfo=UTC), *row[2:]) for row in in_lake)
    assert in_topic == with_zone
    assert {message.key().decode() for message in messages} == {"service-0", "service-1", "service-2"}
    assert in_topic[0][0] == START
