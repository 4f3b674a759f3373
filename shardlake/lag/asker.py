"""Asking the broker, in few requests whatever the number of groups and partitions. It is a program of its own:

the admin client's call for a group's offsets takes its whole process with it where the group's coordinator has moved
(librdkafka issue 5040, open), and a consumer a group, which does not, costs twice the CPU and four threads each.

Measured with 20 groups and 1,000 partitions: docs/measurements.md. What changes seldom is asked seldom.
"""

from __future__ import annotations

import gc
import pickle
import sys
import time
from array import array
from collections.abc import Iterable
from concurrent.futures import Future
from typing import Any

from confluent_kafka import ConsumerGroupTopicPartitions, IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, OffsetSpec, ResourceType

from shardlake import groups
from shardlake.groups import REQUEST_SECONDS
from shardlake.kafka_login import client
from shardlake.lag.answers import UNKNOWN, Answers, Group, Member, Place
from shardlake.topics import MOVING, POLL_SECONDS

GROUPS_AT_ONCE = 50
PARTITIONS_A_CALL = 100
"""Several calls of 100 take half as long as one of 1,000."""
DESCRIBE_SECONDS = 15
"""A group is described so often, when it is new, and when its state has changed."""
FIRSTS_SECONDS = 15
FEW_PARTITIONS = 200
"""Where there are no more, their first offsets are asked every time."""
RETENTION_SECONDS = 60
COLLECT_EVERY = 100
LEFT_OUT = frozenset({KafkaError.GROUP_ID_NOT_FOUND, KafkaError.GROUP_AUTHORIZATION_FAILED})
"""What is said of a group that is gone by now, or that we may not see."""
MOVING_SECONDS = 2
"""Brokers that hand over to one another are asked again for so long; what is not told by then is unknown."""


class Asker:
    """Asks one cluster. Raises KafkaException where no broker answers."""

    def __init__(self, bootstrap_servers: str) -> None:
        # A broker that comes back is asked again at once, not after the client's 10 s.
        self._admin = AdminClient(client(bootstrap_servers, reconnect_backoff_max_ms=500))
        self._described: dict[str, tuple[float, str, Group]] = {}
        self._firsts: tuple[float, dict[Place, int]] = (-FIRSTS_SECONDS, {})
        self._retention: tuple[float, dict[str, int]] = (-RETENTION_SECONDS, {})
        self._retention_of: set[str] = set()
        self._silent: set[Place] = set()

    def ask(self) -> Answers:
        """All of it, now."""
        states = groups.states(self._admin)
        known = self._admin.list_topics(timeout=REQUEST_SECONDS)
        topics = {name: topic for name, topic in known.topics.items() if not name.startswith("__")}
        found = self._groups(states)
        places = [(name, number) for name, topic in topics.items() for number in topic.partitions]
        deadline = time.monotonic() + MOVING_SECONDS
        began_ms = _now_ms()
        highs = self._offsets(places, OffsetSpec.latest(), deadline, IsolationLevel.READ_UNCOMMITTED)
        ends = self._offsets(places, OffsetSpec.latest(), deadline)
        taken_ms = (began_ms + _now_ms()) / 2
        firsts = self._all_firsts(places, ends, deadline)
        # Those without a leader are asked once from now on, until they have one: nobody waits for them again.
        self._silent = {place for place in places if place not in ends}
        return Answers(
            taken_ms=taken_ms,
            brokers=len(known.brokers),
            ends=_by_topic(topics, ends),
            highs=_by_topic(topics, highs),
            firsts=_by_topic(topics, firsts),
            under_replicated=frozenset(
                (name, number)
                for name, topic in topics.items()
                for number, one in topic.partitions.items()
                if len(one.isrs) < len(one.replicas)
            ),
            retention_ms=self._retentions(topics),
            groups=found,
        )

    def _groups(self, states: dict[str, str]) -> dict[str, Group]:
        self._describe(states)
        found = {}
        names = sorted(states)
        for begin in range(0, len(names), GROUPS_AT_ONCE):
            for name, commits in self._commits(names[begin : begin + GROUPS_AT_ONCE]).items():
                _, _, described = self._described.get(name, (0.0, "", Group(states[name])))
                found[name] = _with_commits(states[name], described, commits)
        return found

    def _commits(self, waiting: list[str]) -> dict[str, list[TopicPartition]]:
        """By group; one that is gone by now, or that we may not see, is left out."""
        found = {}
        deadline = time.monotonic() + REQUEST_SECONDS
        while waiting:
            futures = {
                name: self._admin.list_consumer_group_offsets(
                    [ConsumerGroupTopicPartitions(name)], request_timeout=REQUEST_SECONDS
                )[name]
                for name in waiting
            }
            waiting = []
            for name, future in futures.items():
                try:
                    found[name] = future.result().topic_partitions
                except KafkaException as error:
                    code = error.args[0].code()
                    if code in LEFT_OUT:
                        continue
                    if code not in MOVING or time.monotonic() > deadline:
                        raise
                    waiting.append(name)
            if waiting:
                time.sleep(POLL_SECONDS)
        return found

    def _describe(self, states: dict[str, str]) -> None:
        now = time.monotonic()
        for gone in self._described.keys() - states:
            del self._described[gone]
        due = [
            name
            for name, state in states.items()
            if (known := self._described.get(name)) is None or known[1] != state or known[0] < now - DESCRIBE_SECONDS
        ]
        if not due:
            return
        for name, future in self._admin.describe_consumer_groups(due, request_timeout=REQUEST_SECONDS).items():
            try:
                group = future.result()
            except KafkaException as error:
                if error.args[0].code() in MOVING | LEFT_OUT:
                    continue  # it is asked again at the next sample
                raise
            owners = {
                (place.topic, place.partition): Member(member.client_id, member.member_id, member.host)
                for member in group.members
                for place in (member.assignment.topic_partitions if member.assignment else [])
            }
            self._described[name] = (now, states[name], Group(states[name], len(group.members), owners))

    def _all_firsts(self, places: list[Place], ends: dict[Place, int], deadline: float) -> dict[Place, int]:
        asked, known = self._firsts
        now = time.monotonic()
        told = [place for place in places if place in ends]
        if len(places) <= FEW_PARTITIONS or now - asked >= FIRSTS_SECONDS:
            self._firsts = now, self._offsets(told, OffsetSpec.earliest(), deadline)
        else:
            # A first beyond the end is that of a topic that was there before this one.
            kept = {place: known[place] for place in told if place in known and known[place] <= ends[place]}
            new = [place for place in told if place not in kept]
            self._firsts = asked, kept | self._offsets(new, OffsetSpec.earliest(), deadline)
        return self._firsts[1]

    def _offsets(
        self,
        places: list[Place],
        spec: Any,
        deadline: float,
        isolation: IsolationLevel = IsolationLevel.READ_COMMITTED,
    ) -> dict[Place, int]:
        """Those that their leaders tell. Raises KafkaException where none is told, and not for want of leaders."""
        found: dict[Place, int] = {}
        waiting = places
        failure: KafkaException | None = None
        while waiting:
            futures: dict[TopicPartition, Future[Any]] = {}
            for begin in range(0, len(waiting), PARTITIONS_A_CALL):
                futures |= self._admin.list_offsets(
                    {TopicPartition(*place): spec for place in waiting[begin : begin + PARTITIONS_A_CALL]},
                    isolation_level=isolation,
                    request_timeout=REQUEST_SECONDS,
                )
            waiting = []
            for place, future in futures.items():
                try:
                    found[place.topic, place.partition] = future.result().offset
                except KafkaException as error:
                    failure = error
                    if error.args[0].code() in MOVING and (place.topic, place.partition) not in self._silent:
                        waiting.append((place.topic, place.partition))
            if time.monotonic() > deadline:
                break
            if waiting:
                time.sleep(POLL_SECONDS)
        if failure is not None and not found and failure.args[0].code() not in MOVING:
            raise failure
        return found

    def _retentions(self, topics: Iterable[str]) -> dict[str, int]:
        asked, known = self._retention
        names = list(topics)
        now = time.monotonic()
        if names and (now - asked >= RETENTION_SECONDS or set(names) != self._retention_of):
            self._retention_of = set(names)
            resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
            for resource, future in self._admin.describe_configs(resources, request_timeout=REQUEST_SECONDS).items():
                known.pop(resource.name, None)
                try:
                    config = future.result()
                except KafkaException:  # one that is gone by now, or that we may not see
                    continue
                if "delete" in config["cleanup.policy"].value:  # from others nothing goes by its age
                    known[resource.name] = int(config["retention.ms"].value)
            self._retention = now, {name: known[name] for name in names if name in known}
        return {name: value for name, value in self._retention[1].items() if value >= 0}


def _with_commits(state: str, described: Group, commits: list[TopicPartition]) -> Group:
    found = Group(state, described.members, described.owners)
    topic = ""
    partitions, offsets = array("q"), array("q")
    for place in commits:
        offset = place.offset
        if offset < 0:
            continue
        if place.topic != topic:
            topic = place.topic
            partitions, offsets = found.committed.setdefault(topic, (array("q"), array("q")))
        partitions.append(place.partition)
        offsets.append(offset)
        if place.metadata:
            found.renewals[place.topic, place.partition] = place.metadata
    return found


def _by_topic(topics: dict[str, Any], offsets: dict[Place, int]) -> dict[str, array[int]]:
    return {
        name: array("q", [offsets.get((name, number), UNKNOWN) for number in range(len(topic.partitions))])
        for name, topic in topics.items()
    }


def _now_ms() -> float:
    return time.time_ns() / 1e6


def main() -> None:
    """Answer each line of standard input, until there are no more, with a pickled Answers or the words of an error."""
    asker = Asker(sys.argv[1])
    # The objects of an answer set off the collector again and again, for a fifth of the time, and it finds nothing.
    gc.disable()
    for number, _ in enumerate(sys.stdin.buffer, 1):
        answer: Answers | str
        try:
            answer = asker.ask()
        except KafkaException as error:
            answer = error.args[0].str()
            # Where a broker was killed and has come back, the old client's listing of groups waits for it for ever.
            asker = Asker(sys.argv[1])
        pickle.dump(answer, sys.stdout.buffer, pickle.HIGHEST_PROTOCOL)
        sys.stdout.buffer.flush()
        if number % COLLECT_EVERY == 0:
            gc.collect()


if __name__ == "__main__":
    main()
