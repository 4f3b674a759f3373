"""`shardlake verify`: whether every event is where it must be, once, with its values."""

from __future__ import annotations

import json as json_lines
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from shardlake.cli.evidence import read_sources
from shardlake.cli.follow import tell
from shardlake.cli.lake import closed_windows, countings, jobs_left_out
from shardlake.cli.output import add_row, new_table, out, print_json, styled
from shardlake.durable import write_durably
from shardlake.errors import ShardlakeError, Unavailable
from shardlake.pipeline import Pipeline
from shardlake.settings import Settings
from shardlake.terminal import visible

if TYPE_CHECKING:
    from shardlake.lake.verdict import Verdict

SHOWN = 20
LOCK = "verify.lock"
"""In a run's folder: held by the `verify` that is at work on the run."""
WAIT_SECONDS = 0.2


def verify(
    ctx: typer.Context,
    runs: Annotated[
        list[Path] | None, typer.Argument(help="The folders of runs, as given to `produce --ledger`.")
    ] = None,
    options: Annotated[list[str] | None, typer.Option("--set", help="As given to `jobs run`: JOB.NAME=VALUE.")] = None,
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Hold ledgers, topic, lake, dead letters and windows against each other.

    Exit code 0 where all holds, 1 where an anomaly is found, 3 where something could not be checked.
    """
    pipeline, settings = Pipeline.load(ctx.obj.pipeline), Settings.read()
    verdict = verdict_of(pipeline, settings, runs or [], options or [])
    if json:
        print_json(verdict.as_json())
    else:
        show(verdict)
    if verdict.conclusion == "violated":
        named = ", ".join(f"{count:,} {name}" for name, count in sorted(verdict.counts.items()))
        raise ShardlakeError(f"It does not hold: {named}.", "docs/reliability.md says what each name means.")
    if verdict.conclusion == "inconclusive":
        raise Unavailable("Nothing is wrong in what could be checked, and not all could be.", "See above.")


def verdict_of(pipeline: Pipeline, settings: Settings, runs: list[Path], options: list[str]) -> Verdict:
    """Read the topics again and check; what was read and the verdict are kept in the runs' folders: see `evidence`."""
    from shardlake.lake.tables import lake_tables
    from shardlake.lake.verdict import VERDICT_FILE
    from shardlake.lake.verify import Jobs
    from shardlake.lake.verify import verify as check
    from shardlake.ledger import Run

    names = [Run.read(one).topic for one in runs]
    tables = lake_tables(settings.lake, pipeline)
    jobs = Jobs(countings(pipeline, options), closed_windows(settings), jobs_left_out(settings))
    strays = [run for run, name in zip(runs, names, strict=True) if name not in {one.name for one in pipeline.sources}]
    with alone_with(runs), TemporaryDirectory(prefix="shardlake-evidence-") as temporary:
        sources, published = read_sources(pipeline, settings, runs, Path(temporary))
        verdict = check(pipeline, settings.lake, tables, sources, jobs, published, strays)
        if runs:
            write_durably(runs[0] / VERDICT_FILE, json_lines.dumps(verdict.as_json(), indent=1))
    return verdict


@contextmanager
def alone_with(runs: list[Path]) -> Iterator[None]:
    """Wait until no other `verify` is at work on one of the runs: both would write what they read into its folder."""
    from shardlake.lock import Held, Lock

    with ExitStack() as locks:
        # In one order, so that two that share runs do not wait for one another.
        for run in sorted({run.resolve() for run in runs}):
            is_said = False
            while True:
                try:
                    locks.callback(Lock(run / LOCK).release)
                    break
                except Held as held:
                    if not is_said:
                        tell(f"waiting for another verify of {run}, process {held.holder}")
                        is_said = True
                    time.sleep(WAIT_SECONDS)
        yield


def show(verdict: Verdict) -> None:
    """For people: a line a check, then what was found, by name, and what could not be checked."""
    several = len({found.source for found in verdict.findings if found.source}) > 1
    of_all = ("topic",) if several else ()
    first = len(of_all)
    table = new_table(*of_all, "check", "checked", "", "anomalies", right=slice(first + 1, first + 2))
    for found in verdict.findings:
        named = ", ".join(f"{count:,} {name}" for name, count in sorted(found.counts.items()))
        words = styled(named, "bold red") if named else "none"
        add_row(table, *(found.source or "" for _ in of_all), found.check, f"{found.checked:,}", found.unit, words)
    out.print(table)
    for found in verdict.findings:
        for anomaly in found.anomalies[:SHOWN]:
            files = f" ({', '.join(anomaly.files)})" if anomaly.files else ""
            out.print(styled(anomaly.name, "red"), visible(f"{anomaly.where}: {anomaly.what}{files}"))
        if sum(found.counts.values()) > SHOWN:
            out.print(f"and {sum(found.counts.values()) - SHOWN:,} more in this check: --json names more")
    for found in verdict.findings:
        for words in found.notes:
            out.print(f"note: {words}")
        for words in found.unchecked:
            out.print(styled("not checked:", "yellow"), words)
    colour = {"holds": "green", "violated": "red", "inconclusive": "yellow"}[verdict.conclusion]
    out.print(styled(verdict.conclusion, f"bold {colour}"), f"after {sum(verdict.seconds.values()):.1f} s")
