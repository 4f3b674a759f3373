"""`shardlake leases`: who holds the shards of a group, and how far they are."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from shardlake.cli.output import add_row, new_table, out, print_json, styled, watch_table
from shardlake.settings import Settings

if TYPE_CHECKING:
    from rich.table import Table

    from shardlake.shards.leases import ShardLease


def leases(
    group: Annotated[str, typer.Argument(help="A consumer group, as traffic.")],
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    watch: Annotated[bool, typer.Option(help="Renew it every second until Ctrl-C.")] = False,
) -> None:
    """Each shard's owner and epoch, its checkpoint, and what is behind it and in flight."""
    from shardlake.shards.leases import Leases

    source = Leases(Settings.read().kafka_bootstrap_servers, group)

    def read() -> list[ShardLease]:
        return source.read(time.time_ns() // 1_000_000)

    try:
        if watch:
            watch_table(lambda: lease_table(read()))
        elif json:
            print_json([asdict(lease) for lease in read()])
        else:
            out.print(lease_table(read()))
    finally:
        source.close()


def lease_table(leases: list[ShardLease]) -> Table:
    """A row a shard."""
    from shardlake.shards.leases import State

    table = new_table(
        "shard", "lease", "owner", "epoch", "checkpoint", "records behind", "renewed (s ago)", "in flight",
        right=slice(3, None),
    )  # fmt: skip
    for one in leases:
        state = one.state.value if one.state is State.HELD else styled(one.state.value, "yellow")
        age = "-" if one.age_seconds is None else f"{one.age_seconds:,.1f}"
        numbers = [_number(one.epoch), _number(one.checkpoint), _number(one.behind), age, _number(one.in_flight)]
        add_row(table, one.shard, state, one.owner or "-", *numbers)
    if not leases:
        add_row(table, "nothing was ever committed", *[""] * 7)
    return table


def _number(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"
