"""What `shardlake lag` shows of a sample."""

from __future__ import annotations

import json

import pytest
from rich.console import Console

from shardlake.cli.lag import as_json, lag_table
from shardlake.lag.answers import Member
from shardlake.lag.sampling import Sample
from tests.unit.lag_case import NOW_MS, Records, answers, clock, last_sample

pytestmark = pytest.mark.unit
__all__ = ["clock"]

ODD = "g[/b]"
OWNERS = {ODD: {("t", 0): Member("[red]worker", "c-1", "/h")}}


def sample() -> Sample:
    return last_sample(
        answers({ODD: {("t", 0): 60}, "ahead": {("t", 0): 500}}, {"t": [100, 7]}, NOW_MS, owners=OWNERS),
        records=Records({(("t", 0), 60): NOW_MS - 12_500}),
    )


def shown(told: Sample, only: str | None = None) -> list[list[str]]:
    """The cells of each row, without empty ones."""
    console = Console(width=250)
    with console.capture() as captured:
        console.print(lag_table(told, only))
    return [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in captured.get().splitlines()[1:]]


def test_a_row_says_how_far_since_when_and_who() -> None:
    first, second, total, *_ = shown(sample())
    assert first == [ODD, "t", "0", "60", "100", "40", "12.5", "OK it moves", "[red]worker"]
    assert second == [ODD, "t", "1", "-", "7", "not started (7 waiting)", "?",
                      "NOT_STARTED nothing was committed yet; 7 records wait"]  # fmt: skip
    assert total == [ODD, "sum", "47", "12.5", "1 member, stable"]


def test_what_is_not_known_is_not_zero() -> None:
    row = shown(sample(), "ahead")[0]
    assert row[:7] == ["ahead", "t", "0", "500", "100", "?", "?"]
    assert row[7].startswith("AHEAD")


def test_what_a_transaction_holds_back_is_beside_the_lag() -> None:
    told = last_sample(
        answers({"g": {("t", 0): 90}}, {"t": [94]}, NOW_MS, highs={"t": [100]}),
        uncommitted=Records({(("t", 0), 94): NOW_MS - 90_000}),
    )
    assert shown(told)[0][:6] == ["g", "t", "0", "90", "94", "4 (+6 held back)"]
    (found,) = as_json(told)["partitions"]
    assert {name: found[name] for name in ("end", "high_watermark", "lag", "held_back", "open_seconds")} == {
        "end": 94, "high_watermark": 100, "lag": 4, "held_back": 6, "open_seconds": 90
    }  # fmt: skip


def test_one_group_alone_and_one_that_is_not_there() -> None:
    assert {row[0] for row in shown(sample(), ODD)} == {ODD}
    assert shown(sample(), "[none]") == [["no consumer group [none] yet"]]


def test_json_is_for_programs() -> None:
    found = json.loads(json.dumps(as_json(sample())))
    assert found["groups"] == [
        {"group": ODD, "state": "STABLE", "members": 1}, {"group": "ahead", "state": "STABLE", "members": 0}
    ]  # fmt: skip
    lags = {
        (one["group"], one["partition"]): (one["lag"], one["seconds"], one["status"]) for one in found["partitions"]
    }
    assert lags == {
        (ODD, 0): (40, 12.5, "OK"),
        (ODD, 1): (-1, None, "NOT_STARTED"),
        ("ahead", 0): (None, None, "AHEAD"),
        ("ahead", 1): (-1, None, "NOT_STARTED"),
    }
