"""`shardlake doctor|version`: what is amiss, and what this is made of."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from shardlake.cli.output import out, print_json, styled
from shardlake.cli.stack import PortBase
from shardlake.folders import DEFAULT_PORT_BASE


def doctor(
    ctx: typer.Context,
    port_base: PortBase = DEFAULT_PORT_BASE,
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Find what is amiss with the machine, the servers, topics, schemas and jobs. Exit code 3 where something is."""
    from shardlake.doctor.diagnosis import diagnose

    findings = diagnose(ctx.obj.pipeline, port_base)
    if json:
        print_json([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            mark = styled("ok ", "green") if finding.ok else styled("fix", "bold red")
            out.print(mark, f" {finding.check:<24} {finding.found}")
            if not finding.ok:
                out.print(f"     {'':<24} → {finding.fix}")
    if not all(finding.ok for finding in findings):
        raise typer.Exit(3)


def version(json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """The version of every part."""
    from shardlake.install.versions import versions

    found = versions()
    if json:
        print_json(found)
        return
    for name, number in found.items():
        out.print(f"{name:<34} {number}")
