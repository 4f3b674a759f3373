"""Which dead letters are meant. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from shardlake.dead_letter import RENAMED
from shardlake.errors import BadInput
from shardlake.redrive.letters import Letter
from shardlake.shards.processor import text_of

SOURCE = re.compile(
    r"(?P<topic>[^:]+)-(?P<partition>[0-9]{1,9})(?::(?P<first>[0-9]{1,18})(?:-(?P<last>[0-9]{1,18}))?)?"
)


@dataclass(frozen=True, slots=True)
class Source:
    """A partition of a source topic, or offsets of it, both ends included."""

    topic: str
    partition: int
    first: int = 0
    last: int = (1 << 63) - 1

    @classmethod
    def read(cls, text: str) -> Source:
        """`app-logs-2`, `app-logs-2:17` or `app-logs-2:17-40`. Raises BadInput."""
        match = SOURCE.fullmatch(text)
        if match is None:
            raise BadInput(f"{text!r} names no source.", "Write it as app-logs-2, app-logs-2:17 or app-logs-2:17-40.")
        topic, partition = match["topic"], int(match["partition"])
        if match["first"] is None:
            return cls(topic, partition)
        first = int(match["first"])
        last = int(match["last"] or first)
        if last < first:
            raise BadInput(f"{text!r} ends before it begins.")
        return cls(topic, partition, first, last)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Filters, all of which must hold; without any, all dead letters. Times are arrivals of the source's record."""

    error_class: str | None = None
    source: Source | None = None
    since_ms: int | None = None
    until_ms: int | None = None
    key: str | None = None
    group: str | None = None
    not_redriven: bool = False

    @property
    def is_all(self) -> bool:
        """Whether it leaves nothing out."""
        return self == Selection()

    def takes(self, letter: Letter) -> bool:
        """Whether a dead letter is meant. What is not ours is meant where nothing is asked for."""
        found = letter.source
        if found is None:
            return self.is_all
        source = self.source
        return (
            (self.error_class is None or self.error_class in names_of(found.error_class))
            and (self.group is None or found.group == self.group)
            and (self.since_ms is None or found.timestamp_ms >= self.since_ms)
            and (self.until_ms is None or found.timestamp_ms < self.until_ms)
            and (self.key is None or (letter.key is not None and text_of(letter.key) == self.key))
            and (source is None or (found.topic, found.partition) == (source.topic, source.partition))
            and (source is None or source.first <= found.offset <= source.last)
            and not (self.not_redriven and letter.mark is not None)
        )

    def check(self, letters: Sequence[Letter]) -> None:
        """Raises BadInput where a name in it is that of no dead letter there: then it is a slip."""
        ours = [letter.source for letter in letters if letter.source]
        classes = Counter(one.error_class for one in ours)
        if self.error_class is not None and ours and not any(self.error_class in names_of(one) for one in classes):
            _refuse("error class", self.error_class, {names_of(one)[1] for one in classes})
        groups = Counter(one.group for one in ours)
        if self.group is not None and ours and self.group not in groups:
            _refuse("group", self.group, groups)
        sources = Counter(f"{one.topic}-{one.partition}" for one in ours)
        if self.source and ours and f"{self.source.topic}-{self.source.partition}" not in sources:
            _refuse("source", f"{self.source.topic}-{self.source.partition}", sources)


def names_of(error_class: str) -> tuple[str, ...]:
    """Its whole name, the last part of it, and what it is called since where an earlier version had another name."""
    last = error_class.rpartition(".")[2]
    return error_class, last, *RENAMED.get(last, ())


def _refuse(what: str, wanted: str, there: Iterable[str]) -> None:
    named = ", ".join(sorted(one or "none (the jobs')" for one in there))
    raise BadInput(f"No dead letter there has the {what} {wanted!r}.", f"There is: {named}.")
