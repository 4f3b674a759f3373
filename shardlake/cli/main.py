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
from typing import Annotated, ClassVar, NoReturn

import typer
from typer.exceptions import TyperException

from shardlake.cli.lazy import Entry, LazyGroup
from shardlake.cli.output import err, styled
from shardlake.compose import STACK
from shardlake.errors import BadInput, ShardlakeError, Unavailable
from shardlake.extras import missing
from shardlake.folders import local_state_folder
from shardlake.loopback import ask_directly
from shardlake.registry_login import take_out_of_urls
from shardlake.storage import failure
from shardlake.terminal import LINES, visible

_PANELS: dict[str, dict[str, tuple[str, str]]] = {
    "See it work": {
        "demo": ("demo:demo", "Send logs through Kafka and Flink into the lake, show the lag, and prove the sum."),
        "demo-scale": ("demo_scale:demo_scale", "Add workers one by one while a burst drains, and kill one of them."),
    },
    "Servers": {
        "up": ("stack:up", "Start Kafka, the schema registry and Flink; make the pipeline's topics and schemas."),
        "down": ("stack:down", "Stop the servers in order."),
        "status": ("stack:status", "Show what runs, where, and how much memory it takes."),
        "logs": ("stack:logs", "Show the servers' logs."),
        "doctor": ("doctor:doctor", "Find what is wrong with machine, servers, topics, schemas and jobs, and its fix."),
        "setup": ("setup:setup", "Download and install the servers."),
        "version": ("doctor:version", "Show the version of every part."),
    },
    "The stream": {
        "provision": ("schema:provision", "Make the pipeline's topics and register its schemas."),
        "schema": ("schema", "Compare the pipeline's schemas with those in the registry."),
        "produce": ("produce:produce", "Send events, and account for every one of them."),
        "formats": ("formats", "Show which formats of log lines there are, and which takes which line."),
        "jobs": ("jobs", "Run, stop, finish and list the pipeline's jobs."),
        "consume": ("consume:consume", "Process a topic's records, each shard by one worker."),
        "scale": ("scale:scale", "Run a group's workers, and set their number from its lag."),
        "leases": ("leases:leases", "Show who owns each shard, and how far the owner is."),
        "lag": ("lag:lag", "Show how far each group is behind, in records and seconds."),
    },
    "The lake": {
        "query": ("query:query", "Run one SELECT over the lake's tables."),
        "lake": ("lake", "Look after the lake's files and tables."),
        "pii": ("pii", "Look after the key with which personal data is hashed."),
        "package": ("package:package", "Pack the jobs for Amazon's managed Flink, or for Flink on Kubernetes."),
    },
    "Proof": {
        "verify": ("verify:verify", "Hold ledgers, topic, lake, dead letters and windows against each other."),
        "trace": ("trace:trace", "Follow one record: its line, its place in the topic, its row, its windows."),
        "dlq": ("dlq", "Show dead letters, and send them back."),
        "faults": ("faults", "Kill, pause and starve servers under load, and judge every record."),
        "load": ("load", "Offer load on a schedule that does not wait, and judge the stack."),
    },
    "Hidden": {"lock": ("setup:lock", "Resolve the versions of the jars anew.")},
}
"""The commands by panel of the help page: `module:function`, or a module with a Typer app of its own."""


class _Commands(LazyGroup):
    entries: ClassVar[dict[str, Entry]] = {
        name: Entry(f"shardlake.cli.{module}", line, panel, function or None, hidden=panel == "Hidden")
        for panel, commands in _PANELS.items()
        for name, (where, line) in commands.items()
        for module, _, function in [where.partition(":")]
    }


app = typer.Typer(
    cls=_Commands,
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
    take_out_of_urls()
    os.environ[STACK] = stack_.value
    os.environ.setdefault("SHARDLAKE_PIPELINE", str(pipeline.resolve()))
    os.environ.setdefault("SHARDLAKE_STATE", str(local_state_folder(pipeline)))


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
