"""A number with its noun, as people write them: `1 dead letter`, `2 dead letters`."""

from __future__ import annotations


def counted(number: int, one: str, more: str | None = None) -> str:
    """The number and the noun for it; `more` is the noun for other numbers than 1, else `one` with an s.

    A noun may bring its verb: `counted(n, "record waits", "records wait")`.
    """
    return f"{number:,} {one if number == 1 else more or one + 's'}"
