"""Ending the running application: with a savepoint to resume from, or drained to its end."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from shardlake import topic_ids
from shardlake.cli.cluster import cluster_of
from shardlake.counted import counted
from shardlake.errors import ShardlakeError
from shardlake.folders import state_folder
from shardlake.patience import Patience
from shardlake.pipeline import Pipeline
from shardlake.settings import Settings
from shardlake.storage import as_url, beside

if TYPE_CHECKING:
    from shardlake.flink.cluster import Cluster, Job
    from shardlake.flink.submit import Submission

STILL_SECONDS = 120.0
"""Longer than a start's: here the jobs may wait for a broker or a registry that comes back."""
STILL_HINT = "They go on: look at `shardlake jobs list`, and finish again."
METRICS_SECONDS = 3
"""Flink looks for its sources' metrics only when it is asked, and has them a moment later."""


def plan_drain(pipeline: Pipeline, settings: Settings, apart: str | None = None) -> Submission:
    """The application that `drain` needs, with the jobs that are running, its planning begun.

    `apart` is a job that runs apart from the others, here and below; `settings` are those of its application.
    """
    from shardlake.flink.inserts import jobs_of
    from shardlake.flink.resume import LastEnd
    from shardlake.flink.submit import Submission

    last = LastEnd.read(settings.jobs)
    jobs = jobs_of(running(settings, apart).name)
    log = state_folder() / "logs" / "finish.log"
    return Submission(pipeline, settings, jobs, log, closed=last.closed if last else {}, draining=True, apart=apart)


def drain(
    pipeline: Pipeline,
    settings: Settings,
    planned: Submission,
    timeout_seconds: float | None = None,
    apart: str | None = None,
) -> None:
    """Stop the jobs, resume them with sources that are never idle, and drain those: see `application.configuration`.

    They may take as long as they read, or move otherwise, and no longer than `timeout_seconds` where that is given.
    Raises ShardlakeError where they do not come to the end, Unavailable where Flink or the broker is gone.
    """
    from shardlake.flink.resume import FINISHED, FINISHING
    from shardlake.flink.submit import Plans
    from shardlake.flink.tables import view_name
    from shardlake.topics import ends_of_records

    cluster = cluster_of(settings)
    servers = settings.kafka_bootstrap_servers
    sources = pipeline.sources
    if apart:
        # The dead letters are of every topic of events; one job may read fewer.
        views = Plans(settings.jobs).reads(running(settings, apart).job_id)
        sources = [topic for topic in sources if view_name(topic) in views]
    wanted = {topic.name: ends_of_records(servers, topic.name) for topic in sources}

    def unread(job_id: str, before: dict[str, dict[int, int]]) -> int:
        return sum(
            _unread(ends, before.get(name, {}), cluster.read_offsets(job_id, name), _committed(settings, name, apart))
            for name, ends in wanted.items()
        )

    try:
        # What the stopped run has read is in its savepoint; the next run tells only of partitions with something new.
        job_id = running(settings, apart).job_id
        patience = time.monotonic() + METRICS_SECONDS
        while unread(job_id, {}) and time.monotonic() < patience:
            time.sleep(0.2)
        before = {name: cluster.read_offsets(job_id, name) for name in wanted}
        savepoint = end(settings, FINISHING, apart)
        job_id = planned.submit(as_url(beside(settings.jobs, savepoint))).job_id
    finally:
        planned.abandon()
    cluster.await_running(job_id)
    _await_read(cluster, job_id, lambda: unread(job_id, before), timeout_seconds)
    end(settings, FINISHED, apart)


def _await_read(cluster: Cluster, job_id: str, unread: Callable[[], int], timeout_seconds: float | None) -> None:
    """Wait until nothing is unread. Raises ShardlakeError where that number falls no more, or takes too long to."""
    from shardlake.flink.tasks import ENDED

    deadline = time.monotonic() + timeout_seconds if timeout_seconds is not None else math.inf
    watch = cluster.watch(job_id, Patience(still_seconds=STILL_SECONDS), work_counts=False)
    least: int | None = None
    while (left := watch.ask(unread)) != 0:
        if left is not None:
            least = min(left, least or left)
        what = f"The jobs are still {counted(least, 'record') if least else 'some records'} behind"
        job = watch.look()
        if job and job["state"] in ENDED:
            raise watch.ended(f"{what} and have ended")
        if time.monotonic() > deadline:
            raise ShardlakeError(f"{what} after {timeout_seconds:.0f} s.", STILL_HINT)
        if not watch.goes_on(f"{counted(least, 'record') if least else 'some records'} to be read", least):
            raise watch.still(what, STILL_HINT)


def _unread(offsets: dict[int, tuple[int, int]], *read: dict[int, int]) -> int:
    """How many records up to their ends none of several accounts of what was read covers."""
    return sum(
        max(0, last - max(first, *(account.get(partition, first) for account in read)))
        for partition, (first, last) in offsets.items()
    )


def _committed(settings: Settings, topic: str, apart: str | None) -> dict[int, int]:
    from shardlake.flink.tables import group_of
    from shardlake.topics import committed

    return committed(settings.kafka_bootstrap_servers, group_of(apart), topic)


def applications(settings: Settings) -> list[tuple[Settings, str | None]]:
    """The application and the jobs apart from it, as far as they run, each with the settings of its own.

    Raises ShardlakeError where nothing runs.
    """
    from shardlake.flink.apart import settings_of
    from shardlake.flink.cluster import Cluster

    cluster = Cluster(settings.flink_rest_url)
    apart: list[tuple[Settings, str | None]] = [(settings_of(settings, job), job) for job in cluster.apart()]
    if apart and cluster.running() is None:
        return apart
    running(settings)
    return [(settings, None), *apart]


def running(settings: Settings, apart: str | None = None) -> Job:
    """The running application. Raises ShardlakeError where none runs."""
    from shardlake.flink.cluster import Cluster

    cluster = Cluster(settings.flink_rest_url)
    job = cluster.apart().get(apart) if apart else cluster.running()
    if job is None:
        msg = "The jobs are not running."
        raise ShardlakeError(msg, "Start them with `shardlake jobs run`.")
    return job


def end(settings: Settings, how: str, apart: str | None = None) -> str:
    """Stop the running application, with FINISHED by a drain; its savepoint's path.

    Raises ShardlakeError where none runs.
    """
    from shardlake.flink.inserts import jobs_of
    from shardlake.flink.resume import FINISHED, write_end

    job = running(settings, apart)
    path = cluster_of(settings).stop(job.job_id, as_url(settings.jobs / "savepoints"), drain=how == FINISHED)
    topic_ids.keep_with(settings.jobs, beside(settings.jobs, path))
    write_end(settings.jobs, how, path, jobs_of(job.name), drained=how == FINISHED)
    return path
