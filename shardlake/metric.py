"""What a metric is called and means: each is said once, where it is made, and docs/metrics.md lists them all."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric as Family


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

    def family(self) -> Family:
        """One without samples, for a program that reads its numbers at each scrape."""
        from prometheus_client.metrics_core import Metric as Family

        return Family(self.name.removesuffix("_total"), self.help, self.kind.value)


Samples: TypeAlias = list[tuple[tuple[str, ...], float]]
"""Values of one metric, each with its labels' values."""
Values: TypeAlias = Iterable[tuple[Metric, Samples]]
"""Of several metrics."""
