"""One sitting: a fresh stack under load, faults one after the other with a recovery between, then the verdict.

What it leaves is a run's folder: history, ledgers, the lake's files that were seen, verdict.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from shardlake.commands import Commands
from shardlake.counted import counted
from shardlake.errors import ShardlakeError
from shardlake.faults import checkpoint
from shardlake.faults.disk import SmallDisk, own_mounts
from shardlake.faults.history import History
from shardlake.faults.kinds import CHECKPOINTS, KINDS, LAKE, Kind, Scene
from shardlake.faults.load import Load
from shardlake.faults.recovery import STUCK_SECONDS, Offsets, Progress, rate
from shardlake.faults.runs import ledgers
from shardlake.faults.strike import strike
from shardlake.faults.visible import Visible
from shardlake.lake.verdict import VERDICT_FILE
from shardlake.ledger import paths
from shardlake.pipeline import Pipeline
from shardlake.provision import provision
from shardlake.settings import Settings
from shardlake.stack.stack import Stack

MINIMUM_RATE = 1000
"""Events a second that come in before a fault is injected."""

RATE_SECONDS = 2
LOAD_SECONDS = 60
HOLDS = "holds"
UNCHECKED = "not checked"


@dataclass(frozen=True, slots=True)
class Plan:
    """What a sitting does. Faults are drawn by seed: all kinds in changing order, again and again, or once and then
    short ones; none begins once `seconds` under load have passed."""

    kinds: tuple[str, ...]
    seconds: float
    each_once: bool
    rate: float
    seed: int
    port_base: int
    keep: bool


def deck(kinds: tuple[str, ...], seed: str) -> Iterator[Kind]:
    """All kinds in an order that follows from the seed, then in another, without end."""
    draw = random.Random(seed)
    while True:
        yield from (KINDS[name] for name in draw.sample(kinds, len(kinds)))


class Sitting:
    """`sit` once."""

    def __init__(self, pipeline: Pipeline, run: Path, plan: Plan, say: Callable[[str], None]) -> None:
        self._pipeline = pipeline
        self._run = run.resolve()
        self._plan = plan
        self._history = History(run)
        self._tell = say
        self._failed = False
        self._started = False
        self._holds = False

    def sit(self) -> bool:
        """Whether the verdict is that all holds, and nothing was stuck. Leaves no process; the topics and the lake are
        kept in the run's folder, `data`, where it does not hold.

        Raises Unavailable where the stack does not start, with nothing left running.
        """
        plan, data = self._plan, self._run / "data"
        self._history.note("began", seed=plan.seed, rate=plan.rate, kinds=plan.kinds, each_once=plan.each_once)
        with ExitStack() as cleanup:
            cleanup.callback(self._tidy)
            disks = self._disks(data)
            cleanup.callback(self._close, disks)
            stack = Stack(self._run / "state", port_base=plan.port_base, data=data)
            cleanup.callback(stack.stop)
            seconds = stack.start()
            self._started = True
            self._say(f"ready in {seconds:.1f} s")
            settings = Settings.read(**stack.settings)
            provision(self._pipeline, settings, stack.signs)
            stack.mark_provisioned()
            commands = Commands(self._pipeline, settings, stack.state, stack.state / "logs")
            load = Load(commands, self._run, plan.rate, random.Random(f"{plan.seed} {self._run.name}").randrange(10**6))
            cleanup.callback(load.end_consumers)
            cleanup.callback(load.end_producers)
            scene = Scene(stack, commands, load, disks)
            visible = Visible(settings.lake, self._run)
            cleanup.callback(visible.close)
            progress = Progress(settings.kafka_bootstrap_servers, self._pipeline.events_topic.name)
            try:
                commands.run("jobs", "run")
                load.start()
                self._say(f"the jobs run; {plan.rate:,.0f} events a second")
                self._faults(scene, settings, progress, visible)
            except ShardlakeError as error:
                self._fail(error)
            self._end(scene, progress, visible)
        return self._holds

    def _faults(self, scene: Scene, settings: Settings, progress: Progress, visible: Visible) -> None:
        plan = self._plan
        kinds = tuple(name for name in plan.kinds if self._is_possible(KINDS[name], scene))
        began = time.monotonic()
        drawn = deck(kinds, f"{plan.seed} {self._run.name}")
        for number, kind in enumerate(islice(drawn, len(kinds)) if plan.each_once else drawn if kinds else (), 1):
            if time.monotonic() - began > plan.seconds:
                break
            if not self._fault(number, kind, scene, settings, progress, visible):
                break

    def _fault(
        self, number: int, kind: Kind, scene: Scene, settings: Settings, progress: Progress, visible: Visible
    ) -> bool:
        for name, code in scene.load.ended():
            self._history.note("child ended", child=name, exit_code=code)
            self._say(f"{name} has ended by itself, exit code {code}; another one starts")
        scene.load.start()
        before, reached = self._await_load(progress)
        self._history.note(
            "injecting", number=number, kind=kind.name, ends=before, rate=round(reached),
            load_average=round(os.getloadavg()[0], 1),
        )  # fmt: skip
        begun = checkpoint.begin(settings)
        moment_ns = time.time_ns()

        def on_fault() -> None:
            state = begun.state_at(moment_ns) if begun else checkpoint.NONE
            told = {"id": begun.number if begun else None, "state": state}
            self._history.note("injected", number=number, kind=kind.name, checkpoint=told)
            words = f"checkpoint {begun.number} {state}" if begun else "no checkpoint"
            self._say(f"{kind.name}: {counted(sum(before.values()), 'record')} so far, {reached:,.0f}/s, {words}")
            visible.look()

        def on_heal() -> None:
            self._history.note("healed", number=number, kind=kind.name)

        seconds = kind.short_seconds if self._plan.each_once else kind.seconds
        began = time.monotonic()
        recovery = strike(kind, scene, progress, seconds, on_fault=on_fault, on_heal=on_heal)
        became = begun.close() if begun else None
        if recovery is None:
            self._failed = True
            self._history.note("stuck", number=number, kind=kind.name)
            self._say(f"[red]{kind.name}: stuck[/], not recovered {STUCK_SECONDS} s after the heal")
            return False
        during = rate(before, recovery.ends, time.monotonic() - began)
        self._history.note(
            "recovered", number=number, kind=kind.name, healed_ends=recovery.healed_ends, ends=recovery.ends,
            rate=round(during), checkpoint=became,
            fault_seconds=round(recovery.fault_seconds, 2), heal_seconds=round(recovery.heal_seconds, 2),
        )  # fmt: skip
        words = f"{recovery.fault_seconds:.1f} s after the fault, {recovery.heal_seconds:.1f} s after the heal"
        self._say(f"{kind.name}: recovered {words}" + (f"; the checkpoint {became}" if became else ""))
        return True

    def _await_load(self, progress: Progress) -> tuple[Offsets, float]:
        """The topic's ends and the rate reached, once that is high enough."""
        deadline = time.monotonic() + LOAD_SECONDS
        reached = 0.0
        while time.monotonic() < deadline:
            before, began = progress.ends(), time.monotonic()
            time.sleep(RATE_SECONDS)
            after = progress.ends()
            if before is not None and after is not None:
                reached = rate(before, after, time.monotonic() - began)
                if reached >= MINIMUM_RATE:
                    return after, reached
        msg = f"Only {reached:,.0f} records a second came in; a fault needs {MINIMUM_RATE:,} under way."
        raise ShardlakeError(msg, "The producers' logs tell more, or the machine is busy: try a higher --rate.")

    def _end(self, scene: Scene, progress: Progress, visible: Visible) -> None:
        """All is sent, the jobs finish, and the verdict."""
        self._say("no more faults: the producers end, the jobs finish")
        otherwise = scene.load.end_producers()
        try:
            scene.commands.run("jobs", "finish")
        except ShardlakeError as error:
            self._fail(error)
        otherwise |= scene.load.end_consumers()
        visible.look()
        ends = progress.ends() or {}
        code, _ = scene.commands.exit_code("verify", str(self._run), "--json")
        verdict = self._verdict()
        self._history.note(
            "verdict", verdict=verdict, records=sum(ends.values()), ends=ends, ledgers=ledgers(self._run)
        )
        self._holds = code == 0 and verdict == HOLDS and not self._failed
        self._history.note("ended", holds=self._holds, children_ended_otherwise=otherwise)
        self._say(f"verdict over {counted(sum(ends.values()), 'record')}: {verdict}")
        if not self._holds:
            self._say(f"verify's last words: {scene.commands.last_words('verify')}")
            self._say(f"topics, lake and checkpoints are kept in {self._run / 'data'}, logs in {scene.commands.logs}")

    def _verdict(self) -> str:
        """What `verify` has concluded, as it kept it."""
        path = self._run / VERDICT_FILE
        return str(json.loads(path.read_text())["conclusion"]) if path.exists() else UNCHECKED

    def _disks(self, data: Path) -> dict[str, SmallDisk]:
        wanted = {KINDS[name].disk for name in self._plan.kinds} - {None}
        if not wanted:
            return {}
        try:
            own_mounts()
            return {name: SmallDisk(data / name) for name in (LAKE, CHECKPOINTS)}
        except OSError as error:
            self._say(f"no small disk can be mounted here: {error}")
            return {}

    def _is_possible(self, kind: Kind, scene: Scene) -> bool:
        if kind.disk is None or kind.disk in scene.disks:
            return True
        self._history.note("skipped", kind=kind.name, why="no small disk can be mounted here")
        self._say(f"{kind.name} is left out: no small disk can be mounted here")
        return False

    @property
    def _keeps(self) -> bool:
        return self._plan.keep or not self._holds

    def _close(self, disks: dict[str, SmallDisk]) -> None:
        for disk in disks.values():
            disk.close(keep=self._started and self._keeps)

    def _tidy(self) -> None:
        """Last of all: what is large goes where all holds, everything where nothing has started."""
        self._history.close()
        if not self._started:
            shutil.rmtree(self._run)
        elif not self._keeps:
            for name in ("data", "state", "evidence"):
                shutil.rmtree(self._run / name, ignore_errors=True)
            for path in paths(self._run):
                path.unlink()

    def _fail(self, error: ShardlakeError) -> None:
        self._failed = True
        self._history.note("failed", message=error.message)
        self._say(f"[red]{error.message}[/] {error.hint}")

    def _say(self, line: str) -> None:
        self._tell(f"[dim]{self._history.seconds:5.1f} s[/]  {line}")
