"""What is a difference between runs of load, and what is noise."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from shardlake.cli.load_tables import comparison_table, differences_table
from shardlake.errors import BadInput
from shardlake.load.compare import Compared, Comparison, Difference, Run, compare, compared, runs
from shardlake.load.comparison_report import as_json, differences, markdown, rows, words
from shardlake.load.figures import figures
from shardlake.load.result import Handler, Result, Usage
from tests.unit.load_case import a_latency, a_result, a_slope, keep

pytestmark = pytest.mark.unit

QUIET = (1.0, 1.03, 1.01, 1.02, 1.0)
LOUD = (1.0, 1.3, 0.95, 1.2, 1.0)


def a_run(times: float = 1.0, name: str = "run", **changed: Any) -> Run:
    """Whose consumers take so many times as much CPU; all other figures are the same in each."""
    consumers = Usage(role="consumers", processes=1, cpu_seconds=9.0, cpu_us_per_event=180 * times, max_memory_mb=300.0)
    return Run(name, a_result(**{"usage": [consumers], **changed}))


def of(found: Comparison, name: str) -> Compared:
    (one,) = (one for one in found.figures if one.figure.name == name)
    return one


def test_a_planted_fifth_is_seen_above_a_noise_of_three_percent() -> None:
    found = compared([a_run(times) for times in QUIET], [a_run(1.2 * times) for times in QUIET])

    cpu = of(found, "CPU of consumers")
    assert cpu.conclusion == "higher"
    assert cpu.pairs == 5
    assert [cpu.ratio, cpu.smallest, cpu.largest, cpu.noise] == pytest.approx([1.2, 1.2, 1.2, 1.03])
    assert [cpu.a, cpu.b] == pytest.approx([181.8, 218.16])
    others = [one for one in found.figures if one is not cpu]
    assert {one.conclusion for one in others} == {"no difference"}
    back = compared([a_run(1.2 * times) for times in QUIET], [a_run(times) for times in QUIET])
    assert of(back, "CPU of consumers").conclusion == "lower"


def test_a_planted_fifth_is_not_seen_below_a_noise_of_thirty_percent() -> None:
    cpu = of(compared([a_run(times) for times in LOUD], [a_run(1.2 * times) for times in LOUD]), "CPU of consumers")

    assert cpu.conclusion == "no difference"
    assert cpu.noise == pytest.approx(1.3 / 0.95)


def test_noise_is_the_same_whichever_neighbour_is_higher() -> None:
    down, up = (of(compared([a_run(x), a_run(y)], [a_run()]), "CPU of consumers") for x, y in ((2, 1), (1, 2)))

    assert down.noise == up.noise == pytest.approx(2)


def test_what_differs_by_just_the_noise_is_no_difference() -> None:
    for times in (1.03, 1.07, 1 / 1.03, 0.3):
        cpu = of(compared([a_run(), a_run(times)], [a_run(times), a_run(times * times)]), "CPU of consumers")
        assert cpu.ratio == pytest.approx(times)
        assert cpu.conclusion == "no difference"


def test_the_ratio_is_the_median_over_pairs() -> None:
    cpu = of(compared([a_run(), a_run(2), a_run(4)], [a_run(1.1), a_run(2.6), a_run(4.8)]), "CPU of consumers")

    assert [cpu.ratio, cpu.smallest, cpu.largest] == pytest.approx([1.2, 1.1, 1.3])


def test_what_is_shown_of_a_side_was_measured_and_is_no_mean() -> None:
    assert of(compared([a_run(3), a_run(1)], [a_run()]), "CPU of consumers").a == 180


def test_of_a_single_run_the_noise_is_unknown() -> None:
    found = compared([a_run()], [a_run(5)])

    cpu = of(found, "CPU of consumers")
    assert (cpu.ratio, cpu.noise, cpu.conclusion) == (5, None, "noise unknown")
    assert any("A is a single run" in said for said in found.notes)


def test_nothing_beside_nothing_is_the_same_and_beside_something_infinite() -> None:
    def with_lag(lag: float) -> Run:
        return a_run(lag=[a_slope("g", mean_lag=lag)])

    both = of(compared([with_lag(0), with_lag(0)], [with_lag(0), with_lag(0)]), "mean lag of g")
    grew = of(compared([with_lag(0), with_lag(0)], [with_lag(3), with_lag(4)]), "mean lag of g")
    fell = of(compared([with_lag(3), with_lag(4)], [with_lag(0), with_lag(0)]), "mean lag of g")
    noisy = of(compared([with_lag(0), with_lag(9)], [with_lag(5), with_lag(5)]), "mean lag of g")
    assert (both.ratio, both.noise, both.conclusion) == (1, 1, "no difference")
    assert (grew.ratio, grew.conclusion) == (math.inf, "higher")
    assert (fell.ratio, fell.conclusion) == (0, "lower")
    assert (noisy.noise, noisy.conclusion) == (math.inf, "no difference")


def test_what_one_side_lacks_is_named_and_has_no_ratio() -> None:
    found = compared([a_run(handlers=[])], [a_run(lag=[])])

    lag, handler = of(found, "mean lag of traffic"), of(found, "handler of traffic")
    assert (lag.a, lag.b, lag.ratio, lag.conclusion) == (420, None, None, "only in A")
    assert (handler.a, handler.b, handler.ratio, handler.conclusion) == (None, 21.5, None, "only in B")


def test_figures_are_those_that_the_run_has() -> None:
    result = a_result(
        latencies={"consumed": a_latency([1000] * 9 + [3000]), "window result": a_latency([])},
        handlers=[
            Handler(consumer="traffic", records=100, us_per_record=10.0),
            Handler(consumer="traffic", records=300, us_per_record=30.0),
            Handler(consumer="idle", records=0, us_per_record=0.0),
        ],
        usage=[Usage(role="s3", processes=1, cpu_seconds=1.0, cpu_us_per_event=math.nan, max_memory_mb=70.0)],
        lag=[],
    )

    assert {str(figure): value for figure, value in figures(result).items()} == {
        "consumed p50, ms": 1.0, "consumed p99, ms": 3.0, "consumed p99.9, ms": 3.0, "consumed max, ms": 3.0,
        "rate reached, events a second": 1999.2, "handler of traffic, µs a record": 25.0, "memory of s3, MB": 70.0,
    }  # fmt: skip


def test_latencies_of_void_and_partial_runs_are_refused_by_name() -> None:
    void, partial = a_run(name="b/1", void="the schedule slipped"), a_run(name="b/2", partial="it was interrupted")
    found = compared([a_run(name=f"a/{number}") for number in (1, 2, 3)], [void, partial, a_run(name="b/3")])

    assert found.refused == (
        "the latencies of B's b/1 are not compared, it is void: the schedule slipped",
        "the latencies of B's b/2 are not compared, it is partial: it was interrupted",
    )
    assert of(found, "consumed p99").pairs == 1
    assert of(found, "CPU of consumers").pairs == 3
    alone = compared([a_run(), a_run()], [void])
    assert of(alone, "consumed p99").conclusion == "only in A"


def test_a_run_that_refuses_is_not_paired_with_the_next() -> None:
    latencies = [{"consumed": a_latency([1000 * ms])} for ms in (1, 2, 4)]
    a = [a_run(latencies=one) for one in latencies]
    b = [replace(one, result=replace(one.result, void="late" if place == 0 else "")) for place, one in enumerate(a)]

    assert of(compared(a, b), "consumed p99").ratio == 1
    assert of(compared(b, a), "consumed p99").noise == pytest.approx(2)


def test_all_that_differs_between_the_sides_is_listed() -> None:
    settings = a_result().settings
    b = a_run(
        settings={**settings, "scenario": {**settings["scenario"], "rate": 4000}, "new": True},
        versions={"shardlake": "0.2.0", "kafka": "4.4.0"},
        machine={"cpu": "x86-64", "cores": 4, "load": {"before": 1.7}},
    )
    found = compared([a_run()], [b])

    assert found.differences == (
        Difference("scenario.rate", "2000", "4000"),
        Difference("new", "none", "true"),
        Difference("versions: shardlake", "0.1.0", "0.2.0"),
        Difference("machine: cores", "2", "4"),
    )


def test_seeds_that_both_sides_have_are_no_difference() -> None:
    def with_seeds(*seeds: int) -> list[Run]:
        return [a_run(settings={"scenario": {"rate": 2000, "seed": seed}}) for seed in seeds]

    assert compared(with_seeds(1, 2), with_seeds(1, 2)).differences == ()
    assert compared(with_seeds(1, 2), with_seeds(3, 4)).differences == (Difference("scenario.seed", "1 / 2", "3 / 4"),)


@pytest.mark.parametrize("name", ["rate", "duration", "producers", "partitions", "timeline"])
def test_runs_of_a_side_that_are_no_repetitions_are_refused(name: str) -> None:
    alike, other = a_run(settings={"scenario": {name: 1}}), a_run(settings={"scenario": {name: 2}})

    with pytest.raises(BadInput, match=rf"The runs of B are no repetitions: scenario\.{name} is 1 and 2\."):
        compared([alike], [alike, other])


def test_runs_of_a_side_that_were_offered_other_rates_are_refused() -> None:
    schedule = a_result().schedule
    assert schedule
    other = a_run(schedule=replace(schedule, offered_per_second=2100.0))

    with pytest.raises(BadInput, match=r"the rate offered is 2,000\.0 and 2,100\.0"):
        compared([a_run(), other], [a_run()])


def test_runs_that_are_not_paired_are_said() -> None:
    found = compared([a_run(), a_run(), a_run()], [a_run()])

    assert "A has 3 runs and B 1: the first 1 of each are paired" in found.notes


def test_what_verify_found_is_said() -> None:
    found = compared([a_run()], [a_run(name="b/1", verified="violated", anomalies={"lost-write": 3})])

    assert "shardlake verify found anomalies in B's b/1: 3 lost-write" in found.notes


def test_a_folder_is_a_run_or_several_by_name(tmp_path: Path) -> None:
    one = keep(tmp_path / "one", a_result())
    for name in ("10", "9", "1"):
        keep(tmp_path / "several" / name, a_result(events=int(name)))
    (tmp_path / "several" / "logs").mkdir()

    assert [run.name for run in runs(one)] == [str(one)]
    assert [run.result.events for run in runs(tmp_path / "several")] == [1, 9, 10]
    found = compare(one, tmp_path / "several")
    assert (len(found.a), len(found.b)) == (1, 3)
    for missing in (tmp_path / "several" / "logs", tmp_path / "none", one / "load.json"):
        with pytest.raises(BadInput, match="holds no run of load"):
            runs(missing)


def a_comparison() -> Comparison:
    def with_lag(lag: float, **changed: Any) -> Run:
        return a_run(lag=[a_slope("[g]|x", mean_lag=lag)], handlers=[], latencies={}, **changed)

    b = with_lag(3, settings={"a|b": "[red]"}, partial="[stopped]")
    return compared([with_lag(0), with_lag(0)], [b, b])


def test_a_comparison_is_shown_with_commas_and_what_is_infinite() -> None:
    assert rows(a_comparison()) == [
        ["rate reached, events a second", "1,999", "1,999", "1.000", "1.000", "1.000", "2", "1.000", "no difference"],
        ["mean lag of [g]|x, records", "0.00", "3.00", "∞", "∞", "∞", "2", "1.000", "higher"],
        ["CPU of consumers, µs an event", "180", "180", "1.000", "1.000", "1.000", "2", "1.000", "no difference"],
        ["memory of consumers, MB", "300", "300", "1.000", "1.000", "1.000", "2", "1.000", "no difference"],
    ]
    assert differences(a_comparison())[-1] == ["a|b", "none", "[red]"]
    assert words(a_comparison())[:2] == ["A: run, run", "B: run, run"]


def test_json_of_a_comparison_is_json() -> None:
    found = json.loads(json.dumps(as_json(a_comparison()), allow_nan=False))

    lag = found["figures"][1]
    assert (lag["name"], lag["unit"], lag["ratio"], lag["noise"]) == ("mean lag of [g]|x", "records", "infinite", 1.0)
    assert found["differences"][-1] == {"name": "a|b", "a": "none", "b": "[red]"}


def test_markdown_of_a_comparison_escapes_names() -> None:
    page = markdown(a_comparison())

    assert "| mean lag of \\[g\\]\\|x, records | 0.00 | 3.00 | ∞ | ∞ | ∞ | 2 | 1.000 | higher |" in page
    assert "| a\\|b | none | \\[red\\] |" in page
    assert "- B's run is partial: \\[stopped\\]" in page


def test_the_command_lines_tables_show_names_as_they_are() -> None:
    console = Console(file=StringIO(), width=200)
    console.print(comparison_table(a_comparison()))
    console.print(differences_table(a_comparison()))

    assert isinstance(console.file, StringIO)
    shown = console.file.getvalue()
    assert "mean lag of [g]|x, records" in shown
    assert "[red]" in shown
    assert "higher" in shown


def test_a_result_and_its_comparison_outlive_being_written(tmp_path: Path) -> None:
    result = a_result(void="late")
    assert Result.read(keep(tmp_path, result)) == result
