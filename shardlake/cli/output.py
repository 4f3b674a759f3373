"""Where output goes: results to standard output, progress and errors to standard error, colours on a terminal."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TextIO

from rich.console import Console

if TYPE_CHECKING:
    from rich.table import Table

WIDTH_OF_FILES = 200
"""Where output is no terminal, tables are not squeezed into 80 columns."""
WATCH_SECONDS = 1


def _console(stream: TextIO, *, stderr: bool) -> Console:
    return Console(stderr=stderr, highlight=False, soft_wrap=True, width=None if stream.isatty() else WIDTH_OF_FILES)


out = _console(sys.stdout, stderr=False)
err = _console(sys.stderr, stderr=True)


def print_json(value: Any) -> None:
    """One JSON document on standard output; times as ISO 8601."""
    out.print(json.dumps(value, default=str, indent=2), markup=False)


def watch_table(make: Callable[[], Table]) -> None:
    """Show it anew every second, until Ctrl-C."""
    from rich.live import Live

    with Live(console=out, auto_refresh=False) as live:
        while True:
            live.update(make(), refresh=True)
            time.sleep(WATCH_SECONDS)
