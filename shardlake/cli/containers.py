"""`shardlake --stack compose status`: the containers, where, and how much memory they take."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import typer
from rich.markup import escape

from shardlake.cli.output import out, print_json
from shardlake.errors import Unavailable


def status(folder: Path, *, as_json: bool) -> None:
    """A line a container. Exit code 3 where one is not well."""
    from rich.table import Table

    from shardlake.stack.containers import START, containers, memory_bytes, why

    found = containers(folder)
    if not found:
        raise Unavailable("No containers of this project are here.", f"Start them with {START}.")
    memory = memory_bytes([one.name for one in found if one.state == "running"])
    if as_json:
        print_json([{**asdict(one), "memory": memory.get(one.name), "is_well": one.is_well} for one in found])
    else:
        table = Table("service", "state", "health", "address", "memory", "of", "restarts", box=None)
        for one in found:
            colour = "green" if one.is_well else "bold red"
            limit = f"{one.memory_limit_bytes / 2**20:,.0f}MiB"
            table.add_row(
                *(one.service, f"[{colour}]{one.state}[/]", one.health, one.address),
                *(memory.get(one.name, ""), limit, str(one.restarts)),
            )
        out.print(table)
        for one in found:
            if not one.is_well:
                cause, fix = why(one)
                out.print(f"[bold red]{one.service}[/]: {escape(cause)}\n  {escape(fix)}")
    if not all(one.is_well for one in found):
        raise typer.Exit(3)
