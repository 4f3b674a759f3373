"""`shardlake consume`: the workers of a consumer group."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

import typer

from shardlake.cli.work import takes_work


@takes_work
def consume(
    work: Any,
    workers: Annotated[int, typer.Option(min=1, help="Processes that share the shards.")] = 1,
    until_caught_up: Annotated[bool, typer.Option(help="End when there is no more to read.")] = False,
) -> None:
    """Process a topic's records, each shard by one worker; start it again and again to add workers to the group."""
    from shardlake.shards.workers import run_workers

    run_workers(replace(work, until_caught_up=until_caught_up), workers)
