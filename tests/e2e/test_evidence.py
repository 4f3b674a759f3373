"""A topic read again says of every record what the lake and the dead letters must hold of it, in every column."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from producers.poison import poison
from producers.sample_log import lines_of_access_log
from shardlake import dead_letter, topics
from shardlake.avro.registry import Registry
from shardlake.errors import BadInput
from shardlake.lake.evidence import Evidence, collect
from shardlake.lake.masks import Masks
from shardlake.lake.query import connect
from shardlake.ledger import digest
from shardlake.testing.stack import RunningStack
from tests.e2e.evidence import assert_the_lake_is_as_the_evidence_says, evidence_of
from tests.e2e.lake import has_rows
from tests.support import ROOT, Topic, copy_pipeline, event, wait_for, with_fields

pytestmark = [pytest.mark.e2e, pytest.mark.thorough]

REAL_LOG = ROOT.parent / "shared" / "data" / "apache_access.log"
PLANTED = "alice.planted@example.org"
NEW_FIELD = {"name": "proxy", "type": ["null", "string"], "default": None, "pii": "truncate_network"}
PROXIES = ["203.0.113.77:80", "2001:db8:1::7", "proxy.example", "", "::ffff:1.2.3.4", "1.2.3", "ünï", None]


@pytest.fixture(scope="module")
def finished(shardlake_stack: RunningStack, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Real lines, poison of all kinds, nulls and values of two schemas, archived with two keys of PII, and finished."""
    folder = copy_pipeline(tmp_path_factory.mktemp("pipeline"), partitions=4)
    state = tmp_path_factory.mktemp("state")
    first = shardlake_stack.emptied(folder)
    log = state / "web.log"
    now = datetime.now(UTC)
    log.write_text("".join(f"{line}\n" for line in lines_of_access_log(1_500, now)))
    first.shardlake("produce", str(log))
    if REAL_LOG.exists():
        first.shardlake("produce", str(REAL_LOG))
    older = Topic(first)
    older.send_events([event(number, message=f"é{number % 7}") for number in range(300)])

    stack = replace(first, pipeline=with_fields(folder, NEW_FIELD))
    stack.shardlake("schema", "register")
    newer = Topic(stack)
    assert newer.encode(event(0)) != older.encode(event(0))
    foreign = stack.pipeline.topic("service-health")
    registry = Registry(stack.settings.schema_registry_url)
    foreign_id = registry.schema_id(foreign.subject, stack.pipeline.schema_of(foreign))
    bad = [value for _, value in poison(newer.encode, newer.schema, foreign_id)]
    stack.shardlake("jobs", "run", "archive")
    newer.send([None, *bad, None, *[older.encode(event(n, event_time=None)) for n in range(5)]])
    newer.send_events([event(n, proxy=PROXIES[n % 8], referrer=f"https://{PLANTED}@h/{n}?q") for n in range(400)])
    archived = sum(one[1] for one in topics.offsets(stack.settings.kafka_bootstrap_servers, "app-logs").values())
    wait_for(has_rows(stack, archived - len(bad) - 2), "the rows of the first key")
    stack.shardlake("jobs", "stop")
    stack.shardlake("pii", "rotate")
    newer.send_events([event(n, proxy=PROXIES[n % 8], user_agent=PLANTED) for n in range(200)])
    stack.shardlake("jobs", "run", "archive")
    stack.shardlake("jobs", "finish")
    return stack, [None, None, *bad]


def test_the_lake_holds_what_the_topic_says_in_all_columns(finished: Any, tmp_path: Path) -> None:
    stack, bad = finished
    said: list[str] = []
    evidence = evidence_of(stack, tmp_path / "run", say=said.append)
    offsets = topics.offsets(stack.settings.kafka_bootstrap_servers, "app-logs")
    records = sum(end for _, end in offsets.values())
    assert said == [f"reading {records:,} records of app-logs"]
    assert {p: (evidence.first[p], evidence.end[p]) for p in evidence.end} == offsets
    assert (evidence.nulls, evidence.poison, evidence.dead_letters) == (2, len(bad) - 2, len(bad) - 2)
    assert evidence.events == records - len(bad)
    assert len(evidence.key_ids) == 2
    assert evidence.uncompared == []
    assert assert_the_lake_is_as_the_evidence_says(stack, evidence) == evidence.events
    assert Evidence.load(tmp_path / "run") == evidence


def test_a_digest_is_of_key_and_value_and_poison_has_no_fields(finished: Any, tmp_path: Path) -> None:
    stack, _ = finished
    evidence = evidence_of(stack, tmp_path)
    connection = connect([])
    connection.execute(f"CREATE VIEW read_again AS FROM read_parquet('{evidence.topic_files}')")
    found = connection.execute('SELECT "partition", "offset", digest, state, arrival_time FROM read_again').fetchall()
    by_place = {row[:2]: row[2:] for row in found}
    messages = list(topics.read(stack.settings.kafka_bootstrap_servers, "app-logs"))
    assert len(by_place) == len(found) == len(messages)
    for message in messages:
        of_record, state, arrival = by_place[message.partition(), message.offset()]
        assert of_record == digest(message.key(), message.value())
        assert (state == "null") == (message.value() is None)
        assert arrival == datetime(1970, 1, 1) + timedelta(milliseconds=message.timestamp()[1])  # noqa: DTZ001
    fields = connection.execute("SELECT COLUMNS(* EXCLUDE (\"partition\", \"offset\", arrival_time, digest, state)) "
                                "FROM read_again WHERE state <> 'event'").fetchall()  # fmt: skip
    assert {value for row in fields for value in row} == {None}


def test_the_dead_letters_are_the_poison_and_what_is_not_the_jobs_is_told(finished: Any, tmp_path: Path) -> None:
    stack, bad = finished
    evidence = evidence_of(stack, tmp_path)
    connection = connect([])
    connection.execute(f"CREATE VIEW read_again AS FROM read_parquet('{evidence.topic_files}')")
    connection.execute(f"CREATE VIEW letters AS FROM read_parquet('{evidence.dead_letter_files}')")
    places = 'SELECT "partition", "offset", digest FROM'
    of_topic = connection.execute(f"{places} read_again WHERE state = 'poison' ORDER BY ALL").fetchall()
    assert connection.execute(f"{places} letters ORDER BY ALL").fetchall() == of_topic
    assert len(of_topic) == len(bad) - 2
    assert connection.execute("SELECT DISTINCT state FROM letters").fetchall() == [("poison",)]

    # Somebody writes into the dead letters by hand: an event, and something without headers.
    value = Topic(stack).encode(event(1))
    headers = {
        dead_letter.TOPIC: b"app-logs", dead_letter.PARTITION: b"3", dead_letter.OFFSET: b"77",
        dead_letter.TIMESTAMP: b"1772366400000", dead_letter.ERROR_CLASS: b"Mine", dead_letter.ERROR_MESSAGE: b"words",
    }  # fmt: skip
    producer = Producer({"bootstrap.servers": stack.settings.kafka_bootstrap_servers})
    producer.produce("app-logs.dlq", value, b"key", headers=list(headers.items()))
    producer.produce("app-logs.dlq", b"other", headers=[(dead_letter.PARTITION, b"x")])
    producer.produce("app-logs.dlq", value, headers=list({**headers, dead_letter.TOPIC: b"another"}.items()))
    assert producer.flush(30) == 0
    again = evidence_of(stack, tmp_path)
    assert again.dead_letters == evidence.dead_letters + 3
    names = '"partition", "offset", digest, error_class, error_message, state, dlq_partition'
    found = connection.execute(f"SELECT {names} FROM letters ORDER BY dlq_offset DESC LIMIT 3").fetchall()
    assert found == [
        # Of a topic whose dead letters go elsewhere.
        (-1, -1, digest(None, value), None, None, "event", 0),
        (-1, -1, digest(None, b"other"), None, None, "poison", 0),
        (3, 77, digest(b"key", value), "Mine", "words", "event", 0),
    ]


def test_no_pii_is_in_the_files_also_without_a_key(finished: Any, tmp_path: Path) -> None:
    stack, _ = finished
    topic = stack.pipeline.events_topic
    evidence_of(stack, tmp_path / "keys")
    masks = Masks(stack.pipeline.schema_of(topic), [])
    without = collect(stack.settings, stack.pipeline, topic, tmp_path / "none", masks)
    assert without.uncompared == ["message", "client_address", "user_agent", "raw", "proxy"]
    connection = connect([])
    for folder in ("keys", "none"):
        rows = connection.execute(f"FROM read_parquet('{tmp_path}/{folder}/*/*.parquet', union_by_name = true)")
        assert PLANTED not in str(rows.fetchall())
    for name in without.uncompared:
        counted = connection.execute(f"SELECT count({name}) FROM read_parquet('{without.topic_files}')").fetchall()
        assert counted == [(0,)]


def test_reading_begins_where_it_is_told_and_half_an_evidence_is_none(finished: Any, tmp_path: Path) -> None:
    stack, _ = finished
    whole = evidence_of(stack, tmp_path)
    starts = {partition: end - 10 for partition, end in whole.end.items()} | {0: whole.end[0] + 5}
    part = evidence_of(stack, tmp_path, starts=starts)
    assert part.starts == {**starts, 0: whole.end[0]}
    assert part.first == whole.first
    assert part.events + part.poison + part.nulls == 30
    (tmp_path / "evidence.json").unlink()
    with pytest.raises(BadInput, match="holds no evidence"):
        Evidence.load(tmp_path)
