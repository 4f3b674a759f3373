"""What is drawn of a run: that it is the same each time, and true to the samples."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from hdrh.histogram import HdrHistogram

from shardlake.load.capacity_plot import of_capacity
from shardlake.load.drawing import Plot, step_for, thin
from shardlake.load.palette import COLOURS, ROLES, css, light, of_each
from shardlake.load.percentiles import LAST, curve, name
from shardlake.load.plots import of_run
from shardlake.load.result import Sample
from tests.unit.load_case import a_capacity, a_latency, a_result, a_slope, some_capacities, some_samples, some_us

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def drawn() -> dict[str, Plot]:
    return of_run(a_result(), some_samples())


def test_a_plot_is_the_same_each_time_whatever_the_user_set(drawn: dict[str, Plot]) -> None:
    with mpl.rc_context({"lines.linewidth": 9.0, "text.color": "#123456"}):
        again = of_run(a_result(), some_samples())
        assert mpl.rcParams["lines.linewidth"] == 9.0

    assert list(drawn) == ["lag", "rate", "latencies", "cpu", "memory"]
    assert again == drawn


def test_latencies_of_a_void_run_are_not_drawn() -> None:
    assert list(of_run(a_result(void="late"), [])) == []


def test_words_are_text_and_colours_those_of_the_page(drawn: dict[str, Plot]) -> None:
    lag = drawn["lag"].svg
    assert re.search(r"<text[^>]*>traffic: \+3\.2 records a second \(-0\.9 to \+7\.3\), holds</text>", lag)
    for words in ("app-logs-3", "together", "slope", "warm-up", " 2"):
        assert re.search(rf"<text[^>]*>{words}</text>", lag)
    assert "var(--ink)" in lag
    assert not re.findall(r"#[0-9a-f]{6}", lag)
    assert "http" not in lag
    assert "nan" not in lag.lower()


def test_each_colour_of_a_plot_has_one_name_and_a_dark_shade() -> None:
    shades = [shade for shade, _ in COLOURS.values()]
    assert len(set(shades)) == len(shades)
    dark = css().partition("prefers-color-scheme:dark")[2]
    assert all(f"--{colour}:{shade};" in dark for colour, (_, shade) in COLOURS.items())


def test_a_role_has_the_same_colour_whoever_else_is_there() -> None:
    assert of_each(["consumers"], ROLES)["consumers"] == of_each(ROLES, ROLES)["consumers"]
    assert of_each([str(number) for number in range(9)])["8"] == light("faint")


def lag_alone(samples: Sequence[Sample], **changed: Any) -> str:
    bare = [replace(sample, cpu_seconds={}, memory_mb={}) for sample in samples]
    return of_run(a_result(void="late", schedule=None, **changed), bare)["lag"].svg


def test_of_many_shards_the_furthest_behind_are_named() -> None:
    samples = [
        replace(sample, lag={"g": {f"t-{shard}": 100 * shard for shard in range(20)}}) for sample in some_samples(20)
    ]
    shown = set(re.findall(r">(t-\d+|\d+ others)</text>", lag_alone(samples, lag=[])))
    assert shown == {*(f"t-{shard}" for shard in range(13, 20)), "13 others"}


def test_lag_that_is_not_known_is_a_gap() -> None:
    samples = some_samples(20, ("g",), 2)
    gone = [replace(one, lag={"g": {"app-logs-0": -1}}) if 5 < one.at_seconds < 9 else one for one in samples]

    whole, holed = (lag_alone(some, lag=[a_slope("g")]) for some in (samples, gone))
    assert max(path.count("M") for path in re.findall(r' d="([^"]*)"', whole)) == 1
    assert max(path.count("M") for path in re.findall(r' d="([^"]*)"', holed)) == 2
    unknown = [replace(one, lag={"g": {"app-logs-0": -1}}) for one in samples]
    assert "records behind" in lag_alone(unknown, lag=[a_slope("g")])


def test_one_sample_has_neither_a_rate_nor_cpu() -> None:
    assert list(of_run(a_result(), some_samples(1))) == ["lag", "latencies", "memory"]
    assert list(of_run(a_result(), [])) == ["latencies"]


def test_cores_are_seconds_of_cpu_by_those_between_samples() -> None:
    samples = [
        Sample(at_seconds=2.0 * at, sent=4000, lag={}, cpu_seconds={"kafka": 3.0}, memory_mb={}) for at in range(1, 6)
    ]
    plots = of_run(a_result(acts=[], warm_up_seconds=0.0, seconds=10.0), samples)

    # 1.5 cores lie below 1.68, the end of the axis: a tick at 1.6 and none at 2.
    ticks = {float(one) for one in re.findall(r">(\d+(?:\.\d+)?)</text>", plots["cpu"].svg)}
    assert 1.6 in ticks or 1.5 in ticks
    assert not {one for one in ticks if 1.7 < one < 2}
    assert {2_000.0} <= {float(one.replace(",", "")) for one in re.findall(r">([\d,]+)</text>", plots["rate"].svg)}


@pytest.mark.parametrize(
    ("step", "highest", "expected"),
    [(1, True, [1, 9, 2, 4, 5]), (2, True, [9, 4, 5]), (2, False, [5, 3, 5]), (9, True, [9]), (9, False, [4.2])],
)
def test_thinning_keeps_peaks_or_means(step: int, highest: bool, expected: list[float]) -> None:
    assert thin(np.array([1.0, 9.0, 2.0, 4.0, 5.0]), step, highest=highest).tolist() == expected


def test_thinning_passes_over_what_is_not_known() -> None:
    assert thin(np.array([np.nan, 9.0, 2.0]), 2, highest=True).tolist() == [9.0, 2.0]
    assert np.isnan(thin(np.array([np.nan, np.nan]), 2, highest=True)).all()


@pytest.mark.parametrize(("samples", "lines", "step"), [(0, 0, 1), (600, 1, 1), (601, 1, 2), (3600, 200, 30)])
def test_lines_of_many_samples_are_thinned(samples: int, lines: int, step: int) -> None:
    assert step_for(samples, lines) == step


def test_a_curve_is_the_histograms_own() -> None:
    values = some_us(30, 50_000)
    latency = a_latency(values)
    found = curve(latency)
    assert found
    inverse, ms = found
    histogram = HdrHistogram.decode(latency.histogram)

    assert inverse[-1] == pytest.approx(LAST)
    assert (np.diff(ms) >= 0).all()
    for place in (20, 80, 120, 159):
        share = 100 * (1 - 1 / inverse[place])
        assert ms[place] == pytest.approx(histogram.get_value_at_percentile(share) / 1000, rel=0.01)


def test_a_curve_ends_where_one_value_is_all_there_is_beyond() -> None:
    found = curve(a_latency([*([1000] * 99), 7_000_000]))
    assert found

    assert found[0][-1] == pytest.approx(100)
    assert found[1][-1] == pytest.approx(1, rel=0.001)
    assert curve(a_latency([])) is None


def test_a_single_value_has_a_curve() -> None:
    found = curve(a_latency([2500]))
    assert found
    assert found[1].tolist() == pytest.approx([2.5] * len(found[1]), rel=0.001)


@pytest.mark.parametrize(
    ("inverse", "shown"), [(1, "0 %"), (10, "90 %"), (100, "99 %"), (1000, "99.9 %"), (10_000, "99.99 %")]
)
def test_percentiles_have_names(inverse: float, shown: str) -> None:
    assert name(inverse) == shown


def test_capacity_has_a_panel_a_kind_and_the_ideal_only_beside_a_line() -> None:
    drawn = of_capacity(some_capacities())["scalability"].svg
    assert re.findall(r">(\w+: events a second that hold[^<]*)<", drawn) == [
        "consumers: events a second that hold",
        "jobs: events a second that hold, archive",
        "producers: events a second that hold, synthetic",
    ]
    alone = of_capacity(some_capacities(found=[a_capacity(1, 10.0, bounds=(0.0, float("inf")))]))["scalability"].svg
    assert drawn.count(">ideal<") == 2
    assert alone.count(">ideal<") == 0
    assert of_capacity(some_capacities(found=[])) == {}
