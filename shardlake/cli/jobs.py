"""`shardlake jobs run|list|stop|finish|leave-out|take-up|rewind`: the pipeline's jobs as one Flink application."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Annotated

import typer

from shardlake.cli.cluster import cluster_of
from shardlake.cli.finish import applications, drain, end, plan_drain, running
from shardlake.cli.leave_out import leave_out, leave_out_again, run_apart, take_up
from shardlake.cli.output import add_row, err, new_table, out, print_json, styled
from shardlake.cli.start import start
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
    if not jobs:
        run_apart(pipeline, settings, skip_lost=skip_lost)


@app.command("list")
def list_jobs(json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """What runs and has run on this Flink."""
    from shardlake.flink.apart import left_out
    from shardlake.flink.cluster import Cluster
    from shardlake.flink.failure import MEND

    settings = Settings.read()
    cluster = Cluster(settings.flink_rest_url)
    found = cluster.jobs()
    out_of_it = left_out(settings.jobs) if settings.jobs_folder else {}
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
    for name, one in out_of_it.items():
        if not one.is_taken_up:
            out.print(styled("left out:", "bold yellow"), visible(str(one)))
            out.print(f"  Once it is mended: `shardlake jobs take-up {name}`.")


@app.command()
def stop() -> None:
    """Stop, with open windows kept in a savepoint: `jobs run` resumes there."""
    from shardlake.flink.resume import STOPPED

    for settings, apart in applications(Settings.read()):
        path = end(settings, STOPPED, apart)
        err.print(f"stopped{f' {apart}' if apart else ''}; savepoint {path}")


@app.command()
def cancel() -> None:
    """End the jobs without a savepoint, also where `stop` cannot: `jobs run` goes on from the newest checkpoint."""
    for settings, apart in applications(Settings.read()):
        cluster, job = cluster_of(settings), running(settings, apart)
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
    from shardlake.flink.apart import unite

    pipeline, settings = Pipeline.load(ctx.obj.pipeline), Settings.read()
    for own, apart in applications(settings):
        drain(pipeline, own, plan_drain(pipeline, own, apart), timeout, apart)
    for job in unite(settings, [topic.name for topic in pipeline.sources]):
        err.print(f"{job} has read as far as the others, and is one of them again")
    err.print("finished: every window has fired")


@app.command("leave-out")
def leave_out_job(ctx: typer.Context, job: Annotated[str, typer.Argument(help="One of those that run.")]) -> None:
    """Go on without a job, from the newest checkpoint. Its state is kept: `jobs take-up` goes on there."""
    from shardlake.flink.cluster import Cluster

    pipeline, settings = Pipeline.load(ctx.obj.pipeline), Settings.read()
    if job in Cluster(settings.flink_rest_url).apart():
        leave_out_again(settings, job)
        err.print(f"{job} is left out again")
        return
    job_id, how = leave_out(pipeline, settings, job)
    err.print(f"{job} is left out; the others run: job {job_id}, {how}")


@app.command()
def watch(ctx: typer.Context) -> None:
    """Leave out each job that keeps failing at its own code or data, until Ctrl-C. `shardlake up` does so by itself."""
    from shardlake.cli.watch import watch as look_at_jobs

    look_at_jobs(ctx.obj.pipeline, err.print)


@app.command("take-up")
def take_up_job(
    ctx: typer.Context,
    job: Annotated[str, typer.Argument(help="One that was left out.")],
    skip_lost: Annotated[bool, typer.Option("--skip-lost", help="Go on without records that are gone.")] = False,
) -> None:
    """Run a job that was left out, from its own state, apart from the others until a finish brings all together."""
    job_id, how = take_up(Pipeline.load(ctx.obj.pipeline), Settings.read(), job, skip_lost=skip_lost)
    err.print(f"{job} runs apart from the others: job {job_id}, {how}")


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
