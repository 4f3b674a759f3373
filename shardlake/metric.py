"""What a metric is called and means: each is said once, where it is made, and docs/metrics.md lists them all."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from prometheus_client import CollectorRegistry, Counter, Gauge


class Kind(StrEnum):
    """As Prometheus has them."""

    GAUGE = "gauge"
    COUNTER = "counter"


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric as it is exported: a counter's name ends with `_total`, a unit is part of the name."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()

    def gauge(self, registry: CollectorRegistry) -> Gauge:
        """One that a program sets itself."""
        return Gauge(self.name, self.help, self.labels, registry=registry)

    def counter(self, registry: CollectorRegistry) -> Counter:
        """One that a program raises itself."""
        return Counter(self.name, self.help, self.labels, registry=registry)


Samples: TypeAlias = list[tuple[tuple[str, ...], float]]
"""Values of one metric, each with its labels' values."""
Values: TypeAlias = Iterable[tuple[Metric, Samples]]
"""Of several metrics."""
