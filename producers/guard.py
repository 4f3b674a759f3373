"""Exceptions that a parser did not foresee: the parser has not taken the line, and the summary says why.

Another parser may still take the line. Where none does, it is kept whole, as any other line that is not parsed.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from traceback import extract_tb

SHOWN_LETTERS = 100
"""A note shows so much of an exception's text, which may hold the whole line."""


@dataclass(slots=True)
class Unforeseen:
    """Counts lines by the exception and the place in the code."""

    lines: Counter[str] = field(default_factory=Counter)
    first: dict[str, str] = field(default_factory=dict)

    def add(self, error: Exception, place: str) -> None:
        """A parser raised it for the line at `place`, as `access.log:17`."""
        raised = extract_tb(error.__traceback__)[-1]
        cause = f"{type(error).__name__} in {Path(raised.filename).name}:{raised.lineno}"
        self.lines[cause] += 1
        self.first.setdefault(cause, f"{cause}, {str(error)[:SHOWN_LETTERS]!r}, first at {place}")

    def notes(self) -> list[str]:
        """A sentence for each cause; [] where there is none."""
        return [
            f"{count:,} lines are not events of a parser that failed: {self.first[cause]}. "
            "They are kept whole unless another parser took them; correct the parser and produce them again"
            for cause, count in self.lines.items()
        ]
