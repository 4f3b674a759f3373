"""What is drawn of a search for capacity: the rate that holds over the count of workers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from shardlake.load.drawing import WIDTH_INCHES, Plot, legend_beside, numbers_with_commas, style, svg
from shardlake.load.palette import light, of_each
from shardlake.load.result import Capacities
from shardlake.load.scalability import Grown, grown

IDEAL = (0, (4, 2))


def of_capacity(found: Capacities) -> dict[str, Plot]:
    """By name: scalability, where anything was found."""
    lines = grown(found.found)
    if not lines:
        return {}
    kinds = sorted({kind for kind, _ in lines})
    with style():
        figure = Figure(figsize=(WIDTH_INCHES, 2.9 * len(kinds)), layout="constrained")
        panels = [row[0] for row in figure.subplots(len(kinds), 1, squeeze=False)]
        for panel, kind in zip(panels, kinds, strict=True):
            _panel(panel, kind, {name: line for (of_kind, name), line in lines.items() if of_kind == kind})
        drawn = svg(figure, "scalability", "The rate that holds over the count of workers")
    caption = (
        "The highest rate that holds. Bars go from the highest rate that held to the lowest that did not; "
        "the dashed line is the ideal: each worker as much as those of the smallest count."
    )
    return {"scalability": Plot(drawn, caption)}


def _panel(panel: Axes, kind: str, lines: dict[str, list[Grown]]) -> None:
    colours = of_each(list(lines))
    marks: list[tuple[str, Line2D | Patch]] = []
    for name, line in lines.items():
        counts = [one.capacity.count for one in line]
        rates = [one.capacity.rate for one in line]
        panel.errorbar(
            counts, rates, yerr=_bars(line), color=colours[name], marker="o", markersize=5, capsize=4, elinewidth=1.2
        )
        panel.plot(counts, [one.ideal for one in line], color=colours[name], linestyle=IDEAL, linewidth=1)
        marks.append((name, Line2D([], [], color=colours[name], marker="o", markersize=5)))
    if any(len(line) > 1 for line in lines.values()):
        marks.append(("ideal", Line2D([], [], color=light("quiet"), linestyle=IDEAL, linewidth=1)))
    every = sorted({one.capacity.count for line in lines.values() for one in line})
    panel.set_xticks(every)
    panel.set_xlim(0, 1.08 * every[-1])
    numbers_with_commas(panel)
    panel.set_title(f"{kind}: events a second that hold" + (f", {marks[0][0]}" if len(lines) == 1 else ""))
    panel.set_xlabel("count")
    legend_beside(panel, marks)


def _bars(line: Sequence[Grown]) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Down and up from each rate; a bound that is not known has no bar."""
    rates = np.array([one.capacity.rate for one in line])
    low, high = (np.array([one.capacity.bounds[place] or np.nan for one in line], float) for place in (0, 1))
    bars = np.array([np.maximum(0, rates - low), np.maximum(0, high - rates)])
    return np.nan_to_num(bars, nan=0, posinf=0)
