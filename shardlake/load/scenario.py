"""A scenario: what load is offered, to whom, and what is done to them meanwhile, as a YAML file says it.

    rate: 2000                 # events a second
    duration: 120              # seconds
    warm_up: 30                # seconds of it that no figure counts
    timeline:
      - {at: 40, burst: {factor: 5, for: 10}}
      - {at: 60, slow_consumer: {factor: 3, for: 20}}

What is wrong in a file is named by its line, with the words that are allowed there.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from shardlake.errors import BadInput

HOT_KEY, LATE, POISON = "hot_key", "late", "poison"
RAMP, BURST = "ramp", "burst"
SLOW_CONSUMER, ADD_CONSUMER, RESTART_BROKER = "slow_consumer", "add_consumer", "restart_broker"
ENDLESS = 86_400.0
MOST_EVENTS = 50_000_000
"""Of a run: each has a place in memory while it lasts."""

LONGEST_WARM_UP_SECONDS = 60


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

    @classmethod
    def read(cls, path: Path, given: Mapping[str, Any] = {}, defaults: Mapping[str, Any] = {}) -> Scenario:
        """The file's, but for what is given and not None; `defaults` are for what neither says. Raises BadInput naming
        the file's line."""
        try:
            text = path.read_text()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is no text"
            raise BadInput(f"The scenario {path} cannot be read: {reason}.") from error
        try:
            root = yaml.compose(text, Loader=yaml.SafeLoader)
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
            where = f"{path}:{mark.line + 1}" if mark else str(path)
            why = getattr(error, "problem", None) or getattr(error, "reason", None) or error
            raise BadInput(f"{where}: this is not YAML: {why}.") from error
        found = {} if root is None else _scenario(path, root)
        return cls.of(**{**defaults, **found, **{name: value for name, value in given.items() if value is not None}})

    @classmethod
    def of(cls, **values: Any) -> Scenario:
        """Checked as a whole. Raises BadInput."""
        if "rate" not in values:
            raise BadInput("A load needs a rate.", "Give --rate, or `rate:` in the scenario: events a second.")
        for name, value in values.items():
            bounds = NUMBERS.get(name)
            if bounds and value is not None and not bounds.low <= value <= bounds.high:  # nor is it NaN
                fix = f"It is a number from {bounds.low:g} to {bounds.high:g}."
                raise BadInput(f"{name.replace('_', '-')} is {value:g}.", fix)
        scenario = cls(**values)
        if scenario.warm_up is None:
            scenario = replace(scenario, warm_up=min(LONGEST_WARM_UP_SECONDS, scenario.duration / 4))
        if scenario.measured <= 0:
            msg = f"The warm-up of {scenario.warm_up:g} s leaves nothing of the {scenario.duration:g} s to measure."
            raise BadInput(msg, "Give a longer --duration, or a shorter --warm-up.")
        for step in scenario.timeline:
            if step.at >= scenario.duration:
                msg = f"{step.name} comes {step.at:g} s after the begin, and the load lasts {scenario.duration:g} s."
                raise BadInput(msg, "Give a longer --duration.")
            if step.name in (SLOW_CONSUMER, ADD_CONSUMER) and not scenario.workers:
                raise BadInput(f"{step.name} needs consumers, and there are 0 workers.", "Give --workers.")
        from shardlake.load.schedule import total  # it knows scenarios

        if (events := total(scenario)) > MOST_EVENTS:
            msg = f"This is a load of {events:,} events, more than the {MOST_EVENTS:,} whose times are kept."
            raise BadInput(msg, "Give a shorter --duration, or a lower --rate.")
        return scenario

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


@dataclass(frozen=True, slots=True)
class _Place:
    """Where in the file something is wrong."""

    path: Path
    node: Any = field(repr=False)

    def error(self, what: str, fix: str) -> BadInput:
        return BadInput(f"{self.path}:{self.node.start_mark.line + 1}: {what}.", fix)


def _scenario(path: Path, root: Any) -> dict[str, Any]:
    allowed = (*NUMBERS, "arrivals", "consumer", "jobs", "timeline")
    found: dict[str, Any] = {}
    for name, node in _members(path, root, allowed, "a scenario").items():
        place = _Place(path, node)
        if name in NUMBERS:
            found[name] = _number(place, name, NUMBERS[name])
        elif name == "timeline":
            if not isinstance(node, yaml.SequenceNode):
                raise place.error("the timeline is no list", "Begin each of its lines with `- at: <seconds>`.")
            found[name] = tuple(_step(path, one) for one in node.value)
        elif name == "jobs":
            if node.value not in ("true", "false"):
                raise place.error(f"jobs is {node.value!r}", "It is true or false.")
            found[name] = node.value == "true"
        elif name == "arrivals":
            if node.value not in ARRIVALS:
                raise place.error(f"there are no arrivals {node.value!r}", f"They are: {', '.join(ARRIVALS)}.")
            found[name] = node.value
        else:
            found[name] = str(node.value)
    return found


def _step(path: Path, node: Any) -> Step:
    members = _members(path, node, ("at", *STEPS), "a step of the timeline")
    if "at" not in members:
        raise _Place(path, node).error("this step has no time", "Add `at: <seconds after the begin>`.")
    at = _number(_Place(path, members.pop("at")), "at", Value(0, ENDLESS))
    if len(members) != 1:
        what = "this step says not what is done" if not members else "this step says more than one thing"
        raise _Place(path, node).error(what, f"Beside `at` it has one of: {', '.join(STEPS)}.")
    (name, inner) = next(iter(members.items()))
    wanted = STEPS[name]
    is_empty = isinstance(inner, yaml.ScalarNode) and not inner.value
    given = {} if is_empty else _members(path, inner, tuple(wanted), name)
    values = {}
    for key, value in wanted.items():
        if key in given:
            values[key] = _number(_Place(path, given[key]), f"{name}.{key}", value)
        elif value.default is None:
            raise _Place(path, inner).error(f"{name} needs {key!r}", f"It has: {', '.join(wanted)}.")
        else:
            values[key] = value.default
    return Step(at, name, values)


def _members(path: Path, node: Any, allowed: tuple[str, ...], what: str) -> dict[str, Any]:
    if not isinstance(node, yaml.MappingNode):
        raise _Place(path, node).error(f"{what} is no list of `name: value`", f"It has: {', '.join(allowed)}.")
    found: dict[str, Any] = {}
    for key, value in node.value:
        if key.value not in allowed:
            close = difflib.get_close_matches(str(key.value), allowed, 1)
            like = f"Did you mean {close[0]}? " if close else ""
            raise _Place(path, key).error(f"{what} has no {key.value!r}", f"{like}It has: {', '.join(allowed)}.")
        if key.value in found:
            raise _Place(path, key).error(f"{key.value} is there twice", "Leave one out.")
        found[key.value] = value
    return found


def _number(place: _Place, name: str, value: Value) -> float:
    kind = "a whole number" if value.whole else "a number"
    fix = f"It is {kind} from {value.low:g} to {value.high:g}."
    text = place.node.value if isinstance(place.node, yaml.ScalarNode) else "a list"
    try:
        found = float(str(text).replace("_", ""))
    except ValueError:
        raise place.error(f"{name} is {text!r}", fix) from None
    if not math.isfinite(found) or not value.low <= found <= value.high or (value.whole and found != int(found)):
        raise place.error(f"{name} is {text}", fix)
    return int(found) if value.whole else found
