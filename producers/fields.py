"""Values of log lines as the schema's fields take them. What does not fit is None here, and kept in `message`."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from shardlake.formats import times
from shardlake.formats.clock import Clock

LEVELS = {
    "TRACE": ("trace", "finest", "finer", "verbose"),
    "DEBUG": ("debug", "fine"),
    "INFO": ("info", "information", "informational", "notice", "log"),
    "WARN": ("warn", "warning"),
    "ERROR": ("error", "err", "severe"),
    "FATAL": ("fatal", "critical", "crit", "alert", "emerg", "emergency", "panic", "dpanic"),
}
LEVEL_OF = {word: level for level, words in LEVELS.items() for word in words}
IN_TEXT = [word for word in LEVEL_OF if word not in ("fine", "finer", "finest", "log", "verbose", "alert")]
LEVEL_WORDS = "|".join(
    sorted({form for word in IN_TEXT for form in (word, word.upper(), word.capitalize())}, key=len, reverse=True)
)
"""A pattern of levels as text has them; some words are levels only where a format says so."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EPOCH_UNITS_PER_SECOND = ((10**11, 1), (10**14, 10**3), (10**17, 10**6), (10**20, 10**9))
"""A number below the first is seconds (until the year 5138), below the second milliseconds (from 1973), and so on."""
NUMBER = re.compile(r"-?\d+(\.\d+)?")
EPOCH_DIGITS = re.compile(r"\d{9,19}(\.\d+)?")
DATE_ALONE = len("2026-11-03")
LONGEST_TIME = 64
EARLIEST_NUMBER = 10**8
"""Seconds: in March 1973."""
IN_WORDS = (
    times.ISO, "%Y/%m/%d %H:%M:%S%f%z", "%d/%b/%Y:%H:%M:%S%f%z", "%d-%b-%Y %H:%M:%S%f%z", "%a, %d %b %Y %H:%M:%S%f%z",
    "%a %b %d %H:%M:%S%f %Y", "%a %b %d %H:%M:%S%f%z %Y", "%d %b %Y %H:%M:%S%f%z", "%b %d %H:%M:%S%f",
)  # fmt: skip


def level(value: Any) -> str | None:
    """A severity by any of its usual names. Numbers are not taken: libraries do not agree on them."""
    return LEVEL_OF.get(value.strip().lower()) if isinstance(value, str) else None


def time(value: Any, clock: Clock | None = None) -> datetime | None:
    """ISO 8601, or a number of seconds, milli-, micro- or nanoseconds since 1970; by the log's clock, or in UTC, where
    the time names no zone."""
    try:
        if isinstance(value, str):
            if not EPOCH_DIGITS.fullmatch(value):
                if len(value) <= DATE_ALONE:
                    return None
                moment = datetime.fromisoformat(value)
                return (clock or Clock()).utc(moment) if moment.tzinfo is None else moment.astimezone(UTC)
            value = float(value) if "." in value else int(value)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        per_second = next((per_second for below, per_second in EPOCH_UNITS_PER_SECOND if abs(value) < below), None)
        return None if per_second is None else EPOCH + timedelta(microseconds=value * 1_000_000 / per_second)
    except (ValueError, OverflowError):
        return None


def time_reader(clock: Clock) -> Callable[[Any], datetime | None]:
    """The function that reads a member's time: what `time` takes, times in words (`Sun, 29 Nov 2026 09:00:28 GMT`), and
    objects of seconds and nanoseconds. A number of the first years since 1970 is no time: such a number is a
    duration."""
    read_text = times.reads(IN_WORDS, clock)

    def read(value: Any) -> datetime | None:
        if isinstance(value, dict):
            seconds = value.get("seconds", value.get("epochSecond"))
            nanoseconds = value.get("nanos", value.get("nanoOfSecond", 0))
            if type(nanoseconds) is not int or not isinstance(seconds, int | str) or not 0 <= nanoseconds < 10**9:
                return None
            moment = read(seconds)
            return None if moment is None else moment + timedelta(microseconds=nanoseconds // 1000)
        if type(value) in (int, float) and value < EARLIEST_NUMBER:
            return None
        moment = time(value, clock)
        if moment is None and isinstance(value, str) and DATE_ALONE < len(value) < LONGEST_TIME:
            in_words = read_text(value)
            moment = in_words if isinstance(in_words, datetime) else None
        return moment

    return read


def text(value: Any) -> str | None:
    """A string, as UTF-8 can hold it: half a surrogate pair, which JSON can escape, is kept as \\udXXX."""
    return value.encode(errors="backslashreplace").decode() if isinstance(value, str) and value else None


def integer(value: Any, maximum: int) -> int | None:
    """A whole number from 0 to `maximum`, or its digits."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= maximum else None


def real(value: Any) -> float | None:
    """A finite number, or its digits."""
    if isinstance(value, str) and NUMBER.fullmatch(value):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def with_rest(message: str | None, rest: dict[str, Any]) -> str | None:
    """The message, and behind it as JSON what fits no field, so that nothing of the line is lost."""
    if not rest:
        return message
    try:
        written = json.dumps(rest, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except ValueError:
        written = json.dumps(_finite(rest), ensure_ascii=False, separators=(",", ":"))
    return text(" ".join(filter(None, [message, written])))


def _finite(value: Any) -> Any:
    """Values as JSON has them: a number that is none, or too large for one, as a text."""
    if isinstance(value, dict):
        return {name: _finite(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_finite(one) for one in value]
    return value if not isinstance(value, float) or math.isfinite(value) else str(value)
