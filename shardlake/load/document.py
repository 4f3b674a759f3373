"""A report before it has a form: `page` makes HTML of it, `summary` Markdown, so that both say the same."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from shardlake.load.verdict import Judgement

UNKNOWN = "-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """The first and the last columns, `words_first` and `words_last` of them, hold words; the others numbers.
    `struck` are numbers that do not count."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words_first: int = 1
    words_last: int = 0
    struck: bool = False

    def holds_words(self, column: int) -> bool:
        """Whether this column does."""
        return column < self.words_first or column >= len(self.columns) - self.words_last


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """`plots` are names of what is drawn, in the page alone; so is `raw`, which is long. `code` is shown as it is."""

    title: str
    words: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    plots: tuple[str, ...] = ()
    code: str = ""
    raw: str = ""
    folded: bool = False


@dataclass(frozen=True, slots=True)
class Banner:
    """What a reader must know before any figure."""

    word: str
    said: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """All of it."""

    title: str
    judgements: tuple[Judgement, ...]
    banners: tuple[Banner, ...]
    sections: tuple[Section, ...]


def number(value: float | None, digits: int = 0) -> str:
    """With commas; a dash for what is none or not finite."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    shown = f"{value:,.{digits}f}"
    return shown.removeprefix("-") if not float(shown.replace(",", "")) else shown


def rate(value: float | None) -> str:
    """Three digits where it is small."""
    small = value is not None and math.isfinite(value) and abs(value) < 100
    return number(value, 1 if small else 0)


def milliseconds(value: float) -> str:
    """Some three digits."""
    return number(value, 2 if value < 10 else 1 if value < 1000 else 0)


def percent(share: float, digits: int = 2) -> str:
    """Of a share of 1."""
    return f"{number(100 * share, digits)} %"


def flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Names and values of a tree, names with dots; a list is one value, as JSON."""
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from flat(value, f"{prefix}{name}.")
        elif isinstance(value, str):
            yield f"{prefix}{name}", value
        else:
            yield f"{prefix}{name}", json.dumps(value, default=str, ensure_ascii=False)


def facts(title: str, values: Mapping[str, Any], words: tuple[str, ...] = ()) -> Section:
    """A section with a line for each."""
    rows = tuple(flat(values))
    if not rows:
        return Section(title=title, words=(*words, "None is noted."))
    return Section(title=title, words=words, tables=(Table(columns=("name", "value"), rows=rows, words_first=2),))
