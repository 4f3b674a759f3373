"""How two runs of load, compared, are shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shardlake.cli.output import add_row, new_table, styled

if TYPE_CHECKING:
    from rich.table import Table

    from shardlake.load.compare import Comparison

COLOURS = {"higher": "yellow", "lower": "yellow", "no difference": "dim"}


def comparison_table(found: Comparison) -> Table:
    """A row a figure."""
    from shardlake.load.comparison_report import COLUMNS, rows

    table = new_table(*COLUMNS, right=slice(1, -1))
    for *cells, conclusion in rows(found):
        colour = COLOURS.get(conclusion)
        add_row(table, *cells, styled(conclusion, colour) if colour else conclusion)
    return table


def differences_table(found: Comparison) -> Table:
    """A row for each setting, version or fact of the machine that is another in B."""
    from shardlake.load.comparison_report import differences

    table = new_table("what differs", "A", "B")
    for row in differences(found):
        add_row(table, *row)
    return table
