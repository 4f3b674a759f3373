"""Which samples each metric has."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from operator import attrgetter

from shardlake.lag import metrics as of
from shardlake.lag.answers import UNKNOWN
from shardlake.lag.sampling import Sample
from shardlake.lag.shard import NOT_STARTED_LAG, Shard
from shardlake.lag.text import labels
from shardlake.metric import Metric

CLUSTER = "shardlake"
Labelled = Iterable[tuple[str, float]]


MSK, NAMED, OWN = range(3)
"""Families of labels of a shard."""


def _labels(shard: Shard) -> tuple[str, str, str]:
    """Of the three families; they are kept with the shard, as they change with its owner alone."""
    kept = shard.labels
    if kept is None or kept[0] is not shard.owner:
        group, topic, partition, owner = shard.group, shard.topic, shard.partition, shard.owner
        made = (
            labels(of.GROUP_PLACE, (group, topic, partition)),
            labels(of.NAMED_PLACE, (CLUSTER, group, topic, partition, owner.host, owner.consumer_id, owner.client_id)),
            labels(of.SHARD, (group, topic, partition)),
        )
        kept = shard.labels = owner, made
    return kept[1]


def _of_shards(family: int, value: Callable[[Shard], float | None]) -> Callable[[Sample], Labelled]:
    """Of each shard whose value is known, with the labels of that family."""

    def samples(sample: Sample) -> Labelled:
        return [
            (_labels(shard)[family], found) for shard in sample.shards if (found := value(shard)) is not None
        ]  # fmt: skip

    return samples


def _started_seconds(shard: Shard) -> float | None:
    return shard.seconds if shard.has_started else NOT_STARTED_LAG


def _difference(shard: Shard) -> float | None:
    measured, interpolated = shard.measured_seconds, shard.interpolated_seconds
    return interpolated - measured if shard.is_measured and measured is not None and interpolated is not None else None


def _age_of_measurement(shard: Shard) -> float | None:
    return None if shard.measured_seconds is None else shard.measured_age_seconds


def _places(values: Callable[[Sample], dict[str, Iterable[int]]]) -> Callable[[Sample], Labelled]:
    def samples(sample: Sample) -> Labelled:
        for topic, offsets in values(sample).items():
            for partition, offset in enumerate(offsets):
                if offset != UNKNOWN:
                    yield labels(of.PLACE, (topic, partition)), offset

    return samples


def _under_replicated(sample: Sample) -> Labelled:
    under = sample.answers.under_replicated
    for topic, ends in sample.answers.ends.items():
        for partition in range(len(ends)):
            yield labels(of.PLACE, (topic, partition)), int((topic, partition) in under)


def _by_topic(sample: Sample) -> dict[tuple[str, str], list[Shard]]:
    found: dict[tuple[str, str], list[Shard]] = {}
    for shard in sample.shards:
        if shard.has_started and shard.exported is not None:
            found.setdefault((shard.group, shard.topic), []).append(shard)
    return found


def _sums(metric: Metric, *first: str) -> tuple[Metric, Callable[[Sample], Labelled]]:
    """Of each group's shards in a topic, under a name whose labels begin with some of their own."""

    def samples(sample: Sample) -> Labelled:
        for place, shards in _by_topic(sample).items():
            yield labels(metric.labels, (*first, *place)), sum(shard.records for shard in shards)

    return metric, samples


def _of_groups(value: Callable[[list[float]], float], of_shard: Callable[[Shard], float | None]) -> Callable[
    [Sample], Labelled
]:  # fmt: skip
    """Over the shards of each group whose values are known."""

    def samples(sample: Sample) -> Labelled:
        found: dict[str, list[float]] = {}
        for shard in sample.shards:
            one = of_shard(shard) if shard.has_started and shard.exported is not None else None
            if one is not None:
                found.setdefault(shard.group, []).append(one)
        for group, values in found.items():
            yield labels(of.NAMED, (CLUSTER, group)), value(values)

    return samples


def _states(sample: Sample) -> Labelled:
    for name, group in sample.groups.items():
        yield labels(of.STATE.labels, (CLUSTER, name, group.state)), 1


def _statuses(sample: Sample) -> Labelled:
    for shard in sample.shards:
        status = shard.verdict.status
        yield labels(of.STATUS.labels, (shard.group, shard.topic, shard.partition, status)), 1


def _retention(sample: Sample) -> Iterator[tuple[str, float]]:
    for shard in sample.shards:
        risk = shard.retention_risk(sample.answers.retention_ms.get(shard.topic))
        if risk is not None and shard.has_started:
            yield _labels(shard)[OWN], risk


def _ages_of_samples(sample: Sample) -> Labelled:
    age = max(0.0, (sample.taken_ms - sample.answers.taken_ms) / 1000)
    for shard in sample.shards:
        if shard.interpolated_seconds is not None:
            yield _labels(shard)[OWN], age


FAMILIES: list[tuple[Metric, Callable[[Sample], Labelled]]] = [
    (of.BROKERS, lambda sample: [("", sample.answers.brokers)]),
    (of.PARTITIONS, lambda sample: [(labels(("topic",), (t,)), len(e)) for t, e in sample.answers.ends.items()]),
    (of.END, _places(lambda sample: dict(sample.answers.ends))),
    (of.FIRST, _places(lambda sample: dict(sample.answers.firsts))),
    (of.UNDER_REPLICATED, _under_replicated),
    (of.MEMBERS, lambda sample: [(labels(of.GROUP, (n,)), g.members) for n, g in sample.groups.items()]),
    (of.COMMITTED, _of_shards(MSK, lambda shard: shard.track.committed)),
    (of.LAG, _of_shards(MSK, attrgetter("exported"))),
    _sums(of.LAG_SUM),
    (of.NAMED_LAG, _of_shards(NAMED, attrgetter("exported"))),
    (of.NAMED_SECONDS, _of_shards(NAMED, _started_seconds)),
    (of.MAX_LAG, _of_groups(max, lambda shard: shard.records)),
    (of.MAX_SECONDS, _of_groups(max, lambda shard: shard.seconds)),
    (of.SUM_LAG, _of_groups(sum, lambda shard: shard.records)),
    _sums(of.TOPIC_SUM_LAG, CLUSTER),
    (of.STATE, _states),
    (of.MEASURED, _of_shards(OWN, attrgetter("measured_seconds"))),
    (of.MEASURED_AGE, _of_shards(OWN, _age_of_measurement)),
    (of.INTERPOLATED, _of_shards(OWN, attrgetter("interpolated_seconds"))),
    (of.INTERPOLATED_AGE, _ages_of_samples),
    (of.DIFFERENCE, _of_shards(OWN, _difference)),
    (of.DRAIN, _of_shards(OWN, attrgetter("drain_seconds"))),
    (of.HELD_BACK, _of_shards(OWN, lambda shard: shard.held_back or None)),
    (of.OPEN_SECONDS, _of_shards(OWN, attrgetter("open_seconds"))),
    (of.RETENTION_RISK, _retention),
    (of.STATUS, _statuses),
    (of.HOT, lambda sample: [(_labels(shard)[OWN], ratio) for shard, ratio in sample.hot()]),
]
