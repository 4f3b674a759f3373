"""Why no format took a line: the format whose first parts reach furthest into the line, and where they end."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from shardlake.formats.format_file import Format

SHOWN_LETTERS = 40


@dataclass(frozen=True, slots=True)
class Nearest:
    """A format took the line's letters before `column`, from 1; there it wanted `wanted` and found `found`."""

    format: str
    column: int
    wanted: str
    found: str

    def __str__(self) -> str:
        at = f"at column {self.column}, where the line has {self.found!r}" if self.found else "at the line's end"
        return f"{self.format} came nearest and stopped {at} and the format {self.wanted}"

    @property
    def where(self) -> str:
        """The format and the column, without any of the line's text."""
        return f"{self.format} came nearest and stopped at column {self.column}"


def nearest(formats: Sequence[Format], text: str) -> Nearest | None:
    """The format that comes nearest to a line, None where no format takes any letter of the line."""
    best: Nearest | None = None
    for format in formats:
        if format.is_general or not format.parts:
            continue
        found = stopped(format, text)
        if found is not None and (best is None or found.column > best.column):
            best = found
    return best if best is not None and best.column > 1 else None


def stopped(format: Format, text: str) -> Nearest | None:
    """Where a format stops that does not take the line; None where the format's pattern fits the whole line."""
    parts = format.parts
    reached, column = 0, 0
    for count in range(len(parts), 0, -1):
        match = re.compile("".join(parts[:count]), re.DOTALL).match(text)
        if match is not None:
            if count == len(parts) and match.end() == len(text):
                return None
            reached, column = count, match.end()
            break
    wanted = format.written[reached] if reached < len(parts) else "the line's end"
    return Nearest(format.name, column + 1, wanted, text[column : column + SHOWN_LETTERS])
