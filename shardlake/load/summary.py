"""A report as Markdown, without what is drawn and without raw samples."""

from __future__ import annotations

import re

from shardlake.load.document import Document, Section, Table

_SPECIAL = re.compile(r"[\\`*\[\]<>|~]|(?<!\w)_|_(?!\w)")


def markdown(document: Document) -> str:
    """All of it."""
    judgements = [f"- {one.state}: {text(str(one))}" for one in document.judgements]
    banners = [f"> **{text(one.word)}.** {text(one.said)}" for one in document.banners]
    parts = [f"# {text(document.title)}", "\n".join(judgements), *banners, *map(_section, document.sections)]
    return "\n\n".join(part for part in parts if part) + "\n"


def table(found: Table) -> str:
    """One, its numbers to the right."""
    rules = ["---" if found.holds_words(place) else "---:" for place in range(len(found.columns))]
    rows = [[_cell(found, place, cell) for place, cell in enumerate(row)] for row in found.rows]
    return "\n".join(_row(cells) for cells in ([*map(text, found.columns)], rules, *rows))


def text(found: str) -> str:
    """What is shown as just these characters."""
    return _SPECIAL.sub(lambda one: f"\\{one[0]}", " ".join(found.split()).replace("&", "&amp;"))


def _section(section: Section) -> str:
    parts = [f"## {text(section.title)}", *map(text, section.words), *map(table, section.tables)]
    if section.code:
        fence = "```"
        while fence in section.code:
            fence += "`"
        parts.append(f"{fence}\n{section.code}\n{fence}")
    return "\n\n".join(parts)


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(found: Table, place: int, cell: str) -> str:
    shown = text(cell)
    return f"~~{shown}~~" if found.struck and shown and not found.holds_words(place) else shown
