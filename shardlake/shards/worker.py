"""One member of a consumer group: it holds some shards, feeds their lanes, and commits how far each is done.

At least once: an offset is committed only where everything before it is done, or a dead letter that its topic has
acknowledged. A shard goes to another worker after its lanes have finished what they had in hand and that is committed,
so that a hand-over doubles nothing. A registry, a broker or a dead-letter topic that is down is waited for.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer as KafkaConsumer
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from shardlake import topics
from shardlake.kafka_login import client
from shardlake.shards.counts import Counts
from shardlake.shards.dead_letters import DeadLetters, Source
from shardlake.shards.failing import Failing, Tally
from shardlake.shards.feed import Options, Say
from shardlake.shards.handler import Consumer
from shardlake.shards.lease import Lease
from shardlake.shards.shard import Shard
from shardlake.shards.start import Found, InitialPosition, Kind, start
from shardlake.topics import committed_by, while_moving

FETCH = 1000
POLL_SECONDS = 0.05
COMMIT_SECONDS = 0.1
RENEW_SECONDS = 3.0
"""A lease is renewed so often, also where nothing happens."""
HAND_OVER_SECONDS = 30
"""How long lanes may take to finish when a shard goes: less than the five minutes that the group waits."""
SESSION_MS = 15_000
IDLE_SECONDS = 10
NOTHING = -1
REQUEST_SECONDS = 15
NOT_PASSING = frozenset(
    {
        KafkaError._FATAL,  # noqa: SLF001 - its public name; `fatal()` of such an error is false
        KafkaError.GROUP_AUTHORIZATION_FAILED,
    }
)


@dataclass(slots=True)
class _Held:
    """A shard, and what was committed of it last."""

    shard: Shard
    epoch: int
    committed: int
    renewed: float = 0.0
    paused: bool = False


class Worker:
    """`run` consumes until it is stopped; use it from one thread."""

    def __init__(
        self,
        consumer_settings: dict[str, Any],
        topic: str,
        consumer: Consumer,
        options: Options,
        *,
        say: Say,
        owner: str,
        position: InitialPosition | None = None,
        dead_letters: DeadLetters | None = None,
        tally: Tally | None = None,
    ) -> None:
        """`owner` is this worker's name in its leases. Without `dead_letters` a record that fails ends the worker.
        `tally` is of all workers that were started together."""
        self._settings = consumer_settings
        self._topic = topic
        self._processes = consumer
        self._options = options
        self._say = say
        self._owner = owner
        self._position = position or InitialPosition()
        self._dead_letters = dead_letters
        self._held: dict[int, _Held] = {}
        self._failing = Failing(tally or Tally([0, 0]))
        self._gone = Counts()
        """The counts of the shards that it does not hold any more."""
        self.rebalances = 0
        """How often shards were given to it or taken from it."""
        self._stopping = False
        self._ending = False
        self._broker_gone_said = 0.0
        self._full_since = 0.0
        self._next_commit = 0.0
        self._consumer = KafkaConsumer({**consumer_settings, "error_cb": self._on_error, "on_commit": self._on_commit})

    @property
    def shards(self) -> list[Shard]:
        """Those that it holds; may be read from another thread."""
        return [held.shard for held in tuple(self._held.values())]

    def stop(self) -> None:
        """Finish what is in hand, commit it, leave the group. May be called from a signal handler."""
        self._stopping = True

    def run(self, *, until_caught_up: bool = False) -> None:
        """Consume; with `until_caught_up`, until every held shard has no more to read; without one, until the group has
        committed all.

        Raises what a processor raises when it begins or ends, ShardlakeError where a record fails for which there is
        no dead letter, AllFailed where every record fails, KafkaException where the group has no place for this worker;
        each after leaving the group, with what is done committed.
        """
        self._consumer.subscribe(
            [self._topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
        )
        idle_since = time.monotonic()
        try:
            while not self._stopping:
                self._feed(self._fetch())
                now = time.monotonic()
                for held in self._held.values():
                    if held.shard.error is not None:
                        raise held.shard.error
                    held.shard.look_after_lanes(now)
                self._failing.look(self._counts(), now)
                self._commit(now)
                if self._held:
                    idle_since = now
                    if until_caught_up and all(held.shard.is_through for held in self._held.values()):
                        break
                elif until_caught_up and now - idle_since > IDLE_SECONDS:
                    if self._nothing_is_left():
                        break
                    idle_since = now
        finally:
            self._end()
            self._failing.tell(self._counts())
            self._consumer.close()

    def _counts(self) -> Counts:
        """Since it began."""
        found = Counts()
        for counts in (self._gone, *(held.shard.counts for held in self._held.values())):
            found.add(counts)
        return found

    def _nothing_is_left(self) -> bool:
        """Whether the group has committed all that there is: then no shard is on its way to this worker, which has
        none."""
        try:
            known = self._consumer.list_topics(self._topic, timeout=REQUEST_SECONDS).topics[self._topic].partitions
            places = [TopicPartition(self._topic, partition) for partition in known]
            return all((found.committed or 0) >= found.end for _, found, _ in self._find(places))
        except KafkaException:
            return False

    def _fetch(self) -> list[Any]:
        """What has come; waits a little where nothing has."""
        now = time.monotonic()
        full = [held for held in self._held.values() if held.shard.is_full]
        if full and len(full) == len(self._held):
            # To pause a partition throws away what was fetched of it, so for a moment nothing is asked for instead.
            self._full_since = self._full_since or now
            if now - self._full_since < 10 * POLL_SECONDS:
                time.sleep(POLL_SECONDS / 10)
                return []
        else:
            self._full_since = 0.0
        self._pause_and_resume(full)
        first = self._consumer.poll(POLL_SECONDS)
        if first is None:
            return []
        # The rest of what is there already: consume() itself would wait for a whole batch.
        return [first, *self._consumer.consume(FETCH - 1, timeout=0)]

    def _pause_and_resume(self, full: list[_Held]) -> None:
        for held in full:
            if not held.paused:
                self._consumer.pause([self._place(held.shard)])
                held.paused = True
        for held in self._held.values():
            if held.paused and held.shard.has_room:
                self._consumer.resume([self._place(held.shard)])
                held.paused = False

    def _place(self, shard: Shard, *rest: Any) -> TopicPartition:
        return TopicPartition(self._topic, shard.source.partition, *rest)

    def _feed(self, batch: list[Any]) -> None:
        by_partition = defaultdict(list)
        ends: dict[int, int] = {}
        for message in batch:
            error = message.error()
            # In this order: a batch may hold a partition's last records, and then its end, which is told once.
            if error is None:
                by_partition[message.partition()].append(message)
                ends.pop(message.partition(), None)
            elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - its public name
                ends[message.partition()] = message.offset()
            elif error.code() == KafkaError._AUTO_OFFSET_RESET:  # noqa: SLF001
                self._start_again(message.partition())
            elif error.code() in NOT_PASSING:
                raise KafkaException(error)
            elif error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                self._say(f"{self._topic} is not there; waiting for it")
        for partition, messages in by_partition.items():
            held = self._held.get(partition)
            if held is not None:  # else it was taken away between fetch and now
                held.shard.at_end = False
                held.shard.feed(messages)
        for partition, offset in ends.items():
            if partition in self._held:
                self._held[partition].shard.reach_end(offset)

    def _start_again(self, partition: int) -> None:
        """The offset that was asked for is not there any more: say what was lost, and go on."""
        held = self._held.get(partition)
        if held is None:
            return
        place = self._place(held.shard)
        first, end = self._consumer.get_watermark_offsets(place, timeout=REQUEST_SECONDS)
        reached = held.shard.end_offset
        at, said = start(Found(first, end, reached, high=self._high(place, reached, end)), self._position, partition)
        self._say(f"{held.shard.shard_id}: {said or 'its offset was out of range'}")
        self._consumer.seek(self._place(held.shard, at))

    def _high(self, place: Any, reached: int | None, end: int) -> int | None:
        """The high watermark, asked for where an offset lies beyond the last stable one: beside an open transaction
        another kind of consumer, one that reads what is not committed, gets as far as that."""
        if reached is None or reached <= end:
            return None
        return topics.bounds(self._settings["bootstrap.servers"], self._topic)[place.partition].high

    def _commit(self, now: float) -> None:
        if now < self._next_commit:
            return
        self._next_commit = now + COMMIT_SECONDS
        self._send_commits(
            [
                held
                for held in self._held.values()
                if held.shard.position != held.committed or now - held.renewed > RENEW_SECONDS
            ],
            asynchronous=True,
        )

    def _send_commits(self, which: list[_Held], *, asynchronous: bool) -> bool:
        """Whether it was sent, or, where it is not asynchronous, done."""
        if not which:
            return True
        now, now_ms = time.monotonic(), time.time_ns() // 1_000_000
        offsets = []
        for held in which:
            held.committed, held.renewed = held.shard.position, now
            lease = Lease(self._owner, held.epoch, held.shard.in_flight, now_ms)
            offsets.append(self._place(held.shard, held.committed, lease.to_metadata()))
        try:
            self._consumer.commit(offsets=offsets, asynchronous=asynchronous)
        except KafkaException as error:
            self._say(f"not committed: {error.args[0].str()}; what is not committed later will come again")
            return False
        return True

    def _on_assign(self, consumer: Any, partitions: list[Any]) -> None:
        if self._ending:
            consumer.incremental_assign(partitions)
            consumer.pause(partitions)
            return
        self.rebalances += bool(partitions)
        new = [place for place in partitions if place.partition not in self._held]
        begin = []
        for place, found, before in self._find(new):
            shard_id = f"{self._topic}-{place.partition}"
            offset, said = start(found, self._position, place.partition)
            if said:
                self._say(f"{shard_id}: {said}")
            source = Source(self._topic, place.partition)
            shard = Shard(
                shard_id, source, offset, self._processes, self._options, self._dead_letters, self._say
            )  # fmt: skip
            held = _Held(shard, epoch=(before.epoch if before else 0) + 1, committed=offset)
            self._held[place.partition] = held
            begin.append(self._place(shard, offset))
        consumer.incremental_assign(begin)
        # Its start is committed, too: LATEST stays what it was, and the lease is seen.
        self._send_commits([self._held[place.partition] for place in new], asynchronous=True)
        self._say_held()

    def _find(self, places: list[Any]) -> Iterable[tuple[Any, Found, Lease | None]]:
        if not places:
            return
        committed = {one.partition: one for one in committed_by(self._consumer, places)}
        at_time: dict[int, int] = {}
        if self._position.kind is Kind.AT_TIMESTAMP:
            asked = [TopicPartition(self._topic, place.partition, self._position.since_ms) for place in places]
            told = while_moving(lambda: self._consumer.offsets_for_times(asked, timeout=REQUEST_SECONDS))
            at_time = {one.partition: one.offset for one in told}
        for place in places:
            first, end = while_moving(
                lambda place=place: self._consumer.get_watermark_offsets(place, timeout=REQUEST_SECONDS)  # type: ignore[misc]
            )
            known, time_offset = committed.get(place.partition), at_time.get(place.partition)
            reached = known.offset if known else None
            found = Found(
                first,
                end,
                reached,
                None if time_offset is None else (time_offset if time_offset >= 0 else end),
                self._high(place, reached, end),
            )
            yield place, found, Lease.from_metadata(known.metadata if known else None)

    def _on_revoke(self, consumer: Any, partitions: list[Any]) -> None:
        self.rebalances += bool(partitions)
        self._give_back([place.partition for place in partitions if place.partition in self._held])
        consumer.incremental_unassign(partitions)

    def _end(self) -> None:
        """Let all lanes finish, and commit what they have.

        While they do the client is polled, for in a group that has moved on without this member nothing can be
        committed; and not in the revocation by `close`, which comes after the member has left.
        """
        self._ending = True
        for held in self._held.values():
            held.shard.request_end()
        deadline = time.monotonic() + HAND_OVER_SECONDS
        while any(held.shard.is_busy for held in self._held.values()) and time.monotonic() < deadline:
            self._consumer.poll(POLL_SECONDS)  # what comes is for who has the shard next
        while not self._give_back(list(self._held)) and time.monotonic() < deadline:
            self._consumer.poll(POLL_SECONDS)
        for held in self._held.values():
            self._gone.add(held.shard.counts)
        self._held.clear()

    def _give_back(self, partitions: list[int]) -> bool:
        """Let lanes finish, and commit what they have; whether that was committed."""
        leaving = [self._held[partition] for partition in partitions]
        for held in leaving:
            held.shard.request_end()
        for held in leaving:
            if not held.shard.await_end(HAND_OVER_SECONDS):
                self._say(f"{held.shard.shard_id}: a handler took too long to end; its records will come again")
        if not self._send_commits(leaving, asynchronous=False) and self._ending:
            return False
        for partition in partitions:
            self._gone.add(self._held.pop(partition).shard.counts)
        if partitions:
            self._say_held()
        return True

    def _on_lost(self, consumer: Any, partitions: list[Any]) -> None:
        self.rebalances += bool(partitions)
        lost = [held for place in partitions if (held := self._held.pop(place.partition, None))]
        for held in lost:
            held.shard.request_end(lost=True)
        for held in lost:
            held.shard.await_end(HAND_OVER_SECONDS)
            self._gone.add(held.shard.counts)
        consumer.incremental_unassign(partitions)
        self._say_held()

    def _say_held(self) -> None:
        held = ", ".join(held.shard.shard_id for _, held in sorted(self._held.items()))
        self._say(f"holds {held or 'no shard'}")

    def _on_commit(self, error: Any, partitions: list[Any]) -> None:
        """What became of an asynchronous commit; a failed one is sent again with the next."""
        for place in partitions:
            failed = error or place.error
            if failed is not None and place.partition in self._held:
                self._held[place.partition].committed = NOTHING

    def _on_error(self, error: Any) -> None:
        if error.code() == KafkaError._ALL_BROKERS_DOWN and time.monotonic() - self._broker_gone_said > IDLE_SECONDS:  # noqa: SLF001
            self._broker_gone_said = time.monotonic()
            self._say("the broker is gone; waiting for it")


def consumer_settings(
    bootstrap_servers: str, group: str, *, protocol: str = "consumer", instance_id: str | None = None
) -> dict[str, Any]:
    """librdkafka's settings; its defaults lose records (latest, offsets stored before the work) or wait.

    `protocol` is `consumer` (KIP-848) or `classic`; with an `instance_id` the member is static: it keeps its shards
    through a restart within the session's time.
    """
    settings = client(bootstrap_servers) | {
        "group.id": group,
        "group.protocol": protocol,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        # An offset that is not there is told, not jumped over.
        "auto.offset.reset": "error",
        "isolation.level": "read_committed",
        "check.crcs": True,
        # After an empty fetch it would sleep for a second.
        "fetch.queue.backoff.ms": 5,
        "enable.partition.eof": True,
        # No more is fetched ahead than lanes are given: a partition that is paused throws it away.
        "queued.min.messages": 20_000,
    }
    if protocol == "classic":
        # KIP-848 has the broker's time for members that went without a word; here the client's, by default 45 s, holds.
        settings |= {"partition.assignment.strategy": "cooperative-sticky", "session.timeout.ms": SESSION_MS}
    if instance_id is not None:
        settings["group.instance.id"] = instance_id
    return settings
