"""`shardlake lake recount|uploads|migrate`: the lake's windows held against its archive, what is left over in S3, and
files of older versions."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shardlake.cli.output import err, out, print_json
from shardlake.counted import counted
from shardlake.errors import BadInput, ShardlakeError
from shardlake.pipeline import Pipeline
from shardlake.settings import Settings
from shardlake.terminal import visible

if TYPE_CHECKING:
    from upath import UPath

    from shardlake.lake.counting import Counting
    from shardlake.lake.recount import Recount
    from shardlake.lake.uploads import Leftover

SHOWN = 20
WEEK_HOURS = 168
app = typer.Typer(no_args_is_help=True, help="The lake's files and tables.")


@app.command()
def recount(
    ctx: typer.Context,
    options: Annotated[list[str] | None, typer.Option("--set", help="As given to `jobs run`: JOB.NAME=VALUE.")] = None,
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Count the windows again from the archive. Exit code 1 where a cell differs from what the jobs wrote."""
    from shardlake.lake.recount import recount as compare
    from shardlake.lake.tables import lake_tables

    pipeline, settings = Pipeline.load(ctx.obj.pipeline), Settings.read()
    tables, closed = lake_tables(settings.lake, pipeline), closed_windows(settings)
    jobs = countings(pipeline, options or [])
    if not jobs:
        msg = "No job of this pipeline says how its tables are counted again."
        raise BadInput(msg, "Give a job a `recount`: see docs/use.md, late events and the recount.")
    found: list[Recount] = []
    wrong: list[BadInput] = []
    out_of_it = jobs_left_out(settings)
    for job in out_of_it:
        err.print(f"{job} has not read what the others have, as it was left out: its tables are not counted again")
    for counting in jobs:
        if counting.job in out_of_it:
            continue
        try:
            found.append(compare(counting, pipeline, tables, closed=closed.get(counting.job)))
        except BadInput as error:
            wrong.append(error)
    if json:
        print_json([asdict(one) for one in found])
    else:
        for one in found:
            _say(one, several=len(pipeline.sources) > 1)
    if wrong:
        raise BadInput(" ".join(error.message for error in wrong), wrong[0].hint)
    if any(one.differences for one in found):
        msg = "Windows are not what the archive says."
        raise ShardlakeError(msg, "The archive is right: it keeps every event once. See docs/use.md, late events.")


def _say(one: Recount, *, several: bool) -> None:
    """A line for a table, with the topics that were counted where there are `several`, and one for each cell."""
    of = f" (of {', '.join(one.sources)})" if several else ""
    out.print(
        f"{one.table}{of}: {counted(one.windows, 'window')}, "
        f"{counted(len(one.differences), 'cell differs', 'cells differ')} from the archive, "
        f"{counted(one.late_events, 'late event')}, {counted(one.open_windows, 'window')} not closed yet"
    )
    for cell in one.differences[:SHOWN]:
        key = ", ".join(map(str, cell.key))
        said = f"{key}: {cell.what}: {cell.in_table} in the table, {cell.recounted} recounted"
        out.print(f"  {visible(said)}")
    if len(one.differences) > SHOWN:
        out.print(f"  and {len(one.differences) - SHOWN:,} more: --json shows all")
    if one.uncounted:
        out.print(f"  not counted again: {', '.join(one.uncounted)}")


@app.command()
def uploads(
    abort: Annotated[bool, typer.Option(help="Remove those that nobody needs.")] = False,
    older_than: Annotated[
        float, typer.Option(min=0, help="Hours. Not below the age of a savepoint of yours that is kept elsewhere.")
    ] = WEEK_HOURS,
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """What killed writers left in S3, unfinished uploads and temporary objects; whether jobs may still need them."""
    from shardlake.lake import uploads as s3

    found = unfinished(Settings.read(), older_than)
    rows: list[dict[str, Any]] = []
    for folder, one, why in found:
        if abort and not why:
            s3.abort(folder, one)
        began = datetime.fromtimestamp(one.began_ns / 1e9, UTC)
        state = why or ("removed" if abort else "not needed")
        kind = "upload" if one.upload_id else "temporary object"
        rows.append({"what": kind, "url": one.url, "began": began, "size_bytes": one.size_bytes, "state": state})
    if json:
        print_json(rows)
        return
    for row in rows:
        size = f"{row['size_bytes']:,} bytes"
        out.print(
            f"{row['what']} {row['url']}, begun {row['began']:%Y-%m-%d %H:%M:%S}, {size}: {row['state']}",
            soft_wrap=True,
        )
    free = sum(not why for _, _, why in found)
    words = "removed" if abort else "not needed: remove with --abort" if free else "not needed"
    out.print(f"{len(found):,} unfinished uploads and temporary objects, {free:,} {words}")


@app.command()
def migrate(
    ctx: typer.Context,
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Write older files anew: times as instants in UTC, columns with their present names and types.

    The jobs must have ended. The old files are kept.
    """
    from shardlake.flink.apart import left_out
    from shardlake.flink.cluster import Cluster
    from shardlake.flink.resume import must_have_ended
    from shardlake.lake.migrate import migrate as tables_of
    from shardlake.lake.tables import lake_tables

    pipeline, settings = Pipeline.load(ctx.obj.pipeline), Settings.read()
    tables = lake_tables(settings.lake, pipeline, also_cut_off=True)
    cluster = Cluster(settings.flink_rest_url)
    if cluster.running() or cluster.apart():
        raise ShardlakeError("The jobs are running.", "End them first: `shardlake jobs finish`.")
    if out_of_it := left_out(settings.jobs):
        raise BadInput(
            f"The job {next(iter(out_of_it))} is left out, and its state may name files that are not in the lake yet.",
            "Take it up by `shardlake jobs take-up`, and end all by `shardlake jobs finish`.",
        )
    must_have_ended(settings)
    done = []
    for one in tables_of(settings.lake, tables, err.print):
        done.append({**asdict(one), "aside": str(one.aside)})
        if not json:
            out.print(f"{one.table}: {counted(one.files, 'file')}; the old ones are in {one.aside}", soft_wrap=True)
    if json:
        print_json(done)
    elif done:
        out.print(
            "The files are as this version writes them. Remove the old ones when your readers agree with the new ones."
        )
    else:
        out.print("nothing to do: the files are as this version writes them")


def unfinished(settings: Settings, older_than_hours: float) -> list[tuple[UPath, Leftover, str]]:
    """What is left over in the lake and in the jobs' folder, with its folder, and why it may not be removed, '' where
    it may. Raises BadInput where neither is in S3."""
    from shardlake.flink.apart import folders as folders_of_state
    from shardlake.flink.needed import Needed
    from shardlake.lake.uploads import leftovers
    from shardlake.storage import is_remote

    folders = [folder for folder in (settings.lake, settings.jobs) if is_remote(folder)]
    if not folders:
        raise BadInput("Neither the lake nor what the jobs keep is in S3.", "Files leave nothing like it.")
    found = [(folder, one) for folder in folders for one in leftovers(folder)]
    old_ns = time.time_ns() - round(older_than_hours * 3600e9)
    needed = Needed(folders_of_state(settings.jobs), [one.name for _, one in found if one.began_ns < old_ns])
    return [
        (folder, one, needed.why(one.name, one.began_ns) or ("" if one.began_ns < old_ns else "young"))
        for folder, one in found
    ]


def countings(pipeline: Pipeline, options: list[str]) -> list[Counting]:
    """How each table is counted again, as the jobs' files say."""
    from shardlake.flink.job import parse_options
    from shardlake.lake.counting import Counting

    jobs = {job: pipeline.load_module("flink_jobs", job) for job in pipeline.modules("flink_jobs")}
    by_job = parse_options(options, list(jobs))
    found: dict[str, Counting] = {}
    for job, module in jobs.items():
        queries = module.recount(by_job[job]) if hasattr(module, "recount") else {}
        found |= {table: Counting(job, table, sql) for table, sql in queries.items()}
    return list(found.values())


def closed_windows(settings: Settings) -> Mapping[str, Mapping[str, int]]:
    """By job and topic, the latest event time in milliseconds that the job had read at a finish."""
    from shardlake.flink.resume import LastEnd

    last = LastEnd.read(settings.jobs) if settings.jobs_folder else None
    return last.closed if last else {}


def jobs_left_out(settings: Settings) -> Collection[str]:
    """The jobs that were left out, and have not read what the others have."""
    from shardlake.flink.apart import left_out

    return left_out(settings.jobs) if settings.jobs_folder else ()
