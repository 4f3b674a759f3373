"""What is loaded: the pipeline's topic of events on some servers, and those who read it meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from shardlake import topics
from shardlake.commands import Commands
from shardlake.errors import BadInput, Unavailable
from shardlake.flink.cluster import Cluster
from shardlake.flink.tables import GROUP
from shardlake.load.generator import AHEAD_SECONDS, Share
from shardlake.load.handled import Watched
from shardlake.load.offer import Offer
from shardlake.load.scenario import Scenario
from shardlake.load.servers import Servers
from shardlake.load.usage import CONSUMERS, MEASURING, PRODUCERS, Meter
from shardlake.load.watch import Lags
from shardlake.load.workers import Workers, only_consumer
from shardlake.pipeline import Pipeline
from shardlake.settings import Settings

Say = Callable[[str], None]
WORKERS_LOG = "workers.log"
JOIN_SECONDS, SETTLE_SECONDS = 8.0, 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Servers, and the pipeline that they serve."""

    pipeline: Pipeline
    settings: Settings
    commands: Commands
    servers: Servers

    @property
    def topic(self) -> str:
        """That of events."""
        return self.pipeline.events_topic.name

    def ends(self) -> dict[int, int]:
        """Of the topic, by partition. Raises Unavailable."""
        return {p: end for p, (_, end) in topics.offsets(self.settings.kafka_bootstrap_servers, self.topic).items()}

    def behind(self, groups: Iterable[str], since: Mapping[int, int]) -> list[str]:
        """The groups that have not committed all that came after these offsets: what the jobs have, is in the lake."""
        ends = self.ends_after(since)
        return [group for group in groups if not topics.covers(self.committed(group), ends)]

    def ends_after(self, since: Mapping[int, int]) -> dict[int, int]:
        """Of the partitions that something came into after these offsets. Of what was there before, the jobs' last
        commit may be missing: it races their end."""
        return {partition: end for partition, end in self.ends().items() if end > since.get(partition, 0)}

    def committed(self, group: str) -> dict[int, int]:
        """The group's offsets in the topic, by partition. Raises Unavailable."""
        return topics.committed(self.settings.kafka_bootstrap_servers, group, self.topic)

    def offer(self, scenario: Scenario, folder: Path, ahead_seconds: float = AHEAD_SECONDS) -> Offer:
        """The scenario's producers, ready; ledgers and times go to the folder."""
        return Offer(
            [
                Share(
                    pipeline=self.pipeline.folder, settings=self.settings.model_dump(), topic=self.topic,
                    folder=folder, scenario=scenario, number=number, of=scenario.producers,
                    ahead_seconds=ahead_seconds,
                )
                for number in range(scenario.producers)
            ]
        )  # fmt: skip


class Readers:
    """Workers of a consumer, the jobs, both or neither. From the main thread."""

    def __init__(self, target: Target, scenario: Scenario, say: Say) -> None:
        """The jobs are started, where they do not run. Raises BadInput where they run and must not, or where there is
        no such consumer, Unavailable where the servers are down."""
        target.ends()
        self._target, self._scenario = target, scenario
        self._workers: Workers | None = None
        if scenario.workers:
            name = only_consumer(target.pipeline, scenario.consumer)
            self._workers = Workers(target.pipeline, target.settings, target.topic, name)
        cluster = Cluster(target.settings.flink_rest_url)
        job = cluster.running()
        self.jobs_were_running = job is not None
        if job and not scenario.jobs:
            msg = "The jobs are running, and this load is without them."
            raise BadInput(msg, "Stop them with `shardlake jobs stop`, or leave out --no-jobs.")
        if not job and scenario.jobs:
            say("starting the jobs")
            target.commands.run("jobs", "run")
            job = cluster.running()
        self.has_jobs = job is not None
        self.lags = Lags(
            target.settings.kafka_bootstrap_servers, target.topic, self.group, (cluster, job.job_id) if job else None
        )

    @property
    def group(self) -> str | None:
        """Of the workers."""
        return self._workers.group if self._workers else None

    @property
    def lead_seconds(self) -> float:
        """From `start` to the first event: workers import, and join their group."""
        return JOIN_SECONDS if self._workers else SETTLE_SECONDS

    @property
    def consumer(self) -> str:
        """The name of the workers' consumer, '' without any."""
        return self._workers.consumer if self._workers else ""

    def start(self, folder: Path, begin_ns: int) -> None:
        """Start the workers, for a load that begins then."""
        if self._workers:
            watched = Watched.of(folder, self._scenario, begin_ns)
            self._workers.start(self._scenario.workers, watched, folder / WORKERS_LOG)
        self.lags.look()

    def add(self, workers: int) -> str:
        """More workers; what came of it."""
        assert self._workers
        return f"{self._workers.add(workers)} workers"

    def meter(self, own_pid: int, producers: Callable[[], list[int]]) -> Meter:
        """Of the servers and everything else that takes part."""
        servers, workers = self._target.servers, self._workers
        return Meter(
            {
                **{name: _pids_of(servers, name) for name in servers.names},
                PRODUCERS: producers,
                CONSUMERS: lambda: workers.pids if workers else [],
                MEASURING: lambda: [own_pid, *self.lags.pids],
            }
        )

    def behind(self) -> list[str]:
        """The groups that have not committed all that came since the start."""
        groups = [group for group in (self.group, GROUP if self.has_jobs else None) if group]
        return self._target.behind(groups, self.lags.first_ends)

    def await_caught_up(self, seconds: float, meanwhile: Callable[[], None]) -> list[str]:
        """The groups that were still behind after so long, or once nobody is left who reads for them."""
        deadline = time.monotonic() + seconds
        while (left := self.behind()) and time.monotonic() < deadline:
            if left == [self.group] and self._workers and not self._workers.pids:
                break
            meanwhile()
            time.sleep(0.5)
        return left

    def failed(self) -> list[str]:
        """How workers have ended that ended by themselves."""
        return self._workers.failed() if self._workers else []

    def end(self) -> list[str]:
        """The workers leave, and their group is forgotten; how those have ended that failed. The jobs go on."""
        self.lags.close()
        if not self._workers:
            return []
        failed = self._workers.end()
        try:
            self._workers.forget()
        except Unavailable as error:
            failed.append(f"{error.message} {error.hint}")
        return failed


def _pids_of(servers: Servers, name: str) -> Callable[[], list[int]]:
    return lambda: servers.pids(name)
