"""What is drawn of a run: lag, the rate sent and its slip, latencies, and what each role took.

matplotlib takes a second to import: this module is imported where a report is written, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, NullLocator

from shardlake.load.drawing import (
    WIDTH_INCHES,
    Numbers,
    Plot,
    legend_beside,
    numbers_with_commas,
    step_for,
    style,
    svg,
    thin,
)
from shardlake.load.palette import LATENCIES, ROLES, light, of_each
from shardlake.load.percentiles import LAST, curve, name
from shardlake.load.result import Result, Sample, Slope
from shardlake.load.verdict import void_because

NAMED_SHARDS = 7
NARROW = 0.1
"""Of the time axis: a warm-up that is shorter has no room for its name."""
TALL_INCHES = 2.4


def of_run(result: Result, samples: Sequence[Sample]) -> dict[str, Plot]:
    """All that can be drawn of it, by name: lag, rate, latencies, cpu and memory."""
    found = {}
    run = _Run(result, samples)
    with style():
        if run.groups:
            found["lag"] = _lag(run)
        if len(samples) > 1:
            found["rate"] = _rate(run)
        if not void_because(result) and any(curve(one) for one in result.latencies.values()):
            found["latencies"] = _latencies(result)
        if len(samples) > 1 and run.roles:
            found["cpu"] = _cpu(run)
        if run.roles:
            found["memory"] = _memory(run)
    return found


@dataclass(slots=True)
class _Run:
    """The samples, turned round."""

    result: Result
    samples: Sequence[Sample]
    seconds: Numbers = field(init=False)
    groups: dict[str, dict[str, Numbers]] = field(init=False)
    roles: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self.seconds = np.array([one.at_seconds for one in self.samples], float)
        shards: dict[str, dict[str, None]] = {}
        for one in self.samples:
            for group, lags in one.lag.items():
                shards.setdefault(group, {}).update(dict.fromkeys(lags))
        self.groups = {
            group: {shard: self._lags(group, shard) for shard in sorted(of_group, key=_in_order)}
            for group, of_group in sorted(shards.items())
            if of_group
        }
        there = {role for one in self.samples for role in (*one.cpu_seconds, *one.memory_mb)}
        self.roles = [role for role in (*ROLES, *sorted(there - set(ROLES))) if role in there]

    def _lags(self, group: str, shard: str) -> Numbers:
        found = [one.lag.get(group, {}).get(shard, -1) for one in self.samples]
        # Below 0 is not known.
        return np.array([value if value >= 0 else np.nan for value in found], float)

    @property
    def gaps(self) -> Numbers:
        """Seconds from each sample to the next."""
        return np.maximum(np.diff(self.seconds), 1e-3)

    @property
    def end(self) -> float:
        """Of the time axis."""
        return max(self.result.seconds, float(self.seconds[-1]) if len(self.seconds) else 0.0)


def _in_order(shard: str) -> tuple[str, int, str]:
    """Shard 10 comes after shard 9."""
    before, _, last = shard.rpartition("-")
    return (before, int(last), shard) if last.isdecimal() else (shard, -1, shard)


def _lag(run: _Run) -> Plot:
    slopes = {slope.group: slope for slope in run.result.lag}
    step = step_for(len(run.samples), sum(len(shards) + 1 for shards in run.groups.values()))
    figure, panels = _time_panels(run, len(run.groups))
    for panel, (group, shards) in zip(panels, run.groups.items(), strict=True):
        _lag_panel(panel, run, shards, slopes.get(group), step)
        panel.set_title(_lag_title(group, slopes.get(group)))
        panel.set_ylabel("records behind")
    drawn = svg(figure, "lag", "Lag of each group and shard over time")
    caption = "Records behind, a line a shard; the dashed line is the slope after the warm-up, with its bounds of 95 %."
    return Plot(drawn, caption + _points(step, "the highest"))


def _lag_title(group: str, slope: Slope | None) -> str:
    if slope is None:
        return group
    bounds = f"{slope.low:+,.1f} to {slope.high:+,.1f}"
    return f"{group}: {slope.records_per_second:+,.1f} records a second ({bounds}), {slope.conclusion}"


def _lag_panel(panel: Axes, run: _Run, shards: dict[str, Numbers], slope: Slope | None, step: int) -> None:
    seconds = thin(run.seconds, step, highest=False)
    peaks = {shard: float(np.fmax.reduce(lags, initial=0)) for shard, lags in shards.items()}
    named = sorted(shards, key=lambda shard: -peaks[shard])[:NAMED_SHARDS] if len(shards) > 1 + NAMED_SHARDS else shards
    colours = of_each([shard for shard in shards if shard in named])
    marks: list[tuple[str, Line2D | Patch]] = []
    for shard, lags in shards.items():
        (line,) = panel.plot(
            seconds, thin(lags, step, highest=True), color=colours.get(shard, light("faint")),
            linewidth=1.2 if shard in colours else 0.5,
        )  # fmt: skip
        if shard in colours:
            marks.append((shard, line))
    others = len(shards) - len(colours)
    if others:
        marks.append((f"{others} others", Line2D([], [], color=light("faint"), linewidth=0.5)))
    together = np.sum(list(shards.values()), axis=0)
    if len(shards) > 1:
        (line,) = panel.plot(seconds, thin(together, step, highest=True), color=light("ink"), linewidth=1.2)
        marks.insert(0, ("together", line))
    highest = max(float(np.fmax.reduce(together, initial=0)), *peaks.values())
    if slope is not None:
        marks.append(("slope", _slope_line(panel, run, slope)))
    numbers_with_commas(panel)
    # Steep bounds of a slope are cut off, lag is not.
    panel.set_ylim(0, 1.12 * highest or 1)
    legend_beside(panel, marks)


def _slope_line(panel: Axes, run: _Run, slope: Slope) -> Line2D:
    """Least squares go through the middle of time and lag."""
    measured = run.seconds[run.seconds >= run.result.warm_up_seconds]
    if not len(measured):
        measured = run.seconds
    middle, ends = float(measured.mean()), np.array([measured[0], measured[-1]])
    low, fitted, high = (
        slope.mean_lag + rate * (ends - middle) for rate in (slope.low, slope.records_per_second, slope.high)
    )
    times = np.array([ends[0], middle, ends[1]])
    lines = np.array([[low[0], slope.mean_lag, low[1]], [high[0], slope.mean_lag, high[1]]])
    panel.fill_between(times, lines.min(axis=0), lines.max(axis=0), color=light("faint"), alpha=0.2, linewidth=0)
    (line,) = panel.plot(ends, fitted, color=light("ink"), linestyle=(0, (4, 2)), linewidth=1.2)
    return line


def _rate(run: _Run) -> Plot:
    step = step_for(len(run.samples), 1)
    schedule = run.result.schedule
    slip = schedule and curve(schedule.slip)
    figure = Figure(figsize=(WIDTH_INCHES, TALL_INCHES), layout="constrained")
    if slip:
        panel, beside = figure.subplots(1, 2, width_ratios=(2, 1))
        _percentile_axis(beside)
        beside.plot(*slip, color=of_each(["schedule slip"], LATENCIES)["schedule slip"])
        numbers_with_commas(beside)
        beside.set_title("schedule slip, ms")
    else:
        panel = figure.subplots()
    _time_axis(panel, run, numbered=True)
    sent = np.array([one.sent for one in run.samples[1:]], float)
    rates = thin(sent, step, highest=False) / thin(run.gaps, step, highest=False)
    (line,) = panel.plot(thin(run.seconds[1:], step, highest=False), rates, color=light("blue"))
    marks: list[tuple[str, Line2D | Patch]] = [("sent", line)]
    if schedule:
        ends = (run.result.warm_up_seconds, run.end)
        (line,) = panel.plot(ends, [schedule.offered_per_second] * 2, color=light("ink"), linestyle=(0, (4, 2)))
        marks.append(("offered, mean", line))
        panel.legend([mark for _, mark in marks], [words for words, _ in marks], loc="lower right", ncols=2)
    numbers_with_commas(panel)
    panel.set_title("events a second")
    panel.set_xlabel("seconds")
    drawn = svg(figure, "rate", "Rate sent over time, and schedule slip by percentile")
    caption = "Events handed over, a second, and beside it how late they were handed over."
    return Plot(drawn, caption + _points(step, "the mean"))


def _latencies(result: Result) -> Plot:
    figure = Figure(figsize=(WIDTH_INCHES, 3.2), layout="constrained")
    panel = figure.subplots()
    _percentile_axis(panel)
    colours = of_each(list(result.latencies), LATENCIES)
    marks: list[tuple[str, Line2D | Patch]] = []
    for what, latency in result.latencies.items():
        found = curve(latency)
        if found:
            (line,) = panel.plot(*found, color=colours[what])
            marks.append((what, line))
    panel.set_yscale("log")
    panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    panel.yaxis.set_minor_locator(NullLocator())
    panel.set_title("milliseconds since the intended time of sending" + (f": {marks[0][0]}" if len(marks) < 2 else ""))
    legend_beside(panel, marks)
    drawn = svg(figure, "latencies", "Latencies by percentile")
    return Plot(drawn, f"By percentile, to {name(LAST)} or as far as there are values.")


def _cpu(run: _Run) -> Plot:
    step = step_for(len(run.samples), 2 * len(run.roles))
    gaps = thin(run.gaps, step, highest=False)
    colours = of_each(run.roles, ROLES)
    figure, (panel,) = _time_panels(run, 1)
    cores = [
        thin(np.array([one.cpu_seconds.get(role, 0.0) for one in run.samples[1:]], float), step, highest=False) / gaps
        for role in run.roles
    ]
    panel.stackplot(
        thin(run.seconds[1:], step, highest=False), cores, colors=[colours[role] for role in run.roles],
        edgecolor=light("surface"), linewidth=0.6,
    )  # fmt: skip
    numbers_with_commas(panel)
    panel.set_title("CPU: cores in use, by role")
    # The legend stands in the order of the layers, the highest first.
    legend_beside(panel, [(role, Patch(color=colours[role])) for role in reversed(run.roles)])
    drawn = svg(figure, "cpu", "Cores in use by role over time")
    return Plot(drawn, "User and system time of each role's processes, one upon the other." + _points(step, "the mean"))


def _memory(run: _Run) -> Plot:
    step = step_for(len(run.samples), len(run.roles))
    colours = of_each(run.roles, ROLES)
    figure, (panel,) = _time_panels(run, 1)
    marks: list[tuple[str, Line2D | Patch]] = []
    for role in run.roles:
        memory = thin(np.array([one.memory_mb.get(role, np.nan) for one in run.samples], float), step, highest=True)
        (line,) = panel.plot(thin(run.seconds, step, highest=False), memory, color=colours[role])
        marks.append((role, line))
    numbers_with_commas(panel)
    panel.set_title("memory, MB, by role")
    legend_beside(panel, marks)
    drawn = svg(figure, "memory", "Resident memory by role over time")
    return Plot(drawn, "Resident memory of each role's processes together." + _points(step, "the highest"))


def _time_panels(run: _Run, count: int) -> tuple[Figure, list[Axes]]:
    """One above the other, on one time axis."""
    figure = Figure(figsize=(WIDTH_INCHES, 0.3 + (TALL_INCHES - 0.3) * count), layout="constrained")
    panels = [row[0] for row in figure.subplots(count, 1, sharex=True, squeeze=False)]
    for place, panel in enumerate(panels):
        _time_axis(panel, run, numbered=place == 0)
    panels[-1].set_xlabel("seconds")
    return figure, panels


def _time_axis(panel: Axes, run: _Run, *, numbered: bool) -> None:
    """With the warm-up shaded and the scenario's acts marked."""
    top = panel.get_xaxis_transform()
    warm_up = run.result.warm_up_seconds
    panel.set_xlim(0, run.end or 1)
    panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    if warm_up:
        panel.axvspan(0, warm_up, color=light("faint"), alpha=0.15, linewidth=0)
        if numbered and warm_up > NARROW * run.end:
            panel.text(0.004 * run.end, 0.97, "warm-up", transform=top, va="top", color=light("quiet"), fontsize=7.5)
    for place, act in enumerate(run.result.acts, 1):
        panel.axvline(act.at_seconds, color=light("quiet"), linestyle=(0, (1, 2)), linewidth=0.9)
        if numbered:
            panel.text(act.at_seconds, 0.97, f" {place}", transform=top, va="top", fontsize=7.5, clip_on=True)


def _percentile_axis(panel: Axes) -> None:
    """To 99.99 %, each step a tenth of what is left."""
    panel.set_xscale("log")
    panel.set_xlim(1, LAST)
    panel.set_xticks([10.0**power for power in range(5)])
    panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: name(value)))
    panel.xaxis.set_minor_locator(NullLocator())
    panel.grid(visible=True, axis="x")


def _points(step: int, which: str) -> str:
    return f" Each point is {which} of {step} samples." if step > 1 else ""
