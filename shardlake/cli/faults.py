"""`shardlake faults`: servers killed, paused and without disk under load, and the verdict; the report over all."""

from __future__ import annotations

import signal
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shardlake import compose
from shardlake.cli.output import add_row, err, new_table, out, print_json
from shardlake.cli.setup import installed
from shardlake.cli.stack import PortBase
from shardlake.errors import BadInput, ShardlakeError
from shardlake.folders import DEFAULT_PORT_BASE
from shardlake.pipeline import Pipeline

if TYPE_CHECKING:
    from shardlake.faults.report import Report

MINIMUM_RATE = 1000
app = typer.Typer(help="Faults under load, and what became of every record.")


@app.callback(invoke_without_command=True)
def faults(
    ctx: typer.Context,
    run: Annotated[Path | None, typer.Option(help="A folder that keeps the sittings; this one is added.")] = None,
    seconds: Annotated[float, typer.Option(min=1, help="Under load; no fault begins later.")] = 300,
    rate: Annotated[float, typer.Option(min=MINIMUM_RATE, help="Events a second.")] = 2500,
    only: Annotated[list[str] | None, typer.Option(help="A kind of fault, again for more. Default: all.")] = None,
    each_once: Annotated[bool, typer.Option("--each-once", help="Each kind once, the long ones short.")] = False,
    seed: Annotated[int, typer.Option(help="Which fault comes when.")] = 1,
    keep: Annotated[bool, typer.Option(help="Keep topics, lake and ledgers also where all holds.")] = False,
    port_base: PortBase = DEFAULT_PORT_BASE,
) -> None:
    """One sitting: a fresh stack under load, faults with a recovery between, then `verify`. Exit code 0 only if all
    holds."""
    if ctx.invoked_subcommand:
        return
    from shardlake.faults.history import read
    from shardlake.faults.kinds import KINDS
    from shardlake.faults.report import report as over
    from shardlake.faults.runs import new_run
    from shardlake.faults.sitting import Plan, Sitting

    compose.refuse("make test-integration")
    if run is None:
        raise BadInput("A sitting needs a folder.", "For example: shardlake faults --run faults-out.")
    unknown = [kind for kind in only or () if kind not in KINDS]
    if unknown:
        raise BadInput(f"There is no kind of fault {unknown[0]!r}.", f"There are: {', '.join(KINDS)}.")
    pipeline = Pipeline.load(ctx.obj.pipeline)
    folder = new_run(run)
    installed()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    err.print(f"{folder}, seed {seed}")
    kinds = tuple(dict.fromkeys(only or KINDS))
    holds = Sitting(pipeline, folder, Plan(kinds, seconds, each_once, rate, seed, port_base, keep), err.print).sit()
    _show(over([read(folder)]))
    if not holds:
        msg = f"It does not hold: see {folder / 'history.jsonl'}."
        raise ShardlakeError(msg, f"`shardlake verify {folder}` tells what it found.")


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(help="The folder that keeps the sittings.")],
    write: Annotated[Path | None, typer.Option(help="A page whose marked section is written anew.")] = None,
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Recovery times by kind of fault, and the verdicts, over all sittings of a folder."""
    from shardlake.faults import report as reports
    from shardlake.faults.history import read
    from shardlake.faults.runs import runs

    histories = [read(run) for run in runs(folder)] if folder.is_dir() else []
    if not histories:
        raise BadInput(f"There are no sittings in {folder}.", "Make one: shardlake faults --run FOLDER.")
    found = reports.report(histories)
    if write is not None:
        reports.write(found, write)
    if json:
        print_json(asdict(found))
    else:
        _show(found)


def _show(found: Report) -> None:
    from shardlake.faults.report import COLUMNS, rows, summary

    out.print(_table(COLUMNS, rows(found)))
    out.print(summary(found))


def _table(columns: tuple[str, ...], rows: list[list[str]]) -> Any:
    table = new_table(*columns, right=slice(1, None))
    for row in rows:
        add_row(table, *row)
    return table
