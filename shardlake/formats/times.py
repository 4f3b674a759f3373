"""Times as log lines write them: layouts in the words of `strptime`, as `%d/%b/%Y:%H:%M:%S %z`.

    %Y %y %m %d %b %a %H %M %S   as strptime; a day may be ` 3`, an hour of one digit is allowed, a second may be 60
    %f   the fraction behind the seconds with its mark, as `.123`, `,123` or `:123`; the fraction may be missing
    %z   a zone: Z, UTC, +01:00, +0100, +01, CET or Europe/Berlin, behind a space or not; the zone may be missing
    %s   seconds since 1970, with or without a fraction
    iso  ISO 8601, with a space, a T or an underscore between date and time; fraction and zone may be missing

A layout without a year takes the clock's year, else the latest that does not put the time more than a day ahead. A
layout without a day yields a `datetime.time`: the caller knows the day.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, time, timedelta, timezone, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

from shardlake.errors import BadInput
from shardlake.formats.clock import Clock

Moment = datetime | time
Read = Callable[[str], Moment | None]

ISO = "iso"
ABBREVIATED = {
    "UT": 0, "UTC": 0, "GMT": 0, "EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8, "PDT": -7,
    "WET": 0, "WEST": 1, "CET": 1, "CEST": 2, "EET": 2, "EEST": 3, "MSK": 3, "JST": 9, "KST": 9, "AEST": 10, "AEDT": 11,
}  # fmt: skip
"""Hours east of UTC. The first are RFC 5322's; a name that means several zones is not among the rest."""
ZONE = rf"Z| ?(?:{'|'.join(ABBREVIATED)})\b| ?[+-]\d\d(?::?\d\d)?| [A-Z][A-Za-z]++/[A-Za-z_/+-]++"
ISO_PATTERN = rf"\d{{4}}-\d\d-\d\d[T _]\d\d:\d\d:\d\d(?:[.,]\d{{1,9}})?(?:{ZONE})?"
ISO_PARTS = re.compile(rf"(\d{{4}}-\d\d-\d\d)[T _](\d\d:\d\d:)(\d\d)(?:[.,](\d+))?({ZONE})?")
MONTHS = {
    name: n + 1 for n, name in enumerate("JanFebMarAprMayJunJulAugSepOctNovDec"[i : i + 3] for i in range(0, 36, 3))
}
PATTERNS = {
    "Y": r"(?P<Y>\d{4})",
    "y": r"(?P<y>\d\d)",
    "m": r"(?P<m>\d\d)",
    "d": r"(?P<d>[ 0-3]?\d)",
    "b": rf"(?P<b>{'|'.join(MONTHS)})",
    "a": "(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)",
    "H": r"(?P<H>\d\d?)",
    "M": r"(?P<M>\d\d)",
    "S": r"(?P<S>\d\d)",
    "f": r"(?:[.,:](?P<f>\d{1,9}))?",
    "z": rf"(?P<z>{ZONE})?",
    "s": r"(?P<s>\d{9,10})(?:\.(?P<sf>\d{1,9}))?",
    "%": "%",
}
DIRECTIVE = re.compile(r"%(.)")
NAMED = re.compile(r"\?P<\w+>")
YEARS_BACK = 8
"""The longest way between two 29ths of February."""
AHEAD = timedelta(days=1)
KEPT_SECONDS = 4096
"""So many whole seconds are kept as read: a log has many lines a second, or comes back to them."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def reads(layouts: Sequence[str], clock: Clock, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> Read:
    """Return the function that reads a time in any of the layouts by the clock; the function returns None where a text
    is no such time. Raises BadInput for a layout that is none."""
    each = [_iso(clock) if layout == ISO else _read(layout, clock, now) for layout in layouts]
    if len(each) == 1:
        return each[0]

    def read(text: str) -> Moment | None:
        return next((moment for one in each if (moment := one(text)) is not None), None)

    return read


def pattern(layouts: Sequence[str]) -> str:
    """The layouts as one regular expression without named groups."""
    each = [ISO_PATTERN if layout == ISO else NAMED.sub("?:", _pattern(layout)) for layout in layouts]
    return each[0] if len(each) == 1 else f"(?:{'|'.join(each)})"


def in_year(local: datetime, now: datetime, clock: Clock) -> datetime | None:
    """The instant of a local time whose year is not known; the year of `local` is not looked at."""
    for year in range(now.year + 1, now.year - YEARS_BACK - 1, -1) if clock.year is None else [clock.year]:
        try:
            found = local.replace(year=year)
        except ValueError:
            continue
        if clock.year is not None or found.replace(tzinfo=clock.zone) <= now + AHEAD:
            return clock.utc(found)
    return None


def on_day(moment: time, near: datetime | None, now: datetime, clock: Clock) -> datetime:
    """The instant of a time of day: the nearest to `near`, which is a time of the same log, else the latest that is not
    more than an hour ahead of now."""
    about = (near or now).astimezone(clock.zone)
    if moment.tzinfo is not None:
        moment = moment.replace(tzinfo=None)
    days = [clock.utc(datetime.combine(about.date() + timedelta(days=days), moment)) for days in (-1, 0, 1)]
    if near is not None:
        return min(days, key=lambda day: abs(day - near))
    return max(day for day in days if day <= now + timedelta(hours=1))


def _pattern(layout: str) -> str:
    parts, end = [], 0
    for match in DIRECTIVE.finditer(layout):
        if match[1] not in PATTERNS:
            msg = f"The time layout {layout!r} has a directive that is not known: {match[0]}."
            raise BadInput(msg, f"There is: {', '.join(f'%{letter}' for letter in PATTERNS)}, or iso alone.")
        parts += [re.escape(layout[end : match.start()]), PATTERNS[match[1]]]
        end = match.end()
    return "".join([*parts, re.escape(layout[end:])])


def _iso(clock: Clock) -> Read:
    def read(text: str) -> Moment | None:
        try:
            moment = datetime.fromisoformat(text)
            return clock.utc(moment) if moment.tzinfo is None else moment.astimezone(UTC)
        except ValueError:
            return _or_none(slow, text)
        except OverflowError:  # in UTC it lies before the first year or after the last
            return None

    def slow(text: str) -> Moment | None:
        """Times that `fromisoformat` does not take: a second 60, a zone's name, a space before the zone."""
        match = ISO_PARTS.fullmatch(text)
        if match is None:
            return None
        date, minute, second, fraction, zone = match.groups()
        leap = timedelta(seconds=second == "60")
        moment = datetime.fromisoformat(f"{date}T{minute}{'59' if leap else second}.{(fraction or '0')[:6]:0<6}")
        return (moment.replace(tzinfo=zone_of(zone)).astimezone(UTC) if zone else clock.utc(moment)) + leap

    return read


def _read(layout: str, clock: Clock, now: Callable[[], datetime]) -> Read:
    fits = re.compile(_pattern(layout)).fullmatch
    has = set(DIRECTIVE.findall(layout))

    def whole(text: str) -> tuple[Moment | None, int]:
        twice = clock.twice
        moment = once(text)
        counted, clock.twice = clock.twice - twice, twice
        return moment, counted

    def once(text: str) -> Moment | None:
        match = fits(text)
        if match is None:
            return None
        part = {name: int(value) for name, value in match.groupdict().items() if value and name not in "bzf"}
        if "s" in has:
            return EPOCH + timedelta(seconds=part["s"])
        month = MONTHS[match["b"]] if "b" in has else part.get("m", 1)
        leap = timedelta(seconds=part.get("S") == 60)
        clock_time = time(part["H"], part["M"], min(part["S"], 59) if part.get("S", 0) <= 60 else part["S"])
        if "d" not in has:
            return clock_time
        year = part["Y"] if "Y" in has else 2000 + part["y"] if "y" in has else None
        local = datetime.combine(datetime(year or 2000, month, part["d"]), clock_time)  # noqa: DTZ001
        zone = match["z"] if "z" in has else None
        if zone:
            moment: datetime | None = (local if year else local.replace(year=now().year)).replace(tzinfo=zone_of(zone))
            return moment.astimezone(UTC) + leap if moment else None
        moment = clock.utc(local) if year else in_year(local, now(), clock)
        return None if moment is None else moment + leap

    kept = lru_cache(KEPT_SECONDS)(whole)
    fractions = "f" if "f" in has else "sf" if "s" in has else ""

    def read(text: str) -> Moment | None:
        match = fits(text)
        if match is None:
            return None
        fraction = match[fractions] if fractions else None
        if fraction is not None:
            start, end = match.span(fractions)
            text = text[: start - 1] + text[end:]
        try:
            moment, twice = kept(text)
        except (ValueError, OverflowError):
            return None
        clock.twice += twice
        return moment if moment is None or fraction is None else moment.replace(microsecond=int(f"{fraction[:6]:0<6}"))

    return read


def _or_none(read: Read, text: str) -> Moment | None:
    try:
        return read(text)
    except (ValueError, OverflowError):
        return None


def zone_of(text: str) -> tzinfo:
    """The zone that a time names behind it. Raises ValueError where there is none of that name."""
    text = text.strip()
    if text in ABBREVIATED or text == "Z":
        return timezone(timedelta(hours=ABBREVIATED.get(text, 0)))
    if "/" in text:
        try:
            return ZoneInfo(text)
        except (KeyError, OSError) as error:
            raise ValueError(text) from error
    digits = text[1:].replace(":", "").ljust(4, "0")
    offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return timezone(-offset if text[0] == "-" else offset)
