"""What a run's result says, and what it must not keep to itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from shardlake.errors import BadInput
from shardlake.load.find_max import Configuration
from shardlake.load.folder import leave, new_report
from shardlake.load.problems import problems
from shardlake.load.result import Result, Slope

pytestmark = pytest.mark.unit

HOLDS = Slope(
    group="load.traffic", records_per_second=1, low=-2, high=4, share=0.001, mean_lag=10, max_lag=20, conclusion="holds"
)
GOOD = Result(
    command="load", began="2026", seconds=120, warm_up_seconds=30, events=10, acknowledged=10, verified="holds",
    lag=[HOLDS],
)  # fmt: skip


def test_where_all_holds_there_is_nothing_to_say() -> None:
    assert problems(GOOD) == []


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"void": "it was late"}, ["latencies are void: it was late"]),
        ({"lag": [replace(HOLDS, conclusion="grows", records_per_second=1234.4, share=0.25)]}, ["1,234/s", "25.0%"]),
        ({"acknowledged": 7, "failed": 1, "unknown": 2}, ["3 events were not acknowledged: 1 failed, 2 unknown"]),
        ({"verified": "violated", "anomalies": {"lost-write": 1200}}, ["violated (1,200 lost-write)"]),
        ({"verified": "not checked"}, ["`verify` says: not checked"]),
        ({"partial": "interrupted 3 s after the begin", "verified": "not checked"}, ["partial: interrupted 3 s"]),
    ],
)
def test_each_thing_that_does_not_hold_is_said(changed: dict[str, object], said: list[str]) -> None:
    (found,) = problems(replace(GOOD, **changed))  # type: ignore[arg-type]
    assert all(words in found for words in said)


def test_a_folder_goes_only_where_it_tells_nothing(tmp_path: Path) -> None:
    for name, kept in (("empty", False), ("log", False), ("capacity.json", True), ("consumers-1/a.ledger", True)):
        folder = new_report(tmp_path / name.replace("/", "-"))
        if name != "empty":
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(bytes(1000))
        leave(folder)
        assert folder.exists() == kept, name


def test_a_slope_that_is_undecided_is_no_failure() -> None:
    assert problems(replace(GOOD, lag=[replace(HOLDS, conclusion="undecided")])) == []


def test_what_a_search_is_for_is_read_from_the_command_line() -> None:
    assert Configuration.read([]) == [
        Configuration(kind, count)
        for kind, counts in (("consumers", (1, 2, 4)), ("jobs", (1, 2)), ("producers", (1, 2)))
        for count in counts
    ]
    assert Configuration.read(["jobs", "consumers=3,5"]) == [
        Configuration(kind, count) for kind, count in (("jobs", 1), ("jobs", 2), ("consumers", 3), ("consumers", 5))
    ]


@pytest.mark.parametrize("text", ["cosumers", "jobs=0", "jobs=1,x", "jobs=-1"])
def test_a_wrong_one_is_refused_with_those_there_are(text: str) -> None:
    with pytest.raises(BadInput) as raised:
        Configuration.read([text])
    assert "consumers" in raised.value.hint or "jobs=1,2" in raised.value.hint
