"""What a scenario says, and how it says that something in it is wrong."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from shardlake.errors import BadInput
from shardlake.load.scenario import Scenario, Step
from shardlake.load.scenario_file import make_scenario, read_scenario

pytestmark = pytest.mark.unit

WHOLE = """
rate: 2_000
duration: 120
producers: 2
arrivals: poisson
jobs: false
timeline:
  - {at: 10, ramp: {to: 4000, over: 20}}
  - at: 40
    burst: {factor: 5, for: 10}
  - at: 60
    add_consumer:
  - {at: 70, restart_broker: {down: 2}}
"""


def read(folder: Path, text: str, **given: object) -> Scenario:
    path = folder / "some.yaml"
    path.write_text(text)
    return read_scenario(path, given)


def test_a_scenario_is_what_its_file_says(tmp_path: Path) -> None:
    found = read(tmp_path, WHOLE)
    assert (found.rate, found.duration, found.producers, found.arrivals, found.jobs) == (2000, 120, 2, "poisson", False)
    assert found.warm_up == 30  # a quarter
    assert [(step.at, step.name, dict(step.values)) for step in found.timeline] == [
        (10, "ramp", {"to": 4000, "over": 20}),
        (40, "burst", {"factor": 5, "for": 10}),
        (60, "add_consumer", {"count": 1}),
        (70, "restart_broker", {"down": 2}),
    ]
    assert [str(step) for step in found.timeline] == [
        "ramp (to 4000, over 20)", "burst (factor 5, for 10)", "add_consumer", "restart_broker (down 2)",
    ]  # fmt: skip


def test_what_is_given_beside_the_file_wins(tmp_path: Path) -> None:
    found = read(tmp_path, WHOLE, rate=5.0, duration=400.0, workers=None)
    assert (found.rate, found.duration, found.workers, found.warm_up) == (5, 400, 1, 60)


@pytest.mark.parametrize(
    ("text", "line", "what", "fix"),
    [
        ("rate: 5\nduraton: 9", 2, "has no 'duraton'", "Did you mean duration?"),
        ("rate: 5\ntimeline:\n  - {at: 1, brust: {factor: 2, for: 1}}", 3, "has no 'brust'", "Did you mean burst?"),
        ("rate: 5\ntimeline:\n  - at: 1\n    burst: {facto: 2, for: 1}", 4, "burst has no 'facto'", "factor, for"),
        ("rate: 5\ntimeline:\n  - at: 1\n    burst: {factor: 2}", 4, "burst needs 'for'", "factor, for"),
        ("rate: 5\ntimeline:\n  - burst: {factor: 2, for: 1}", 3, "has no time", "at:"),
        ("rate: 5\ntimeline:\n  - at: 1", 3, "says not what is done", "ramp, burst, hot_key, slow_consumer"),
        ("rate: 5\ntimeline:\n  - {at: 1, late: {share: 2, by: 5}}", 3, "late.share is 2", "from 0 to 1"),
        ("rate: fast", 1, "rate is 'fast'", "a number from"),
        ("rate: .nan", 1, "rate is", "a number from"),
        ("rate: 5\nworkers: 1.5", 2, "workers is 1.5", "a whole number"),
        ("rate: 5\nrate: 6", 2, "rate is there twice", "Leave one out"),
        ("rate: 5\njobs: maybe", 2, "jobs is 'maybe'", "true or false"),
        ("rate: 5\narrivals: bursty", 2, "no arrivals 'bursty'", "constant, poisson"),
        ("rate: 5\ntimeline: 7", 2, "timeline is no list", "- at:"),
        ("- 5", 1, "is no list of `name: value`", "rate"),
        ("rate: [5", 1, "is not YAML", ""),
    ],
)
def test_a_typo_is_named_by_its_line_with_the_words_that_are_allowed(
    tmp_path: Path, text: str, line: int, what: str, fix: str
) -> None:
    with pytest.raises(BadInput) as raised:
        read(tmp_path, text)
    assert f"some.yaml:{line}: " in raised.value.message
    assert what in raised.value.message
    assert fix in raised.value.hint


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ({}, "needs a rate"),
        ({"rate": 5, "duration": 10, "warm_up": 10}, "leaves nothing"),
        ({"rate": 5, "duration": 10, "timeline": (Step(10, "burst", {"factor": 2, "for": 1}),)}, "lasts 10 s"),
        ({"rate": 5, "workers": 0, "timeline": (Step(1, "add_consumer", {"count": 1}),)}, "0 workers"),
        ({"rate": 1e6, "duration": 3600}, "more than"),
        ({"rate": math.nan}, "rate is nan"),
        ({"rate": math.inf}, "rate is inf"),
        ({"rate": 5, "warm_up": -1}, "warm-up is -1"),
    ],
)
def test_a_scenario_must_make_sense_as_a_whole(given: dict[str, object], what: str) -> None:
    with pytest.raises(BadInput, match=what):
        make_scenario(**given)


def test_a_file_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="No such file"):
        read_scenario(tmp_path / "none.yaml")
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadInput, match="it is no text"):
        read_scenario(tmp_path / "bytes.yaml")
    (tmp_path / "control.yaml").write_text("rate: \x07")
    with pytest.raises(BadInput, match="this is not YAML"):
        read_scenario(tmp_path / "control.yaml")
