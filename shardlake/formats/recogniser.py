"""Which format takes a line: those that took the lines before it in the same file are tried first, and of these the
one that took the last line with the same first letter, so that a file of several formats costs little more than one.

A general format, which takes what it can of many kinds of lines, is tried last, and never becomes a file's own.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time

from shardlake.formats import times
from shardlake.formats.clock import Clock
from shardlake.formats.format_file import Format, Named, Parser
from shardlake.formats.nearest import Nearest, nearest

RECENT = 4
"""A file is seldom of more formats than that."""
SOURCES = 10_000
"""So many files are remembered; the one that was quiet longest is forgotten."""
SAMPLES = 3
SAMPLE_LETTERS = 200


@dataclass(slots=True, eq=False)
class Tried:
    """A format with its parser, and how many lines it took."""

    format: Format
    parse: Parser
    lines: int = 0


@dataclass(slots=True, eq=False)
class Source:
    """What is known of a file: the formats that took its last lines by the first letters of these, the last first, and
    its last time."""

    by_letter: dict[str, list[Tried]] = field(default_factory=dict)
    last: datetime | None = None


@dataclass(slots=True)
class Unparsed:
    """Lines that no format took: how many, and the first few with their places."""

    lines: int = 0
    samples: list[tuple[str, str]] = field(default_factory=list)


class Recogniser:
    """Reads lines of several files. A parser that fails has not taken the line; `failed` gets the exception."""

    def __init__(
        self, formats: Sequence[tuple[Format, Parser]], clock: Clock, failed: Callable[[Exception, str], None]
    ) -> None:
        """The formats are in the order in which they are tried where nothing is known of a file. `taken_by` is the
        format of the last line that was read."""
        self.tried = [Tried(format, parse) for format, parse in formats]
        self.unparsed = Unparsed()
        self.continued = 0
        self.taken_by: Format | None = None
        self._clock, self._failed = clock, failed
        self._sources: OrderedDict[str, Source] = OrderedDict()

    def read(self, source: str, number: int, text: str, near: datetime | None = None) -> Named | None:
        """The named parts of a line, None where no format takes the line. A time of day is of the day that puts it
        nearest to `near`, where that is known, else to the file's last time."""
        known = self._sources.get(source)
        if known is None:
            known = self._sources[source] = Source()
            if len(self._sources) > SOURCES:
                self._sources.popitem(last=False)
        if near is not None:
            known.last = near
        letter = text[:1]
        letter = "0" if letter.isdigit() else "a" if letter.isalpha() else letter
        recent = known.by_letter.get(letter)
        if recent is None:
            recent = known.by_letter[letter] = []
        for tried in recent:
            named = self._parse(tried, text, source, number)
            if named is not None:
                if tried is not recent[0]:
                    recent.remove(tried)
                    recent.insert(0, tried)
                return self._taken(tried, known, named)
        for tried in self.tried:
            if tried in recent:
                continue
            named = self._parse(tried, text, source, number)
            if named is not None:
                if not tried.format.is_general:
                    recent.insert(0, tried)
                    del recent[RECENT:]
                return self._taken(tried, known, named)
        self._not_taken(known, source, number, text)
        return None

    def formats(self) -> dict[str, int]:
        """Lines by the name of the format that took them; formats that took none are left out."""
        return {tried.format.name: tried.lines for tried in self.tried if tried.lines}

    def nearest(self, text: str) -> Nearest | None:
        """The format that came nearest to a line that none took."""
        return nearest([tried.format for tried in self.tried], text)

    def _parse(self, tried: Tried, text: str, source: str, number: int) -> Named | None:
        try:
            return tried.parse(text)
        except Exception as error:
            self._failed(error, f"{source}:{number}")
            return None

    def _taken(self, tried: Tried, known: Source, named: Named) -> Named:
        tried.lines += 1
        self.taken_by = tried.format
        moment = named.get("event_time")
        if type(moment) is time:
            moment = named["event_time"] = times.on_day(moment, known.last, datetime.now(UTC), self._clock)
        known.last = moment or known.last
        return named

    def _not_taken(self, known: Source, source: str, number: int, text: str) -> None:
        self.unparsed.lines += 1
        self.taken_by = None
        if any(tried.format.is_continued_by(text) for recent in known.by_letter.values() for tried in recent):
            self.continued += 1
        if len(self.unparsed.samples) < SAMPLES:
            self.unparsed.samples.append((f"{source}:{number}", text[:SAMPLE_LETTERS]))
