"""`shardlake jobs run|list|stop|finish`: the pipeline's jobs as one Flink application."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shardlake.cli.output import err, out, print_json
from shardlake.errors import BadInput, ShardlakeError
from shardlake.pipeline import Pipeline
from shardlake.settings import Settings, state_folder

if TYPE_CHECKING:
    from shardlake.flink.cluster import Job
    from shardlake.flink.submit import Submission

METRICS_SECONDS = 3
"""Flink looks for its sources' metrics only when it is asked, and has them a moment later."""

app = typer.Typer(no_args_is_help=True, help="The pipeline's jobs, as one Flink application.")


@app.command()
def run(
    ctx: typer.Context,
    jobs: Annotated[list[str] | None, typer.Argument(help="Files of flink_jobs/, without .py; all without.")] = None,
) -> None:
    """Start the jobs: from their savepoint or newest checkpoint where there is one, else from the topic's start."""
    pipeline, settings = Pipeline.load(ctx.obj.pipeline), Settings.read()
    began = time.monotonic()
    job_id, how = start(pipeline, settings, jobs or pipeline.modules("flink_jobs"))
    err.print(f"[bold green]running[/] after {time.monotonic() - began:.1f} s: job {job_id}, {how}")


def start(pipeline: Pipeline, settings: Settings, jobs: list[str]) -> tuple[str, str]:
    """Submit and wait until all tasks run; the job's id, and from where it started, in words."""
    from shardlake.flink.application import NAME
    from shardlake.flink.cluster import Cluster
    from shardlake.flink.resume import next_start
    from shardlake.flink.submit import Submission

    known = pipeline.modules("flink_jobs")
    unknown = [job for job in jobs if job not in known]
    if unknown:
        msg = f"There is no job {unknown[0]!r} in {pipeline.folder / 'flink_jobs'}."
        raise BadInput(msg, f"It has: {', '.join(known) or 'none'}.")
    cluster = Cluster(settings.flink_rest_url)
    already = cluster.running(NAME)
    if already:
        msg = f"The jobs are running already (job {already.job_id})."
        raise ShardlakeError(msg, "Stop them with `shardlake jobs stop`; they resume where they were.")
    begin = next_start(settings, _next_offsets(pipeline, settings))
    log = state_folder() / "logs" / "submit.log"
    submission = Submission(pipeline, settings, jobs, log, start_offsets=begin.start_offsets)
    job_id = submission.submit(begin.resume_from)
    cluster.await_running(job_id)
    if begin.resume_from:
        return job_id, f"resumed from {begin.resume_from}"
    return job_id, "anew, after the last record in the lake" if begin.start_offsets else "from the start of the topic"


def _next_offsets(pipeline: Pipeline, settings: Settings) -> dict[str, dict[int, int]]:
    """One past the highest offset that the lake or the dead letters hold, for each partition."""
    from shardlake import topics
    from shardlake.flink.resume import FINISHED, LastEnd
    from shardlake.lake.accounting import dead_letter_places, rows_by_partition

    last = LastEnd.read(Path(settings.jobs_folder))
    if last is None or last.how != FINISHED:
        return {}
    found: dict[str, dict[int, int]] = {}
    for topic in pipeline.sources:
        next_offset = {partition: first for partition, (first, _) in
                       topics.offsets(settings.kafka_bootstrap_servers, topic.name).items()}  # fmt: skip
        for (name, partition), count in rows_by_partition(settings.lake_folder, str(topic.lake_table)).items():
            if name == topic.name:
                next_offset[partition] = max(next_offset.get(partition, 0), count.max_offset + 1)
        for partition, offset in dead_letter_places(settings.kafka_bootstrap_servers, topic):
            next_offset[partition] = max(next_offset.get(partition, 0), offset + 1)
        found[topic.name] = next_offset
    return found


@app.command("list")
def list_jobs(json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """What runs and has run on this Flink."""
    from rich.table import Table

    from shardlake.flink.cluster import Cluster

    found = Cluster(Settings.read().flink_rest_url).jobs()
    if json:
        print_json([asdict(job) for job in found])
        return
    table = Table("job", "name", "state", "running s", "restarts", "checkpoints", "last checkpoint", box=None)
    for job in found:
        age = "none yet" if job.checkpoint_age_seconds is None else f"{job.checkpoint_age_seconds:.0f} s ago"
        table.add_row(
            job.job_id, job.name, job.state, f"{job.duration_seconds:.0f}", str(job.restarts), str(job.checkpoints), age
        )
    out.print(table if found else "no job has run on this Flink")


@app.command()
def stop() -> None:
    """Stop, with open windows kept in a savepoint: `jobs run` resumes there."""
    path = end(Settings.read(), drain=False)
    err.print(f"stopped; savepoint {path}")


@app.command()
def finish(
    ctx: typer.Context,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for the jobs to reach the topic's end.")] = 300,
) -> None:
    """Read to the topic's present end, let every window fire, and end. `jobs run` then starts after the last record."""
    pipeline, settings = Pipeline.load(ctx.obj.pipeline), Settings.read()
    drain(pipeline, settings, plan_drain(pipeline, settings), timeout)
    err.print("finished: every window has fired")


def plan_drain(pipeline: Pipeline, settings: Settings) -> Submission:
    """The application that `drain` needs, with the jobs that are running, its planning begun."""
    from shardlake.flink.application import jobs_of
    from shardlake.flink.submit import Submission

    log = state_folder() / "logs" / "finish.log"
    return Submission(pipeline, settings, jobs_of(running(settings).name), log, draining=True)


def drain(pipeline: Pipeline, settings: Settings, planned: Submission, timeout_seconds: float) -> None:
    """Stop the jobs, resume them with sources that are never idle, and drain those: see `application.configuration`."""
    from shardlake.flink.cluster import Cluster
    from shardlake.topics import offsets

    cluster = Cluster(settings.flink_rest_url)
    servers = settings.kafka_bootstrap_servers
    wanted = {topic.name: offsets(servers, topic.name) for topic in pipeline.sources}

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
        job_id = planned.submit(savepoint)
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
    from shardlake.flink.application import NAME
    from shardlake.flink.cluster import Cluster

    job = Cluster(settings.flink_rest_url).running(NAME)
    if job is None:
        msg = "The jobs are not running."
        raise ShardlakeError(msg, "Start them with `shardlake jobs run`.")
    return job


def end(settings: Settings, *, drain: bool) -> str:
    """Stop the running application; its savepoint's path. Raises ShardlakeError where none runs."""
    from shardlake.flink.cluster import Cluster
    from shardlake.flink.resume import FINISHED, STOPPED, LastEnd

    folder = f"file://{settings.jobs_folder}/savepoints"
    path = Cluster(settings.flink_rest_url).stop(running(settings).job_id, folder, drain=drain)
    LastEnd(FINISHED if drain else STOPPED, path).write(Path(settings.jobs_folder))
    return path
