"""`shardlake package`: the jobs as a zip for a Flink elsewhere."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated

import typer

from shardlake.cli.output import err, out, styled
from shardlake.cli.setup import installed
from shardlake.errors import ShardlakeError
from shardlake.pipeline import Pipeline


def package(
    ctx: typer.Context,
    jobs: Annotated[list[str] | None, typer.Argument(help="Files of flink_jobs/, without .py; all without.")] = None,
    options: Annotated[
        list[str] | None, typer.Option("--set", help="A job's option, as sessions.gap_minutes=10.")
    ] = None,
    file: Annotated[Path, typer.Option("--out", help="The zip to write.")] = Path("shardlake-jobs.zip"),
) -> None:
    """Pack the jobs for Amazon Managed Service for Apache Flink, or Flink on Kubernetes: see docs/elsewhere.md."""
    from shardlake.flink.job import choose
    from shardlake.package import archive

    pipeline = Pipeline.load(ctx.obj.pipeline)
    chosen = choose(pipeline, jobs or [], options or [])
    installed()
    file.parent.mkdir(parents=True, exist_ok=True)
    needed = archive.write(file, pipeline, chosen, err.print)
    for source, names in needed.foreign.items():
        said = f"{source.name} imports {', '.join(names)}, which Flink's Python there has to have"
        err.print(styled("note:", "yellow"), said)
    size = file.stat().st_size
    if size > archive.LIMIT_BYTES:
        msg = f"{file} has {size / 1024**2:.0f} MiB; the service takes {archive.LIMIT_BYTES / 1024**2:.0f}."
        raise ShardlakeError(msg, "Pack fewer Python files or jars.")
    with file.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    out.print(f"{file}: {size / 1024**2:.1f} MiB of {archive.LIMIT_BYTES / 1024**2:.0f}, sha256 {digest}")
    out.print(f"jobs: {', '.join(chosen)}")
    out.print(f"python=main.py jarfile={archive.JAR} pyFiles={archive.PYTHON}")
