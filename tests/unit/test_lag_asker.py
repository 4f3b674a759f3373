"""What is made of partitions that do not tell their offsets, and of those that were told before."""

from __future__ import annotations

import time
from concurrent.futures import Future
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import OffsetSpec

from shardlake.lag.answers import Place
from shardlake.lag.asker import FEW_PARTITIONS, Asker

pytestmark = pytest.mark.unit

NO_LEADER, NOT_ALLOWED = KafkaError.LEADER_NOT_AVAILABLE, KafkaError.TOPIC_AUTHORIZATION_FAILED
MANY: list[Place] = [("t", number) for number in range(FEW_PARTITIONS + 1)]


class Leaders:
    """An admin client of words: offsets by place, or the code of an error."""

    def __init__(self, says: dict[Place, int]) -> None:
        self.says = says
        self.fails: dict[Place, int] = {}
        self.calls: list[list[Place]] = []

    def list_offsets(self, asked: dict[TopicPartition, Any], **_: Any) -> dict[TopicPartition, Future[Any]]:
        self.calls.append([(place.topic, place.partition) for place in asked])
        found = {}
        for place in asked:
            found[place] = future = Future[Any]()
            of = (place.topic, place.partition)
            if of in self.fails:
                future.set_exception(KafkaException(KafkaError(self.fails[of])))
            else:
                future.set_result(TopicPartition(*of, self.says[of]))
        return found


@pytest.fixture
def leaders(monkeypatch: pytest.MonkeyPatch) -> Leaders:
    one = Leaders(dict.fromkeys(MANY, 5))
    monkeypatch.setattr("shardlake.lag.asker.AdminClient", lambda _: one)
    return one


def asker() -> Asker:
    return Asker("nowhere:1")


def ends(one: Asker, places: list[Place], seconds: float = 0.3) -> dict[Place, int]:
    return one._offsets(places, OffsetSpec.latest(), time.monotonic() + seconds)  # noqa: SLF001


def firsts(one: Asker, told: dict[Place, int]) -> dict[Place, int]:
    return one._all_firsts(list(told), told, time.monotonic() + 0.3)  # noqa: SLF001


def test_a_partition_without_a_leader_is_unknown_and_the_others_are_told(leaders: Leaders) -> None:
    leaders.fails[("t", 0)] = NO_LEADER
    one = asker()
    assert ends(one, MANY[:3]) == {("t", 1): 5, ("t", 2): 5}
    assert leaders.calls[0] == MANY[:3]
    assert len(leaders.calls) > 1
    assert all(call == MANY[:1] for call in leaders.calls[1:])


def test_who_had_no_leader_before_is_not_waited_for_again(leaders: Leaders) -> None:
    leaders.fails[("t", 0)] = NO_LEADER
    one = asker()
    one._silent = {("t", 0)}  # noqa: SLF001
    assert ends(one, MANY[:3]) == {("t", 1): 5, ("t", 2): 5}
    assert leaders.calls == [MANY[:3]]


def test_a_cluster_all_of_whose_leaders_are_away_is_one_that_answers(leaders: Leaders) -> None:
    leaders.fails = {("t", 0): NO_LEADER}
    assert ends(asker(), MANY[:1]) == {}


def test_another_error_of_all_is_said_and_of_one_is_passed_over(leaders: Leaders) -> None:
    leaders.fails = {("t", 0): NOT_ALLOWED}
    assert ends(asker(), MANY[:2]) == {("t", 1): 5}
    with pytest.raises(KafkaException, match="TOPIC_AUTHORIZATION_FAILED"):
        ends(asker(), MANY[:1])


def test_of_many_partitions_firsts_are_asked_seldom_but_for_new_ones_and_those_beyond_the_end(leaders: Leaders) -> None:
    one = asker()
    assert firsts(one, dict.fromkeys(MANY, 9)) == dict.fromkeys(MANY, 5)
    leaders.calls.clear()
    leaders.says = dict.fromkeys([*MANY, ("new", 0), ("new", 1)], 1)
    leaders.fails = {("new", 1): NO_LEADER}
    # The last was made anew: it ends before it began.
    told = dict.fromkeys(MANY, 9) | {MANY[-1]: 3, ("new", 0): 2, ("new", 1): 2}
    assert firsts(one, told) == dict.fromkeys(MANY[:-1], 5) | {MANY[-1]: 1, ("new", 0): 1}
    assert leaders.calls[0] == [MANY[-1], ("new", 0), ("new", 1)]


def test_a_new_partition_without_a_leader_does_not_end_the_sample(leaders: Leaders) -> None:
    one = asker()
    firsts(one, dict.fromkeys(MANY, 9))
    leaders.fails = {("new", 0): NO_LEADER}
    assert firsts(one, dict.fromkeys(MANY, 9) | {("new", 0): 2}) == dict.fromkeys(MANY, 5)
