"""Where output goes: results to standard output, progress and errors to standard error, colours on a terminal."""

from __future__ import annotations

import json
import sys
from typing import Any, TextIO

from rich.console import Console

WIDTH_OF_FILES = 200
"""Where output is no terminal, tables are not squeezed into 80 columns."""


def _console(stream: TextIO, *, stderr: bool) -> Console:
    return Console(stderr=stderr, highlight=False, soft_wrap=True, width=None if stream.isatty() else WIDTH_OF_FILES)


out = _console(sys.stdout, stderr=False)
err = _console(sys.stderr, stderr=True)


def print_json(value: Any) -> None:
    """One JSON document on standard output; times as ISO 8601."""
    out.print(json.dumps(value, default=str, indent=2), markup=False)
