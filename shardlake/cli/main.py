"""`shardlake`: the entry point, and what every command shares."""

from __future__ import annotations

import errno
import os
import sys
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from traceback import format_exception
from types import TracebackType
from typing import Annotated, NoReturn

import typer
from typer.exceptions import TyperException

from shardlake.cli import (
    consume,
    demo,
    demo_scale,
    dlq,
    doctor,
    faults,
    jobs,
    lag,
    lake,
    leases,
    load,
    package,
    pii,
    produce,
    query,
    scale,
    schema,
    setup,
    stack,
    trace,
    verify,
)
from shardlake.cli.output import err, styled
from shardlake.compose import STACK
from shardlake.errors import BadInput, ShardlakeError, Unavailable
from shardlake.extras import missing
from shardlake.loopback import ask_directly
from shardlake.settings import local_state_folder
from shardlake.storage import failure
from shardlake.terminal import LINES, visible

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 it holds; 1 something was lost, refused or does not add up; "
    "2 wrong input; 3 something needed is down, taken or too small.",
)


class Stacks(StrEnum):
    """The two ways to run the servers."""

    LOCAL = "local"
    COMPOSE = "compose"


@dataclass(frozen=True, slots=True)
class Shared:
    """What every command gets as `ctx.obj`."""

    pipeline: Path
    verbose: bool


@app.callback()
def shared(
    ctx: typer.Context,
    pipeline: Annotated[Path, typer.Option(help="The pipeline's folder.", envvar="SHARDLAKE_PIPELINE")] = Path(),
    stack_: Annotated[
        Stacks, typer.Option("--stack", help="Which servers are meant, where the environment names none.", envvar=STACK)
    ] = Stacks.LOCAL,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Show tracebacks.")] = False,
) -> None:
    """Logs through a real Kafka and a real Flink into a partitioned lake, on one machine."""
    ctx.obj = Shared(pipeline=pipeline, verbose=verbose)
    ask_directly()
    os.environ[STACK] = stack_.value
    os.environ.setdefault("SHARDLAKE_PIPELINE", str(pipeline.resolve()))
    os.environ.setdefault("SHARDLAKE_STATE", str(local_state_folder(pipeline)))


app.command()(demo.demo)
app.command()(demo_scale.demo_scale)
app.add_typer(faults.app, name="faults")
app.command()(stack.up)
app.command()(stack.down)
app.command()(stack.status)
app.command()(stack.logs)
app.command()(schema.provision)
app.command()(doctor.doctor)
app.command()(doctor.version)
app.command()(setup.setup)
app.command(hidden=True)(setup.lock)
app.command()(produce.produce)
app.add_typer(schema.app, name="schema")
app.add_typer(jobs.app, name="jobs")
app.command()(package.package)
app.command()(consume.consume)
app.command()(scale.scale)
app.command()(lag.lag)
app.add_typer(load.app, name="load")
app.command()(leases.leases)
app.add_typer(lake.app, name="lake")
app.command()(verify.verify)
app.command()(trace.trace)
app.add_typer(dlq.app, name="dlq")
app.command()(query.query)
app.add_typer(pii.app, name="pii")


def _end(error: ShardlakeError) -> NoReturn:
    err.print(styled("error:", "bold red"), error.message)
    if error.hint:
        err.print(f"  {error.hint}")
    sys.exit(error.exit_code)


def _disk_full(error: Exception) -> Unavailable | None:
    if not isinstance(error, OSError) or error.errno != errno.ENOSPC:
        return None
    msg = f"The disk is full: {error.filename or 'of a folder in use'}."
    return Unavailable(msg, "Make space and run the command again: `shardlake doctor` shows which disk it is.")


def _show_traceback(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    """Write a traceback as Python does, with control characters visible: its message may quote anybody's text."""
    sys.stderr.write(visible("".join(format_exception(kind, error, traceback)), LINES))


def main() -> None:
    """Run the command line; turn errors into one sentence and an exit code."""
    sys.excepthook = _show_traceback
    verbose = {"-v", "--verbose"} & set(sys.argv)
    try:
        code = app(standalone_mode=False)
    except ShardlakeError as error:
        if verbose:
            raise
        _end(error)
    except TyperException as error:  # wrong arguments
        if not error.format_message():  # none at all: it has printed the help
            sys.exit(error.exit_code)
        context = getattr(error, "ctx", None)
        command = context.command_path if context else "shardlake"
        _end(BadInput(f"{error.format_message().rstrip('.')}.", f"Its options: `{command} --help`."))
    except (KeyboardInterrupt, typer.Abort):
        err.print("interrupted")
        sys.exit(130)
    except Exception as error:
        told = missing(error) if isinstance(error, ModuleNotFoundError) else _disk_full(error) or failure(error)
        if verbose or told is None:
            raise
        _end(told)
    sys.exit(code if isinstance(code, int) else 0)
