"""How the rate that holds grows with workers: beside what it would be if each brought as much as those of the first."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from shardlake.load.result import Capacity


@dataclass(frozen=True, slots=True)
class Grown:
    """One configuration beside the smallest of its kind and name: `times` its rate, and the rate on the ideal line."""

    capacity: Capacity
    times: float
    ideal: float

    @property
    def share(self) -> float:
        """Of the ideal."""
        return self.capacity.rate / self.ideal if self.ideal else float("nan")


def grown(found: Iterable[Capacity]) -> dict[tuple[str, str], list[Grown]]:
    """By kind and name, and by count within."""
    lines: dict[tuple[str, str], list[Capacity]] = {}
    for one in found:
        lines.setdefault((one.kind, one.name), []).append(one)
    return {key: _grown(sorted(line, key=lambda one: one.count)) for key, line in sorted(lines.items())}


def _grown(line: list[Capacity]) -> list[Grown]:
    first = line[0]
    return [
        Grown(one, one.rate / first.rate if first.rate else float("nan"), first.rate * one.count / first.count)
        for one in line
    ]
