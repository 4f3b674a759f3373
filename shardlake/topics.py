"""What the broker says of a topic: its offsets, and its records from the first to the last."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import lru_cache
from typing import Any, TypeVar

from confluent_kafka import Consumer, IsolationLevel, KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec

from shardlake.errors import Unavailable
from shardlake.kafka_login import client
from shardlake.position import Bounds

TIMEOUT_SECONDS = 15
FUTURE_SECONDS = TIMEOUT_SECONDS + 10
"""Longer than the request's own time, after which the client says why: a future that runs out says nothing."""
MOVING = frozenset(
    {
        KafkaError.NOT_COORDINATOR,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError.OFFSET_NOT_AVAILABLE,
    }
)
"""What brokers answer while one of them takes over from another: it passes, and the admin client hands it on."""
LAST_RECORDS = 16
"""So many offsets before a partition's end are looked at first for its last record."""
POLL_SECONDS = 0.1
"""The client waits for as long to fill a batch, also where there is no more to come."""
T = TypeVar("T")


def offsets(bootstrap_servers: str, topic: str, since_ms: int | None = None) -> dict[int, tuple[int, int]]:
    """By partition: the first offset still there, and one past the last that a read-committed reader may see.

    With `since_ms`, the first is that of the first record that arrived then or later; the end where there is none.

    Raises Unavailable where no broker answers or the topic is not there.
    """
    since = OffsetSpec.earliest() if since_ms is None else OffsetSpec.for_timestamp(since_ms)

    def ask(admin: AdminClient, partitions: list[TopicPartition]) -> tuple[dict[int, int], dict[int, int]]:
        return _list(admin, partitions, since), _list(admin, partitions, OffsetSpec.latest())

    first, end = _of_partitions(bootstrap_servers, topic, ask)
    return {number: (first[number] if first[number] >= 0 else end[number], end[number]) for number in sorted(end)}


def bounds(bootstrap_servers: str, topic: str) -> dict[int, Bounds]:
    """By partition: the first offset still there, the last stable one, and the high watermark.

    Raises Unavailable where no broker answers or the topic is not there.
    """

    def ask(admin: AdminClient, partitions: list[TopicPartition]) -> dict[int, int]:
        return _list(admin, partitions, OffsetSpec.latest(), IsolationLevel.READ_UNCOMMITTED)

    # The high watermarks first: what comes between the two answers is then not taken for held back by a transaction.
    high = _of_partitions(bootstrap_servers, topic, ask)
    return {
        number: Bounds(first, stable, max(stable, high.get(number, stable)))
        for number, (first, stable) in offsets(bootstrap_servers, topic).items()
    }


def _of_partitions(bootstrap_servers: str, topic: str, ask: Callable[[AdminClient, list[TopicPartition]], T]) -> T:
    admin = _admin(bootstrap_servers)

    def of_all() -> T:
        found = admin.list_topics(topic, timeout=TIMEOUT_SECONDS).topics[topic]
        if found.error is not None:
            raise KafkaException(found.error)
        return ask(admin, [TopicPartition(topic, partition) for partition in found.partitions])

    try:
        return while_moving(of_all)
    except KafkaException as error:
        msg = f"Kafka at {bootstrap_servers} does not tell the offsets of {topic}: {error.args[0].str()}."
        raise Unavailable(msg, "Start the stack with `shardlake up`, or set KAFKA_BOOTSTRAP_SERVERS.") from error


def committed(bootstrap_servers: str, group: str, topic: str) -> dict[int, int]:
    """The group's committed offsets of a topic, by partition; those without a commit are left out."""
    consumer = Consumer(client(bootstrap_servers, group_id=group))
    try:
        partitions = consumer.list_topics(topic, timeout=TIMEOUT_SECONDS).topics[topic].partitions
        found = committed_by(consumer, [TopicPartition(topic, number) for number in partitions])
    except KafkaException as error:
        msg = f"Kafka at {bootstrap_servers} does not tell the offsets of group {group}: {error.args[0].str()}."
        raise Unavailable(msg) from error
    finally:
        consumer.close()
    return {place.partition: place.offset for place in found}


def covers(commits: Mapping[int, int], wanted: Mapping[int, int]) -> bool:
    """Whether commits are as far as `wanted` in every partition that has something."""
    return all(commits.get(partition, 0) >= end for partition, end in wanted.items())


def committed_by(consumer: Consumer, partitions: list[TopicPartition]) -> list[TopicPartition]:
    """Those of the partitions in which the consumer's group has committed, with their offsets.

    A consumer that never joins is asked because the admin client's own call crashes the process where the group's
    coordinator is not ready (librdkafka issue 5040, open). Raises KafkaException where it is not for a while.
    """
    found = while_moving(lambda: consumer.committed(partitions, timeout=TIMEOUT_SECONDS))
    return [place for place in found if place.offset >= 0]


def while_moving(ask: Callable[[], T]) -> T:
    """Ask again for a while where the brokers are only handing over to one another; raises KafkaException after."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while True:
        try:
            return ask()
        except KafkaException as error:
            if error.args[0].code() not in MOVING or time.monotonic() > deadline:
                raise
            time.sleep(POLL_SECONDS)


def topic_id(bootstrap_servers: str, topic: str) -> str:
    """The broker's own id of the topic: a topic that was made anew has another, and so has one of another cluster.

    Raises Unavailable where no broker answers or the topic is not there.
    """
    return topic_ids(bootstrap_servers, [topic])[topic]


def topic_ids(bootstrap_servers: str, topics: Collection[str]) -> dict[str, str]:
    """The ids of several topics by one question. Raises Unavailable as `topic_id` does."""
    found: dict[str, str] = {}
    if not topics:
        return found
    admin, wanted = _admin(bootstrap_servers), TopicCollection(list(topics))
    for topic, described in admin.describe_topics(wanted, request_timeout=TIMEOUT_SECONDS).items():
        try:
            found[topic] = str(described.result(FUTURE_SECONDS).topic_id)
        except KafkaException as error:
            msg = f"Kafka at {bootstrap_servers} does not describe {topic}: {error.args[0].str()}."
            raise Unavailable(msg, "Start the stack with `shardlake up`, or set KAFKA_BOOTSTRAP_SERVERS.") from error
    return found


def read(bootstrap_servers: str, topic: str, starts: Mapping[int, int] | None = None) -> Iterator[Any]:
    """Every committed record of a topic, partition by partition interleaved, up to the end at the time of the call.

    `starts` are offsets by partition; without them all are read from the first on. Yields confluent_kafka Messages.
    Raises Unavailable where the broker goes for longer than a while.
    """
    ranges = {
        partition: (max(first, (starts or {}).get(partition, first)), end)
        for partition, (first, end) in offsets(bootstrap_servers, topic).items()
    }
    for batch in read_batches(bootstrap_servers, topic, ranges):
        yield from batch


def read_batches(bootstrap_servers: str, topic: str, ranges: Mapping[int, tuple[int, int]]) -> Iterator[list[Any]]:
    """As `read`, from the first to before the second offset of each partition's range, in lists as they come."""
    left = {partition: end for partition, (start, end) in ranges.items() if start < end}
    consumer = Consumer(
        client(bootstrap_servers)
        | {
            "group.id": "shardlake-reader",  # it commits nothing
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
            "check.crcs": True,
            "enable.partition.eof": True,
            "fetch.queue.backoff.ms": 5,
        }
    )
    try:
        consumer.assign([TopicPartition(topic, partition, ranges[partition][0]) for partition in left])
        heard = time.monotonic()
        while left:
            batch = consumer.consume(10_000, timeout=POLL_SECONDS)
            if batch:
                heard = time.monotonic()
            elif time.monotonic() - heard > TIMEOUT_SECONDS:
                msg = f"Kafka at {bootstrap_servers} has stopped answering while {topic} was read."
                raise Unavailable(msg)
            found = []
            for message in batch:
                partition = message.partition()
                # Control records have offsets but are never delivered: the end tells when they are the last.
                if message.error() is not None:
                    left.pop(partition, None)
                    continue
                offset, end = message.offset(), ranges[partition][1]
                if offset < end:
                    found.append(message)
                if offset + 1 >= end and left.pop(partition, None):
                    consumer.pause([TopicPartition(topic, partition)])
            yield found
    finally:
        consumer.close()


def record_at(bootstrap_servers: str, topic: str, partition: int, offset: int) -> Any:
    """The committed record at an offset, a confluent_kafka Message, or None where there is none.

    Raises Unavailable where no broker answers or the topic is not there.
    """
    first, end = offsets(bootstrap_servers, topic).get(partition, (0, 0))
    if not first <= offset < end:
        return None
    batches = read_batches(bootstrap_servers, topic, {partition: (offset, offset + 1)})
    found = [message for batch in batches for message in batch]
    return found[0] if found else None


def ends_of_records(bootstrap_servers: str, topic: str) -> dict[int, tuple[int, int]]:
    """As `offsets`, but one past the last record that there is: a transaction ends with a marker, which has an offset
    too, and who reads records is never told that it has passed it.

    Raises Unavailable where no broker answers or the topic is not there.
    """
    found = dict(offsets(bootstrap_servers, topic))
    unknown = {partition: bounds for partition, bounds in found.items() if bounds[0] < bounds[1]}
    count = LAST_RECORDS
    while unknown:
        ranges = {partition: (max(first, end - count), end) for partition, (first, end) in unknown.items()}
        last = {m.partition(): m.offset() for batch in read_batches(bootstrap_servers, topic, ranges) for m in batch}
        for partition, (first, _) in list(unknown.items()):
            if partition in last or ranges[partition][0] == first:
                found[partition] = first, last.get(partition, first - 1) + 1
                del unknown[partition]
        count *= LAST_RECORDS
    return found


def names(bootstrap_servers: str) -> set[str]:
    """The names of all topics. Raises Unavailable where no broker answers."""
    return set(listed(bootstrap_servers))


def make(bootstrap_servers: str, new: list[NewTopic], hint: str) -> None:
    """Make topics, and wait until the broker lists each with its leaders; one that is there by now is left as it is.

    Raises Unavailable with the hint where one is not made.
    """
    answers = _admin(bootstrap_servers).create_topics(
        new, operation_timeout=TIMEOUT_SECONDS, request_timeout=TIMEOUT_SECONDS + 5
    )
    for name, future in answers.items():
        try:
            future.result(FUTURE_SECONDS)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise Unavailable(f"Topic {name} could not be made: {error.args[0].str()}.", hint) from error
    # The controller answers before the brokers know: a producer that asks at once would hear that there is no topic.
    _await(lambda: set(answers) - _led(bootstrap_servers), "listed by the broker", hint)


def delete(bootstrap_servers: str, topics: list[str]) -> None:
    """Delete topics, and wait until they are gone; those that are not there are left out. Raises Unavailable."""
    hint = "The broker's log tells more: `shardlake logs kafka`."
    there = names(bootstrap_servers) & set(topics)
    try:
        for future in _admin(bootstrap_servers).delete_topics(sorted(there)).values() if there else ():
            future.result(FUTURE_SECONDS)
    except KafkaException as error:
        msg = f"Kafka at {bootstrap_servers} does not delete {', '.join(topics)}: {error.args[0].str()}."
        raise Unavailable(msg, hint) from error
    _await(lambda: names(bootstrap_servers) & there, "gone", hint)


def _led(bootstrap_servers: str) -> set[str]:
    """The topics of which each partition has a leader."""
    return {
        name
        for name, topic in listed(bootstrap_servers).items()
        if topic.partitions and all(partition.leader >= 0 for partition in topic.partitions.values())
    }


def listed(bootstrap_servers: str) -> dict[str, Any]:
    """The broker's metadata of each topic, by name: confluent_kafka's TopicMetadata.

    Raises Unavailable, of the client's KafkaException, where no broker answers.
    """
    try:
        found: dict[str, Any] = _admin(bootstrap_servers).list_topics(timeout=TIMEOUT_SECONDS).topics
    except KafkaException as error:
        msg = f"No Kafka broker answers at {bootstrap_servers}: {error.args[0].str()}."
        raise Unavailable(msg, "Start the stack with `shardlake up`, or set KAFKA_BOOTSTRAP_SERVERS.") from error
    return found


def _await(waits: Callable[[], set[str]], what: str, hint: str) -> None:
    """Return when no topic waits any more; raises Unavailable with the topics that do after a while."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while waiting := waits():
        if time.monotonic() > deadline:
            raise Unavailable(f"Not yet {what} after {TIMEOUT_SECONDS} s: {', '.join(sorted(waiting))}.", hint)
        time.sleep(POLL_SECONDS)


@lru_cache
def _admin(bootstrap_servers: str) -> AdminClient:
    """One for the whole process: its futures die with it, and making and dropping it in a loop has crashed the
    client."""
    # A broker that comes back is asked again at once, not after the client's 10 s.
    return AdminClient(client(bootstrap_servers, reconnect_backoff_max_ms=500))


def _list(
    admin: AdminClient,
    partitions: list[TopicPartition],
    spec: Any,
    isolation: IsolationLevel = IsolationLevel.READ_COMMITTED,
) -> dict[int, int]:
    futures = admin.list_offsets(
        dict.fromkeys(partitions, spec), isolation_level=isolation, request_timeout=TIMEOUT_SECONDS
    )
    return {place.partition: future.result(FUTURE_SECONDS).offset for place, future in futures.items()}
