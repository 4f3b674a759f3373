"""Watching the jobs: one that keeps failing at its own code or data is left out, and the others go on by themselves."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from shardlake.cli.leave_out import leave_out, leave_out_again
from shardlake.errors import ShardlakeError, Unavailable
from shardlake.pipeline import Pipeline
from shardlake.settings import Settings

if TYPE_CHECKING:
    from shardlake.flink.cluster import Cluster, Job

LOOK_SECONDS = 3.0


def watch(pipeline_folder: Path, say: Callable[[str], None]) -> None:
    """Look at the jobs every three seconds, for ever. What hinders it is said once."""
    said = ""
    while True:
        try:
            look(pipeline_folder, say)
        except (ShardlakeError, OSError) as error:  # OSError: a disk that is full, S3 that is away
            words = f"{error.message} {error.hint}" if isinstance(error, ShardlakeError) else str(error)
            if words != said:
                say(words)
                said = words
        time.sleep(LOOK_SECONDS)


def look(pipeline_folder: Path, say: Callable[[str], None]) -> None:
    """Leave out each job that is seen to keep failing. Raises ShardlakeError where it cannot be."""
    from shardlake.flink.apart import settings_of
    from shardlake.flink.cluster import Cluster

    settings = Settings.read()
    cluster = Cluster(settings.flink_rest_url)
    try:
        application, apart = cluster.running(), cluster.apart()
        running = [(settings, application)] if application else []
        running += [(settings_of(settings, job), one) for job, one in apart.items()]
        failing = [found for own, one in running if (found := _failing(own, cluster, one))]
    except Unavailable:  # a stack that starts, or ends: there is nothing to look at
        return
    for job, why in failing:
        if job in apart:
            leave_out_again(settings, job, why)
            say(f"{job} keeps failing, and is left out again: {why}")
        else:
            leave_out(Pipeline.load(pipeline_folder), settings, job, why)
            say(f"{job} keeps failing, and is left out; the others go on: {why}")
        say(f"  Once it is mended: `shardlake jobs take-up {job}`.")


def _failing(settings: Settings, cluster: Cluster, application: Job) -> tuple[str, str] | None:
    """The job of an application that keeps failing, and why."""
    from shardlake.flink.culprit import culprit
    from shardlake.flink.inserts import jobs_of
    from shardlake.flink.submit import Plans

    failures = cluster.failures(application.job_id)
    if not failures:
        return None
    plans = Plans(settings.jobs)
    jobs = jobs_of(application.name)
    job = culprit(failures, jobs, lambda failure: plans.served(application.job_id, failure.nodes))
    return (job, str(failures[0])) if job else None
