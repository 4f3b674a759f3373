"""Lines whose time has not come: the first is said at once, each is counted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from producers.log_lines import is_parsed, reader
from shardlake.produce.events import Read, Times, from_file

pytestmark = pytest.mark.unit


def look(*ahead: timedelta | None) -> tuple[Read, list[str]]:
    count, said = Read(), list[str]()
    times = Times("event_time", count, said.append)
    for number, one in enumerate(ahead, 1):
        times.look({"event_time": None if one is None else datetime.now(UTC) + one}, f"a.log:{number}")
    return count, said


def test_the_first_line_that_is_ahead_is_said_once_with_how_far() -> None:
    count, said = look(timedelta(hours=-3), timedelta(hours=8, minutes=1), timedelta(hours=9))
    assert (count.ahead, count.ahead_places) == (2, ("a.log:2", "a.log:3"))
    (one,) = said
    assert one.startswith("warning: a.log:2 is of ")
    assert " 8 h 0 min ahead of now" in one or " 8 h 1 min ahead of now" in one
    assert "--timezone" in one


def test_clocks_that_differ_by_seconds_and_lines_without_a_time_are_no_news() -> None:
    count, said = look(None, timedelta(0), timedelta(seconds=30), timedelta(days=-400))
    assert (count.ahead, said) == (0, [])


def test_events_of_another_pipeline_may_have_times_of_another_kind() -> None:
    count, said = Read(), list[str]()
    for name, value in (("seen_us", 1 << 62), ("seen_us", "2999-01-01"), (None, datetime(2999, 1, 1, tzinfo=UTC))):
        Times(name, count, said.append).look({"seen_us": value}, "a.log:1")
    assert (count.ahead, said) == (0, [])


def test_a_file_of_a_host_east_of_utc_is_said_before_it_is_sent_and_its_zone_mends_it(tmp_path: Path) -> None:
    log = tmp_path / "east.log"
    east = datetime.now(UTC) + timedelta(hours=9)
    log.write_text(f"{east:%b %e %H:%M:%S} h a: x\n" * 3)

    def events(**options: Any) -> tuple[list[datetime], Read, list[str]]:
        count, said = Read(), list[str]()
        found = from_file(str(log), reader(**options), is_parsed, "event_time", False, count, said.append)
        return [event["event_time"] for _, event in found], count, said

    _, count, said = events()
    assert (count.ahead, len(said)) == (3, 1)
    times, count, said = events(timezone="Asia/Tokyo")
    assert (count.ahead, said) == (0, [])
    assert {abs(time - datetime.now(UTC)) < timedelta(minutes=10) for time in times} == {True}
