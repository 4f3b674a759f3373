"""The report over all sittings of a folder, made from their histories alone."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from shardlake.counted import counted
from shardlake.errors import BadInput
from shardlake.faults.checkpoint import IN_FLIGHT
from shardlake.faults.history import Entry

KIND_ENTRIES = frozenset({"injecting", "injected", "recovered", "stuck"})
BEGIN, END = "<!-- faults: begin -->", "<!-- faults: end -->"


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Of seconds; all are 0 where there are none."""

    p50: float
    p99: float
    max: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Quantiles:
        """Each is one of the values: the smallest with at least this share of them up to it."""
        ordered = sorted(values)

        def quantile(share: float) -> float:
            return ordered[math.ceil(share * len(ordered)) - 1] if ordered else 0.0

        return cls(quantile(0.5), quantile(0.99), quantile(1))


@dataclass(frozen=True, slots=True)
class KindReport:
    """One kind: how often it came, how often a checkpoint was in flight, and how long recovery took."""

    kind: str
    faults: int
    in_flight: int
    stuck: int
    lowest_rate: float
    after_fault: Quantiles
    after_heal: Quantiles


@dataclass(frozen=True, slots=True)
class Report:
    """All sittings. Those without an end were interrupted: their faults count, their verdict is missing."""

    sittings: int
    unfinished: int
    verdicts: dict[str, int]
    faults: int
    records: int
    kinds: tuple[KindReport, ...]


def report(histories: Sequence[Sequence[Entry]]) -> Report:
    """Of one history for each sitting."""
    verdicts: dict[str, int] = defaultdict(int)
    by_kind: dict[str, list[Entry]] = defaultdict(list)
    records = 0
    for history in histories:
        for entry in history:
            if entry["what"] == "verdict":
                verdicts[entry["verdict"]] += 1
                records += entry["records"]
            elif entry["what"] in KIND_ENTRIES:
                by_kind[entry["kind"]].append(entry)
    kinds = tuple(_kind(name, entries) for name, entries in sorted(by_kind.items()))
    return Report(
        sittings=len(histories),
        unfinished=sum(not any(entry["what"] == "ended" for entry in history) for history in histories),
        verdicts=dict(verdicts),
        faults=sum(kind.faults for kind in kinds),
        records=records,
        kinds=kinds,
    )


def _kind(name: str, entries: list[Entry]) -> KindReport:
    injecting, injected, recovered, stuck = (
        [entry for entry in entries if entry["what"] == what]
        for what in ("injecting", "injected", "recovered", "stuck")
    )
    return KindReport(
        kind=name,
        faults=len(injected),
        in_flight=sum(entry["checkpoint"]["state"] == IN_FLIGHT for entry in injected),
        stuck=len(stuck),
        lowest_rate=min((entry["rate"] for entry in injecting), default=0),
        after_fault=Quantiles.of(entry["fault_seconds"] for entry in recovered),
        after_heal=Quantiles.of(entry["heal_seconds"] for entry in recovered),
    )


COLUMNS = (
    "fault", "times", "checkpoint in flight", "records/s, lowest", "fault to recovered, s: p50 / p99 / max",
    "heal to recovered, s: p50 / p99 / max", "stuck",
)  # fmt: skip


def rows(found: Report) -> list[list[str]]:
    """The table, a row a kind, for COLUMNS."""
    return [
        [
            one.kind, str(one.faults), str(one.in_flight), f"{one.lowest_rate:,.0f}",
            *(f"{q.p50:.1f} / {q.p99:.1f} / {q.max:.1f}" for q in (one.after_fault, one.after_heal)), str(one.stuck),
        ]
        for one in found.kinds
    ]  # fmt: skip


def summary(found: Report) -> str:
    """One sentence."""
    verdicts = ", ".join(f"{count} {verdict}" for verdict, count in sorted(found.verdicts.items())) or "none"
    unfinished = f", {found.unfinished} of them unfinished" if found.unfinished else ""
    sittings, faults = counted(found.sittings, "sitting"), counted(found.faults, "fault")
    return f"{sittings}{unfinished}, {faults}, {counted(found.records, 'record')}; verdicts: {verdicts}"


def write(found: Report, page: Path) -> None:
    """Put the table between the page's two marks. Raises BadInput where it has none."""
    text = page.read_text() if page.exists() else ""
    if BEGIN not in text or END not in text.partition(BEGIN)[2]:
        raise BadInput(f"{page} has no place for the report.", f"It goes between {BEGIN} and {END}, a line each.")
    before, _, rest = text.partition(BEGIN)
    lines = [
        f"{summary(found)}.", "", f"| {' | '.join(COLUMNS)} |", "|" + "---|" * len(COLUMNS),
        *(f"| {' | '.join(row)} |" for row in rows(found)),
    ]  # fmt: skip
    page.write_text(f"{before}{BEGIN}\n" + "\n".join(lines) + f"\n{END}{rest.partition(END)[2]}")
