"""Where output goes: results to standard output, progress and errors to standard error, colours on a terminal.

Text is shown as it is, without markup and emoji, its control characters visible: it may quote anybody's. Colours are
given by `styled`, rows of tables by `add_row`; nothing else here makes either.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TextIO

from rich.console import Console
from rich.text import Text

from shardlake.terminal import LINES, visible

if TYPE_CHECKING:
    from rich.table import Table

WIDTH_OF_FILES = 200
"""Where output is no terminal, tables are not squeezed into 80 columns."""
WATCH_SECONDS = 1


class _AsItIs(Console):
    """Shows every text as it is."""

    def render_str(self, text: str, **options: Any) -> Text:
        """Rich comes here with each plain text, be it printed or in a table."""
        return super().render_str(visible(text, LINES), **options)


def _console(stream: TextIO, *, stderr: bool) -> Console:
    width = None if stream.isatty() else WIDTH_OF_FILES
    return _AsItIs(stderr=stderr, highlight=False, markup=False, emoji=False, soft_wrap=True, width=width)


out = _console(sys.stdout, stderr=False)
err = _console(sys.stderr, stderr=True)


def print_json(value: Any) -> None:
    """One JSON document on standard output, as it is; times as ISO 8601."""
    try:
        sys.stdout.write(f"{json.dumps(value, default=str, indent=2)}\n")
        sys.stdout.flush()
    except BrokenPipeError:  # as where text is printed
        out.on_broken_pipe()


def styled(words: object, style: str, rest: str = "") -> Text:
    """Words in a colour, or bold, and the rest of the line without."""
    return Text.assemble((visible(str(words)), style), visible(rest))


def new_table(*columns: str, right: slice = slice(0)) -> Table:
    """A table without lines; the columns of `right` go to the right."""
    from rich.table import Table

    table = Table(box=None)
    for name in columns:
        table.add_column(_cell(name))
    for column in table.columns[right]:
        column.justify = "right"
    return table


def add_row(table: Table, *cells: object) -> None:
    """Each cell as it is, on one line, its control characters visible; what is `styled` has its style."""
    table.add_row(*map(_cell, cells))


def _cell(value: object) -> Text:
    return value if isinstance(value, Text) else Text(visible(str(value)))


def watch_table(make: Callable[[], Table]) -> None:
    """Show it anew every second, until Ctrl-C."""
    from rich.live import Live

    with Live(console=out, auto_refresh=False) as live:
        while True:
            live.update(make(), refresh=True)
            time.sleep(WATCH_SECONDS)
