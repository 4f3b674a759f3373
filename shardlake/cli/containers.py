"""`shardlake --stack compose status`: the containers, where, and how much memory they take."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import typer

from shardlake.cli.output import add_row, new_table, out, print_json, styled
from shardlake.errors import Unavailable


def status(folder: Path, *, as_json: bool) -> None:
    """A line a container. Exit code 3 where one is not well."""
    from shardlake.stack.containers import START, containers, memory_bytes, why

    found = containers(folder)
    if not found:
        raise Unavailable("No containers of this project are here.", f"Start them with {START}.")
    memory = memory_bytes([one.name for one in found if one.state == "running"])
    if as_json:
        print_json([{**asdict(one), "memory": memory.get(one.name), "is_well": one.is_well} for one in found])
    else:
        table = new_table("service", "state", "health", "address", "memory", "of", "restarts")
        for one in found:
            colour = "green" if one.is_well else "bold red"
            limit = f"{one.memory_limit_bytes / 2**20:,.0f}MiB"
            add_row(
                table,
                *(one.service, styled(one.state, colour), one.health, one.address),
                *(memory.get(one.name, ""), limit, str(one.restarts)),
            )
        out.print(table)
        for one in found:
            if not one.is_well:
                cause, fix = why(one)
                out.print(styled(f"{one.service}:", "bold red"), f"{cause}\n  {fix}")
    if not all(one.is_well for one in found):
        raise typer.Exit(3)
