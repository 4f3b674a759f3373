"""`shardlake scale`: as many workers of a consumer group as its lag asks for."""

from __future__ import annotations

import signal
from typing import Annotated, Any

import typer

from shardlake.cli.output import err
from shardlake.cli.work import takes_work
from shardlake.errors import BadInput


@takes_work
def scale(
    work: Any,
    max_workers: Annotated[int, typer.Option(min=1, help="Never more processes than these, nor than shards.")],
    min_workers: Annotated[int, typer.Option(min=1, help="Never fewer.")] = 1,
    drain_seconds: Annotated[
        float, typer.Option(min=1, help="More workers where what is behind takes longer to drain.")
    ] = 60,
    step: Annotated[int, typer.Option(min=1, help="The most workers added or ended at once.")] = 1,
    cooldown_seconds: Annotated[float, typer.Option(min=1, help="Nothing is changed so soon after a change.")] = 15,
    hold_seconds: Annotated[float, typer.Option(min=1, help="Fewer must do for so long before there are fewer.")] = 60,
    stuck_seconds: Annotated[
        float, typer.Option(min=6, help="A shard that is behind and does not move for so long is stuck.")
    ] = 60,
    until_caught_up: Annotated[bool, typer.Option(help="End when all shards are at their ends.")] = False,
) -> None:
    """Run a group's workers, and set their number from lag: up where it drains too slowly, down where fewer do."""
    from shardlake.settings import Settings
    from shardlake.shards.scaling import Limits
    from shardlake.shards.supervisor import Supervisor

    if max_workers < min_workers:
        raise BadInput(f"--max-workers {max_workers} is less than --min-workers {min_workers}.")
    limits = Limits(
        max_workers=max_workers,
        min_workers=min_workers,
        drain_seconds=drain_seconds,
        step=step,
        cooldown_seconds=cooldown_seconds,
        hold_seconds=hold_seconds,
        stuck_seconds=stuck_seconds,
    )
    supervisor = Supervisor(
        work, Settings.read().kafka_bootstrap_servers, limits, lambda line: err.print(f"scale: {line}")
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: supervisor.stop())
    supervisor.run(until_caught_up=until_caught_up)
