"""`shardlake trace`: one record, from its line to its window."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shardlake.cli.lake import countings
from shardlake.cli.output import out, print_json
from shardlake.errors import ShardlakeError, Unavailable
from shardlake.pipeline import Pipeline
from shardlake.settings import Settings
from shardlake.terminal import visible

if TYPE_CHECKING:
    from shardlake.lake.cells import Cell
    from shardlake.lake.trace import Trace

STATES = {
    "null value": "it has no value: it is in no table, and counted by itself",
    "waiting": "it is an event; the jobs have not come to it, or their next checkpoint has not",
    "waiting, no event": "it is no event; the jobs have not put it into the dead letters yet",
    "lost": "the jobs have committed further, and it is neither in the lake nor in the dead letters",
    "gone": "there is no such record: not yet, or not any more",
}


def trace(
    ctx: typer.Context,
    record: Annotated[str, typer.Argument(help="An event's id, or TOPIC/PARTITION/OFFSET.")],
    ledger: Annotated[
        Path | None, typer.Option(help="A run's folder, as given to `produce --ledger`: tells the line.")
    ] = None,
    options: Annotated[list[str] | None, typer.Option("--set", help="As given to `jobs run`: JOB.NAME=VALUE.")] = None,
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Follow one record: its line, its place in the topic, its row in the lake and its windows, or why it has none.

    Exit code 1 where it is nowhere or lost, 3 where not all could be asked.
    """
    from shardlake.flink.tables import GROUP
    from shardlake.lake.tables import lake_tables
    from shardlake.lake.trace import Found, Tracer, place_of

    pipeline, settings = Pipeline.load(ctx.obj.pipeline), Settings.read()
    wanted = place_of(record, pipeline) or record
    tables = lake_tables(settings.lake, pipeline)
    tracer = Tracer(pipeline, settings, tables, countings(pipeline, options or []), GROUP, ledger)
    found, unasked = Found(), None
    tracer.in_lake(wanted, found)
    if not found.traces:
        try:
            tracer.in_topics(wanted, found)
        except Unavailable as error:
            unasked = error
    if json:
        print_json({**asdict(found), "could_not_ask": unasked.message if unasked else None})
    else:
        for one in found.traces:
            show(one, has_ledger=ledger is not None)
    looked = ", ".join(found.looked_in)
    if unasked:
        raise Unavailable(f"Not found in {looked}; the rest could not be asked: {unasked.message}", unasked.hint)
    if all(one.state == "gone" for one in found.traces):
        by_place = "A record that is no event is found by its place, TOPIC/PARTITION/OFFSET."
        hint = by_place if isinstance(wanted, str) else "`shardlake lag` shows up to which offset there are records."
        raise ShardlakeError(f"{record} is nowhere: looked in {looked}.", hint)
    if any(one.state == "lost" for one in found.traces):
        raise ShardlakeError(
            f"{record} is lost.", "If the jobs run, ask again in a few seconds; then `shardlake verify`."
        )


def show(one: Trace, *, has_ledger: bool) -> None:
    """A trace for people, a line for each step."""
    arrived = f", arrived {_text(one.arrival_time)}" if one.arrival_time else ""
    _say(f"{one.topic}/{one.partition}/{one.offset}{arrived}")
    for line in one.lines or (["the ledger does not name it"] if has_ledger else []):
        _step("line", line)
    for row in one.rows:
        _step("lake", f"{row.file}, row {row.number:,}")
    if len(one.rows) > 1:
        _step("", f"it is there {len(one.rows)} times")
    for cell in one.cells:
        _step("window", f"{cell.table}: {_cell(cell)}")
    for letter in one.letters:
        _step("dead letter", f"{letter.topic}/{letter.partition}/{letter.offset}: {letter.error_class}")
        _step("", letter.error_message)
        if letter.holds_id == "bytes":
            _step("", "it cannot be decoded; its bytes hold the id")
    if one.state in STATES:
        _step(one.state.split(",")[0], STATES[one.state])


def _cell(cell: Cell) -> str:
    row: dict[str, Any] = cell.row or {}
    if cell.state == "counted":
        return ", ".join(f"{name} {_text(value)}" for name, value in row.items() if value is not None)
    if cell.state == "late":
        start, end, closed = (_text(row[name]) for name in ("window_start", "window_end", "closed_until"))
        return f"came late and is in late_events: it missed {start} to {end}, as all was closed until {closed}"
    return {
        "open": "its window has not closed yet",
        "none": "it counts no such event",
        "missing": "the window that should count it is not there: see `shardlake lake recount`",
    }[cell.state]


def _text(value: Any) -> str:
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}.{value.microsecond // 1000:03}"
    return f"{value:,.3f}" if isinstance(value, float) else str(value)


def _step(name: str, text: str) -> None:
    _say(f"  {name:<12} {text}")


def _say(line: str) -> None:
    out.print(visible(line))
