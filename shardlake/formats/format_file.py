"""A format of log lines as a file says it: `producers/formats/NAME.toml`.

    title = "log4j: time level [thread] logger: message"
    time = ["%Y-%m-%d %H:%M:%S%f"]          # layouts, as shardlake/formats/times.py has them; without: ISO 8601
    pattern = [                             # parts of one regular expression, in the order of a line
        '{time} +{level} +',                # {time} and {level} are groups of these names, made of `time` and `levels`
        '\\[(?P<thread>[^\\]]*)\\] ',
        '(?P<logger>\\S+): ',
        '(?P<message>.*)',
    ]
    levels = {D = "DEBUG"}                  # this format's own words; without: the usual ones
    continues = '\\s'                        # what a line begins with that belongs to the line above
    order = 40                              # lower numbers are tried first; 50 without
    general = false                         # true: the format is tried last, whatever the file was like so far

    where = "Hadoop, Hive"                  # whose lines these are, for the list of formats

    [[sample]]
    line = '2026-11-03 12:00:00,500 INFO [main] shop.Pay: paid'
    event_time = 2026-11-03T12:00:00.5Z
    level = "INFO"
    …                                       # all that the line says, and nothing else

In place of `pattern`, `parser = "access_log.parse_line"` names a function of the pipeline's `producers/`.
"""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shardlake.errors import BadInput
from shardlake.formats import times
from shardlake.formats.clock import Clock

Named = dict[str, Any]
"""The parts of a line by their names. `event_time` is a `datetime`, or a `time` where the line has no day."""
Parser = Callable[[str], Named | None]

DEFAULT_ORDER = 50
NAME = re.compile(r"[a-z0-9][a-z0-9_]*")
AGAIN = re.compile(r"_\d+$")
"""A part that is in several branches of a pattern is `level_2` in the second: a name is there once."""
PLACE = re.compile(r"\{([a-z_]+)\}")
OWN = frozenset({"title", "time", "pattern", "parser", "levels", "continues", "order", "general", "sample", "where"})
SAMPLES_OWN = frozenset({"line", "year"})


@dataclass(frozen=True, slots=True)
class Sample:
    """A line, and all that a parser finds in the line. `year` is that of the log's clock."""

    line: str
    named: Named
    year: int | None = None

    def differences(self, found: Named | None) -> list[str]:
        """What a parser found otherwise than the sample says; [] where all is as the sample says."""
        if found is None:
            return ["the format does not take the line"]
        right = {name: value for name, value in found.items() if value is not None}
        return [
            f"{name} is {right.get(name)!r}, not {self.named.get(name)!r}"
            for name in sorted(self.named.keys() | right.keys())
            if self.named.get(name) != right.get(name)
        ]


@dataclass(frozen=True, slots=True)
class Format:
    """A format's file, read and checked."""

    name: str
    title: str
    parts: tuple[str, ...] = ()
    written: tuple[str, ...] = ()
    """The parts as the file has them, with {time} and {level}."""
    layouts: tuple[str, ...] = (times.ISO,)
    levels: Mapping[str, str] = field(default_factory=dict)
    function: str | None = None
    continues: re.Pattern[str] | None = None
    order: int = DEFAULT_ORDER
    is_general: bool = False
    samples: tuple[Sample, ...] = ()
    where: str | None = None
    """Where lines of this format are from, for the list of formats."""

    @property
    def is_continued_by(self) -> Callable[[str], bool]:
        """Tell whether a line belongs to the line above."""
        pattern = self.continues
        return lambda line: pattern is not None and pattern.match(line) is not None

    def parser(self, clock: Clock, level: Callable[[str], str | None]) -> Parser:
        """Return the function from a line to its named parts. A part that is empty or `-` is left out; a level that
        `level` does not know stays under `level_name`."""
        return parser_of("".join(self.parts), self.layouts, clock, lambda word: self.levels.get(word) or level(word))


def parser_of(pattern: str, layouts: Sequence[str], clock: Clock, level: Callable[[str], str | None]) -> Parser:
    """Return the parser of a regular expression with named groups, as Format.parser does."""
    compiled = re.compile(pattern, re.DOTALL)
    fits = compiled.fullmatch
    names = {index: AGAIN.sub("", name) for name, index in compiled.groupindex.items()}
    ordered = [names.get(index, "") for index in range(1, compiled.groups + 1)]
    read_time = times.reads(layouts, clock)

    def parse(line: str) -> Named | None:
        match = fits(line)
        if match is None:
            return None
        named: Named = {}
        for name, value in zip(ordered, match.groups(), strict=True):
            if not value or not name:
                continue
            if name == "time":
                moment = read_time(value)
                if moment is None:
                    return None
                named["event_time"] = moment
            elif name == "level":
                known = level(value)
                named["level" if known else "level_name"] = known or value
            elif value != "-" or name == "message":
                named[name] = value
        return named

    return parse


def load(folder: Path, level_words: str) -> list[Format]:
    """The formats of a folder in the order in which they are tried. `level_words` is a pattern of the usual levels.

    Raises BadInput naming the file and what is wrong in it.
    """
    found = [_read(path, level_words) for path in sorted(folder.glob("*.toml"))]
    return sorted(found, key=lambda one: (one.is_general, one.order, one.name))


def _read(path: Path, level_words: str) -> Format:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        return _format(path.stem, table, level_words)
    except (ValueError, TypeError, KeyError, re.error) as error:  # ValueError: no TOML, no UTF-8
        msg = f"{path} is no format: {type(error).__name__}: {error}."
    except BadInput as error:
        msg = f"{path} is no format: {error.message}"
    raise BadInput(msg, "docs/formats.md says what a format's file holds.")


def _format(name: str, table: dict[str, Any], level_words: str) -> Format:
    if not NAME.fullmatch(name):
        msg = f"The file's name {name!r} has other letters than a-z, 0-9 and _."
        raise BadInput(msg)
    unknown = sorted(table.keys() - OWN)
    if unknown:
        msg = f"There is no setting {unknown[0]!r}; there is: {', '.join(sorted(OWN))}."
        raise BadInput(msg)
    if ("pattern" in table) == ("parser" in table):
        msg = "It needs either a pattern or a parser."
        raise BadInput(msg)
    layouts = tuple(_list(table.get("time", times.ISO)))
    levels = dict(table.get("levels", {}))
    words = "|".join(re.escape(word) for word in sorted(levels, key=len, reverse=True)) if levels else level_words
    written = tuple(_list(table.get("pattern", [])))
    parts = _filled(list(written), {"time": times.pattern(layouts), "level": words})
    pattern = re.compile("".join(parts))
    if "parser" not in table and not pattern.groupindex:
        msg = "Its pattern has no named group."
        raise BadInput(msg)
    return Format(
        name, str(table["title"]), parts, written, layouts, levels, table.get("parser"),
        re.compile(table["continues"]) if "continues" in table else None,
        int(table.get("order", DEFAULT_ORDER)), bool(table.get("general", False)),
        tuple(_sample(sample) for sample in table.get("sample", [])), table.get("where"),
    )  # fmt: skip


def _sample(table: dict[str, Any]) -> Sample:
    named = {name: value for name, value in table.items() if name not in SAMPLES_OWN}
    return Sample(str(table["line"]), named, table.get("year"))


def _list(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def _filled(parts: list[str], places: Mapping[str, str]) -> tuple[str, ...]:
    used: Counter[str] = Counter()

    def fill(match: re.Match[str]) -> str:
        name = match[1]
        if name not in places:
            msg = f"Its pattern has {match[0]}; there is {{time}} and {{level}}."
            raise BadInput(msg)
        used[name] += 1
        group = name if used[name] == 1 else f"{name}_{used[name]}"
        return f"(?P<{group}>{places[name]})"

    return tuple(PLACE.sub(fill, part) for part in parts)
