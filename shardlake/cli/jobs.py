"""`shardlake jobs run|list|stop|finish`: the pipeline's jobs as one Flink application."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from shardlake.cli.output import err, out, print_json
from shardlake.errors import BadInput, ShardlakeError
from shardlake.pipeline import Pipeline
from shardlake.settings import Settings, state_folder

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
    running = cluster.running(NAME)
    if running:
        msg = f"The jobs are running already (job {running.job_id})."
        raise ShardlakeError(msg, "Stop them with `shardlake jobs stop`; they resume where they were.")
    begin = next_start(settings, _next_offsets(pipeline, settings))
    log = state_folder() / "logs" / "submit.log"
    job_id = Submission(pipeline, settings, jobs, begin, log).submit()
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
    settings = Settings.read()
    await_end_of_topics(Pipeline.load(ctx.obj.pipeline), settings, timeout)
    end(settings, drain=True)
    err.print("finished: every window has fired")


def end(settings: Settings, *, drain: bool) -> str:
    """Stop the running application; its savepoint's path. Raises ShardlakeError where none runs."""
    from shardlake.flink.application import NAME
    from shardlake.flink.cluster import Cluster
    from shardlake.flink.resume import FINISHED, STOPPED, LastEnd

    cluster = Cluster(settings.flink_rest_url)
    job = cluster.running(NAME)
    if job is None:
        raise ShardlakeError("The jobs are not running.", "Start them with `shardlake jobs run`.")
    path = cluster.stop(job.job_id, f"file://{settings.jobs_folder}/savepoints", drain=drain)
    LastEnd(FINISHED if drain else STOPPED, path).write(Path(settings.jobs_folder))
    return path


def await_end_of_topics(pipeline: Pipeline, settings: Settings, timeout_seconds: float) -> None:
    """Wait until a checkpoint covers every record that is in the topics now: a drain stops sources where they stand."""
    from shardlake import topics
    from shardlake.flink.tables import GROUP

    servers = settings.kafka_bootstrap_servers
    wanted = {topic.name: topics.offsets(servers, topic.name) for topic in pipeline.sources}
    deadline = time.monotonic() + timeout_seconds
    while True:
        left = 0
        for name, offsets in wanted.items():
            done = topics.committed(servers, GROUP, name)
            left += sum(
                last - max(first, done.get(p, first)) for p, (first, last) in offsets.items() if done.get(p, 0) < last
            )
        if left == 0:
            return
        if time.monotonic() > deadline:
            msg = f"The jobs are still {left} records behind after {timeout_seconds:.0f} s."
            raise ShardlakeError(msg, "Wait for longer with --timeout, and look at `shardlake jobs list`.")
        time.sleep(0.2)
