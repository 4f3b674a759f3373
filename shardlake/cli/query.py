"""`shardlake query`: SQL over the lake."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shardlake.cli.output import add_row, err, new_table, out, print_json
from shardlake.counted import counted
from shardlake.pipeline import Pipeline
from shardlake.settings import Settings

if TYPE_CHECKING:
    from rich.table import Table


def query(
    ctx: typer.Context,
    sql: Annotated[
        str, typer.Argument(help='For example "select service, sum(events) from service_health group by 1".')
    ],
    json: Annotated[bool, typer.Option("--json", help="Rows as JSON.")] = False,
    explain: Annotated[bool, typer.Option(help="Show how many files and hours were read.")] = False,
) -> None:
    """Run one SELECT over the lake's tables. A range on a table's event time reads only the files of its hours."""
    from shardlake.lake.query import query as run
    from shardlake.lake.tables import lake_tables

    tables = lake_tables(Settings.read().lake, Pipeline.load(ctx.obj.pipeline))
    answer = run(sql, tables, count_reads=explain)
    if json:
        rows: Any = [dict(zip(answer.columns, row, strict=True)) for row in answer.rows]
        print_json({"rows": rows, "reads": [asdict(read) for read in answer.reads]} if explain else rows)
        return
    out.print(rows_table(answer.columns, answer.rows))
    if explain:
        for read in answer.reads:
            files, hours = counted(read.of_files, "file"), counted(read.of_hours, "hour")
            err.print(f"{read.table}: {read.files} of {files}, {read.hours} of {hours}")


def rows_table(columns: list[str], rows: list[tuple[Any, ...]]) -> Table:
    """Rows for people: numbers to the right, times in UTC."""
    table = new_table(*columns)
    for index, column in enumerate(table.columns):
        if all(isinstance(row[index], int | float | None) for row in rows):
            column.justify = "right"
    for row in rows:
        add_row(table, *map(_text, row))
    return table


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.3f}"
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S") if value.tzinfo else str(value)
    return str(value)
