"""The clock of a log: in which zone its times are that name none, and in which year those are that have none."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

from shardlake.errors import BadInput

OFFSET = re.compile(r"(?:UTC)?([+-])(\d\d):?([0-5]\d)")
YEARS = range(1970, 10_000)
"""An event before 1970 is none to the jobs, and a `datetime` ends with 9999."""


@dataclass(slots=True)
class Clock:
    """Where no zone is given it is UTC, and where no year is given the format's rule finds one."""

    zone: tzinfo = UTC
    year: int | None = None
    twice: int = 0
    """Times of an hour that came twice, as clocks were put back: they were taken as of its first time."""

    @classmethod
    def of(cls, timezone: str | None = None, year: int | None = None) -> Clock:
        """A clock by an IANA name (`Europe/Berlin`) or an offset (`+03:00`). Raises BadInput where there is none."""
        if year is not None and year not in YEARS:
            raise BadInput(f"{year} is no year for a log.", f"Give --year, from {YEARS[0]} to {YEARS[-1]}.")
        return cls(UTC if timezone is None else _zone(timezone), year)

    def utc(self, local: datetime) -> datetime:
        """The instant of a time without a zone."""
        if self.zone is UTC:
            return local.replace(tzinfo=UTC)
        first, second = local.replace(tzinfo=self.zone, fold=0), local.replace(tzinfo=self.zone, fold=1)
        self.twice += (first.utcoffset() or timedelta(0)) > (second.utcoffset() or timedelta(0))
        return first.astimezone(UTC)

    def notes(self) -> list[str]:
        """Sentences for the summary of `produce`: how many times were ambiguous; [] where none was."""
        if not self.twice:
            return []
        return [
            f"{self.twice:,} times are of an hour that came twice in {self.zone}, as clocks were put back: "
            "they were taken as of the first"
        ]


def _zone(name: str) -> tzinfo:
    if name in ("UTC", "Z"):
        return UTC
    match = OFFSET.fullmatch(name)
    if match:
        offset = timedelta(hours=int(match[2]), minutes=int(match[3]))
        if offset < timedelta(days=1):
            return timezone(-offset if match[1] == "-" else offset)
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:  # a name that is none; one with ..; one that is a folder
        msg = f"There is no time zone {name!r}."
        raise BadInput(msg, "Give a name, as Europe/Berlin, or an offset, as +03:00.") from error
