"""`shardlake lake recount`: the lake's windows held against its archive."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from shardlake.cli.output import out, print_json
from shardlake.errors import BadInput, ShardlakeError
from shardlake.pipeline import Pipeline
from shardlake.settings import Settings

if TYPE_CHECKING:
    from shardlake.lake.recount import Recount
    from shardlake.lake.tables import LakeTable

SHOWN = 20
app = typer.Typer(no_args_is_help=True, help="The lake's files and tables.")


@app.command()
def recount(
    ctx: typer.Context,
    options: Annotated[list[str] | None, typer.Option("--set", help="As given to `jobs run`: JOB.NAME=VALUE.")] = None,
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Count the windows again from the archive. Exit code 1 where a cell differs from what the jobs wrote."""
    from shardlake.lake.tables import lake_tables

    pipeline = Pipeline.load(ctx.obj.pipeline)
    found = recounts(pipeline, lake_tables(Settings.read().lake_folder, pipeline), options or [])
    if json:
        print_json([asdict(one) for one in found])
    else:
        for one in found:
            out.print(
                f"{one.table}: {one.windows:,} windows, {len(one.differences):,} cells differ from the archive, "
                f"{one.late_events:,} late events, {one.open_windows:,} windows not closed yet"
            )
            for cell in one.differences[:SHOWN]:
                key = ", ".join(map(str, cell.key))
                out.print(f"  {key}: {cell.what}: {cell.in_table} in the table, {cell.recounted} recounted")
            if len(one.differences) > SHOWN:
                out.print(f"  and {len(one.differences) - SHOWN:,} more: --json shows all")
    if any(one.differences for one in found):
        msg = "Windows are not what the archive says."
        raise ShardlakeError(msg, "The archive is right: it keeps every event once. See docs/use.md, late events.")


def recounts(
    pipeline: Pipeline, tables: list[LakeTable], options: list[str], archive: str | None = None
) -> list[Recount]:
    """One for each table that a job says how to recount; `archive` may stand for the table of events."""
    from shardlake.lake.recount import recount as compare

    queries = recount_queries(pipeline, options)
    found = [compare(sql, table, pipeline, tables, archive) for table, sql in queries.items()]
    if not found:
        raise BadInput(
            "No job of this pipeline says how its windows are recounted.", "See flink_jobs/service_health.py."
        )
    return found


def recount_queries(pipeline: Pipeline, options: list[str]) -> dict[str, str]:
    """By table, how its windows are counted again, as the jobs' files say."""
    from shardlake.flink.job import parse_options

    jobs = {job: pipeline.load_module("flink_jobs", job) for job in pipeline.modules("flink_jobs")}
    by_job = parse_options(options, list(jobs))
    found: dict[str, str] = {}
    for job, module in jobs.items():
        found |= module.recount(by_job[job]) if hasattr(module, "recount") else {}
    return found
