"""Reads a scenario from a YAML file, and checks it:

    rate: 2000                 # events a second
    duration: 120              # seconds
    warm_up: 30                # seconds of it that no figure counts
    timeline:
      - {at: 40, burst: {factor: 5, for: 10}}
      - {at: 60, slow_consumer: {factor: 3, for: 20}}

An error names the line of the file, what is wrong there, and the words that are allowed.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from shardlake.errors import BadInput
from shardlake.load.scenario import (
    ADD_CONSUMER,
    ARRIVALS,
    ENDLESS,
    NUMBERS,
    SLOW_CONSUMER,
    STEPS,
    Scenario,
    Step,
    Value,
)
from shardlake.load.schedule import total

MOST_EVENTS = 50_000_000
"""The most events of a run: each has a place in memory while the run lasts."""

LONGEST_WARM_UP_SECONDS = 60


def read_scenario(path: Path, given: Mapping[str, Any] = {}, defaults: Mapping[str, Any] = {}) -> Scenario:
    """Read a scenario from a file. What is `given` and not None replaces what the file says; `defaults` stand for what
    neither says. Raises BadInput that names the file's line."""
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
    return make_scenario(**{**defaults, **found, **{name: value for name, value in given.items() if value is not None}})


def make_scenario(**values: Any) -> Scenario:
    """Make a scenario of its numbers, and check it as a whole. Raises BadInput."""
    if "rate" not in values:
        raise BadInput("A load needs a rate.", "Give --rate, or `rate:` in the scenario: events a second.")
    for name, value in values.items():
        bounds = NUMBERS.get(name)
        if bounds and value is not None and not bounds.low <= value <= bounds.high:  # nor is it NaN
            fix = f"It is a number from {bounds.low:g} to {bounds.high:g}."
            raise BadInput(f"{name.replace('_', '-')} is {value:g}.", fix)
    scenario = Scenario(**values)
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
    if (events := total(scenario)) > MOST_EVENTS:
        msg = f"This is a load of {events:,} events, more than the {MOST_EVENTS:,} whose times are kept."
        raise BadInput(msg, "Give a shorter --duration, or a lower --rate.")
    return scenario


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
