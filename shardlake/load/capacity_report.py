"""What a report says of a search for capacity, in order."""

from __future__ import annotations

import math

from shardlake.load.document import (
    UNKNOWN,
    Banner,
    Document,
    Section,
    Table,
    facts,
    milliseconds,
    number,
    percent,
    rate,
)
from shardlake.load.result import Capacities, Capacity, Probe
from shardlake.load.scalability import grown
from shardlake.load.verdict import capacity_judgements


def of_capacity(found: Capacities) -> Document:
    """All of it; the plot is named and drawn elsewhere."""
    verdict = "; ".join(map(str, capacity_judgements(found)))
    said = f"Partial: {verdict}" if found.partial else f"{verdict[0].upper()}{verdict[1:]}"
    banners = []
    if found.partial:
        banners.append(
            Banner("Partial", f"This search is not whole: {found.partial.rstrip('.')}. What it found till then holds.")
        )
    violated = [_name(one) for one in found.found if one.verified == "violated"]
    if violated:
        banners.append(Banner("Violated", f"shardlake verify found anomalies: {', '.join(violated)}."))
    return Document(
        title=f"{said} — capacity of {_what(found)}",
        judgements=capacity_judgements(found),
        banners=tuple(banners),
        sections=(
            _scalability(found),
            *(_probes(one.capacity) for line in grown(found.found).values() for one in line),
            Section(title="Command", code=found.command),
            facts("Settings", found.settings, (f"Began {found.began}.",)),
            facts("Machine", found.machine),
            facts("Versions", found.versions),
        ),
    )


def _what(found: Capacities) -> str:
    lines = list(grown(found.found))
    return ", ".join(f"{kind} {name}" for kind, name in lines) if lines else "nothing that was found"


def _name(one: Capacity) -> str:
    return f"{one.kind} {one.name}, {one.count}"


def _scalability(found: Capacities) -> Section:
    if not found.found:
        return Section(title="Scalability", words=("No rate was found.",))
    columns = (
        "kind", "name", "count", "events a second that hold", "held at", "not at", "times the first", "of the ideal",
        "confirmed", "CPU, µs an event", "limit", "verify",
    )  # fmt: skip
    rows = tuple(
        (
            one.capacity.kind, one.capacity.name, number(one.capacity.count), rate(one.capacity.rate),
            *(_bound(bound) for bound in one.capacity.bounds), number(one.times, 2), percent(one.share, 0),
            f"{one.capacity.confirmed} of {one.capacity.repeats}", number(one.capacity.cpu_us_per_event, 1),
            one.capacity.limit or UNKNOWN, one.capacity.verified,
        )
        for line in grown(found.found).values()
        for one in line
    )  # fmt: skip
    words = (
        "The highest rate at which lag does not grow and the load itself is kept. Each is beside the smallest count of "
        "its kind and name; the ideal is that each worker brings as much as those."
    )
    table = Table(columns=columns, rows=rows, words_first=2, words_last=2)
    return Section(title="Scalability", words=(words,), tables=(table,), plots=("scalability",))


def _bound(bound: float) -> str:
    return rate(bound) if bound else UNKNOWN


def _probes(one: Capacity) -> Section:
    title = f"Probes: {_name(one)}"
    if not one.probes:
        return Section(title=title, words=("None is noted.",), folded=True)
    columns = (
        "probe", "rate", "reached", "slip p99, ms", "slope of lag, records a second", "by 95 % within", "of the rate",
        "conclusion",
    )  # fmt: skip
    rows = tuple((str(place), *_probe(probe)) for place, probe in enumerate(one.probes, 1))
    return Section(title=title, tables=(Table(columns=columns, rows=rows, words_last=1),), folded=True)


def _probe(probe: Probe) -> tuple[str, ...]:
    slope = probe.slope
    line = [UNKNOWN] * 3
    if slope and math.isfinite(slope.records_per_second):
        bounds = f"{number(slope.low, 2)} to {number(slope.high, 2)}"
        line = [number(slope.records_per_second, 2), bounds, percent(slope.share)]
    return (
        rate(probe.rate), rate(probe.reached_per_second), milliseconds(probe.slip_p99_ms), *line, probe.conclusion,
    )  # fmt: skip
