"""A scenario: what load is offered, to whom, and what is done to the servers and workers meanwhile.

`scenario_file` reads a scenario from a YAML file and checks it; `schedule` says when each of its events is due.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

HOT_KEY, LATE, POISON = "hot_key", "late", "poison"
RAMP, BURST = "ramp", "burst"
SLOW_CONSUMER, ADD_CONSUMER, RESTART_BROKER = "slow_consumer", "add_consumer", "restart_broker"
ENDLESS = 86_400.0


@dataclass(frozen=True, slots=True)
class Value:
    """What a number of a scenario may be; `default` None is one that must be given."""

    low: float
    high: float
    default: float | None = None
    whole: bool = False


STEPS: Mapping[str, Mapping[str, Value]] = {
    RAMP: {"to": Value(0.001, 1e7), "over": Value(0.001, ENDLESS)},
    BURST: {"factor": Value(0.01, 1000), "for": Value(0.1, ENDLESS)},
    HOT_KEY: {"share": Value(0, 1), "for": Value(0.1, ENDLESS, ENDLESS)},
    SLOW_CONSUMER: {
        "factor": Value(1, 1000, 1),
        "wait_us": Value(0, 60e6, 0),
        "for": Value(0.1, ENDLESS, ENDLESS),
    },
    ADD_CONSUMER: {"count": Value(1, 64, 1, whole=True)},
    RESTART_BROKER: {"down": Value(0.1, 60, 1)},
    POISON: {"count": Value(1, 1e6, whole=True), "for": Value(0.1, ENDLESS, 1)},
    LATE: {"share": Value(0, 1), "by": Value(0.001, 30 * 86_400), "for": Value(0.1, ENDLESS, ENDLESS)},
}
"""What can be done on the timeline, and its numbers; `for` and `over` are seconds, as is `by`."""

NUMBERS: Mapping[str, Value] = {
    "rate": Value(0.001, 1e7),
    "duration": Value(1, ENDLESS),
    "warm_up": Value(0, ENDLESS),
    "producers": Value(1, 64, whole=True),
    "workers": Value(0, 64, whole=True),
    "linger_ms": Value(0, 10_000),
    "seed": Value(0, 1e9, whole=True),
}
CONSTANT, POISSON = "constant", "poisson"
ARRIVALS = (CONSTANT, POISSON)


@dataclass(frozen=True, slots=True)
class Step:
    """One thing of the timeline, `at` seconds after the begin."""

    at: float
    name: str
    values: Mapping[str, float]

    @property
    def end(self) -> float:
        """When it is over, in the same seconds; what happens at once is over at once."""
        return self.at + self.values.get("for", self.values.get("over", 0.0))

    def __str__(self) -> str:
        """As `burst (factor 5, for 10)`."""
        shown = {name: value for name, value in self.values.items() if value != STEPS[self.name][name].default}
        return (
            f"{self.name} ({', '.join(f'{name} {value:g}' for name, value in shown.items())})" if shown else self.name
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """What is offered and done. `workers` of `consumer` read the topic, 0 for none; `jobs` is whether the Flink
    application runs."""

    rate: float
    duration: float = 120
    warm_up: float | None = None
    arrivals: str = CONSTANT
    producers: int = 1
    consumer: str | None = None
    workers: int = 1
    jobs: bool = True
    linger_ms: float = 5
    seed: int = 1
    timeline: tuple[Step, ...] = ()

    @property
    def measured(self) -> float:
        """Seconds that figures count."""
        return self.duration - (self.warm_up or 0.0)

    def steps(self, *names: str) -> Iterator[Step]:
        """Those of the timeline with these names, by their times."""
        return iter(sorted((step for step in self.timeline if step.name in names), key=lambda step: step.at))

    def as_json(self) -> dict[str, Any]:
        """As the report shows it."""
        return {**asdict(self), "timeline": [{"at": step.at, "step": str(step)} for step in self.timeline]}
