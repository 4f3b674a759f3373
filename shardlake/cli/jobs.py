"""`shardlake jobs run|list|stop|finish|rewind`: the pipeline's jobs as one Flink application."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Annotated

import typer

from shardlake.cli.cluster import cluster_of
from shardlake.cli.finish import drain, end, plan_drain, running
from shardlake.cli.output import add_row, err, new_table, out, print_json, styled
from shardlake.errors import ShardlakeError
from shardlake.folders import state_folder
from shardlake.patience import patiently
from shardlake.pipeline import Pipeline
from shardlake.settings import Settings
from shardlake.terminal import visible

app = typer.Typer(no_args_is_help=True, help="The pipeline's jobs, as one Flink application.")


@app.command()
def run(
    ctx: typer.Context,
    jobs: Annotated[list[str] | None, typer.Argument(help="Files of flink_jobs/, without .py; all without.")] = None,
    options: Annotated[
        list[str] | None, typer.Option("--set", help="A job's option, as sessions.gap_minutes=10.")
    ] = None,
    savepoint: Annotated[str | None, typer.Option("--from", help="A savepoint. Default: the newest state.")] = None,
    unless_running: Annotated[bool, typer.Option("--unless-running", help="Let running jobs be.")] = False,
    skip_lost: Annotated[bool, typer.Option("--skip-lost", help="Go on without records that are gone.")] = False,
) -> None:
    """Start the jobs: from their savepoint or newest checkpoint where there is one, else from the topic's start."""
    from shardlake.flink.cluster import Cluster

    pipeline, settings = Pipeline.load(ctx.obj.pipeline), Settings.read()
    began = time.monotonic()
    if unless_running and (already := Cluster(settings.flink_rest_url).running()):
        err.print(f"the jobs run already: job {already.job_id}")
        return
    job_id, how = start(pipeline, settings, jobs or [], options or [], savepoint, skip_lost=skip_lost)
    err.print(styled("running", "bold green"), f"after {time.monotonic() - began:.1f} s: job {job_id}, {how}")


def start(
    pipeline: Pipeline,
    settings: Settings,
    jobs: list[str],
    options: list[str],
    savepoint: str | None = None,
    *,
    skip_lost: bool = False,
) -> tuple[str, str]:
    """Submit and wait until all tasks run; the job's id, and from where it started, in words."""
    from shardlake.flink.job import choose
    from shardlake.flink.resume import next_start, settle
    from shardlake.flink.submit import Submission
    from shardlake.flink.taking_up import TakingUp
    from shardlake.lake.tables import must_be_in_place
    from shardlake.topics import names, offsets, topic_ids

    chosen = choose(pipeline, jobs, options)
    patiently(lambda: must_be_in_place(settings.lake), "the lake's server")
    cluster = cluster_of(settings)
    already = cluster.running()
    if already:
        msg = f"The jobs are running already (job {already.job_id})."
        raise ShardlakeError(msg, "Stop them with `shardlake jobs stop`; they resume where they were.")
    if settle(settings.jobs):
        err.print("the last `jobs finish` was killed at its end; the windows that it fired stay closed")
    servers = settings.kafka_bootstrap_servers
    found = patiently(lambda: {topic.name: offsets(servers, topic.name) for topic in pipeline.sources}, "the broker")
    firsts = {name: {partition: first for partition, (first, _) in of.items()} for name, of in found.items()}
    held = patiently(lambda: accounted_for(pipeline, settings), "the broker and the lake's server")
    there = patiently(lambda: names(servers), "the broker")
    made = [topic.name for topic in pipeline.on_broker if topic.name in there]
    ids = patiently(lambda: topic_ids(servers, made), "the broker")
    taking_up = TakingUp(pipeline, settings, ids, firsts, held, savepoint)
    taking_up.must_be_the_same_topics()
    begin = next_start(settings, firsts, held, savepoint)
    lost = patiently(lambda: taking_up.must_have_lost_nothing(begin, skip=skip_lost), "the broker")
    for line in [*lost, *taking_up.note()]:
        err.print(line)
    log = state_folder() / "logs" / "submit.log"
    submission = Submission(pipeline, settings, chosen, log, start_offsets=begin.start_offsets, closed=begin.closed)
    submitted = submission.submit(begin.resume_from)
    cluster.await_running(submitted.job_id)
    if submitted.added:
        err.print(f"new here: {', '.join(submitted.added)}; windows in it begin with what comes from now on")
    if submitted.removed:
        err.print(f"no longer written: {', '.join(submitted.removed)}; its open windows are dropped")
    if begin.resume_from:
        return submitted.job_id, f"resumed from {begin.resume_from}"
    how = (
        "anew, after the last record that the jobs have read" if begin.start_offsets else "from the start of the topic"
    )
    return submitted.job_id, how


def accounted_for(pipeline: Pipeline, settings: Settings) -> dict[str, dict[int, int]]:
    """One past the highest offset that the lake or the dead letters hold, for each partition where there is one."""
    from shardlake.lake.accounting import dead_letter_places, rows_by_partition

    found: dict[str, dict[int, int]] = {}
    for topic in pipeline.sources:
        next_offset: dict[int, int] = {}
        for (name, partition), count in rows_by_partition(settings.lake, str(topic.lake_table)).items():
            if name == topic.name:
                next_offset[partition] = count.max_offset + 1
        for partition, offset in dead_letter_places(settings.kafka_bootstrap_servers, topic):
            next_offset[partition] = max(next_offset.get(partition, 0), offset + 1)
        found[topic.name] = next_offset
    return found


@app.command("list")
def list_jobs(json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """What runs and has run on this Flink."""
    from shardlake.flink.cluster import Cluster
    from shardlake.flink.failure import MEND

    cluster = Cluster(Settings.read().flink_rest_url)
    found = cluster.jobs()
    late = {job.job_id: cluster.late_events(job.job_id) for job in found if job.is_running}
    failures = {job.job_id: cluster.failure(job.job_id) for job in found if job.is_running}
    if json:
        print_json(
            [
                {
                    **asdict(job),
                    "late_events": late.get(job.job_id),
                    "failure": asdict(failure) if (failure := failures.get(job.job_id)) else None,
                }
                for job in found
            ]
        )
        return
    table = new_table("job", "name", "state", "running s", "restarts", "late", "checkpoints", "last checkpoint")
    for job in found:
        age = "none yet" if job.checkpoint_age_seconds is None else f"{job.checkpoint_age_seconds:.0f} s ago"
        add_row(
            table,
            *(job.job_id, job.name, job.state, f"{job.duration_seconds:.0f}", str(job.restarts)),
            *(f"{late.get(job.job_id, '')}", str(job.checkpoints), age),
        )
    out.print(table if found else "no job has run on this Flink")
    for job_id, failure in failures.items():
        if failure:
            out.print(styled("failing:", "bold red"), f"job {job_id}: {failure}")
            out.print(f"  {MEND}")


@app.command()
def stop() -> None:
    """Stop, with open windows kept in a savepoint: `jobs run` resumes there."""
    from shardlake.flink.resume import STOPPED

    path = end(Settings.read(), STOPPED)
    err.print(f"stopped; savepoint {path}")


@app.command()
def cancel() -> None:
    """End the jobs without a savepoint, also where `stop` cannot: `jobs run` goes on from the newest checkpoint."""
    settings = Settings.read()
    cluster, job = cluster_of(settings), running(settings)
    cluster.cancel(job.job_id)
    cluster.await_ended(job.job_id)
    err.print("cancelled; what came after the newest checkpoint is read again by the next `shardlake jobs run`")


@app.command()
def finish(
    ctx: typer.Context,
    timeout: Annotated[
        float | None,
        typer.Option(help="Seconds for the jobs to reach the topic's end. Default: as long as they read or move."),
    ] = None,
) -> None:
    """Read to the topic's present end, let every window fire, and end. `jobs run` then starts after the last record."""
    pipeline, settings = Pipeline.load(ctx.obj.pipeline), Settings.read()
    drain(pipeline, settings, plan_drain(pipeline, settings), timeout)
    err.print("finished: every window has fired")


@app.command()
def rewind(
    ctx: typer.Context, yes: Annotated[bool, typer.Option("--yes", help="Do it without asking.")] = False
) -> None:
    """Begin anew: put the lake's tables aside, empty the topics that the jobs write, forget their state and offsets."""
    from shardlake.cli.rewind import rewind as begin_anew

    pipeline, settings = Pipeline.load(ctx.obj.pipeline), Settings.read()
    if not yes:
        question = f"Put all tables of {visible(str(settings.lake))} aside and write them again?"
        typer.confirm(question, abort=True)
    err.print(f"the lake's tables are in {begin_anew(pipeline, settings)}; `shardlake jobs run` writes them again")
