"""`shardlake load --find-max`: the highest rate that holds, for each configuration, each on a stack of its own.

A configuration's probes share a stack, a topic and a ledger's folder, and begin when all before them was read; `verify`
closes it. A stack of its own, since what an earlier one left (topic, lake, caches) would be in the next one's figures.
"""

from __future__ import annotations

import math
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import psutil

from shardlake.commands import Commands
from shardlake.counted import counted
from shardlake.errors import BadInput, ShardlakeError
from shardlake.install.versions import versions
from shardlake.load import closing, machine, times
from shardlake.load.drive import Driven, drive
from shardlake.load.generator import AHEAD_SECONDS
from shardlake.load.result import Capacities, Capacity, Probe, Sample
from shardlake.load.scenario import ENDLESS, SLOW_CONSUMER, Scenario
from shardlake.load.search import HIGHEST, NO_LIMIT, conclude, search
from shardlake.load.servers import Servers
from shardlake.load.target import WORKERS_LOG, Readers, Say, Target
from shardlake.load.usage import CONSUMERS, PRODUCERS, Meter
from shardlake.load.watch import JOBS, Watch, slope
from shardlake.pipeline import Pipeline
from shardlake.provision import provision
from shardlake.settings import Settings
from shardlake.stack.stack import Stack

KINDS = {CONSUMERS: (1, 2, 4), JOBS: (1, 2), PRODUCERS: (1, 2)}
"""What there is to search for, and the counts that are tried: workers, parallelism, processes."""

ROLES = {CONSUMERS: (CONSUMERS,), JOBS: ("taskmanager", "jobmanager"), PRODUCERS: (PRODUCERS,)}
PROBE_SECONDS = {CONSUMERS: (5.0, 25.0), JOBS: (15.0, 50.0), PRODUCERS: (5.0, 25.0)}
"""Warm-up, and all of a probe. Windows and checkpoints need longer to be steady."""

DEFAULTS = {"rate": 4000.0, "linger_ms": 50.0}
"""The first rate that is tried; and what `shardlake produce` lingers."""

REPEATS = 3

SECOND_PRODUCER_RATE = 25_000
"""One process offers twice as much without being late; two encode it beforehand in half the time."""

ENCODE_SECONDS = 25e-6
"""An event's, in a producer that has time for it. For consumers and jobs a probe's events are encoded before it begins:
on two cores the search would otherwise find how fast events are made."""

EVENT_BYTES, MEMORY_SHARE = 600, 0.5
"""What an encoded event takes, its places in ledger and client with it; and how much of what is free may be taken."""

MEMORY = "free memory"
"""The limit where more than so much could not be tried."""

TOO_FAR_SECONDS = 6
"""A lag of so many seconds of load, while it grows, needs no further proof."""

DRAIN_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Configuration:
    """Of a kind, so many."""

    kind: str
    count: int

    @classmethod
    def read(cls, texts: list[str]) -> list[Configuration]:
        """From `consumers` or `consumers=1,2,4`; all there are where none is said. Raises BadInput."""
        found = []
        for text in texts or list(KINDS):
            kind, _, counts = text.partition("=")
            if kind not in KINDS:
                raise BadInput(f"There is no search for {kind!r}.", f"There is: {', '.join(KINDS)}.")
            try:
                chosen = [int(count) for count in counts.split(",")] if counts else KINDS[kind]
                if min(chosen) < 1:
                    raise ValueError
            except ValueError:
                msg = f"{text!r} names no counts of {kind}."
                raise BadInput(msg, f"For example: --only {kind}={','.join(map(str, KINDS[kind]))}.") from None
            found += [cls(kind, count) for count in chosen]
        return found


def find_max(
    pipeline: Pipeline,
    base: Scenario,
    configurations: list[Configuration],
    folder: Path,
    port_base: int,
    command: str,
    say: Say,
) -> Capacities:
    """Each configuration in order; what was found is kept after each. `base` is a scenario for all of them, of whose
    timeline slow_consumer alone is meant. Raises Unavailable where a stack does not start."""
    if any(step.name != SLOW_CONSUMER or step.at or step.values["for"] < ENDLESS for step in base.timeline):
        msg = "A search takes of a timeline only slow_consumer, from 0 on and without an end."
        raise BadInput(msg, "Leave the other steps out, and `for`.")
    found: list[Capacity] = []
    result = Capacities(
        command=command, began=datetime.now(UTC).isoformat(timespec="seconds"), machine=machine.facts(),
        versions=versions(), settings={**base.as_json(), "probe_seconds": PROBE_SECONDS},
    )  # fmt: skip
    for configuration in configurations:
        say(f"[{configuration.kind} {configuration.count}]")
        try:
            found.append(_search(pipeline, base, configuration, folder, port_base, say))
        except KeyboardInterrupt:
            result = replace(result, partial=f"interrupted in the search for {configuration.kind}")
        except ShardlakeError as error:
            if not found:
                raise
            result = replace(result, partial=f"{configuration.kind} {configuration.count}: {error.message}")
        result = replace(result, found=list(found))
        result.write(folder)
        if result.partial:
            break
    return result


def _search(
    pipeline: Pipeline, base: Scenario, configuration: Configuration, folder: Path, port_base: int, say: Say
) -> Capacity:
    kind, count = configuration.kind, configuration.count
    own = folder / f"{kind}-{count}"
    own.mkdir()
    with _target(pipeline, count if kind == JOBS else None, port_base) as target, ExitStack() as cleanup:
        plan = _plan(base, configuration)
        readers = Readers(target, plan, say)
        cleanup.callback(readers.end)
        readers.start(own, time.time_ns())
        time.sleep(readers.lead_seconds)
        prober = _Prober(target, readers, configuration, plan, own, say)
        room = psutil.virtual_memory().available * MEMORY_SHARE / (EVENT_BYTES * plan.duration)
        if room < base.rate:
            say(f"  free memory is for {room:,.0f}/s, not for {base.rate:,.0f}/s: begins there")
        outcome = search(prober.probe, base.rate, REPEATS, highest=min(HIGHEST, room))
        cleanup.close()
        verified, _ = closing.verify(target, own, say, run_jobs=not readers.has_jobs, again=False, is_last=True)
    closing.tidy(own, verified)
    below, above = outcome.bounds
    limit = MEMORY if outcome.limit == NO_LIMIT and room < HIGHEST else outcome.limit
    costs = [cost for rate, cost in prober.costs if rate == outcome.rate]
    say(f"[{kind} {count}] {outcome.rate:,.0f}/s holds; the limit is {limit}; verify: {verified}")
    return Capacity(
        kind=kind, name=readers.consumer or kind, count=count, rate=outcome.rate,
        bounds=(below, above if math.isfinite(above) else 0.0), limit=limit, confirmed=outcome.confirmed,
        repeats=outcome.repeats, cpu_us_per_event=float(np.median(costs)) if costs else 0.0, probes=outcome.probes,
        verified=verified,
    )  # fmt: skip


def _plan(base: Scenario, configuration: Configuration) -> Scenario:
    kind, count = configuration.kind, configuration.count
    warm_up, duration = PROBE_SECONDS[kind]
    return replace(
        base, warm_up=warm_up, duration=duration, workers=count if kind == CONSUMERS else 0, jobs=kind == JOBS,
        producers=count if kind == PRODUCERS else 1,
    )  # fmt: skip


@contextmanager
def _target(pipeline: Pipeline, parallelism: int | None, port_base: int) -> Iterator[Target]:
    """A fresh stack, thrown away."""
    with tempfile.TemporaryDirectory(prefix="shardlake-load-") as state:
        stack = Stack(Path(state), port_base=port_base)
        with stack:
            chosen = {"parallelism": parallelism} if parallelism else {}
            settings = Settings.read(**stack.settings, **chosen)
            provision(pipeline, settings, stack.signs)
            stack.mark_provisioned()
            yield Target(
                pipeline=pipeline, settings=settings,
                commands=Commands(pipeline, settings, stack.state, stack.state / "logs"),
                servers=Servers(stack.state, is_local=True),
            )  # fmt: skip


class _Prober:
    """Tries rates on one configuration."""

    def __init__(
        self, target: Target, readers: Readers, configuration: Configuration, plan: Scenario, folder: Path, say: Say
    ) -> None:
        self._target, self._readers, self._configuration = target, readers, configuration
        self._plan, self._folder, self._say = plan, folder, say
        self._group = {CONSUMERS: readers.group, JOBS: JOBS}.get(configuration.kind)
        self._seeds = iter(range(plan.seed, plan.seed + 1_000_000))
        self._last = 0
        """What was behind at the last sample of this probe."""
        self.costs: list[tuple[float, float]] = []
        """Rates, and CPU-microseconds an event of what is searched for."""

    def probe(self, rate: float) -> Probe:
        """One rate. Begins when all is read, as far as that comes."""
        self._last = 0
        plan = replace(self._plan, rate=rate, seed=next(self._seeds))
        if self._configuration.kind != PRODUCERS and rate > SECOND_PRODUCER_RATE:
            plan = replace(plan, producers=2)
        lead_seconds, ahead_seconds = 1.0, AHEAD_SECONDS
        if self._configuration.kind != PRODUCERS:
            lead_seconds += ENCODE_SECONDS * rate * plan.duration / plan.producers
            ahead_seconds = lead_seconds + plan.duration
        offer = self._target.offer(plan, self._folder, ahead_seconds)
        try:
            meter = self._readers.meter(os.getpid(), lambda: offer.pids)
            watch = Watch(self._folder, self._readers.lags, meter)
            begin_ns = time.time_ns() + int(1e9 * lead_seconds)
            driven = drive(
                offer, watch, meter, begin_ns, plan.warm_up or 0.0, plan.duration, (), lambda _: None,
                lambda sample: self._is_enough(sample, rate),
            )  # fmt: skip
            if driven.stopped.startswith("interrupted"):
                raise KeyboardInterrupt
            offer.await_end()
        finally:
            offer.kill()
        watch.close()
        found = self._judge(plan, driven, watch, meter)
        words = f"{found.slope.share:+.2%} of the rate" if found.slope else f"reached {found.reached_per_second:,.0f}/s"
        self._say(f"  {rate:>10,.0f}/s  {found.conclusion:<11}  {words}")
        self._await_read()
        return found

    def _await_read(self) -> None:
        """As long as it gets less. Raises ShardlakeError where it does not, or a worker has died."""
        before: float = math.inf
        while True:
            left = self._readers.await_caught_up(DRAIN_SECONDS, lambda: None)
            if failed := self._readers.failed():
                raise ShardlakeError(f"{failed[0]}.", f"What it said is in {self._folder / WORKERS_LOG}.")
            if not left:
                return
            behind = sum(sum(shards.values()) for shards in self._readers.lags.look().values())
            if behind >= before:
                msg = f"{left[0]} stands still, {counted(behind, 'record')} behind."
                raise ShardlakeError(msg, "The stack's logs tell more, and the workers'.")
            before = behind

    def _is_enough(self, sample: Sample, rate: float) -> str:
        if self._group is None or sample.at_seconds < (self._plan.warm_up or 0.0) + TOO_FAR_SECONDS:
            return ""
        behind, before = sum(sample.lag.get(self._group, {}).values()), self._last
        self._last = behind
        return "lag grows beyond doubt" if behind > max(TOO_FAR_SECONDS * rate, before) else ""

    def _judge(self, plan: Scenario, driven: Driven, watch: Watch, meter: Meter) -> Probe:
        warm_up, end = plan.warm_up or 0.0, min(driven.seconds, plan.duration)
        slips_ns, at_ns = times.take_slips(self._folder)
        since_ns, until_ns = (driven.begin_ns + int(second * 1e9) for second in (warm_up, end))
        slip_ns = slips_ns[at_ns >= since_ns]
        reached = float(((at_ns >= since_ns) & (at_ns <= until_ns)).sum()) / max(end - warm_up, 1e-9)
        found = slope(watch.samples, self._group, warm_up, end, plan.rate) if self._group else None
        conclusion = conclude(found, reached, plan.rate, has_lag=self._group is not None, is_cut=bool(driven.stopped))
        cpu = sum(driven.took().get(role, 0.0) for role in ROLES[self._configuration.kind])
        self.costs.append((plan.rate, 1e6 * cpu / max(driven.sent, 1)))
        return Probe(
            rate=plan.rate, slope=found, reached_per_second=reached,
            slip_p99_ms=float(np.percentile(slip_ns, 99)) / 1e6 if len(slip_ns) else 0.0, conclusion=conclusion,
        )  # fmt: skip
