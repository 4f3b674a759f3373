"""What is looked at every second while a load runs: lag by shard, events sent, CPU and memory by role.

Consumers' lag is by their commits. The jobs commit with their checkpoints only, so theirs is by what their sources have
read, asked of Flink.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from shardlake.errors import Unavailable, naming
from shardlake.flink.cluster import Cluster
from shardlake.flink.tables import GROUP
from shardlake.lag.answers import UNKNOWN, Answers
from shardlake.lag.broker import Broker
from shardlake.load.result import SAMPLES_FILE, Sample, Slope
from shardlake.load.slope import fit
from shardlake.load.usage import Meter

JOBS = "jobs"
"""What is shown as the group of the Flink application."""

ANSWER_SECONDS = 2.0


class Lags:
    """Lag of those who read a topic. A broker that is away says nothing."""

    def __init__(self, bootstrap_servers: str, topic: str, group: str | None, jobs: tuple[Cluster, str] | None) -> None:
        """Of a consumer group, and of a running job; None of those that there are not."""
        self._broker = Broker(bootstrap_servers, ANSWER_SECONDS)
        self._topic = topic
        self._group = group
        self._jobs = jobs
        self.ends: dict[int, int] = {}
        """As of the last look, by partition."""
        self.first_ends: dict[int, int] = {}
        """As of the first look."""

    def look(self) -> dict[str, dict[str, int]]:
        """By group and shard."""
        read: Mapping[int, int] = {}
        if self._jobs:
            cluster, job_id = self._jobs
            with suppress(Unavailable):
                read = cluster.read_offsets(job_id, self._topic)
        try:
            answers = self._broker.ask()
        except Unavailable:
            return {}
        ends = answers.ends.get(self._topic, ())
        self.ends = {partition: end for partition, end in enumerate(ends) if end != UNKNOWN}
        # At the first look nothing was sent yet, and whoever reads had read all there was.
        self.first_ends = self.first_ends or dict(self.ends)
        found: dict[str, dict[str, int]] = {}
        if self._group:
            found[self._group] = self._behind(_committed(answers, self._group, self._topic))
        if self._jobs and (read or not any(self._behind().values())):
            # Flink answers with what was so half a second ago; a checkpoint may be newer.
            found[JOBS] = self._behind(read, _committed(answers, GROUP, self._topic))
        return found

    def close(self) -> None:
        """Leave nothing running."""
        self._broker.close()

    @property
    def pids(self) -> list[int]:
        """Of the process that asks."""
        return [self._broker.pid] if self._broker.pid else []

    def _behind(self, *read: Mapping[int, int]) -> dict[str, int]:
        """By shard, records that none of several accounts of what was read covers."""
        return {
            f"{self._topic}-{partition}": max(0, end - max(first, *(account.get(partition, 0) for account in read), 0))
            for partition, end in self.ends.items()
            if (first := self.first_ends.get(partition)) is not None
        }


class Watch:
    """Takes a sample when it is told to, and keeps it."""

    def __init__(self, folder: Path, lags: Lags, meter: Meter) -> None:
        self._path = folder / SAMPLES_FILE
        self._file = self._path.open("ab", buffering=0)
        self._lags = lags
        self._meter = meter
        self._cpu: dict[str, float] = {}
        self._sent = 0
        self.samples: list[Sample] = []

    def look(self, at_seconds: float, sent: int) -> Sample:
        """Now, so many seconds after the begin, and `sent` events. Raises OSError, as of a full disk, that names the
        file."""
        lag = self._lags.look()
        cpu = self._meter.look()
        since = {role: seconds - self._cpu.get(role, seconds) for role, seconds in cpu.items()}
        self._cpu = cpu
        sample = Sample(
            at_seconds=round(at_seconds, 3), sent=sent - self._sent, lag=lag,
            cpu_seconds={role: round(seconds, 3) for role, seconds in since.items()},
            memory_mb={role: round(size) for role, size in self._meter.memory_mb.items()},
        )  # fmt: skip
        self._sent = sent
        self.samples.append(sample)
        with naming(self._path):
            self._file.write(json.dumps(asdict(sample)).encode() + b"\n")
        return sample

    def close(self) -> None:
        """No more."""
        self._file.close()


def slope(samples: list[Sample], group: str, begin: float, end: float, rate: float) -> Slope | None:
    """The line through a group's lag, over all its shards, between two moments; by the samples that know it."""
    known = [sample for sample in samples if begin <= sample.at_seconds <= end and group in sample.lag]
    lags = [sum(sample.lag[group].values()) for sample in known]
    return fit(group, [sample.at_seconds for sample in known], lags, rate)


def _committed(answers: Answers, group: str, topic: str) -> dict[int, int]:
    found = answers.groups.get(group)
    commits = found.committed.get(topic) if found else None
    return {partition: offset for partition, offset in zip(*commits, strict=True) if offset >= 0} if commits else {}
