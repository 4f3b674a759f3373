"""Two runs, or two folders of several, beside each other: is B higher or lower than A, or no different?

A's runs among themselves say how far alike runs lie apart: the noise floor. What B differs by less than that is no
difference. Runs are paired in order, A's first with B's first, and the ratio is the median over the pairs, so that
runs made in turn share what the machine was doing.
"""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from shardlake.errors import BadInput
from shardlake.load.document import flat
from shardlake.load.figures import Figure, figures
from shardlake.load.result import RESULT_FILE, Result
from shardlake.load.verdict import void_because

HIGHER, LOWER, NO_DIFFERENCE, NOISE_UNKNOWN = "higher", "lower", "no difference", "noise unknown"
ONLY_IN_A, ONLY_IN_B = "only in A", "only in B"
LOAD = frozenset({
    "rate", "duration", "warm_up", "arrivals", "partitions", "producers", "consumer", "workers", "jobs", "linger_ms",
    "timeline",
})  # fmt: skip
"""Settings in which the runs of one side may not differ: they would be no repetitions."""
SAME_RATE = 0.01
ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Run:
    """One, by the name of its folder."""

    name: str
    result: Result

    @property
    def no_latencies(self) -> str:
        """Why its latencies are not compared; '' where they are."""
        void = void_because(self.result)
        return f"void: {void}" if void else f"partial: {self.result.partial}" if self.result.partial else ""


@dataclass(frozen=True, slots=True)
class Difference:
    """A setting, a version or a fact of the machine that is another in B than in A."""

    name: str
    a: str
    b: str


@dataclass(frozen=True, slots=True)
class Compared:
    """One figure. `a` and `b` are of the run in the middle; ratios are B / A, infinite where A is 0. `noise` is the
    factor by which neighbouring runs of A lie apart at most, None with fewer than two; what is in one side alone has no
    ratios."""

    figure: Figure
    a: float | None
    b: float | None
    pairs: int
    ratio: float | None
    smallest: float | None
    largest: float | None
    noise: float | None
    conclusion: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """`a` and `b` are the names of the runs; `refused` says whose latencies are not in it, and why."""

    a: tuple[str, ...]
    b: tuple[str, ...]
    differences: tuple[Difference, ...]
    refused: tuple[str, ...]
    notes: tuple[str, ...]
    figures: tuple[Compared, ...]


def compare(a: Path, b: Path) -> Comparison:
    """Each is a run's folder, or a folder of several. Raises BadInput where one is none, or its runs differ."""
    return compared(runs(a), runs(b))


def runs(folder: Path) -> list[Run]:
    """The run of a folder, or those in the folders within, by name, 10 after 9. Raises BadInput where there is none."""
    if (folder / RESULT_FILE).exists():
        return [Run(str(folder), Result.read(folder))]
    within = [path.parent for path in folder.glob(f"*/{RESULT_FILE}")] if folder.is_dir() else []
    if not within:
        msg = f"{folder} holds no run of load: neither it nor a folder within has a {RESULT_FILE}."
        raise BadInput(msg, "`shardlake load --report FOLDER` makes one.")
    return [Run(str(path), Result.read(path)) for path in sorted(within, key=_by_number)]


def _by_number(path: Path) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", path.name) if part]


def compared(a: Sequence[Run], b: Sequence[Run]) -> Comparison:
    """Of one run or several on each side. Raises BadInput where the runs of a side are no repetitions."""
    for side, of_side in (("A", a), ("B", b)):
        _check_alike(side, of_side)
    values = [[_figures(run) for run in side] for side in (a, b)]
    order = dict.fromkeys(figure for side in values for run in side for figure in run)
    return Comparison(
        a=tuple(run.name for run in a),
        b=tuple(run.name for run in b),
        differences=tuple(_differences(a, b)),
        refused=tuple(
            f"the latencies of {side}'s {run.name} are not compared, it is {run.no_latencies}"
            for side, of_side in (("A", a), ("B", b))
            for run in of_side
            if run.no_latencies
        ),
        notes=tuple(_notes(a, b)),
        figures=tuple(
            _compared(figure, *([run.get(figure) for run in side] for side in values))
            for figure in sorted(order, key=lambda figure: not figure.is_latency)
        ),
    )


def _figures(run: Run) -> dict[Figure, float]:
    found = figures(run.result)
    return {figure: value for figure, value in found.items() if not (figure.is_latency and run.no_latencies)}


def _compared(figure: Figure, a: Sequence[float | None], b: Sequence[float | None]) -> Compared:
    """Of each run's value in order, None where a run has it not."""
    ratios = [_ratio(x, y) for x, y in zip(a, b, strict=False) if x is not None and y is not None]
    of_a, of_b = ([value for value in side if value is not None] for side in (a, b))
    apart = [abs(_log(_ratio(x, y))) for x, y in pairwise(of_a)]
    noise = math.exp(max(apart)) if apart else None
    middle = statistics.median(ratios) if ratios else None
    return Compared(
        figure=figure,
        # The lower of two in the middle: no percentile is averaged.
        a=statistics.median_low(of_a) if of_a else None,
        b=statistics.median_low(of_b) if of_b else None,
        pairs=len(ratios),
        ratio=middle,
        smallest=min(ratios, default=None),
        largest=max(ratios, default=None),
        noise=noise,
        conclusion=_conclusion(middle, noise, in_a=bool(of_a), in_b=bool(of_b)),
    )


def _ratio(a: float, b: float) -> float:
    if a == b:
        return 1.0
    return b / a if a else math.inf


def _log(ratio: float) -> float:
    return math.log(ratio) if ratio > 0 else -math.inf


def _conclusion(ratio: float | None, noise: float | None, *, in_a: bool, in_b: bool) -> str:
    if ratio is None:
        return "no pair" if in_a and in_b else ONLY_IN_A if in_a else ONLY_IN_B
    if noise is None:
        return NOISE_UNKNOWN
    if abs(_log(ratio)) <= math.log(noise) + ROUNDING:
        return NO_DIFFERENCE
    return HIGHER if ratio > 1 else LOWER


def _check_alike(side: str, of_side: Sequence[Run]) -> None:
    """Raises BadInput where they are no repetitions of one load."""
    for name, values in _values(run.result.settings for run in of_side).items():
        if name.rpartition(".")[2] in LOAD and len(set(values)) > 1:
            raise _unlike(side, name, values)
    rates = [run.result.schedule.offered_per_second for run in of_side if run.result.schedule]
    if rates and max(rates) > (1 + SAME_RATE) * min(rates) and not any(run.result.partial for run in of_side):
        raise _unlike(side, "the rate offered", [f"{rate:,.1f}" for rate in rates])


def _unlike(side: str, name: str, values: Sequence[str]) -> BadInput:
    msg = f"The runs of {side} are no repetitions: {name} is {' and '.join(dict.fromkeys(values))}."
    return BadInput(msg, "Put runs of one load into a folder; what differs between folders is what is compared.")


def _differences(a: Sequence[Run], b: Sequence[Run]) -> Iterator[Difference]:
    for what in ("settings", "versions", "machine"):
        of_a, of_b = (_values(getattr(run.result, what) for run in side) for side in (a, b))
        for name in dict.fromkeys([*of_a, *of_b]):
            left, right = (" / ".join(sorted(set(side.get(name, ["none"])))) for side in (of_a, of_b))
            # What floats on a machine, as its load, is another each time.
            if left != right and not (what == "machine" and _floats(left) and _floats(right)):
                yield Difference(name if what == "settings" else f"{what}: {name}", left, right)


def _floats(shown: str) -> bool:
    return bool(re.search(r"\d\.\d", shown)) and not re.search(r"[^\d\s.,e+/\[\]-]", shown)


def _values(of_runs: Iterator[dict[str, object]]) -> dict[str, list[str]]:
    """Each name's values, run by run; where a run lacks it, none."""
    found = [dict(flat(one)) for one in of_runs]
    return {name: [one.get(name, "none") for one in found] for name in dict.fromkeys(n for one in found for n in one)}


def _notes(a: Sequence[Run], b: Sequence[Run]) -> Iterator[str]:
    if len(a) != len(b):
        fewer = min(len(a), len(b))
        yield f"A has {len(a)} runs and B {len(b)}: the first {fewer} of each are paired"
    if len(a) < 2:
        yield "A is a single run: how far alike runs lie apart is unknown, so that no ratio tells a difference"
    for side, of_side in (("A", a), ("B", b)):
        for run in of_side:
            if run.result.partial:
                yield f"{side}'s {run.name} is partial: {run.result.partial}"
            if run.result.verified == "violated":
                named = ", ".join(f"{count:,} {name}" for name, count in sorted(run.result.anomalies.items()))
                yield f"shardlake verify found anomalies in {side}'s {run.name}: {named}"
