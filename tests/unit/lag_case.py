"""A broker of words, for what is made of a broker's answers."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from shardlake.lag.answers import Answers, Group, Member, Place
from shardlake.lag.reader import Budget, Measurement
from shardlake.lag.sampling import Sample, Sampler

NOW_MS = 1_800_000_000_000.0
"""When every sample is taken."""
READ_MS = NOW_MS - 5_000
"""When every record was read."""


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """It stands still. Modules that import this have it in each of their tests."""
    monkeypatch.setattr("shardlake.lag.sampling.time_ns", lambda: int(NOW_MS * 1e6))


class Words:
    """Answers as they were put, one after the other; the last again and again."""

    def __init__(self, *answers: Answers | Exception) -> None:
        self.left = list(answers)

    def ask(self) -> Answers:
        answer = self.left.pop(0) if len(self.left) > 1 else self.left[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None:
        pass


class Records:
    """Arrival times by place and offset; what is asked is kept."""

    def __init__(self, arrivals: Mapping[tuple[Place, int], float | None] | None = None) -> None:
        self.arrivals = dict(arrivals or {})
        self.asked: list[tuple[Place, int]] = []

    def read(self, asked: Iterable[tuple[Place, int, int]], budget: Budget) -> dict[tuple[Place, int], Measurement]:
        found = {}
        for place, offset, end in asked:
            self.asked.append((place, offset))
            if (place, offset) in self.arrivals:
                arrival = self.arrivals[place, offset]
                found[place, offset] = Measurement(offset, end, READ_MS, arrival, is_empty=arrival is None)
        return found

    def close(self) -> None:
        pass


def answers(
    committed: Mapping[str, Mapping[Place, int]],
    ends: Mapping[str, list[int]],
    taken_ms: float = 0,
    firsts: Mapping[str, list[int]] | None = None,
    owners: Mapping[str, Mapping[Place, Member]] | None = None,
    highs: Mapping[str, list[int]] | None = None,
    **more: Any,
) -> Answers:
    """Of groups with their commits, and topics with their ends; without `highs` no transaction is open."""
    groups = {}
    for name, commits in committed.items():
        group = Group("STABLE", len(set((owners or {}).get(name, {}).values())), (owners or {}).get(name, {}))
        for (topic, partition), offset in commits.items():
            partitions, offsets = group.committed.setdefault(topic, (array("q"), array("q")))
            partitions.append(partition)
            offsets.append(offset)
        groups[name] = group
    return Answers(
        taken_ms=taken_ms,
        brokers=1,
        ends={topic: array("q", values) for topic, values in ends.items()},
        highs={topic: array("q", (highs or {}).get(topic, values)) for topic, values in ends.items()},
        firsts={topic: array("q", (firsts or {}).get(topic, [0] * len(values))) for topic, values in ends.items()},
        under_replicated=more.pop("under_replicated", frozenset()),
        retention_ms=more.pop("retention_ms", {}),
        groups=groups,
    )


def sampler(*said: Answers | Exception, records: Records | None = None, uncommitted: Records | None = None) -> Sampler:
    """One that hears these answers."""
    return Sampler(Words(*said), records or Records(), uncommitted or Records())  # type: ignore[arg-type]


def last_sample(*said: Answers, records: Records | None = None, uncommitted: Records | None = None) -> Sample:
    """The sample of the last of these answers."""
    one = sampler(*said, records=records, uncommitted=uncommitted)
    for _ in said[:-1]:
        one.sample()
    return one.sample()
