"""How two runs of load, compared, are shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.markup import escape

if TYPE_CHECKING:
    from rich.table import Table

    from shardlake.load.compare import Comparison

COLOURS = {"higher": "yellow", "lower": "yellow", "no difference": "dim"}


def comparison_table(found: Comparison) -> Table:
    """A row a figure."""
    from rich.table import Table

    from shardlake.load.comparison_report import COLUMNS, rows

    table = Table(*COLUMNS, box=None)
    for column in table.columns[1:-1]:
        column.justify = "right"
    for *cells, conclusion in rows(found):
        colour = COLOURS.get(conclusion)
        table.add_row(*map(escape, cells), f"[{colour}]{conclusion}[/]" if colour else conclusion)
    return table


def differences_table(found: Comparison) -> Table:
    """A row for each setting, version or fact of the machine that is another in B."""
    from rich.table import Table

    from shardlake.load.comparison_report import differences

    table = Table("what differs", "A", "B", box=None)
    for row in differences(found):
        table.add_row(*map(escape, row))
    return table
