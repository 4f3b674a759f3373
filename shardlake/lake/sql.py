"""Names and text as SQL has them."""

from __future__ import annotations


def named(name: str) -> str:
    """A table's or column's name."""
    return '"' + name.replace('"', '""') + '"'


def quoted(text: str) -> str:
    """A piece of text."""
    return "'" + text.replace("'", "''") + "'"
