"""Ending the running application: with a savepoint to resume from, or drained to its end."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from shardlake.errors import ShardlakeError
from shardlake.pipeline import Pipeline
from shardlake.settings import Settings, state_folder
from shardlake.storage import as_url, beside

if TYPE_CHECKING:
    from shardlake.flink.cluster import Job
    from shardlake.flink.submit import Submission

METRICS_SECONDS = 3
"""Flink looks for its sources' metrics only when it is asked, and has them a moment later."""


def plan_drain(pipeline: Pipeline, settings: Settings) -> Submission:
    """The application that `drain` needs, with the jobs that are running, its planning begun."""
    from shardlake.flink.inserts import jobs_of
    from shardlake.flink.submit import Submission

    log = state_folder() / "logs" / "finish.log"
    return Submission(pipeline, settings, jobs_of(running(settings).name), log, draining=True)


def drain(pipeline: Pipeline, settings: Settings, planned: Submission, timeout_seconds: float) -> None:
    """Stop the jobs, resume them with sources that are never idle, and drain those: see `application.configuration`."""
    from shardlake.flink.cluster import Cluster
    from shardlake.topics import ends_of_records

    cluster = Cluster(settings.flink_rest_url)
    servers = settings.kafka_bootstrap_servers
    wanted = {topic.name: ends_of_records(servers, topic.name) for topic in pipeline.sources}

    def unread(job_id: str, before: dict[str, dict[int, int]]) -> int:
        return sum(
            _unread(ends, before.get(name, {}), cluster.read_offsets(job_id, name), _committed(settings, name))
            for name, ends in wanted.items()
        )

    try:
        # What the stopped run has read is in its savepoint; the next run tells only of partitions with something new.
        job_id = running(settings).job_id
        patience = time.monotonic() + METRICS_SECONDS
        while unread(job_id, {}) and time.monotonic() < patience:
            time.sleep(0.2)
        before = {name: cluster.read_offsets(job_id, name) for name in wanted}
        savepoint = end(settings, drain=False)
        job_id = planned.submit(as_url(beside(settings.jobs, savepoint))).job_id
    finally:
        planned.abandon()
    cluster.await_running(job_id)
    deadline = time.monotonic() + timeout_seconds
    while left := unread(job_id, before):
        if time.monotonic() > deadline:
            msg = f"The jobs are still {left} records behind after {timeout_seconds:.0f} s."
            raise ShardlakeError(msg, "They go on. Wait for longer with --timeout, and look at `shardlake jobs list`.")
        time.sleep(0.2)
    end(settings, drain=True)


def _unread(offsets: dict[int, tuple[int, int]], *read: dict[int, int]) -> int:
    """How many records up to their ends none of several accounts of what was read covers."""
    return sum(
        max(0, last - max(first, *(account.get(partition, first) for account in read)))
        for partition, (first, last) in offsets.items()
    )


def _committed(settings: Settings, topic: str) -> dict[int, int]:
    from shardlake.flink.tables import GROUP
    from shardlake.topics import committed

    return committed(settings.kafka_bootstrap_servers, GROUP, topic)


def running(settings: Settings) -> Job:
    """The running application. Raises ShardlakeError where none runs."""
    from shardlake.flink.cluster import Cluster

    job = Cluster(settings.flink_rest_url).running()
    if job is None:
        msg = "The jobs are not running."
        raise ShardlakeError(msg, "Start them with `shardlake jobs run`.")
    return job


def end(settings: Settings, *, drain: bool) -> str:
    """Stop the running application; its savepoint's path. Raises ShardlakeError where none runs."""
    from shardlake.flink.cluster import Cluster
    from shardlake.flink.resume import FINISHED, STOPPED, LastEnd

    folder = as_url(settings.jobs / "savepoints")
    path = Cluster(settings.flink_rest_url).stop(running(settings).job_id, folder, drain=drain)
    LastEnd(FINISHED if drain else STOPPED, path).write(settings.jobs)
    return path
