"""What was redriven, kept in one compacted topic for the dead letters of all: it outlives every command.

A mark counts for the topic that the record came from, not for one made anew under its name.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from functools import cache
from typing import Annotated, Any

from confluent_kafka import IsolationLevel, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec
from pydantic import Field

from shardlake import topics
from shardlake.dead_letter import LATEST_MS, DeadLetter
from shardlake.errors import Unavailable
from shardlake.kafka_login import client
from shardlake.kept_json import parsed

TOPIC = "shardlake.redriven"
TIMEOUT_SECONDS = 15
PATIENCE_SECONDS = 90
"""A transaction that nobody ends is aborted by the broker within this time."""


@dataclass(frozen=True, slots=True)
class Mark:
    """When it was redriven, and where to: a place in a topic, or a consumer. `topic_id` is the source topic's."""

    at_ms: Annotated[int, Field(ge=0, le=LATEST_MS)]
    to: str
    topic_id: str

    def to_json(self) -> bytes:
        """As it is kept."""
        return json.dumps(asdict(self), separators=(",", ":")).encode()

    @classmethod
    def from_json(cls, text: bytes) -> Mark | None:
        """None where it is no mark of ours."""
        try:
            return parsed(text, cls)
        except ValueError:
            return None


def mark_key(dead_letter_topic: str, source: DeadLetter) -> str:
    """DLQ-TOPIC/TOPIC/PARTITION/OFFSET, and the group where it is a consumer's: groups may share a topic."""
    group = f"/{source.group}" if source.group else ""
    return f"{dead_letter_topic}/{source.topic}/{source.partition}/{source.offset}{group}"


def make_topic(bootstrap_servers: str) -> None:
    """Make it where it is not there. Raises Unavailable where the broker does not."""
    new = NewTopic(TOPIC, num_partitions=1, config={"cleanup.policy": "compact"})
    topics.make(bootstrap_servers, [new], "Make it by hand with 1 partition and cleanup.policy=compact.")


def read_marks(bootstrap_servers: str, dead_letter_topic: str) -> dict[str, Mark]:
    """Those of one dead-letter topic that count, by `mark_key`; {} before the first was made."""
    there = topics.names(bootstrap_servers)
    if TOPIC not in there:
        return {}

    @cache
    def id_of(topic: str) -> str:
        return topics.topic_id(bootstrap_servers, topic) if topic in there else ""

    return counting(topics.read(bootstrap_servers, TOPIC), dead_letter_topic, id_of)


def counting(messages: Iterable[Any], dead_letter_topic: str, id_of: Callable[[str], str]) -> dict[str, Mark]:
    """Of the marks' topic, those of one dead-letter topic whose source is still the topic of that id."""
    found = {}
    for message in messages:
        key = (message.key() or b"").decode(errors="replace")
        mine, _, source = key.partition("/")
        mark = Mark.from_json(message.value() or b"")
        if mine == dead_letter_topic and mark and mark.topic_id == id_of(source.partition("/")[0]):
            found[key] = mark
    return found


def await_others(bootstrap_servers: str, say: Callable[[str], None]) -> None:
    """Wait until no transaction is open in the topic: behind one, marks are hidden from whoever reads what is
    committed. Raises Unavailable where one stays open."""
    admin = AdminClient(client(bootstrap_servers))
    place = TopicPartition(TOPIC, 0)

    def end(level: IsolationLevel) -> int:
        futures = admin.list_offsets(
            {place: OffsetSpec.latest()}, isolation_level=level, request_timeout=TIMEOUT_SECONDS
        )
        return int(futures[place].result(TIMEOUT_SECONDS + 10).offset)

    until = time.monotonic() + PATIENCE_SECONDS
    wanted = topics.while_moving(lambda: end(IsolationLevel.READ_UNCOMMITTED))
    told = False
    while topics.while_moving(lambda: end(IsolationLevel.READ_COMMITTED)) < wanted:
        if time.monotonic() > until:
            raise Unavailable(f"A transaction in {TOPIC} does not end.", "Run it again in a minute.")
        if not told:
            say("another redrive is at work, or was killed; waiting for its transaction to end")
            told = True
        time.sleep(topics.POLL_SECONDS)
