"""Lag of groups in every odd state that a broker can be in, by the sampler, against what is known here."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from shardlake import topics
from shardlake.errors import Unavailable
from shardlake.groups import REQUEST_SECONDS
from shardlake.lag.broker import Broker
from shardlake.lag.exporter import Exporter
from shardlake.lag.sampling import EACH_TIME, Sampler
from shardlake.lag.shard import Shard
from shardlake.lag.status import Status
from shardlake.position import Bounds
from shardlake.shards.leases import Leases
from shardlake.testing.stack import RunningStack
from tests.support import ROOT, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.thorough]

APPENDED = {"message.timestamp.type": "LogAppendTime"}


class Cluster:
    """Topics and commits, made by hand."""

    def __init__(self, stack: RunningStack) -> None:
        self.stack = stack
        self.servers = stack.settings.kafka_bootstrap_servers
        self.admin = AdminClient({"bootstrap.servers": self.servers})

    def topic(self, config: dict[str, str] | None = None, partitions: int = 1, name: str | None = None) -> str:
        name = name or f"t-{uuid4().hex[:8]}"
        new = NewTopic(name, partitions, config=config or {})
        self.admin.create_topics([new])[name].result()
        return name

    def send(self, topic: str, *values: bytes | None, key: bytes | None = b"k", partition: int = 0, **how: int) -> None:
        producer = Producer({"bootstrap.servers": self.servers})
        for value in values:
            producer.produce(topic, value, key, partition, **how)
        assert producer.flush(10) == 0

    def commit(self, topic: str, offset: int, group: str | None = None, partition: int = 0) -> str:
        group = group or f"g-{uuid4().hex[:8]}"
        consumer = Consumer({"bootstrap.servers": self.servers, "group.id": group})
        consumer.commit(offsets=[TopicPartition(topic, partition, offset)], asynchronous=False)
        consumer.close()
        return group


@pytest.fixture(scope="module")
def cluster(shardlake_broker: RunningStack) -> Cluster:
    return Cluster(shardlake_broker.emptied(ROOT))


@pytest.fixture
def sampler(cluster: Cluster) -> Iterator[Sampler]:
    one = Sampler.of(cluster.servers)
    yield one
    one.close()


def of(sampler: Sampler, group: str) -> Shard:
    (shard,) = sampler.sample().of(group)
    return shard


def test_iterator_age_is_that_of_the_record_that_waits(cluster: Cluster, sampler: Sampler) -> None:
    """A producer of ten records a second, and a group that is at the fifth of them, then at the fifteenth."""
    topic = cluster.topic(APPENDED)
    group = cluster.commit(topic, 5)
    taken_ms = []
    for _ in range(30):
        cluster.send(topic, b"x")
        taken_ms.append(sampler.sample().answers.taken_ms)
        time.sleep(0.1)
    arrivals = {m.offset(): m.timestamp()[1] for m in topics.read(cluster.servers, topic)}
    for offset in (5, 15):
        cluster.commit(topic, offset, group)
        shard = of(sampler, group)
        truth = (shard.now_ms - arrivals[offset]) / 1000
        assert shard.is_measured
        assert shard.records == 30 - offset
        assert shard.measured_seconds == shard.seconds == pytest.approx(truth, abs=0.001)
        # Between two samples there was one record: at most as far off as these are apart.
        assert shard.interpolated_seconds == pytest.approx(truth, abs=(taken_ms[offset] - taken_ms[offset - 1]) / 1000)


def test_a_transaction_that_is_open_is_not_waited_for_and_its_marker_is_no_record(
    cluster: Cluster, sampler: Sampler
) -> None:
    topic = cluster.topic(APPENDED)
    producer = Producer({"bootstrap.servers": cluster.servers, "transactional.id": topic})
    producer.init_transactions()
    producer.begin_transaction()
    for _ in range(5):
        producer.produce(topic, b"x")
    producer.flush()
    group = cluster.commit(topic, 0)
    assert (of(sampler, group).records, of(sampler, group).seconds) == (0, 0.0)

    producer.commit_transaction()
    shard = wait_for(lambda: (one := of(sampler, group)).records and one, "the transaction to be seen")
    assert shard.records == 6  # with the marker, which nobody can know
    assert 0 < shard.seconds < 30

    cluster.commit(topic, 5, group)
    shard = of(sampler, group)
    assert (shard.track.end, shard.records, shard.seconds, shard.verdict.reason) == (6, 0, 0.0, "caught up")
    cluster.send(topic, b"y")
    shard = of(sampler, group)
    assert (shard.track.end, shard.records) == (7, 2)


def test_beside_an_open_transaction_everyone_who_tells_of_a_group_says_the_same(
    cluster: Cluster, sampler: Sampler
) -> None:
    """One record of a transaction that is open, then five without one, and groups at both ends of the partition."""
    topic = cluster.topic(APPENDED)
    producer = Producer({"bootstrap.servers": cluster.servers, "transactional.id": topic})
    producer.init_transactions()
    producer.begin_transaction()
    producer.produce(topic, b"x")
    producer.flush()
    cluster.send(topic, *[b"y"] * 5)
    at_end, stable, beyond = (cluster.commit(topic, offset) for offset in (6, 0, 7))
    assert topics.bounds(cluster.servers, topic) == {0: Bounds(0, 0, 6)}

    one, other = of(sampler, at_end), of(sampler, stable)
    assert (one.exported, one.held_back, one.verdict.status) == (0, 0, Status.OK)
    assert one.verdict.reason == "caught up, with records that are not committed yet"
    assert (other.exported, other.held_back, other.verdict.status) == (0, 6, Status.OK)
    since = datetime.fromtimestamp(arrival_ms(cluster.servers, topic) // 1000, UTC)
    assert other.verdict.reason == (
        "6 behind the end, and all that is committed is read: a transaction has been open since "
        f"{since:%Y-%m-%d %H:%M:%S} UTC"
    )
    assert of(sampler, beyond).verdict.status is Status.AHEAD
    assert [behind(cluster.servers, group) for group in (at_end, stable)] == [0, 0]
    # A worker of ours that takes such a group over begins where it is, not with the first record that is there.
    consumer = Consumer({"bootstrap.servers": cluster.servers, "group.id": at_end, "isolation.level": "read_committed"})
    assert consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=10) == (0, 0)
    consumer.close()

    producer.commit_transaction()
    cluster.commit(topic, 6, stable)
    wait_for(lambda: topics.bounds(cluster.servers, topic) == {0: Bounds(0, 7, 7)}, "the transaction to be seen")
    # Only its marker is left: who looks once and the exporter, which has little time, say that nothing waits.
    assert of(sampler, stable).exported == 0
    scraped = Sampler.of(cluster.servers)
    exporter = Exporter(lambda: scraped.sample(EACH_TIME))
    line = f'kafka_consumergroup_lag{{consumergroup="{stable}",topic="{topic}",partition="0"}} 0\n'
    wait_for(lambda: line in exporter.text(["kafka_consumergroup_lag"]), "the exporter to say so")
    scraped.close()


def arrival_ms(servers: str, topic: str) -> int:
    """Of the first record, which is not committed."""
    reader = {"group.id": "none", "isolation.level": "read_uncommitted", "auto.offset.reset": "earliest"}
    consumer = Consumer({"bootstrap.servers": servers, **reader})
    consumer.assign([TopicPartition(topic, 0, 0)])
    (message,) = consumer.consume(1, timeout=30)
    consumer.close()
    found: int = message.timestamp()[1]
    return found


def behind(servers: str, group: str) -> int:
    """What `shardlake leases` says."""
    leases = Leases(servers, group)
    (one,) = leases.read(0)
    leases.close()
    return one.behind


def test_a_topic_deleted_and_made_anew_with_lower_offsets(cluster: Cluster, sampler: Sampler) -> None:
    topic = cluster.topic(APPENDED)
    cluster.send(topic, *[b"x"] * 50)
    group = cluster.commit(topic, 40)
    assert (of(sampler, group).records, of(sampler, group).track.end) == (10, 50)
    topics.delete(cluster.servers, [topic])
    # With a topic its groups' offsets go, and with those a group that has no member.
    wait_for(lambda: not sampler.sample().of(group), "the group's offsets to go")

    cluster.topic(APPENDED, name=topic)
    cluster.send(topic, *[b"x"] * 5)
    cluster.commit(topic, 2, group)
    shard = wait_for(lambda: (one := of(sampler, group)).is_measured and one, "its first record that waits")
    assert (shard.records, shard.track.end, shard.verdict.status) == (3, 5, Status.OK)
    assert shard.seconds == pytest.approx(0, abs=10)

    cluster.commit(topic, 400, group)
    shard = of(sampler, group)
    assert shard.exported is shard.seconds is shard.drain_seconds is None
    assert shard.verdict.status is Status.AHEAD


def test_many_partitions_of_which_one_topics_are_made_anew_with_fewer(cluster: Cluster, sampler: Sampler) -> None:
    """More than are asked for in one request; and the topic beside it is as it was."""
    beside, wide = (cluster.topic(APPENDED, partitions=count) for count in (7, 250))
    for partition in range(250):
        cluster.send(wide, *[b"x"] * (partition % 3 + 1), partition=partition)
    group = cluster.commit(beside, 0)
    consumer = Consumer({"bootstrap.servers": cluster.servers, "group.id": group})
    consumer.commit(offsets=[TopicPartition(wide, partition, 1) for partition in range(250)], asynchronous=False)
    lags = {(shard.topic, shard.partition): shard.records for shard in sampler.sample().of(group)}
    assert {p: lags[wide, p] for p in range(250)} == {p: p % 3 for p in range(250)}
    assert lags[beside, 0] == 0

    topics.delete(cluster.servers, [wide])
    cluster.topic(APPENDED, partitions=230, name=wide)
    cluster.send(wide, b"x", b"x", partition=229)

    def anew() -> bool:
        found = {s.partition: s for s in sampler.sample().of(group) if s.topic == wide}
        # Its commits went with the old topic, or are of it: what is new is all behind, and nothing is below 0.
        return len(found) == 230 and found[229].records == 2 and all(s.records >= 0 for s in found.values())

    consumer.commit(offsets=[TopicPartition(wide, 229, 0)], asynchronous=False)
    consumer.close()
    wait_for(anew, "the new topic to be seen")
    assert max(shard.partition for shard in sampler.sample().of(group) if shard.topic == wide) == 229
    assert [s.records for s in sampler.sample().of(group) if s.topic == beside] == [0] * 7


def test_a_group_that_is_rewound(cluster: Cluster, sampler: Sampler) -> None:
    topic = cluster.topic(APPENDED)
    cluster.send(topic, *[b"x"] * 50)
    group = cluster.commit(topic, 40)
    of(sampler, group)
    cluster.commit(topic, 10, group)
    shard = of(sampler, group)
    assert (shard.verdict.status, shard.verdict.reason) == (Status.REWIND, "went back from 40, is at 10")
    assert shard.records == 40


def test_empty_compacted_and_cut_topics(cluster: Cluster, sampler: Sampler) -> None:
    empty = cluster.topic(partitions=2)
    group = cluster.commit(empty, 0)
    first, second = sampler.sample().of(group)
    assert (first.exported, first.seconds, first.verdict.reason) == (0, 0.0, "caught up")
    assert (second.exported, second.seconds, second.verdict.status) == (-1, None, Status.NOT_STARTED)

    cut = cluster.topic(APPENDED)
    cluster.send(cut, *[b"x"] * 20)
    group = cluster.commit(cut, 3)
    for future in cluster.admin.delete_records([TopicPartition(cut, 0, 8)]).values():
        future.result()
    shard = wait_for(lambda: (one := of(sampler, group)).track.first == 8 and one, "the records to go")
    assert (shard.records, shard.verdict.status) == (12, Status.LOST)
    assert shard.verdict.reason == "5 offsets went with retention before any was read"
    assert shard.seconds is not None
    assert 0 < shard.seconds < 60

    # The segment that is written is never compacted: it is rolled by its smallest size.
    compacted = cluster.topic(
        APPENDED
        | {
            "cleanup.policy": "compact",
            "segment.ms": "100",
            "min.cleanable.dirty.ratio": "0.0",
            "max.compaction.lag.ms": "100",
        }
    )
    for _ in range(5):
        cluster.send(compacted, b"x", key=b"same")
        time.sleep(0.15)

    def left() -> list[Any]:
        return list(topics.read(cluster.servers, compacted))

    wait_for(lambda: left()[0].offset() > 1, "the topic to be compacted")
    group = cluster.commit(compacted, 1)
    shard = of(sampler, group)
    assert shard.records == 4  # with the holes, which nobody can know
    assert shard.measured_seconds == (shard.now_ms - left()[0].timestamp()[1]) / 1000


def test_a_time_in_the_future_says_nothing_of_the_age(cluster: Cluster, sampler: Sampler) -> None:
    topic = cluster.topic({"message.timestamp.type": "CreateTime", "message.timestamp.after.max.ms": str(10**12)})
    group = cluster.commit(topic, 0)
    sampler.sample()
    cluster.send(topic, b"x", timestamp=int(time.time() * 1000) + 3_600_000)
    shard = of(sampler, group)
    assert shard.records == 1
    assert shard.measured_seconds is None
    assert shard.seconds == shard.interpolated_seconds
    assert shard.seconds is not None
    assert 0 <= shard.seconds < 10


def test_a_hundred_groups_that_come_and_go(cluster: Cluster, sampler: Sampler) -> None:
    topic = cluster.topic()
    cluster.send(topic, *[b"x"] * 5)
    exporter = Exporter(sampler.sample)

    def told() -> set[str]:
        lines = exporter.text(["kafka_consumergroup_lag"]).splitlines()
        return {line.split('"')[1] for line in lines if topic in line}

    names = [f"churn-{n}-{topic}" for n in range(100)]
    consumer = {"bootstrap.servers": cluster.servers}
    for name in names:
        one = Consumer(consumer | {"group.id": name})
        one.commit(offsets=[TopicPartition(topic, 0, 1)], asynchronous=False)
        one.close()
    assert told() == set(names)
    for future in cluster.admin.delete_consumer_groups(names[:60]).values():
        future.result()
    assert told() == set(names[60:])
    for future in cluster.admin.delete_consumer_groups(names[60:]).values():
        future.result()
    assert told() == set()


def test_a_process_that_asks_and_dies_is_started_again(cluster: Cluster) -> None:
    broker = Broker(cluster.servers)
    topic = cluster.topic()
    broker.ask()
    first = broker.pid
    assert first is not None
    os.kill(first, signal.SIGSEGV)
    answers = broker.ask()
    assert topic in answers.ends
    assert broker.pid not in (None, first)
    broker.close()
    assert broker.pid is None


def test_a_broker_that_stands_still_is_said_and_lag_is_told_once_it_goes_on(cluster: Cluster) -> None:
    topic = cluster.topic(APPENDED)
    cluster.send(topic, *[b"x"] * 5)
    group = cluster.commit(topic, 1)
    sampler = Sampler.of(cluster.servers, answer_seconds=3)

    def told() -> bool:
        try:
            return of(sampler, group).records == 4
        except (Unavailable, ValueError):
            return False

    wait_for(told, "the lag")  # the process that asks is started first
    pid = cluster.stack.stack.servers["kafka"].pid
    os.kill(pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        with pytest.raises(Unavailable, match="No Kafka broker answers"):
            sampler.sample()
        assert time.monotonic() - began < REQUEST_SECONDS  # the client's own limit
    finally:
        os.kill(pid, signal.SIGCONT)
    wait_for(told, "the lag again")
    sampler.close()
